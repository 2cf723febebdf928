"""Predictions over whole recordings and their CCC, from clips under many conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.objectives import moments

# Losses on dev are drawn once, from a seed far from those that people choose.
DEV_SEED = config.LARGEST_SEED - 1

# predict(batch) -> float [B, K, T, 2], or [B, K, T, 6] with bounds; see `outputs`.
Predict = Callable[[dict[str, Any]], np.ndarray]


class NotFiniteError(errors.RunError):
    """A model predicts what is no number.

    Attributes:
      predictor: Which of them.
    """

    def __init__(self, predictor: int):
        super().__init__("it predicts what are no finite numbers: it has diverged")
        self.predictor = predictor


@dataclasses.dataclass
class SegmentPredictions:
    """One segment with its predictions, overlapping clips averaged.

    Attributes:
      recording_id: Of its recording.
      first_tick: Its first tick in the recording.
      timestamps: float64 [n], seconds.
      labels: float32 [n, 2], NaN where invalid.
      present: bool [n, 2]: whether there really was a face, and sound.
      predicted: One float array [K, n, 2] per predictor; [K, n, 6] with bounds.
    """

    recording_id: str
    first_tick: int
    timestamps: np.ndarray
    labels: np.ndarray
    present: np.ndarray
    predicted: list[np.ndarray]


def predict_segments(
    batches: Iterable[dict[str, Any]], predictors: list[Predict]
) -> Iterator[SegmentPredictions]:
    """Yields segments in the order of the records.

    Args:
      batches: Of `pipeline.evaluation_batches`; read once.
      predictors: Each predicts every batch.

    Yields:
      One segment after the other; only the current one is in memory.

    Raises:
      NotFiniteError: if a prediction is no finite number.
    """
    current: _Open | None = None
    for tensors in batches:
        batch = {name: tensor.numpy() for name, tensor in tensors.items()}
        predicted = [predict(batch) for predict in predictors]
        for row in range(len(batch["start"])):
            start = int(batch["start"][row])
            if start == 0:
                if current is not None:
                    yield current.close()
                current = _Open(batch, row)
            assert current is not None
            current.add(batch, row, start, [one[row] for one in predicted])
    if current is not None:
        yield current.close()


class _Open:
    """A segment that clips are still added to."""

    def __init__(self, batch: dict[str, np.ndarray], row: int):
        n_ticks = int(batch["n_ticks"][row])
        self._recording_id = batch["recording_id"][row].decode()
        self._first_tick = int(batch["first_tick"][row])
        self._timestamps = np.zeros(n_ticks)
        self._labels = np.full((n_ticks, len(config.TARGETS)), np.nan, np.float32)
        self._present = np.zeros((n_ticks, len(config.MODALITIES)), bool)
        self._count = np.zeros(n_ticks)
        self._sums: list[np.ndarray] = []

    def add(
        self,
        batch: dict[str, np.ndarray],
        row: int,
        start: int,
        predicted: list[np.ndarray],
    ) -> None:
        n = min(len(batch["valid"][row]), len(self._count) - start)
        at = slice(start, start + n)
        if not self._sums:
            n_ticks = len(self._count)
            self._sums = [
                np.zeros((len(one), n_ticks, one.shape[-1])) for one in predicted
            ]
        for total, one in zip(self._sums, predicted, strict=True):
            total[:, at] += one[:, :n]
        self._count[at] += 1
        self._labels[at] = batch["labels"][row, :n]
        self._timestamps[at] = batch["timestamps"][row, :n]
        for column, name in enumerate(config.MODALITIES):
            self._present[at, column] = batch[f"{name}_present"][row, :n]

    def close(self) -> SegmentPredictions:
        count = np.maximum(self._count, 1)[:, None]
        for index, total in enumerate(self._sums):
            if not np.isfinite(total).all():
                raise NotFiniteError(index)
        return SegmentPredictions(
            self._recording_id,
            self._first_tick,
            self._timestamps,
            self._labels,
            self._present,
            [total / count for total in self._sums],
        )


def segment_moments(segment: SegmentPredictions) -> list[np.ndarray]:
    """Returns one float64 [K, 2, 6] of moments per predictor; see `moments`."""
    labels = segment.labels.T[None]  # [1, 2, n]
    return [
        moments.moments_of(
            labels, np.swapaxes(predicted[..., : outputs.N_TARGETS], 1, 2)
        )
        for predicted in segment.predicted
    ]


def pooled_ccc(
    batches: Iterable[dict[str, Any]],
    predict: Predict,
    also: Callable[[SegmentPredictions], None] = lambda segment: None,
) -> np.ndarray:
    """Returns the corpus CCC of one predictor.

    Args:
      batches: Of `pipeline.evaluation_batches`.
      predict: The predictor.
      also: Takes each segment too.

    Returns:
      float64 [K, 2]; NaN for a target without a valid label.
    """
    total = None
    for segment in predict_segments(batches, [predict]):
        also(segment)
        (part,) = segment_moments(segment)
        total = part if total is None else moments.merge(total, part)
    if total is None:
        return np.full((1, len(config.TARGETS)), np.nan)
    return moments.ccc_of(total)
