"""Where the results of a media file lie, and which of the files there are ours."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from avexp_tf import errors
from avexp_tf import files

_SUFFIXES = {"csv": ".csv", "plot": ".png", "overlay": ".overlay.mp4"}


class MediaResults:
    """The results of one media file: `.json` with the summary, and what that lists.

    Files of these names that the summary does not list are somebody else's.

    Args:
      folder: Of the results.
      path: The media file; they are named like it.

    Attributes:
      paths: Where each kind of result lies, or would lie: csv, plot and overlay.
      summary: What is known of the results; empty where there are none of ours.
    """

    def __init__(self, folder: pathlib.Path, path: pathlib.Path):
        self.paths = {
            kind: folder / f"{path.stem}{suffix}" for kind, suffix in _SUFFIXES.items()
        }
        self._summary_path = folder / f"{path.stem}.json"
        self.summary = _load(self._summary_path)

    @property
    def ours(self) -> list[pathlib.Path]:
        """The files that the summary lists, whether they are there or not."""
        listed = self.summary.get("results", ())
        return [path for path in self.paths.values() if path.name in listed]

    def touched(self, kinds: Collection[str]) -> list[pathlib.Path]:
        """Returns the files that may be written or removed.

        Args:
          kinds: Which results are wanted.
        """
        wanted = [self.paths[kind] for kind in kinds]
        return [self._summary_path, *dict.fromkeys((*wanted, *self.ours))]

    def check(self, kinds: Collection[str], overwrite: bool) -> None:
        """Checks that nothing but what is ours would be touched.

        Args:
          kinds: Which results are wanted.
          overwrite: What is not ours may be touched all the same.

        Raises:
          errors.DataError: naming a file that is somebody else's.
        """
        ours = [self._summary_path, *self.ours] if self.summary else []
        for path in self.touched(kinds):
            if path not in ours and os.path.lexists(path) and not overwrite:
                raise errors.DataError(
                    f"{path}: is in the way of a result, and is none of an earlier "
                    f"run, which {self._summary_path.name} would list: give another "
                    "--out, or --overwrite"
                )

    def start(self, kinds: Collection[str], summary: dict[str, Any]) -> None:
        """Removes the old results and lists the new ones, right before they are there.

        In this order, so that whenever it is killed there is no table that does not fit
        to its summary, and no result that none lists.

        Args:
          kinds: Which results are wanted.
          summary: Of the table.
        """
        for path in self.touched(kinds)[1:]:
            path.unlink(missing_ok=True)
        self._write(summary, [self.paths[kind] for kind in kinds])

    def extend(self, kinds: Collection[str]) -> None:
        """Lists further results, before they are written."""
        wanted = [self.paths[kind] for kind in kinds]
        if not set(wanted) <= set(self.ours):
            self._write(self.summary, [*self.ours, *wanted])

    def _write(self, summary: dict[str, Any], paths: Iterable[pathlib.Path]) -> None:
        names = sorted({path.name for path in paths})
        self.summary = summary | {"results": names}
        with files.replacing(self._summary_path) as file:
            file.write((json.dumps(self.summary, indent=2) + "\n").encode())


def check(
    folder: pathlib.Path,
    paths: Sequence[pathlib.Path],
    kinds: Collection[str],
    overwrite: bool,
) -> list[pathlib.Path]:
    """Checks that predicting files touches none of them, and only what is ours.

    Args:
      folder: Of the results.
      paths: The media files.
      kinds: Which results are wanted.
      overwrite: What is not ours may be touched, but for the files.

    Returns:
      The files but for those that are results of others among them, as in a folder
      that holds recordings and their annotated copies.

    Raises:
      errors.DataError: naming what would be touched.
    """
    results = {path: MediaResults(folder, path) for path in paths}
    made = {
        _identity(one)
        for path, found in results.items()
        for one in found.ours
        if one.exists() and not one.samefile(path)
    }
    rest = [path for path in paths if _identity(path) not in made]
    inputs = {_identity(path) for path in rest}
    for path in rest:
        for one in results[path].touched(kinds):
            if one.exists() and _identity(one) in inputs:
                raise errors.DataError(
                    f"{one}: is to be predicted, and a result for {path} has the same "
                    "name: give another --out"
                )
        results[path].check(kinds, overwrite)
    return rest


def _identity(path: pathlib.Path) -> tuple[int, int]:
    """Returns what two names of the same file have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _load(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}  # not there, or not ours
    is_ours = isinstance(values, dict) and isinstance(values.get("results"), list)
    return values if is_ours and "key" in values else {}
