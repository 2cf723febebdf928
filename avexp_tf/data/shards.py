"""Puts the parts of a split together to shards.

TFRecord files can be concatenated, so nothing is decoded. Which record lies in which
shard follows from the records' lengths alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import IO

from avexp_tf import errors
from avexp_tf import files
from avexp_tf.data import contents

_CHUNK = 1 << 22


def plan(record_bytes: Sequence[int], shard_bytes: float) -> list[list[int]]:
    """Cuts a split's records into shards.

    Args:
      record_bytes: Length of every record, in order.
      shard_bytes: What a shard aims at; a larger record has a shard to itself.

    Returns:
      The lengths of the records of every shard.
    """
    shards: list[list[int]] = []
    filled = 0
    for n_bytes in record_bytes:
        if not shards or filled + n_bytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(n_bytes)
        filled += n_bytes
    return shards


def write(
    out_dir: str | os.PathLike[str],
    split: str,
    planned: Sequence[Sequence[int]],
    sources: Sequence[tuple[str, str]],
    on_bytes: Callable[[int], object] = lambda n_bytes: None,
) -> tuple[contents.Shard, ...]:
    """Writes the shards of one split.

    Args:
      out_dir: The records folder.
      split: Its split.
      planned: What `plan` gave.
      sources: The parts in order: the path of each, and its SHA-256.
      on_bytes: Called with the number of bytes after each piece.

    Returns:
      The shards.

    Raises:
      errors.DataError: if a part is not what its sidecar says, or a shard can't be
        written.
    """
    with contextlib.closing(_Parts(sources)) as parts:
        shards = []
        for index, record_bytes in enumerate(planned):
            name = contents.shard_name(split, index, len(planned))
            digest = hashlib.sha256()
            with files.replacing(pathlib.Path(out_dir) / name) as file:
                for piece in parts.read(sum(record_bytes)):
                    file.write(piece)
                    digest.update(piece)
                    on_bytes(len(piece))
                if index == len(planned) - 1:
                    parts.finish()
            shards.append(contents.Shard(name, digest.hexdigest(), tuple(record_bytes)))
    return tuple(shards)


class _Parts:
    """The parts as one stream of bytes; each is compared with its SHA-256."""

    def __init__(self, sources: Sequence[tuple[str, str]]):
        self._sources = iter(sources)
        self._file: IO[bytes] | None = None
        self._path = self._sha256 = ""
        self._digest = hashlib.sha256()

    def read(self, n_bytes: int) -> Iterator[bytes]:
        """Yields the next `n_bytes` in pieces."""
        while n_bytes:
            if self._file is None:
                self._path, self._sha256 = next(self._sources)
                self._file = open(self._path, "rb")
                self._digest = hashlib.sha256()
            piece = self._file.read(min(n_bytes, _CHUNK))
            if piece:
                self._digest.update(piece)
                n_bytes -= len(piece)
                yield piece
            else:
                self.finish()

    def finish(self) -> None:
        """Ends a part; raises DataError if it is not what was written."""
        if self._file is None:
            return
        self._digest.update(self._file.read())
        self.close()
        if self._digest.hexdigest() != self._sha256:
            # Without its file the part counts as not done.
            os.unlink(self._path)
            raise errors.DataError(
                f"{self._path}: has changed since it was written, and was removed; run "
                "the same command again"
            )

    def close(self) -> None:
        """Closes the part that is open."""
        if self._file is not None:
            self._file.close()
            self._file = None
