"""The files that the challenges on Aff-Wild2 (ABAW) ask for, from predictions.

Since its third round the challenge takes one file, `predictions.txt`: the header
`image_location,valence,arousal`, then one line per frame such as
`10-60-1280x720_right/00001.jpg,0.125,-0.5`. The rounds before took one file per
recording in the form of the annotations: `valence,arousal`, one line per frame.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf.corpora.affwild2 import labels

_RUN = ("model", "train_seed", "condition", "loss_seed")
_NEEDED = (*_RUN, "recording_id", "tick", *config.TARGETS)
_LOCATION = "image_location"
_HEADER = ",".join([_LOCATION, *config.TARGETS])
_MOST_FRAMES = 10_000_000  # of a recording: 46 hours at 60 frames a second


class Frame(NamedTuple):
    """A frame that a prediction is wanted for.

    Attributes:
      recording_id: Of the recording.
      tick: From 0.
      location: Of its image, as a list has it.
    """

    recording_id: str
    tick: int
    location: str


@dataclasses.dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
      n_recordings: Of which there are lines.
      n_frames: Lines below the headers.
      n_missing: Frames of them without a prediction: -5.
      unlisted: Recordings with predictions that the list of frames does not name.
    """

    n_recordings: int
    n_frames: int
    n_missing: int
    unlisted: tuple[str, ...]


