"""Draws the labels of a recording and what of it is present."""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import files
from avexp_tf.data import segment as segment_lib

COLORS = {"valence": "C0", "arousal": "C1"}
_PRESENT = "C2"


def draw(segments: Sequence[segment_lib.Segment], path: str | os.PathLike[str]) -> None:
    """Draws consecutive segments of one recording as a PNG file.

    The upper axes show the labels, with gaps where they are not valid; below, one strip
    per modality is filled where it is present.

    Args:
      segments: In their order.
      path: The file to write.

    Raises:
      errors.DataError: if it can't be written.
    """
    from matplotlib import figure

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(segment, name) for segment in segments])

    secs = joined("timestamps")
    labels = np.where(joined("label_valid") == 1, joined("labels"), np.nan)
    first, last = segments[0], segments[-1]

    drawing = figure.Figure(figsize=(10, 4), layout="constrained")
    upper, lower = drawing.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    for column, target in enumerate(config.TARGETS):
        has_any = np.isfinite(labels[:, column]).any()
        name = target if has_any else f"{target} (no valid label)"
        upper.plot(secs, labels[:, column], label=name, color=COLORS[target])
    upper.set_ylim(-1.05, 1.05)
    upper.set_ylabel("label")
    upper.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    upper.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    ticks = f"ticks {first.first_tick} to {last.first_tick + last.n_ticks - 1}"
    title = f"{first.recording_id} ({first.subject_id}), {ticks}"
    upper.set_title(title, loc="left", fontsize="medium", parse_math=False)
    present = {name: joined(f"{name}_present") for name in config.MODALITIES}
    draw_presence(lower, secs, present)
    with files.replacing(path) as file:
        drawing.savefig(file, format="png", dpi=120)


def draw_presence(
    axes: Any, secs: np.ndarray, present: Mapping[str, np.ndarray]
) -> None:
    """Draws one strip per modality, filled where it is present, over the seconds.

    Args:
      axes: The matplotlib axes to fill.
      secs: When each tick stands, [n], rising.
      present: {modality: bool, or 0 and 1, [n]}, the first one on top.
    """
    # A bar needs an end: the last tick lasts as long as the one before it.
    step = secs[-1] - secs[-2] if len(secs) > 1 else 1.0
    edges = np.append(secs, secs[-1] + step)
    for row, ticks in enumerate(present.values()):
        starts, stops = _runs(ticks)
        bars = list(zip(edges[starts], edges[stops] - edges[starts], strict=True))
        axes.broken_barh(bars, (row + 0.1, 0.8), color=_PRESENT, linewidth=0)
    axes.set_ylim(0, len(present))
    axes.set_yticks(np.arange(len(present)) + 0.5, list(present))
    axes.set_xlim(edges[0], edges[-1])
    axes.invert_yaxis()
    axes.set_xlabel("seconds (filled: present)")


def _runs(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where stretches of ones start, and where they end (exclusive)."""
    change = np.diff(present.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)
