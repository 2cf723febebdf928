"""The label files of Aff-Wild2: `valence,arousal`, then one line per frame."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from avexp_tf import config
from avexp_tf import errors

# What stands where the annotators gave nothing.
INVALID = -5.0
_SETS = {"train": "train", "validation": "validation", "val": "validation"}
_NAMES = ("VA_Set", "VA_Estimation_Challenge", "VA_Estimation", "annotations")


def read(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads a label file.

    Args:
      path: The file.

    Returns:
      Valence and arousal, float32 [n, 2], and which of them are valid, bool [n, 2];
      line i + 2 of the file belongs to frame i.

    Raises:
      errors.DataError: naming the line, if it is not two numbers in [-1, 1] or -5.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.DataError(f"{path}: is no text file") from None
    while lines and not lines[-1].strip():
        lines.pop()
    header = ",".join(config.TARGETS)
    if not lines or lines[0].replace(" ", "").lower() != header:
        first = lines[0] if lines else ""
        raise errors.DataError(
            f"{path}: the first line is {first!r:.60}, must be {header}"
        )
    labels = np.zeros((len(lines) - 1, len(config.TARGETS)), np.float32)
    for index, line in enumerate(lines[1:]):
        try:
            valence, arousal = line.split(",")
            labels[index] = float(valence), float(arousal)
        except ValueError:
            raise errors.DataError(
                f"{path}, line {index + 2}: {line!r:.60}: must be two numbers"
            ) from None
    valid = labels != INVALID
    wrong = valid & ~(np.abs(labels) <= 1)  # NaN is wrong too
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise errors.DataError(
            f"{path}, line {row + 2}: {config.TARGETS[column]} is "
            f"{labels[row, column]:g}, must be in [-1, 1], or -5 for none"
        )
    labels[~valid] = 0.0
    return labels, valid


def find(annotations: str | os.PathLike[str]) -> dict[str, tuple[str, pathlib.Path]]:
    """Finds the label files in the official folders.

    Args:
      annotations: The folder of `Train_Set` and `Validation_Set`, or one above it.

    Returns:
      {recording: (`train` or `validation`, file)}, sorted.

    Raises:
      errors.DataError: if there are no such folders, or a recording is in both.
    """
    root = pathlib.Path(annotations)
    candidates = [root, *(root / name for name in _NAMES)]
    candidates += [root / "annotations" / name for name in _NAMES]
    for candidate in candidates:
        if sets := _sets(candidate):
            break
    else:
        raise errors.DataError(
            f"{annotations}: there is no Train_Set and no Validation_Set here, nor in "
            f"{', '.join(_NAMES)}"
        )
    found: dict[str, tuple[str, pathlib.Path]] = {}
    for folder, split in sets:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.suffix.lower() != ".txt":
                continue
            other = found.setdefault(path.stem, (split, path))
            if other[1] != path:
                raise errors.DataError(f"{path}: is also in {other[1].parent}")
    if not found:
        raise errors.DataError(f"{candidate}: there is no label file in its folders")
    return dict(sorted(found.items()))


def _sets(folder: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """Returns the folders of sets and their splits."""
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        name = path.name.lower().replace(" ", "_")
        kind = name.removesuffix("_set").removesuffix("ing")
        if path.is_dir() and kind in _SETS:
            found.append((path, _SETS[kind]))
    return found
