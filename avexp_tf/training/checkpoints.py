"""Checkpoints of a run: all that it takes to go on at the very step.

00017.npz    weights, optimizer, states of random generators, losses of the open epoch
00017.json   where the run stood, and the SHA-256 of the arrays and of itself

Both are written aside, flushed and renamed, the JSON last: a checkpoint without it does
not count. The last two are kept, and the one that was best on dev.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf import errors
from avexp_tf import files
from avexp_tf import typed_json
from avexp_tf.training import progress as progress_lib

_VERSION = 1
_KEPT = 2
_UNREADABLE = (
    ValueError,
    EOFError,
    OSError,
    KeyError,
    MemoryError,
    NotImplementedError,
    zipfile.BadZipFile,
)
_NAME = re.compile(r"(\d{5,})\.(npz|json)")

Arrays = dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints of one run.

    Args:
      folder: Where they lie; it is made if it is not there.
      settings: JSON values that a checkpoint of the same run has, such as the seed.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any]):
        self._folder = pathlib.Path(folder)
        self._settings = settings
        files.make_folder(self._folder)
        files.remove_temporaries(self._folder)
        self._numbers = sorted(_numbers(self._folder, "json"))
        self._next = max(_numbers(self._folder, "npz") | {*self._numbers, 0}) + 1

    @property
    def next_number(self) -> int:
        """The number that the next checkpoint gets."""
        return self._next

    @property
    def numbers(self) -> list[int]:
        """Those that are there, oldest first."""
        return list(self._numbers)

    def name_of(self, number: int) -> str:
        """Returns the path of a checkpoint's arrays."""
        return str(self._path(number, "npz"))

    def save(self, progress: progress_lib.Progress, arrays: Mapping[str, Any]) -> None:
        """Writes a checkpoint, then removes those that are not needed any more.

        Args:
          progress: Where the run stands.
          arrays: Numbers of any shape, by name.

        Raises:
          errors.DataError: if it can't be written; the older ones stay.
        """
        number = self._next
        path = self._path(number, "npz")
        with files.replacing(path) as file:
            np.savez(file, **arrays)
        values = {
            "version": _VERSION,
            "settings": self._settings,
            "arrays_sha256": files.sha256(path),
            "progress": progress.to_json(),
        }
        sealed = values | {"seal": typed_json.digest(values)}
        with files.replacing(self._path(number, "json")) as file:
            file.write(json.dumps(sealed, indent=1).encode())
        files.sync_folder(self._folder)
        self._numbers.append(number)
        self._next += 1
        kept = set(self._numbers[-_KEPT:])
        if progress.best:
            kept.add(progress.best.checkpoint)
        self._remove({*self._numbers} - kept)

    def load(
        self, number: int, shapes: Mapping[str, tuple[int | None, ...]]
    ) -> tuple[progress_lib.Progress, Arrays]:
        """Reads a checkpoint and checks every byte of it.

        Args:
          number: One of `numbers`.
          shapes: The shape of every array that must be in it; None is any length.

        Returns:
          Where the run stood, and the arrays.

        Raises:
          errors.DataError: if it is damaged, or of another run.
        """
        progress, sha256 = self._load_json(number)
        path = self._path(number, "npz")
        if files.sha256(path) != sha256:
            raise errors.DataError(f"{path}: is damaged: its SHA-256 is another")
        return progress, _load_arrays(path, shapes)

    def remove_after(self, number: int) -> None:
        """Removes all that are newer than `number`, and what was never finished."""
        self._remove({other for other in self._numbers if other > number})
        for other in _numbers(self._folder, "npz") - {*self._numbers}:
            self._path(other, "npz").unlink(missing_ok=True)
        self._next = max(self._numbers, default=0) + 1

    def _load_json(self, number: int) -> tuple[progress_lib.Progress, str]:
        path = self._path(number, "json")
        try:
            values = typed_json.load(path)
        except FileNotFoundError:
            raise errors.DataError(f"{path}: no such file") from None
        if values.integer("version") != _VERSION:
            raise errors.DataError(
                f"{path}: has version {values.values['version']}, this program reads "
                f"{_VERSION}"
            )
        unsealed = {key: value for key, value in values.values.items() if key != "seal"}
        if values.text("seal") != typed_json.digest(unsealed):
            raise errors.DataError(f"{path}: is damaged: its seal is another")
        if values.child("settings").values != self._settings:
            raise errors.DataError(f"{path}: is a checkpoint of another run")
        progress = progress_lib.Progress.from_json(values.child("progress"))
        return progress, values.text("arrays_sha256")

    def _remove(self, numbers: set[int]) -> None:
        for number in sorted(numbers):
            # The JSON first: without it the checkpoint does not count.
            for suffix in ("json", "npz"):
                self._path(number, suffix).unlink(missing_ok=True)
        self._numbers = [one for one in self._numbers if one not in numbers]

    def _path(self, number: int, suffix: str) -> pathlib.Path:
        return self._folder / f"{number:05d}.{suffix}"


def _numbers(folder: pathlib.Path, suffix: str) -> set[int]:
    matches = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return {int(match[1]) for match in matches if match and match[2] == suffix}


def _load_arrays(
    path: pathlib.Path, shapes: Mapping[str, tuple[int | None, ...]]
) -> Arrays:
    """Reads arrays of known shapes, without ever unpickling anything."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if {*archive.files} != {*shapes}:
                raise errors.DataError(f"{path}: holds the arrays of another model")
            for info in archive.zip.infolist():
                # A few bytes can't become more than the memory holds.
                if info.compress_type != zipfile.ZIP_STORED:
                    raise errors.DataError(f"{path}: {info.filename} is compressed")
            arrays = {name: archive[name] for name in shapes}
    except _UNREADABLE as error:
        raise errors.DataError(f"{path}: is no checkpoint: {error}") from None
    for name, shape in shapes.items():
        found = arrays[name]
        fits = found.ndim == len(shape) and all(
            wanted in (None, size)
            for wanted, size in zip(shape, found.shape, strict=True)
        )
        if not fits or found.dtype.kind not in "fiub":
            raise errors.DataError(
                f"{path}: {name} is {found.dtype} {list(found.shape)}, must be numbers "
                f"{list(shape)}"
            )
    return arrays
