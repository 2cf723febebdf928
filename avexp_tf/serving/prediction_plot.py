"""The predictions of one recording as a picture."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import numpy as np

from avexp_tf import config
from avexp_tf import files
from avexp_tf.data import draw as records_draw
from avexp_tf.serving import media_predictor

# More points than the picture has pixels; longer recordings are averaged down to this.
_MOST_POINTS = 4096


def draw(
    chunks: Iterable[media_predictor.Ticks], title: str, path: str | os.PathLike[str]
) -> None:
    """Draws predictions as a PNG file.

    The upper axes show valence and arousal; below, one strip per modality is filled
    where it is present. Memory does not grow with the length.

    Args:
      chunks: All ticks in order, at least one.
      title: Of the picture.
      path: The file to write.

    Raises:
      errors.DataError: if it can't be written.
    """
    from matplotlib import figure

    points = Points()
    for chunk in chunks:
        points.add(chunk)
    rows = points.rows()
    drawing = figure.Figure(figsize=(10, 4), layout="constrained")
    upper, lower = drawing.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    for column, target in enumerate(config.TARGETS):
        upper.plot(
            rows[:, 0],
            rows[:, 1 + column],
            label=target,
            color=records_draw.COLORS[target],
        )
    # Predictions have no bounds of their own; labels do.
    reach = max(1.05, 1.05 * float(np.abs(rows[:, 1:3]).max()))
    upper.set_ylim(-reach, reach)
    upper.set_ylabel("prediction")
    upper.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    upper.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    # The font knows nothing of bytes in a file's name that are no UTF-8.
    title = title.encode("utf-8", "replace").decode()
    upper.set_title(title, loc="left", fontsize="medium", parse_math=False)
    present = {
        name: rows[:, 3 + row] >= 0.5 for row, name in enumerate(config.MODALITIES)
    }
    records_draw.draw_presence(lower, rows[:, 0], present)
    with files.replacing(path) as file, warnings.catch_warnings():
        # A title in a script that the font lacks has boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawing.savefig(file, format="png", dpi=120)


class Points:
    """Ticks, averaged in groups that double whenever there are too many points."""

    def __init__(self) -> None:
        self._group_ticks = 1
        self._done = np.zeros((0, 5))
        self._rest = np.zeros((0, 5))

    def add(self, ticks: media_predictor.Ticks) -> None:
        """Takes the next ticks."""
        columns = [ticks.secs, ticks.values, ticks.video_present, ticks.audio_present]
        self._rest = np.concatenate([self._rest, np.column_stack(columns)])
        n_groups = len(self._rest) // self._group_ticks
        whole = self._rest[: n_groups * self._group_ticks]
        self._rest = self._rest[len(whole) :]
        means = whole.reshape(n_groups, self._group_ticks, 5).mean(axis=1)
        self._done = np.concatenate([self._done, means])
        while len(self._done) > _MOST_POINTS:
            if len(self._done) % 2:
                # An odd one can't be paired: it becomes ticks again.
                last = np.repeat(self._done[-1:], self._group_ticks, axis=0)
                self._rest = np.concatenate([last, self._rest])
                self._done = self._done[:-1]
            self._done = self._done.reshape(-1, 2, 5).mean(axis=1)
            self._group_ticks *= 2

    def rows(self) -> np.ndarray:
        """Returns time, valence, arousal, and the shares of video and audio, [n, 5]."""
        if not len(self._rest):
            return self._done
        return np.concatenate([self._done, self._rest.mean(axis=0, keepdims=True)])
