"""The tables of a sweep: one row per model, condition, loss seed and target."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from avexp_tf import config
from avexp_tf import files
from avexp_tf.data import condition as conditions
from avexp_tf.data import contents
from avexp_tf.evaluation import measurement as measurements
from avexp_tf.objectives import moments
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

RESULT_COLUMNS = (
    "model",
    "train_seed",
    "modality",
    "pattern",
    "p",
    "mean_burst",
    "loss_seed",
    "target",
    "ccc",
    "optimum",
    "n_ticks",
)
TABLES = ("results.csv", "recordings.csv")


@dataclasses.dataclass(frozen=True)
class Label:
    """What results call a model.

    Attributes:
      name: baseline, clip_zero, ...
      train_seed: Seed of its training.
      variant: audio_visual, video_only or audio_only.
    """

    name: str
    train_seed: int
    variant: str

    @classmethod
    def of(cls, model: trained_model.TrainedModel) -> Label:
        """Returns the label of a model."""
        return cls(model.name, model.train_seed, model.variant)

    @classmethod
    def of_run(cls, run_dir: run_dirs.RunDir) -> Label:
        """Returns the label of a run's model, without loading it."""
        experiment = run_dir.config()
        return cls(
            experiment.train.name, experiment.train.seed, experiment.model.variant
        )


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """What a sweep measured.

    Attributes:
      labels: Of the models.
      sweep: K pairs of condition and loss seed.
      results: One row per model, condition, loss seed and target, with the columns of
        `RESULT_COLUMNS`; `optimum` is NaN where it is not known.
      recordings: The same per recording: `recording_id` and `subject_id` instead of
        `optimum`.
      moments: float64 [models, K, recordings, 2, 6]; see `objectives.moments`.
    """

    labels: Sequence[Label]
    sweep: Sequence[tuple[conditions.Condition, int]]
    results: pd.DataFrame
    recordings: pd.DataFrame
    moments: np.ndarray


def tabulate(
    labels: Sequence[Label],
    sweep: Sequence[tuple[conditions.Condition, int]],
    entries: Sequence[contents.Entry],
    measured: Sequence[measurements.Measurement],
    best: Mapping[str, measurements.Measurement],
) -> SweepResult:
    """Makes tables of measurements.

    Args:
      labels: Of the models.
      sweep: K pairs of condition and loss seed.
      entries: The recordings of the split.
      measured: One per model.
      best: Of the best possible model of each variant, where it is known.

    Returns:
      The tables.
    """
    total = np.stack([one.moments for one in measured])
    optimum = {variant: one.moments for variant, one in best.items()}
    return SweepResult(
        labels,
        sweep,
        _results(labels, sweep, total, optimum),
        _recordings(labels, sweep, total, entries),
        total,
    )


def save(result: SweepResult, out_dir: str | os.PathLike[str]) -> None:
    """Writes `results.csv` and `recordings.csv` into a folder.

    Raises:
      errors.DataError: if they can't be written.
    """
    files.make_folder(out_dir)
    for name, table in zip(TABLES, (result.results, result.recordings), strict=True):
        with files.replacing(os.path.join(out_dir, name)) as file:
            table.to_csv(file, index=False, float_format="%.6g")


def _pooled(per_recording: np.ndarray) -> np.ndarray:
    """Merges moments [..., recordings, 2, 6] over recordings."""
    pooled = per_recording[..., 0, :, :]
    for row in range(1, per_recording.shape[-3]):
        pooled = moments.merge(pooled, per_recording[..., row, :, :])
    return pooled


def _results(
    labels: Sequence[Label],
    sweep: Sequence[tuple[conditions.Condition, int]],
    total: np.ndarray,
    best: dict[str, np.ndarray],
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    optimum = {
        variant: moments.correlation_of(_pooled(values))
        for variant, values in best.items()
    }
    pooled = _pooled(total)
    ccc = moments.ccc_of(pooled)
    for m, label in enumerate(labels):
        for k, (condition, seed) in enumerate(sweep):
            for t, target in enumerate(config.TARGETS):
                known = optimum.get(label.variant)
                rows.append(
                    _condition_columns(label, condition, seed)
                    | {
                        "target": target,
                        "ccc": ccc[m, k, t],
                        "optimum": np.nan if known is None else known[k, t],
                        "n_ticks": int(pooled[m, k, t, 0]),
                    }
                )
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS))


def _recordings(
    labels: Sequence[Label],
    sweep: Sequence[tuple[conditions.Condition, int]],
    total: np.ndarray,
    entries: Sequence[contents.Entry],
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    ccc = moments.ccc_of(total)
    for m, label in enumerate(labels):
        for k, (condition, seed) in enumerate(sweep):
            for r, entry in enumerate(entries):
                for t, target in enumerate(config.TARGETS):
                    rows.append(
                        _condition_columns(label, condition, seed)
                        | {
                            "recording_id": entry.recording_id,
                            "subject_id": entry.subject_id,
                            "target": target,
                            "ccc": ccc[m, k, r, t],
                            "n_ticks": int(total[m, k, r, t, 0]),
                        }
                    )
    return pd.DataFrame(rows)


def _condition_columns(
    label: Label, condition: conditions.Condition, seed: int
) -> dict[str, Any]:
    return {
        "model": label.name,
        "train_seed": label.train_seed,
        "modality": condition.modality,
        "pattern": condition.pattern_label,
        "p": condition.p,
        "mean_burst": condition.mean_burst or np.nan,
        "loss_seed": seed,
    }
