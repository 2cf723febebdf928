"""The CSV file of a call: one line per tick."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from avexp_tf import config
from avexp_tf import files
from avexp_tf import outputs
from avexp_tf.live import recognizer

COLUMNS = (
    "time",
    *config.TARGETS,
    "video_present",
    "audio_present",
    "confidence",
    "face_left",
    "face_top",
    "face_right",
    "face_bottom",
    "detector_score",
    "restarted",
)


def check(path: str | os.PathLike[str]) -> None:
    """Checks that a table can be written, before the call that can't be repeated.

    Raises:
      errors.DataError: if it can't, or would replace a file that is none.
    """
    files.check_own(path, ",".join(COLUMNS).encode(), "table of a call")


@contextlib.contextmanager
def writing(
    path: str | os.PathLike[str], predicted: Sequence[str] = config.TARGETS
) -> Iterator[Callable[[list[recognizer.Estimate]], None]]:
    """Writes estimates as they come; the file takes its name at the end of the call.

    Args:
      path: The file.
      predicted: Names of the model's outputs; bounds become columns at the end.

    Yields:
      Takes the next estimates.

    Raises:
      errors.DataError: if it can't be written.
    """
    columns = (*COLUMNS, *predicted[outputs.N_TARGETS :])
    with files.replacing_table(path, columns) as write:
        yield lambda estimates: write(_line(one) for one in estimates)


def _line(one: recognizer.Estimate) -> list[str]:
    box = [""] * 4 if one.box is None else [f"{edge:.1f}" for edge in one.box]
    return [
        f"{one.secs:.6f}",
        *(f"{value:.6f}" for value in one.values),
        str(int(one.video_present)),
        str(int(one.audio_present)),
        f"{one.confidence:.4f}",
        *box,
        f"{one.score:.4f}",
        str(int(one.restarted)),
        *(f"{bound:.6f}" for bound in one.bounds),
    ]
