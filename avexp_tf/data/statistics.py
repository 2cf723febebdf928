"""Mean and variance of rows that arrive in pieces, in one pass.

Reference: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for
computing sample variances", 1979 (Welford's method for pieces of any size).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from avexp_tf import typed_json

# A column that varies by less than float32 can tell from its mean is constant.
_FLAT = float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Count, mean and summed squared deviation per column.

    Attributes:
      count: Rows.
      mean: float64 [columns].
      m2: Sum of squared deviations from the mean, float64 [columns].
    """

    count: int
    mean: np.ndarray
    m2: np.ndarray

    @classmethod
    def empty(cls, dim: int) -> Statistics:
        """Returns the statistics of no rows."""
        return cls(0, np.zeros(dim), np.zeros(dim))

    @classmethod
    def of(cls, rows: np.ndarray) -> Statistics:
        """Returns the statistics of some rows, float [n, columns]; n may be 0."""
        rows = np.asarray(rows, np.float64)
        if len(rows) == 0:
            return cls.empty(rows.shape[1])
        mean = rows.mean(axis=0)
        return cls(len(rows), mean, np.square(rows - mean).sum(axis=0))

    def merge(self, other: Statistics) -> Statistics:
        """Returns the statistics of both sets of rows together."""
        count = self.count + other.count
        if not count:
            return self
        delta = other.mean - self.mean
        share = other.count / count
        return Statistics(
            count,
            self.mean + delta * share,
            self.m2 + other.m2 + np.square(delta) * self.count * share,
        )

    def std(self) -> np.ndarray:
        """Returns the deviation per column (1/n), 1 where a column is constant."""
        if not self.count:
            return np.ones_like(self.mean)
        std = np.sqrt(self.m2 / self.count)
        return np.where(std > _FLAT * np.abs(self.mean), std, 1.0)

    def to_json(self) -> dict[str, Any]:
        """Returns the statistics as JSON values that give the same bits back."""
        return {
            "count": self.count,
            "mean": self.mean.tolist(),
            "m2": self.m2.tolist(),
        }

    @classmethod
    def from_json(cls, values: typed_json.Reader, dim: int) -> Statistics:
        """The inverse of `to_json`; raises DataError where a value breaks a rule."""
        values.length("mean", dim)
        values.length("m2", dim)
        return cls(
            values.integer("count"),
            np.array(values.numbers("mean")),
            np.array(values.numbers("m2")),
        )
