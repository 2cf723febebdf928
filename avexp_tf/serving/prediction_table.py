"""The CSV file of predictions: one line per tick."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import outputs
from avexp_tf.serving import media_predictor

if TYPE_CHECKING:
    import pandas as pd

_BOX = ("face_left", "face_top", "face_right", "face_bottom")
COLUMNS = (
    "time",
    *config.TARGETS,
    "video_present",
    "audio_present",
    *_BOX,
    "detector_score",
    "frame",
)


@contextlib.contextmanager
def writing(
    path: str | os.PathLike[str], predicted: Sequence[str] = config.TARGETS
) -> Iterator[Callable[[media_predictor.Ticks], None]]:
    """Writes predictions as they come; the file takes its name when all are there.

    Args:
      path: The file.
      predicted: Names of the model's outputs; bounds become columns at the end.

    Yields:
      Takes the next ticks.

    Raises:
      errors.DataError: if it can't be written.
    """
    with files.replacing_table(path, _columns(predicted)) as write:
        yield lambda ticks: write(_lines(ticks))


def read(path: str | os.PathLike[str], n_ticks: int) -> Iterator[media_predictor.Ticks]:
    """Yields what was written, a limited number of ticks at a time.

    Args:
      path: The file.
      n_ticks: At most so many at a time.

    Raises:
      errors.DataError: if it is not such a file.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        columns = tuple(next(reader, ()))
        if columns != _columns(outputs.names_in(columns)):
            raise errors.DataError(
                f"{path}: the first line must be {','.join(COLUMNS)}"
            )
        lines: list[list[str]] = []
        for line in reader:
            lines.append(line)
            if len(lines) == n_ticks:
                yield _parsed(path, columns, lines)
                lines = []
        if lines:
            yield _parsed(path, columns, lines)


def frame(ticks: media_predictor.Ticks) -> pd.DataFrame:
    """Returns ticks as a data frame with the columns of the file.

    Args:
      ticks: Of one recording.

    Returns:
      One row per tick; NaN in the box where there is no face, `frame` -1 where no
      picture is shown.
    """
    import pandas as pd

    columns = [
        ticks.secs,
        *ticks.values.T,
        ticks.video_present,
        ticks.audio_present,
        *ticks.boxes.T,
        ticks.scores,
        ticks.frames,
        *ticks.bounds.T,
    ]
    names = (*COLUMNS, *outputs.BOUNDS)[: len(columns)]
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def _columns(predicted: Sequence[str]) -> tuple[str, ...]:
    return (*COLUMNS, *predicted[outputs.N_TARGETS :])


def _lines(ticks: media_predictor.Ticks) -> Iterable[list[str]]:
    for row in range(len(ticks)):
        box = ticks.boxes[row]
        has_box = not np.isnan(box).any()
        yield [
            f"{ticks.secs[row]:.6f}",
            *(f"{value:.6f}" for value in ticks.values[row]),
            str(int(ticks.video_present[row])),
            str(int(ticks.audio_present[row])),
            *(f"{edge:.1f}" if has_box else "" for edge in box),
            f"{ticks.scores[row]:.4f}",
            str(ticks.frames[row]) if ticks.frames[row] >= 0 else "",
            *(f"{bound:.6f}" for bound in ticks.bounds[row]),
        ]


def _parsed(
    path: str | os.PathLike[str], names: Sequence[str], lines: list[list[str]]
) -> media_predictor.Ticks:
    try:
        columns = dict(zip(names, zip(*lines, strict=True), strict=True))

        def numbers(name: str, empty: str = "nan") -> np.ndarray:
            return np.array([float(cell or empty) for cell in columns[name]])

        def together(names: Sequence[str]) -> np.ndarray:
            found = np.array([numbers(name) for name in names], np.float32)
            return found.reshape(len(names), len(lines)).T

        return media_predictor.Ticks(
            secs=numbers("time"),
            values=together(config.TARGETS),
            bounds=together(names[len(COLUMNS) :]),
            video_present=numbers("video_present") == 1,
            audio_present=numbers("audio_present") == 1,
            frames=numbers("frame", "-1").astype(np.int64),
            boxes=together(_BOX),
            scores=numbers("detector_score").astype(np.float32),
        )
    except ValueError as error:
        raise errors.DataError(f"{path}: is no table of predictions: {error}") from None
