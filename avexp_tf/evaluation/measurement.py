"""What is kept of one model on one split, so that a stopped study goes on."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from avexp_tf import files
from avexp_tf import outputs
from avexp_tf.training import scoring

_Arrays = TypeVar("_Arrays", bound="_Kept")


@dataclasses.dataclass(frozen=True)
class _Kept:
    """Arrays in a file that says what they are of."""

    def save(self, path: str | os.PathLike[str], key: str) -> None:
        """Writes it in one step.

        Args:
          path: The file.
          key: Says what was measured; `load` wants the same.

        Raises:
          errors.DataError: if it can't be written.
        """
        arrays = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }
        with files.replacing(path) as file:
            np.savez(file, key=np.asarray(key), **arrays)

    @classmethod
    def load(
        cls: type[_Arrays], path: str | os.PathLike[str], key: str
    ) -> _Arrays | None:
        """Reads it again; None if there is none of this key, or it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if str(arrays["key"]) != key:
                    return None
                return cls(
                    **{
                        field.name: arrays[field.name]
                        for field in dataclasses.fields(cls)
                    }
                )
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            return None


@dataclasses.dataclass(frozen=True)
class Measurement(_Kept):
    """How one model did.

    Attributes:
      moments: float64 [K, recordings, 2, 6] per condition; see `objectives.moments`.
      predicted: float32 [N, 2] of every tick, under the first condition.
      intervals: float64 [K, 2, 3] per condition; see `interval_sums`.
    """

    moments: np.ndarray
    predicted: np.ndarray
    intervals: np.ndarray


def interval_sums(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Returns what says how often intervals hold the labels, and how wide they are.

    Args:
      labels: float [n, 2], NaN where invalid.
      predicted: float [K, n, 6]; see `outputs`. Of [K, n, 2], without bounds, all sums
        are zero.

    Returns:
      float64 [K, 2, 3]: ticks with a label, those of them whose interval holds it, and
      the sum of their widths.
    """
    found = np.zeros((len(predicted), outputs.N_TARGETS, 3))
    if predicted.shape[-1] == outputs.N_TARGETS:
        return found
    bounds = predicted[..., outputs.N_TARGETS :]
    low, high = bounds[..., 0::2], bounds[..., 1::2]
    valid = ~np.isnan(labels)
    found[..., 0] = valid.sum(axis=0)
    # A comparison with NaN is false.
    found[..., 1] = ((low <= labels) & (labels <= high)).sum(axis=1)
    found[..., 2] = np.where(valid, high - low, 0.0).sum(axis=1)
    return found


@dataclasses.dataclass(frozen=True)
class Ticks(_Kept):
    """All ticks of a split, in the order of the records.

    Attributes:
      recording: int32 [N], the row of each tick's recording in the manifest.
      labels: float32 [N, 2], NaN where invalid.
      present: bool [N, 2]: whether there really was a face, and sound.
    """

    recording: np.ndarray
    labels: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, segment: scoring.SegmentPredictions, row: int) -> Ticks:
        """Returns those of one segment."""
        rows = np.full(len(segment.labels), row, np.int32)
        return cls(rows, segment.labels, segment.present)

    @classmethod
    def joined(cls, parts: Sequence[Ticks]) -> Ticks:
        """Returns several as one."""
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in dataclasses.fields(cls)
            )
        )
