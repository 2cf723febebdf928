"""A corpus of tables: one file per recording, one row per tick."""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import glob
import os
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf import typed_json
from avexp_tf.corpora.table import csv_table
from avexp_tf.corpora.table import mapping as mapping_lib
from avexp_tf.corpora.table import npz_table
from avexp_tf.corpora.table import rows as rows_lib

_CELLS = 2_000_000  # held at a time
_ENDINGS = (".csv", ".npz")  # in upper case too


@dataclasses.dataclass(frozen=True)
class _File:
    path: str
    info: recording.RecordingInfo
    sha256: str


class TableCorpus:
    """Recordings from CSV or NPZ files.

    All files are looked at when the object is made, so that a missing column is found
    before hours of work; their rows are read when they are asked for.

    Args:
      tables: A folder, or a pattern of files.
      mapping: What the columns are.

    Attributes: see `recording.Corpus`.

    Raises:
      errors.DataError: if there is no file, or one is a broken link, a name does not
        match the mapping, a file lacks a column, or a group in the mapping's splits is
        in no file.
    """

    name = "table"

    def __init__(self, tables: str, mapping: mapping_lib.Mapping):
        self._mapping = mapping
        paths = _paths(tables)
        first = dict(self._table(paths[0]).columns())
        wanted = {
            **{key: self._features(key, first) for key in config.MODALITIES},
            **{target: [column] for target, column in mapping.labels.items()},
            "time": [mapping.time] if mapping.time else [],
        }
        self._wanted = {key: names for key, names in wanted.items() if names}
        self._widths: dict[str, int] = {}
        self._files: dict[str, _File] = {}
        for path in tqdm.tqdm(paths, unit="file", desc="tables", delay=2):
            self._add(path)
        self._check_splits()
        self.video = self._feature_set("video")
        self.audio = self._feature_set("audio")
        self.config: dict[str, Any] = {
            "mapping": mapping.to_json(),
            "n_files": len(self._files),
            "content_sha256": typed_json.digest(
                {name: file.sha256 for name, file in self._files.items()}
            ),
        }

    def recordings(self) -> Sequence[recording.RecordingInfo]:
        """Lists all recordings, by name."""
        return [file.info for file in self._files.values()]

    def content_key(self, recording_id: str) -> dict[str, Any]:
        """Returns the mapping and the digest of one file."""
        return {
            "mapping": self.config["mapping"],
            "sha256": self._files[recording_id].sha256,
        }

    def read(self, recording_id: str) -> Iterator[recording.Block]:
        """Yields the rows of one file.

        A row with an empty cell among its video columns has no video; the same for
        audio; an empty label is not valid.

        Raises:
          errors.DataError: if the file can't be read, a cell is no number, a label is
            outside [-1, 1], or the time does not rise.
        """
        table = self._table(self._files[recording_id].path)
        n_rows = max(1, min(10_000, _CELLS // sum(self._widths.values())))
        tick, secs = 0, -np.inf
        for rows in table.chunks(self._wanted, n_rows):
            row = table.first_row + tick
            block = rows_lib.to_block(rows, self._mapping, table.path, row, tick, secs)
            if len(block):
                yield block
                tick += len(block)
                secs = float(block.timestamps[-1])
        if not tick:
            raise errors.DataError(f"{table.path}: has no row")

    def _table(self, path: str) -> csv_table.CsvTable | npz_table.NpzTable:
        if path.lower().endswith(".npz"):
            return npz_table.NpzTable(path)
        return csv_table.CsvTable(path, self._mapping.separator)

    def _features(self, key: str, columns: dict[str, int]) -> list[str]:
        """Returns the columns of a file that are features of a modality."""
        mapping = self._mapping
        # What is to be predicted, and the clock, are no features.
        others = {*mapping.labels.values(), mapping.time} - {""}
        named = mapping.video if key == "video" else mapping.audio
        for name in named:
            if name in others:
                raise mapping.error(f"{key} names {name!r}, a label or the time")
        return _expanded(named, [name for name in columns if name not in others])

    def _add(self, path: str) -> None:
        """Checks a file's columns and name, and takes its digest."""
        needed = {name for wanted in self._wanted.values() for name in wanted}
        columns = self._table(path).columns(needed)
        # Looked up, and not searched: there may be thousands.
        counts, widths = collections.Counter(name for name, _ in columns), dict(columns)
        for key in config.MODALITIES:
            known = set(self._wanted.get(key, ()))
            for name in self._features(key, widths):
                if name in widths and name not in known:
                    raise errors.DataError(
                        f"{path}: has a column {name!r}, which {self._mapping.source} "
                        f"counts to {key}, and the first file has not"
                    )
        for key, wanted in self._wanted.items():
            for name in wanted:
                if counts[name] != 1:
                    count = "more than one" if name in widths else "no"
                    raise errors.DataError(
                        f"{path}: has {count} column {name!r}, which "
                        f"{self._mapping.source} names for {key}"
                    )
            width = sum(widths[name] for name in wanted)
            expected = self._widths.setdefault(key, width)
            if width != expected:
                raise errors.DataError(
                    f"{path}: {key} has {width} columns, {expected} in the first file"
                )
            if width != 1 and key not in ("video", "audio"):
                raise errors.DataError(f"{path}: {key} has {width} columns, must be 1")
        recording_id = os.path.splitext(os.path.basename(path))[0]
        if recording_id in self._files:
            raise errors.DataError(
                f"{path}: has the same name as {self._files[recording_id].path}, and "
                "recordings are known by their name"
            )
        info = self._mapping.info(recording_id)
        self._files[recording_id] = _File(path, info, files.sha256(path))

    def _check_splits(self) -> None:
        groups = {file.info.split_group for file in self._files.values()}
        for split, members in self._mapping.splits.items():
            for group in members:
                if group not in groups:
                    raise self._mapping.error(
                        f"splits.{split} lists {group!r}, and no file is of this "
                        f"group; there is {', '.join(sorted(groups)[:10])}"
                    )

    def _feature_set(self, modality: str) -> recording.FeatureSet:
        if modality not in self._wanted:
            return recording.FeatureSet("none", "1", 1)
        # The same columns in the same order are the same features.
        digest = typed_json.digest({"columns": self._wanted[modality]})
        return recording.FeatureSet("table", digest[:8], self._widths[modality])


def _paths(tables: str) -> list[str]:
    """Returns the files, sorted by name, so that their folder's name says nothing."""
    if os.path.isdir(tables):
        everything = glob.glob(os.path.join(glob.escape(tables), "*"))
        found = [path for path in everything if path.lower().endswith(_ENDINGS)]
    else:
        found = glob.glob(tables, recursive=True)
    for path in found:
        if not os.path.exists(path):  # as git-annex leaves one that it has not fetched
            raise errors.DataError(
                f"{path}: is a link to a file that is not there: fetch that, or remove "
                "the link"
            )
    found = [path for path in found if os.path.isfile(path)]
    if not found:
        raise errors.DataError(f"--tables={tables}: there is no CSV or NPZ file")
    return sorted(found, key=lambda path: (os.path.basename(path), path))


def _expanded(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Returns the columns that names with `*` stand for; other names as they are."""
    found = []
    for name in names:
        if "*" in name and name not in columns:
            matching = [
                column for column in columns if fnmatch.fnmatchcase(column, name)
            ]
            found.extend(matching or [name])
        else:
            found.append(name)
    return found
