"""Reads numbers out of CSV files, in chunks of rows; an empty cell is NaN."""

from __future__ import annotations

import csv
import functools
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from avexp_tf import errors


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

    def columns(self) -> list[tuple[str, int]]:
        """Returns the names in the header, each with its width, which is 1.

        Raises:
          errors.DataError: if the file can't be read or is empty.
        """
        path = self.path
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                header = next(csv.reader(file, delimiter=self._separator), None)
        except OSError as error:
            reason = error.strerror or error
            raise errors.DataError(f"{path}: can't be read: {reason}") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise errors.DataError(f"{path}: is not CSV: {error}") from None
        if not header:
            raise errors.DataError(f"{path}: is empty")
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
          errors.DataError: if a cell is neither empty nor a number, a row has more
            cells than the header, or the file is no CSV.
        """
        header = [name for name, _ in self.columns()]
        places = {
            key: [header.index(name) for name in names] for key, names in wanted.items()
        }
        used = {place for some in places.values() for place in some}
        # All columns are read, since pandas notices a row that is too long only then.
        read = functools.partial(
            pd.read_csv,
            self.path,
            sep=self._separator,
            header=0,
            names=range(len(header)),
            index_col=False,
            encoding="utf-8-sig",
            chunksize=n_rows,
        )
        kinds: dict[int, Any] = {
            place: np.float64 if place in used else str for place in range(len(header))
        }
        try:
            with read(dtype=kinds) as frames:
                while (frame := _next(frames)) is not None:
                    yield {
                        key: frame[some].to_numpy(np.float64)
                        for key, some in places.items()
                    }
        except (
            pd.errors.ParserError,
            pd.errors.ParserWarning,
            pd.errors.EmptyDataError,
            UnicodeError,
        ) as error:
            raise errors.DataError(f"{self.path}: is not CSV: {error}") from None
        except ValueError:
            raise self._bad_cell(header, used, read(dtype=str)) from None
        except OSError as error:
            reason = error.strerror or error
            raise errors.DataError(f"{self.path}: can't be read: {reason}") from None

    def _bad_cell(
        self, header: list[str], used: set[int], frames: Any
    ) -> errors.DataError:
        """Returns the error that names the first cell which is no number."""
        with frames:
            for frame in frames:
                for place in sorted(used):
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


def _next(frames: Iterator[pd.DataFrame]) -> pd.DataFrame | None:
    with warnings.catch_warnings():
        # Of a first row that is too long, pandas only warns.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return next(frames, None)
