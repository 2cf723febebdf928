"""The tables of a sweep: one row per model, condition, loss seed and target."""

from __future__ import annotations

import dataclasses
import os
import pathlib
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
INTERVAL_COLUMNS = (
    *RESULT_COLUMNS[:8],
    "interval",
    "coverage",
    "width",
    "n_ticks",
)
TABLES = ("results.csv", "recordings.csv", "intervals.csv")


@dataclasses.dataclass(frozen=True)
class Label:
    """What results call a model.

    Attributes:
      name: baseline, clip_zero, ...
      train_seed: Seed of its training.
      variant: audio_visual, video_only or audio_only.
      interval: The share of labels that its intervals are to hold; 0 without any.
    """

    name: str
    train_seed: int
    variant: str
    interval: float = 0.0

    @classmethod
    def of(cls, model: trained_model.TrainedModel) -> Label:
        """Returns the label of a model."""
        return cls(model.name, model.train_seed, model.variant, model.interval)

    @classmethod
    def of_run(cls, run_dir: run_dirs.RunDir) -> Label:
        """Returns the label of a run's model, without loading it."""
        experiment = run_dir.config()
        return cls(
            experiment.train.name,
            experiment.train.seed,
            experiment.model.variant,
            experiment.model.interval,
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
      intervals: One row per model with bounds, condition, loss seed and target, with
        the columns of `INTERVAL_COLUMNS`: which share of the labels the intervals hold,
        and how wide they are in the mean. None where no model has bounds.
      moments: float64 [models, K, recordings, 2, 6]; see `objectives.moments`.
    """

    labels: Sequence[Label]
    sweep: Sequence[tuple[conditions.Condition, int]]
    results: pd.DataFrame
    recordings: pd.DataFrame
    intervals: pd.DataFrame | None
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
        _intervals(labels, sweep, np.stack([one.intervals for one in measured])),
        total,
    )


def save(result: SweepResult, out_dir: str | os.PathLike[str]) -> list[str]:
    """Writes `TABLES` into a folder, and returns the names of those that there are.

    Raises:
      errors.DataError: if they can't be written.
    """
    tables = (result.results, result.recordings, result.intervals)
    return save_tables(dict(zip(TABLES, tables, strict=True)), out_dir)


def save_tables(
    tables: Mapping[str, pd.DataFrame | None], out_dir: str | os.PathLike[str]
) -> list[str]:
    """Writes tables into a folder, and removes what is there of those that are None.

    Args:
      tables: By file name.
      out_dir: The folder.

    Returns:
      The names of the files that are there now.

    Raises:
      errors.DataError: if they can't be written.
    """
    files.make_folder(out_dir)
    for name, table in tables.items():
        path = os.path.join(out_dir, name)
        if table is None:
            pathlib.Path(path).unlink(missing_ok=True)
            continue
        with files.replacing(path) as file:
            table.to_csv(file, index=False, float_format="%.6g")
    return [name for name, table in tables.items() if table is not None]


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


def _intervals(
    labels: Sequence[Label],
    sweep: Sequence[tuple[conditions.Condition, int]],
    total: np.ndarray,
) -> pd.DataFrame | None:
    rows: list[dict[str, Any]] = []
    for m, label in enumerate(labels):
        if not label.interval:
            continue
        for k, (condition, seed) in enumerate(sweep):
            for t, target in enumerate(config.TARGETS):
                n_ticks, inside, width = total[m, k, t]
                rows.append(
                    _condition_columns(label, condition, seed)
                    | {
                        "target": target,
                        "interval": label.interval,
                        "coverage": inside / n_ticks if n_ticks else np.nan,
                        "width": width / n_ticks if n_ticks else np.nan,
                        "n_ticks": int(n_ticks),
                    }
                )
    return pd.DataFrame(rows, columns=list(INTERVAL_COLUMNS)) if rows else None


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
