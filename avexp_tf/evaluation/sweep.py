"""Evaluates models under many conditions in one reading of the records."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import os
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf.data import condition as conditions
from avexp_tf.data import contents
from avexp_tf.data import pipeline
from avexp_tf.evaluation import measurement as measurements
from avexp_tf.evaluation import optimum as optima
from avexp_tf.models import sweep_predictor
from avexp_tf.objectives import moments
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import scoring
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


def sweep_of(
    tested: Sequence[conditions.Condition], loss_seeds: Sequence[int]
) -> list[tuple[conditions.Condition, int]]:
    """Returns pairs of condition and loss seed; where nothing is drawn, one seed."""
    return [
        (condition, seed)
        for condition in tested
        for seed in (loss_seeds if 0 < condition.p < 1 else loss_seeds[:1])
    ]


def evaluate(
    models: Sequence[trained_model.TrainedModel],
    source: pipeline.Source,
    tested: Sequence[conditions.Condition],
    loss_seeds: Sequence[int],
    predictions_path: str | os.PathLike[str] | None = None,
) -> SweepResult:
    """Evaluates models on one split.

    Args:
      models: All of them see the same losses.
      source: The split.
      tested: Conditions.
      loss_seeds: Each condition is drawn once per seed.
      predictions_path: Where to write every prediction as CSV; None writes none.

    Returns:
      The CCC under every condition.

    Raises:
      errors.DataError: if a model takes other inputs than the records hold.
    """
    sweep = sweep_of(tested, loss_seeds)
    variants = list(dict.fromkeys(model.variant for model in models))
    known = optima.predictors(source.manifest, variants)
    _, measured = measure(models, known, source, sweep, predictions_path)
    return tabulate(
        [Label.of(model) for model in models],
        sweep,
        source.manifest.split(source.split).recordings,
        measured[: len(models)],
        dict(zip(known, measured[len(models) :], strict=True)),
    )


def measure(
    models: Sequence[trained_model.TrainedModel],
    known: Mapping[str, scoring.Predict],
    source: pipeline.Source,
    sweep: Sequence[tuple[conditions.Condition, int]],
    predictions_path: str | os.PathLike[str] | None = None,
    title: str = "sweep",
) -> tuple[measurements.Ticks, list[measurements.Measurement]]:
    """Predicts one split in one reading.

    Args:
      models: All of them see the same losses.
      known: Further predictors; see `optimum.predictors`.
      source: The split.
      sweep: K pairs of condition and loss seed.
      predictions_path: Where to write every prediction as CSV; None writes none.
      title: Of the progress bar.

    Returns:
      The split's ticks, and one measurement per model, then per further predictor.

    Raises:
      errors.DataError: if a model takes other inputs than the records hold.
    """
    for model in models:
        trained_model.check_same_inputs(
            model.run_dir.manifest(), source.manifest, source.data.records
        )
    batches = pipeline.evaluation_batches(
        source, [(((condition,),), seed) for condition, seed in sweep]
    )
    predictors: list[scoring.Predict] = [
        sweep_predictor.SweepPredictor(model.model).predict for model in models
    ]
    predictors += known.values()
    entries = source.manifest.split(source.split).recordings
    row_of = {entry.recording_id: row for row, entry in enumerate(entries)}
    shape = (len(sweep), len(entries), len(config.TARGETS), moments.SIZE)
    total = np.zeros((len(predictors), *shape))
    unablated: list[list[np.ndarray]] = [[] for _ in predictors]
    ticks: list[measurements.Ticks] = []
    n_ticks = sum(entry.n_ticks for entry in entries)
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(_prediction_writer(predictions_path, models, sweep))
        bar = stack.enter_context(
            tqdm.tqdm(total=n_ticks, desc=title, unit="tick", unit_scale=True)
        )
        for segment in scoring.predict_segments(source.reading(batches), predictors):
            row = row_of[segment.recording_id]
            for index, part in enumerate(scoring.segment_moments(segment)):
                total[index, :, row] = moments.merge(total[index, :, row], part)
                unablated[index].append(segment.predicted[index][0].astype(np.float32))
            ticks.append(measurements.Ticks.of(segment, row))
            write(segment)
            bar.update(len(segment.labels))
    return measurements.Ticks.joined(ticks), [
        measurements.Measurement(one, np.concatenate(parts))
        for one, parts in zip(total, unablated, strict=True)
    ]


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


@contextlib.contextmanager
def _prediction_writer(
    path: str | os.PathLike[str] | None,
    models: Sequence[trained_model.TrainedModel],
    sweep: Sequence[tuple[conditions.Condition, int]],
) -> Iterator[Any]:
    """Gives a function that writes a segment's predictions, one line per tick."""
    if path is None:
        yield lambda segment: None
        return
    header = ["model", "train_seed", "condition", "loss_seed", "recording_id", "tick"]
    header += ["time", *config.TARGETS]
    header += [f"{target}_label" for target in config.TARGETS]
    with files.replacing(path) as binary:
        import io

        text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(header)

        def write(segment: scoring.SegmentPredictions) -> None:
            labels = [
                ["" if np.isnan(value) else f"{value:.6g}" for value in row]
                for row in segment.labels
            ]
            for model, predicted in zip(models, segment.predicted, strict=False):
                for (condition, seed), values in zip(sweep, predicted, strict=True):
                    start = [model.name, model.train_seed, str(condition), seed]
                    writer.writerows(
                        [
                            *start,
                            segment.recording_id,
                            segment.first_tick + tick,
                            f"{segment.timestamps[tick]:.6f}",
                            *(f"{value:.6f}" for value in values[tick]),
                            *labels[tick],
                        ]
                        for tick in range(len(values))
                    )

        yield write
        text.flush()
        text.detach()


def save(result: SweepResult, out_dir: str | os.PathLike[str]) -> None:
    """Writes `results.csv` and `recordings.csv` into a folder.

    Raises:
      errors.DataError: if they can't be written.
    """
    files.make_folder(out_dir)
    for name, table in (
        ("results.csv", result.results),
        ("recordings.csv", result.recordings),
    ):
        with files.replacing(os.path.join(out_dir, name)) as file:
            table.to_csv(file, index=False, float_format="%.6g")


def check_names(models: Sequence[trained_model.TrainedModel]) -> None:
    """Raises ConfigError if results could not tell two models apart."""
    paths: dict[tuple[str, int], os.PathLike[str]] = {}
    for model in models:
        key = model.name, model.train_seed
        other = paths.setdefault(key, model.run_dir.path)
        if other is not model.run_dir.path:
            raise errors.ConfigError(
                f"{other} and {model.run_dir.path} are both {model.name} of seed "
                f"{model.train_seed}; train one of them with another --name"
            )


def check_seeds(flag: str, texts: Sequence[str]) -> list[int]:
    """Returns seeds as numbers.

    Args:
      flag: Where they come from, for the error message.
      texts: The seeds.

    Raises:
      errors.ConfigError: if there is none, or one is no number that a seed may be.
    """
    largest = config.LARGEST_SEED
    if not texts or not all(
        text.strip().isdecimal() and int(text) <= largest for text in texts
    ):
        raise errors.ConfigError(
            f"--{flag}={','.join(texts)}: must be whole numbers from 0 to {largest}"
        )
    return list(dict.fromkeys(int(text) for text in texts))
