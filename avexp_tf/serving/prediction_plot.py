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
_N_PLAIN = 5  # columns of a point that has no bounds


def draw(
    chunks: Iterable[media_predictor.Ticks], title: str, path: str | os.PathLike[str]
) -> None:
    """Draws predictions as a PNG file.

    The upper axes show valence and arousal, and as bands their intervals if there are
    any; below, one strip per modality is filled where it is present. Memory does not
    grow with the length.

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
    bounds = rows[:, _N_PLAIN:]
    for column, target in enumerate(config.TARGETS):
        color = records_draw.COLORS[target]
        upper.plot(rows[:, 0], rows[:, 1 + column], label=target, color=color)
        if bounds.size:
            low, high = bounds[:, 2 * column], bounds[:, 2 * column + 1]
            upper.fill_between(rows[:, 0], low, high, color=color, alpha=0.15, lw=0)
    # Predictions have no bounds of their own; labels do.
    reach = 1.05 * max(1.0, float(np.abs(rows[:, 1:3]).max(initial=0.0)))
    reach = max(reach, 1.05 * float(np.abs(bounds).max(initial=0.0)))
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
        self._done = self._rest = np.zeros((0, _N_PLAIN))

    def add(self, ticks: media_predictor.Ticks) -> None:
        """Takes the next ticks."""
        columns = [ticks.secs, ticks.values, ticks.video_present, ticks.audio_present]
        new = np.column_stack([*columns, ticks.bounds])
        if not len(self._rest) and not len(self._done):
            self._done = self._rest = new[:0]
        self._rest = np.concatenate([self._rest, new])
        n_groups = len(self._rest) // self._group_ticks
        whole = self._rest[: n_groups * self._group_ticks]
        self._rest = self._rest[len(whole) :]
        means = whole.reshape(n_groups, self._group_ticks, new.shape[1]).mean(axis=1)
        self._done = np.concatenate([self._done, means])
        while len(self._done) > _MOST_POINTS:
            if len(self._done) % 2:
                # An odd one can't be paired: it becomes ticks again.
                last = np.repeat(self._done[-1:], self._group_ticks, axis=0)
                self._rest = np.concatenate([last, self._rest])
                self._done = self._done[:-1]
            self._done = self._done.reshape(-1, 2, new.shape[1]).mean(axis=1)
            self._group_ticks *= 2

    def rows(self) -> np.ndarray:
        """Returns the points.

        Returns:
          [n, 5 or 9]: time, valence, arousal, the shares of video and audio, and the
          bounds if there are any.
        """
        if not len(self._rest):
            return self._done
        return np.concatenate([self._done, self._rest.mean(axis=0, keepdims=True)])
