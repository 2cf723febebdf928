"""Which folders are versions of an export: those that TensorFlow Serving takes for one.

Their names are numbers within int64; there may be zeros in front.
"""

from __future__ import annotations

import pathlib

MODEL_FILE = "saved_model.pb"
LARGEST = 2**63 - 1


def number_of(name: str) -> int | None:
    """Returns the version that a name says; None if there can be none of it."""
    if not (name.isascii() and name.isdecimal()):
        return None
    digits = name.lstrip("0") or "0"
    # Counted first: Python reads no number of thousands of digits.
    number = int(digits) if len(digits) <= len(str(LARGEST)) else LARGEST + 1
    return number if number <= LARGEST else None


def found(base: pathlib.Path) -> dict[int, pathlib.Path]:
    """Returns the versions that hold a model: {number: folder}.

    Raises:
      OSError: if the folder can't be read.
    """
    versions = {}
    for path in sorted(base.iterdir()):  # of 008 and 8 the latter is taken
        number = number_of(path.name)
        if number is not None and (path / MODEL_FILE).is_file():
            versions[number] = path
    return versions
