"""What TensorBoard shows of dev beside numbers: predictions, and CCC under loss.

Figures are PNG files in the run directory, so that a run that goes on has those of the
epochs before.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import figure as figures

from avexp_tf import config
from avexp_tf import files
from avexp_tf.data import condition as conditions
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.objectives import moments
from avexp_tf.training import scoring

PREDICTIONS = "dev_predictions"
ROBUSTNESS = "dev_robustness"
_NAMES = (PREDICTIONS, ROBUSTNESS)

_PATTERNS = {"clip_zero": "#D55E00", "frame_zero": "#0072B2", "frame_repeat": "#009E73"}
_SHARES = (0.0, 0.5, 0.9, 1.0)
_SHOWN_RECORDINGS = 3
_SHOWN_TICKS = 900

# reading(batches) -> the same batches
Reading = Callable[[Iterable[Any]], Iterator[Any]]


def path_of(folder: str | os.PathLike[str], name: str, epoch: int) -> pathlib.Path:
    """Returns where the figure of an epoch lies."""
    return pathlib.Path(folder) / f"{name}-{epoch:04d}.png"


def found(folder: str | os.PathLike[str], epoch: int) -> dict[str, bytes]:
    """Returns {name: PNG} of the figures of an epoch."""
    paths = {name: path_of(folder, name, epoch) for name in _NAMES}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def draw_predictions(
    folder: str | os.PathLike[str],
    epoch: int,
    source: record_source.RecordSource,
    predict: scoring.Predict,
    reading: Reading = iter,
) -> None:
    """Draws labels and predictions of the first recordings of dev.

    Args:
      folder: Of the figures.
      epoch: Counted from 1.
      source: Dev.
      predict: The model.
      reading: How to go through batches.

    Raises:
      errors.DataError: if it can't be written.
    """
    batches = pipeline.evaluation_batches(source, [((), 0)], _SHOWN_RECORDINGS)
    curves: dict[str, list[scoring.SegmentPredictions]] = {}
    for segment in scoring.predict_segments(reading(batches), [predict]):
        curves.setdefault(segment.recording_id, []).append(segment)
    if not curves:
        return  # all of them are damaged, and skipped
    shape = (len(config.TARGETS), len(curves))
    figure, axes = _axes(shape, (3.6 * len(curves), 4.0))
    for column, (recording_id, segments) in enumerate(curves.items()):
        secs, labels, predicted = (
            np.concatenate(parts)[:_SHOWN_TICKS]
            for parts in zip(
                *(
                    (one.timestamps, one.labels, one.predicted[0][0])
                    for one in segments
                ),
                strict=True,
            )
        )
        axes[0, column].set_title(recording_id, fontsize=9)
        axes[-1, column].set_xlabel("seconds")
        for row, target in enumerate(config.TARGETS):
            axis = axes[row, column]
            axis.plot(secs, labels[:, row], color="black", label="label")
            axis.plot(secs, predicted[:, row], color="#0072B2", label="prediction")
            if column == 0:
                axis.set_ylabel(target)
    axes[0, 0].legend(frameon=False, fontsize=8)
    _save(figure, path_of(folder, PREDICTIONS, epoch))


def draw_robustness(
    folder: str | os.PathLike[str],
    epoch: int,
    source: record_source.RecordSource,
    predict: scoring.Predict,
    reading: Reading = iter,
) -> dict[str, float]:
    """Draws CCC on dev against the share that is lost, for the paper's patterns.

    Args: those of `draw_predictions`.

    Returns:
      {`modality:pattern:p`: CCC, the mean over targets}.

    Raises:
      errors.DataError: if it can't be written.
    """
    tested = [
        conditions.Condition(modality, pattern, p)
        for modality in config.MODALITIES
        for pattern in _PATTERNS
        for p in _SHARES
    ]
    sweep = [(((one,),) if one.p else (), scoring.DEV_SEED) for one in tested]
    batches = pipeline.evaluation_batches(source, sweep)
    total = None
    for segment in scoring.predict_segments(reading(batches), [predict]):
        (part,) = scoring.segment_moments(segment)
        total = part if total is None else moments.merge(total, part)
    if total is None:
        return {}  # all of them are damaged, and skipped
    ccc = moments.ccc_of(total)  # [K, 2]
    shape = (len(config.TARGETS), len(config.MODALITIES))
    figure, axes = _axes(shape, (7.2, 4.6))
    for column, modality in enumerate(config.MODALITIES):
        axes[-1, column].set_xlabel(f"share of {modality} lost, p")
        for row, target in enumerate(config.TARGETS):
            axes[row, 0].set_ylabel(f"{target} CCC")
            for pattern, colour in _PATTERNS.items():
                at = [
                    k
                    for k, one in enumerate(tested)
                    if (one.modality, one.pattern) == (modality, pattern)
                ]
                axes[row, column].plot(
                    _SHARES, ccc[at, row], marker="o", color=colour, label=pattern
                )
    axes[0, 0].legend(frameon=False, fontsize=8)
    _save(figure, path_of(folder, ROBUSTNESS, epoch))
    return {
        f"{one.modality}:{one.pattern}:{one.p:g}": float(np.nanmean(row))
        for one, row in zip(tested, ccc, strict=True)
    }


def _axes(shape: tuple[int, int], size: tuple[float, float]) -> tuple[Any, Any]:
    # Not pyplot's: a notebook that trains would show it.
    figure = figures.Figure(figsize=size, layout="constrained")
    axes = figure.subplots(*shape, sharex="col", sharey="row", squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: pathlib.Path) -> None:
    files.make_folder(path.parent)
    with files.replacing(path) as file:
        figure.savefig(file, format="png", dpi=100)
