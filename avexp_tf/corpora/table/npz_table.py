"""Reads arrays out of NPZ files, in chunks of rows, and never runs what they pickle.

`numpy.load` reads an array as a whole; ten hours of 4096 features would not fit in
memory, so the rows are read as they stand in the archive.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import IO

import numpy as np

from avexp_tf import errors


class NpzTable:
    """One NPZ file whose arrays share their first axis.

    Args:
      path: The file.

    Attributes:
      path: The file.
      first_row: As NumPy counts.
    """

    first_row = 0

    def __init__(self, path: str):
        self.path = path

    def columns(self, needed: Collection[str] = ()) -> list[tuple[str, int]]:
        """Returns the names of the arrays, each with its number of columns.

        Args:
          needed: Names of arrays; others are left out if they are no columns.

        Raises:
          errors.DataError: if the file can't be read, or an array of `needed` is not
            one of numbers with one or two dimensions.
        """
        found, is_empty = [], True
        with _opened(self.path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    is_empty = False
                    key = name.removesuffix(".npy")
                    with archive.open(name) as file:
                        try:
                            found.append((key, _header(file, self.path, key)[1]))
                        except errors.DataError:
                            if key in needed:
                                raise
        if is_empty:
            raise errors.DataError(f"{self.path}: is empty")
        return found

    def chunks(
        self, wanted: Mapping[str, Sequence[str]], n_rows: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields the wanted arrays, some rows at a time.

        Args:
          wanted: {key: names of arrays}; the arrays of a key are put side by side.
          n_rows: Rows of a chunk at most.

        Yields:
          {key: float64 [rows, columns]}.

        Raises:
          errors.DataError: if the file is damaged, or the arrays differ in length.
        """
        names = sorted({name for some in wanted.values() for name in some})
        with contextlib.ExitStack() as stack:
            archive = stack.enter_context(_opened(self.path))
            arrays = {
                name: _Array(
                    stack.enter_context(archive.open(f"{name}.npy")), self.path, name
                )
                for name in names
            }
            lengths = {name: array.n_rows for name, array in arrays.items()}
            if len(set(lengths.values())) > 1:
                shown = ", ".join(f"{name} {n}" for name, n in lengths.items())
                raise errors.DataError(
                    f"{self.path}: the arrays differ in length: {shown}"
                )
            left = max(lengths.values())
            while left:
                n = min(n_rows, left)
                rows = {name: array.read(n) for name, array in arrays.items()}
                yield {
                    key: np.concatenate([rows[name] for name in some], axis=1)
                    for key, some in wanted.items()
                }
                left -= n


class _Array:
    """An array in an open archive, read from its first row on."""

    def __init__(self, file: IO[bytes], path: str, name: str):
        self._file = file
        self._where = f"{path}: {name}"
        self._dtype, self._width, self.n_rows, transposed = _header(file, path, name)
        self._whole: np.ndarray | None = None
        self._done = 0
        if transposed:  # stored column by column
            flat = self._numbers(self._width * self.n_rows)
            self._whole = flat.reshape(self._width, self.n_rows).T

    def read(self, n_rows: int) -> np.ndarray:
        """Returns the next rows, float64 [n_rows, columns]."""
        if self._whole is None:
            rows = self._numbers(n_rows * self._width).reshape(n_rows, self._width)
        else:
            rows = self._whole[self._done : self._done + n_rows]
        self._done += n_rows
        return rows.astype(np.float64)

    def _numbers(self, count: int) -> np.ndarray:
        n_bytes = count * self._dtype.itemsize
        data = self._file.read(n_bytes)
        if len(data) != n_bytes:
            raise errors.DataError(f"{self._where} ends early")
        return np.frombuffer(data, self._dtype)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise errors.DataError(f"{path}: no such file") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise errors.DataError(f"{path}: is not NPZ: {error}") from None
    except OSError as error:
        raise errors.DataError(
            f"{path}: can't be read: {error.strerror or error}"
        ) from None


def _header(file: IO[bytes], path: str, name: str) -> tuple[np.dtype, int, int, bool]:
    """Reads an array's header: dtype, columns, rows, and whether it is transposed."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, transposed, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, transposed, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"format version {version}")
    except ValueError as error:
        raise errors.DataError(f"{path}: {name} is no array: {error}") from None
    if dtype.kind not in "fiub":
        raise errors.DataError(f"{path}: {name} is {dtype}, must be numbers")
    if len(shape) not in (1, 2) or 0 in shape[1:]:
        raise errors.DataError(
            f"{path}: {name} has shape {shape}, must be [rows] or [rows, columns]"
        )
    return dtype, (shape[1] if len(shape) == 2 else 1), shape[0], transposed
