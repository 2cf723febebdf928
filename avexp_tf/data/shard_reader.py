"""Reads records with NumPy alone, by their place in the manifest; for the tools."""

from __future__ import annotations

import os
from collections.abc import Iterator

from avexp_tf import errors
from avexp_tf import remote
from avexp_tf.data import contents
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import segment as segment_lib


def framed_records(path: str, shard: contents.Shard) -> Iterator[tuple[int, bytes]]:
    """Yields each record of a shard as it stands in the file.

    Args:
      path: The file.
      shard: What the manifest says of it.

    Yields:
      The record's offset, and its bytes, fewer where the file ends early. What comes
      after the last record is yielded too, as if it were one.

    Raises:
      OSError: if the file can't be read.
    """
    offset = 0
    with open(path, "rb") as file:
        for n_bytes in shard.record_bytes:
            yield offset, file.read(n_bytes)
            offset += n_bytes
        while rest := file.read(1 << 20):
            yield offset, rest
            offset += len(rest)


def size_problem(path: str, shard: contents.Shard) -> str:
    """Says what is wrong with a shard's size; empty if nothing is.

    Args:
      path: The file, here or on s3://.
      shard: What the manifest says of it.
    """
    try:
        n_bytes = _size(path)
    except OSError:
        return f"{path}: no such file, but the manifest lists it"
    if n_bytes != shard.n_bytes:
        return f"{path}: has {n_bytes} bytes, the manifest says {shard.n_bytes}"
    return ""


def _size(path: str) -> int:
    if not remote.is_remote(path):
        return os.stat(path).st_size
    import tensorflow as tf

    try:
        return tf.io.gfile.stat(path).length
    except tf.errors.OpError as error:
        raise OSError(str(error)) from None


def indices_of(manifest: manifest_lib.Manifest, recording_id: str) -> tuple[str, range]:
    """Returns the split of a recording, and the indices of its records in it.

    Raises:
      errors.DataError: if there is no such recording.
    """
    for name, split in manifest.splits.items():
        first = 0
        for entry in split.recordings:
            n_records = len(entry.segments)
            if entry.recording_id == recording_id:
                return name, range(first, first + n_records)
            first += n_records
    raise errors.DataError(f"there is no recording {recording_id!r} in these records")


def read(
    records_dir: str | os.PathLike[str],
    manifest: manifest_lib.Manifest,
    split: str,
    index: int,
) -> segment_lib.Segment:
    """Reads one record.

    Args:
      records_dir: The records folder.
      manifest: Its manifest.
      split: One of its splits.
      index: Of the record in the split.

    Returns:
      The segment.

    Raises:
      errors.DataError: if there is no such record, or it is damaged.
    """
    place = index
    shards = manifest.split(split).shards
    for path, shard in zip(  # noqa: B007 (both are used below)
        manifest.shard_paths(records_dir, split), shards, strict=True
    ):
        if 0 <= place < shard.n_records:
            break
        place -= shard.n_records
    else:
        n_records = sum(shard.n_records for shard in shards)
        raise errors.DataError(
            f"{split} has no record {index}, they go from 0 to {n_records - 1}"
        )
    offset = sum(shard.record_bytes[:place])
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            framed = file.read(shard.record_bytes[place])
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {error.strerror}") from None
    try:
        return example.decode(framing.unframe(framed), manifest.layout)
    except errors.DataError as error:
        raise errors.DataError(
            f"{path}: record {place} at byte {offset}: {error}"
        ) from None