def read_predictions(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the file of `avexp-evaluate --predictions`.

    Args:
      path: The file, of one model under one condition, on records whose ticks are
        frames.

    Returns:
      {recording: valence and arousal, float32 [frames, 2]}; NaN where there is none.

    Raises:
      errors.DataError: if it is no such file, holds no prediction, or several models
        or conditions; naming the line that is damaged, has a tick twice, or has a
        recording that can't be the name of a file.
    """
    rows: dict[str, dict[int, tuple[float, ...]]] = {}
    runs: set[tuple[str, ...]] = set()
    where = os.fspath(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [
                name for name in _NEEDED if name not in (reader.fieldnames or ())
            ]
            if missing:
                raise errors.DataError(
                    f"{path}: has no column {missing[0]}: must be a file of "
                    "avexp-evaluate --predictions"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                runs.add(tuple(row[name] for name in _RUN))
                if len(runs) > 1:
                    first, second = sorted(runs)
                    raise errors.DataError(
                        f"{path}: holds more than one model or condition, such as "
                        f"{','.join(first)} and {','.join(second)}: evaluate one "
                        "--run_dir with --conditions=none"
                    )
                name, tick = _place(row, where)
                ticks = rows.setdefault(name, {})
                if tick in ticks:
                    raise errors.DataError(
                        f"{where}: tick {tick} of {name!r} is there twice"
                    )
                ticks[tick] = tuple(float(row[target]) for target in config.TARGETS)
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, TypeError, csv.Error) as error:
        raise errors.DataError(f"{where}: is damaged: {error}") from None
    if not rows:
        raise errors.DataError(f"{path}: holds no prediction")
    found = {}
    for name, ticks in rows.items():
        found[name] = np.full((max(ticks) + 1, len(config.TARGETS)), np.nan, np.float32)
        found[name][list(ticks)] = list(ticks.values())
    return found


def _place(row: Mapping[str, str], where: str) -> tuple[str, int]:
    """Returns the recording and the tick of a prediction."""
    name, tick = row["recording_id"], int(row["tick"])
    if not re.fullmatch(r"[^/\\]+", name) or not name.isprintable():
        raise errors.DataError(
            f"{where}: recording_id is {name!r:.60}, must be the name of a file"
        )
    if not 0 <= tick < _MOST_FRAMES:
        raise errors.DataError(
            f"{where}: tick is {tick}, must be in [0, {_MOST_FRAMES})"
        )
    return name, tick


def read_frames(path: str | os.PathLike[str]) -> list[Frame]:
    """Reads the challenge's list of the frames that it wants predictions for.

    Args:
      path: One image location per line; what follows a comma, and a header, are
        passed over.

    Returns:
      The frames, in the order of the file.

    Raises:
      errors.DataError: naming the line, if it is no image location.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text file"
        raise errors.DataError(f"{path}: can't be read: {reason}") from None
    found = []
    for index, line in enumerate(lines):
        location = line.split(",")[0].strip()
        if not location or (index == 0 and location == _LOCATION):
            continue
        name, _, file = location.rpartition("/")
        number = file.partition(".")[0]
        if not name or not number.isdecimal() or int(number) < 1:
            raise errors.DataError(
                f"{path}, line {index + 1}: {line!r:.60}: must be such as "
                "10-60-1280x720_right/00001.jpg"
            )
        found.append(Frame(name, int(number) - 1, location))
    if not found:
        raise errors.DataError(f"{path}: lists no frame")
    return found


def check_file(out: str | os.PathLike[str]) -> None:
    """Checks that `write_file` can write a file, and replaces none but its own.

    Raises:
      errors.DataError: if not.
    """
    files.check_own(out, _HEADER.encode(), "submission")


def write_file(
    predictions: Mapping[str, np.ndarray],
    out: str | os.PathLike[str],
    frames: Sequence[Frame] | None = None,
) -> Report:
    """Writes `predictions.txt`.

    Args:
      predictions: Of `read_predictions`.
      out: The file.
      frames: Of `read_frames`; None writes every frame that was predicted, sorted.

    Returns:
      What was written.

    Raises:
      errors.DataError: if it can't be written, or no frame has a prediction.
    """
    if frames is None:
        frames = [
            Frame(name, tick, f"{name}/{tick + 1:05d}.jpg")
            for name, values in sorted(predictions.items())
            for tick in range(len(values))
        ]
    lines, n_missing = [f"{_HEADER}\n"], 0
    for name, tick, location in frames:
        values = predictions.get(name)
        row = values[tick] if values is not None and tick < len(values) else None
        text, is_missing = _text(row)
        lines.append(f"{location},{text}\n")
        n_missing += is_missing
    if n_missing == len(frames):
        listed_first = f": listed is {frames[0].location}" if frames else ""
        raise errors.DataError(
            f"none of the frames has a prediction{listed_first}, predicted is "
            f"{min(predictions, default='nothing')}"
        )
    with files.replacing(out) as file:
        file.write("".join(lines).encode())
    listed = {frame.recording_id for frame in frames}
    unlisted = tuple(sorted(set(predictions) - listed))
    return Report(len(listed), len(frames), n_missing, unlisted)


def path_of(out: str | os.PathLike[str], recording_id: str) -> pathlib.Path:
    """Returns the file of a recording in a folder."""
    return pathlib.Path(out) / f"{recording_id}.txt"


def write_folder(
    predictions: Mapping[str, np.ndarray], out: str | os.PathLike[str]
) -> Report:
    """Writes one file per recording, in the form of the annotations.

    Args:
      predictions: Of `read_predictions`.
      out: The folder; it is made if it is not there.

    Returns:
      What was written.

    Raises:
      errors.DataError: if it can't be written.
    """
    files.make_folder(out)
    n_frames = n_missing = 0
    for name, values in sorted(predictions.items()):
        with files.replacing(path_of(out, name)) as file:
            file.write(f"{','.join(config.TARGETS)}\n".encode())
            for row in values:
                text, is_missing = _text(row)
                file.write(f"{text}\n".encode())
                n_frames += 1
                n_missing += is_missing
    return Report(len(predictions), n_frames, n_missing, ())


def _text(row: np.ndarray | None) -> tuple[str, bool]:
    """Returns a frame's numbers as text, and whether there were none."""
    is_missing = row is None or bool(np.isnan(row).any())
    if row is None or is_missing:
        return ",".join([f"{labels.INVALID:g}"] * len(config.TARGETS)), True
    # Labels are in [-1, 1]; a prediction beyond can only be wrong.
    return ",".join(f"{value:.6f}" for value in np.clip(row, -1, 1)), False
