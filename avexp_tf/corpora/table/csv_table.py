"""Reads numbers out of CSV files, in chunks of rows; an empty cell is NaN."""

from __future__ import annotations

import contextlib
import csv
import functools
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from avexp_tf import errors

_GAPS = ("", "NaN", "nan", "-nan")  # the last is what C's printf writes


class CsvTable:
    """One CSV file with a header.

    Args:
      path: The file.
      separator: Between cells.

    Attributes:
      path: The file.
      first_row: What spreadsheets call the row below the header.
    """

    first_row = 2

    def __init__(self, path: str, separator: str = ","):
        self.path = path
        self._separator = separator

    def columns(self, needed: Collection[str] = ()) -> list[tuple[str, int]]:
        """Returns the names in the header, each with its width, which is 1.

        Args:
          needed: Of no account here; see `NpzTable.columns`.

        Raises:
          errors.DataError: if the file can't be read or is empty.
        """
        with self._rows() as rows:
            header = next(rows, None)
        if not header:
            raise errors.DataError(f"{self.path}: is empty")
        return [(name.strip(), 1) for name in header]

    def chunks(
        self, wanted: Mapping[str, Sequence[str]], n_rows: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields the wanted columns, some rows at a time.

        Args:
          wanted: {key: names of columns}; each name is in the header once.
          n_rows: Rows of a chunk at most.

        Yields:
          {key: float64 [rows, columns]}.

        Raises:
          errors.DataError: if a cell is neither empty nor a number, a row has more or
            fewer cells than the header, or the file is no CSV.
        """
        header = [name for name, _ in self.columns()]
        places = {
            key: [header.index(name) for name in names] for key, names in wanted.items()
        }
        used = sorted({place for some in places.values() for place in some})
        n_all = self._count(len(header))
        if not n_all:
            return
        read = functools.partial(
            pd.read_csv,
            self.path,
            sep=self._separator,
            header=0,
            names=range(len(header)),
            usecols=used,
            index_col=False,
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=_GAPS,
            skip_blank_lines=False,
            nrows=n_all,
            chunksize=n_rows,
        )
        try:
            with read(dtype=np.float64) as frames:
                for frame in frames:
                    yield {
                        key: frame[some].to_numpy(np.float64)
                        for key, some in places.items()
                    }
        except (
            pd.errors.ParserError,
            pd.errors.EmptyDataError,
            UnicodeError,
        ) as error:
            raise errors.DataError(f"{self.path}: is not CSV: {error}") from None
        except ValueError:
            raise self._bad_cell(header, used, read(dtype=str)) from None
        except OSError as error:
            reason = error.strerror or error
            raise errors.DataError(f"{self.path}: can't be read: {reason}") from None

    def _count(self, n_cells: int) -> int:
        """Returns the number of rows below the header, but for blank ones at the end.

        pandas alone would fill up a row that is too short, with gaps.

        Raises:
          errors.DataError: naming the first row without `n_cells` cells.
        """
        n_rows = n_blank = 0
        with self._rows() as rows:
            next(rows)
            for row in rows:
                if not row or (len(row) == 1 and row[0].isspace()):
                    n_blank += 1
                    continue
                found, at = len(row), n_rows + n_blank
                if n_blank and n_cells > 1:
                    found, at = 0, n_rows
                if found != n_cells:
                    raise errors.DataError(
                        f"{self.path}: row {at + self.first_row} has {found} cells, "
                        f"the header has {n_cells}"
                    )
                n_rows += n_blank + 1
                n_blank = 0
        return n_rows

    @contextlib.contextmanager
    def _rows(self) -> Iterator[Iterator[list[str]]]:
        path = self.path
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                yield csv.reader(file, delimiter=self._separator)
        except OSError as error:
            reason = error.strerror or error
            raise errors.DataError(f"{path}: can't be read: {reason}") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise errors.DataError(f"{path}: is not CSV: {error}") from None

    def _bad_cell(
        self, header: list[str], used: list[int], frames: Any
    ) -> errors.DataError:
        """Returns the error that names the first cell which is no number."""
        with frames:
            for frame in frames:
                for place in used:
                    texts = frame[place]
                    numbers = pd.to_numeric(texts, errors="coerce")
                    bad = (texts.notna() & numbers.isna()).to_numpy()
                    if bad.any():
                        at = int(np.argmax(bad))
                        return errors.DataError(
                            f"{self.path}: row {frame.index[at] + self.first_row}, "
                            f"column {header[place]!r}: {texts.iloc[at]!r:.40} is not "
                            "a number"
                        )
        return errors.DataError(f"{self.path}: a cell is not a number")
