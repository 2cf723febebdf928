"""What is kept of one model on one split, so that a stopped study goes on."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from avexp_tf import files
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
    """

    moments: np.ndarray
    predicted: np.ndarray


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
