"""What is compared with a Keras model, how far it may be off, and what was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from avexp_tf.serving import requests
from avexp_tf.serving import signatures


@dataclasses.dataclass(frozen=True)
class Allowance:
    """How far a candidate may be from Keras.

    Attributes:
      output: Largest absolute difference of an output; None if it does not count.
      ccc: Largest drop of a target's CCC under any condition; None likewise.
    """

    output: float | None = None
    ccc: float | None = None

    def holds(self, largest: float, drops: Sequence[float]) -> bool:
        """Tells whether differences are within it; a NaN never is."""
        if self.output is not None and not largest <= self.output:
            return False
        return self.ccc is None or all(drop <= self.ccc for drop in drops)

    def __str__(self) -> str:
        if self.output is not None:
            return f"{self.output:g} in output"
        return f"{self.ccc:g} CCC"


FLOAT32 = Allowance(output=1e-5)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that was made of the model.

    Attributes:
      name: For the report.
      allowance: How far it may be from Keras.
      call: Takes a signature's name and its inputs, gives the outputs, float32 [B, T,
        2 or 6]; see `avexp_tf.outputs`.
      signatures: Of `serving_default` and `sources`, those that it has.
      n_bytes: Its size on disk; 0 if it has none.
    """

    name: str
    allowance: Allowance
    call: Callable[[str, requests.Arrays], np.ndarray]
    signatures: tuple[str, ...] = (signatures.DEFAULT, signatures.SOURCES)
    n_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Row:
    """One candidate, called by one signature, under one condition.

    Attributes:
      candidate: Its name.
      signature: The signature.
      condition: The condition.
      largest: Largest absolute difference of an output.
      mean: Mean absolute difference.
      keras_ccc: CCC of Keras, by target; NaN where no label is valid.
      ccc_drop: By how much the candidate's is lower, by target; 0 where there is none.
      passed: Whether the allowance holds.
    """

    candidate: str
    signature: str
    condition: str
    largest: float
    mean: float
    keras_ccc: dict[str, float]
    ccc_drop: dict[str, float]
    passed: bool


@dataclasses.dataclass(frozen=True)
class Parity:
    """What the gate found.

    Attributes:
      rows: One per candidate, signature and condition.
      candidates: What was compared.
      latency_ms: Median time of one clip per candidate, and of `keras`.
      n_clips: Clips that were compared.
      clip_ticks: Their length.
      split: Where they are from.
      broken: Candidates that failed to run: {name: why}.
    """

    rows: tuple[Row, ...]
    candidates: tuple[Candidate, ...]
    latency_ms: dict[str, float]
    n_clips: int
    clip_ticks: int
    split: str
    broken: dict[str, str]

    def passes(self, name: str) -> bool:
        """Tells whether a candidate passed under all conditions."""
        if name in self.broken:
            return False
        return all(row.passed for row in self.rows if row.candidate == name)

    @property
    def passed(self) -> bool:
        """Whether all of them passed."""
        return all(self.passes(candidate.name) for candidate in self.candidates)

    def renamed(self, old: str, new: str) -> Parity:
        """Returns the same with another name for a candidate."""

        def of(name: str) -> str:
            return new if name == old else name

        return dataclasses.replace(
            self,
            rows=tuple(
                dataclasses.replace(row, candidate=of(row.candidate))
                for row in self.rows
            ),
            candidates=tuple(
                dataclasses.replace(one, name=of(one.name)) for one in self.candidates
            ),
            latency_ms={of(name): ms for name, ms in self.latency_ms.items()},
            broken={of(name): why for name, why in self.broken.items()},
        )
