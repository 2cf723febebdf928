"""Evaluates models under many conditions in one reading of the records."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import outputs
from avexp_tf.data import condition as conditions
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.evaluation import measurement as measurements
from avexp_tf.evaluation import optimum as optima
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.models import sweep_predictor
from avexp_tf.objectives import moments
from avexp_tf.training import scoring
from avexp_tf.training import trained_model

PREDICTION_COLUMNS = (
    "model",
    "train_seed",
    "condition",
    "loss_seed",
    "recording_id",
    "tick",
    "time",
    *config.TARGETS,
    *(f"{target}_label" for target in config.TARGETS),
)


def sweep_of(
    tested: Sequence[conditions.Condition], loss_seeds: Sequence[int]
) -> list[tuple[conditions.Condition, int]]:
    """Returns pairs of condition and loss seed; where nothing is drawn, one seed."""
    return [
        (condition, seed)
        for condition in tested
        for seed in (loss_seeds if 0 < condition.p < 1 else loss_seeds[:1])
    ]


def data_of(
    models: Sequence[trained_model.TrainedModel],
    records: str = "",
    eval_stride: int | None = None,
    on_corrupt: str = "",
) -> config.DataConfig:
    """Returns what models are evaluated on together.

    Args:
      models: Whose own settings are taken where none are given.
      records: Folder of records.
      eval_stride: Ticks between clips.
      on_corrupt: See `config.DataConfig`.

    Raises:
      errors.ConfigError: if a value breaks its rule, or the models' own differ.
    """
    settings: dict[str, Any] = {
        "records": records or None,
        "eval_stride": eval_stride,
        "on_corrupt": on_corrupt or None,
    }
    given = {name: one for name, one in settings.items() if one is not None}
    found = [
        dataclasses.replace(model.run_dir.config().data, **given) for model in models
    ]
    for model, one in zip(models, found, strict=True):
        for name in ("clip_ticks", "clip_stride"):
            if getattr(one, name) != getattr(found[0], name):
                raise errors.ConfigError(
                    f"{models[0].run_dir.path} and {model.run_dir.path}: their {name} "
                    f"are {getattr(found[0], name)} and {getattr(one, name)}: evaluate "
                    "them apart"
                )
    return found[0]


def evaluate(
    models: Sequence[trained_model.TrainedModel],
    source: record_source.RecordSource,
    tested: Sequence[conditions.Condition],
    loss_seeds: Sequence[int],
    predictions_path: str | os.PathLike[str] | None = None,
) -> sweep_results.SweepResult:
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
    source = trained_model.source_for(
        [model.run_dir.manifest() for model in models], source
    )
    sweep = sweep_of(tested, loss_seeds)
    variants = list(dict.fromkeys(model.variant for model in models))
    known = optima.predictors(source.manifest, variants)
    _, measured = measure(models, known, source, sweep, predictions_path)
    return sweep_results.tabulate(
        [sweep_results.Label.of(model) for model in models],
        sweep,
        source.manifest.split(source.split).recordings,
        measured[: len(models)],
        dict(zip(known, measured[len(models) :], strict=True)),
    )


def measure(
    models: Sequence[trained_model.TrainedModel],
    known: Mapping[str, scoring.Predict],
    source: record_source.RecordSource,
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
      errors.RunError: if a model predicts what are no numbers.
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
    intervals = np.zeros((len(predictors), len(sweep), outputs.N_TARGETS, 3))
    unablated: list[list[np.ndarray]] = [[] for _ in predictors]
    ticks: list[measurements.Ticks] = []
    n_ticks = sum(entry.n_ticks for entry in entries)
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(_prediction_writer(predictions_path, models, sweep))
        bar = stack.enter_context(
            tqdm.tqdm(total=n_ticks, desc=title, unit="tick", unit_scale=True)
        )
        for segment in _of_models(
            scoring.predict_segments(source.reading(batches), predictors), models
        ):
            row = row_of[segment.recording_id]
            for index, part in enumerate(scoring.segment_moments(segment)):
                total[index, :, row] = moments.merge(total[index, :, row], part)
                values = segment.predicted[index]
                intervals[index] += measurements.interval_sums(segment.labels, values)
                first = values[0, :, : outputs.N_TARGETS]
                unablated[index].append(first.astype(np.float32))
            ticks.append(measurements.Ticks.of(segment, row))
            write(segment)
            bar.update(len(segment.labels))
    if not ticks:
        raise errors.DataError(
            f"{source.data.records}: all records of {source.split} are damaged"
        )
    return measurements.Ticks.joined(ticks), [
        measurements.Measurement(one, np.concatenate(parts), sums)
        for one, parts, sums in zip(total, unablated, intervals, strict=True)
    ]


def _of_models(
    segments: Iterator[scoring.SegmentPredictions],
    models: Sequence[trained_model.TrainedModel],
) -> Iterator[scoring.SegmentPredictions]:
    """Names the model whose predictions are no numbers."""
    try:
        yield from segments
    except scoring.NotFiniteError as error:
        path = models[error.predictor].run_dir.path
        raise errors.RunError(f"{path}: {error}") from None


@contextlib.contextmanager
def _prediction_writer(
    path: str | os.PathLike[str] | None,
    models: Sequence[trained_model.TrainedModel],
    sweep: Sequence[tuple[conditions.Condition, int]],
) -> Iterator[Any]:
    """Gives a function that writes a segment's predictions, one line per tick."""
    n_targets = outputs.N_TARGETS
    if path is None:
        yield lambda segment: None
        return
    bounded = any(model.interval for model in models)
    bounds = outputs.BOUNDS if bounded else ()
    with files.replacing_table(path, (*PREDICTION_COLUMNS, *bounds)) as write_lines:

        def write(segment: scoring.SegmentPredictions) -> None:
            labels = [
                ["" if np.isnan(value) else f"{value:.6g}" for value in row]
                for row in segment.labels
            ]
            for model, predicted in zip(models, segment.predicted, strict=False):
                for (condition, seed), values in zip(sweep, predicted, strict=True):
                    start = [model.name, model.train_seed, str(condition), seed]
                    # Empty where only other models have bounds.
                    rest = [""] * (len(bounds) if not model.interval else 0)
                    write_lines(
                        [
                            *start,
                            segment.recording_id,
                            segment.first_tick + tick,
                            f"{segment.timestamps[tick]:.6f}",
                            *(f"{one:.6f}" for one in values[tick, :n_targets]),
                            *labels[tick],
                            *(f"{one:.6f}" for one in values[tick, n_targets:]),
                            *rest,
                        ]
                        for tick in range(len(values))
                    )

        yield write


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
