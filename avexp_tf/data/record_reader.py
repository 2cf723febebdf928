"""Reads records one by one, at their own offsets.

Any order costs the same, so training shuffles all records of a split without a buffer;
and one damaged record ends neither its file nor, with `on_corrupt=skip`, the run.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from avexp_tf import errors
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifests

_LARGEST_BUFFER = 16 << 20


class LostRecords:
    """Names the records that were skipped, each once.

    Attributes:
      names: `shard, record, byte` of each, in the order in which they were met.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, name: str) -> None:
        """Adds a record unless it is known already."""
        if name not in self.names:
            self.names.append(name)


class RecordReader:
    """The records of one split, by index.

    Args:
      manifest: Of the records folder.
      records_dir: The folder.
      split: Its split.
      on_corrupt: `fail`, or `skip`: an empty string stands for a damaged record.

    Attributes:
      lost: What was skipped.
      n_records: Records in the split.

    Raises:
      errors.DataError: if a shard is missing or has another length than the manifest
        says (with `fail`).
    """

    def __init__(
        self,
        manifest: manifests.Manifest,
        records_dir: str,
        split: str,
        on_corrupt: str = "fail",
    ):
        self.lost = LostRecords()
        self._skip = on_corrupt == "skip"
        shards = manifest.split(split).shards
        self._paths = manifest.shard_paths(records_dir, split)
        if not self._skip:
            _check_shards(shards, self._paths)
        sizes = [np.asarray(shard.record_bytes, np.int64) for shard in shards]
        self._shard_of = np.repeat(np.arange(len(shards)), [len(s) for s in sizes])
        self._offsets = np.concatenate([np.cumsum(s) - s for s in sizes])
        self._sizes = np.concatenate(sizes)
        self.n_records = len(self._sizes)

    def read(self, index: tf.Tensor) -> tf.data.Dataset:
        """Returns a data set of one serialized record, inside a tf.data pipeline.

        Args:
          index: int64 [], of the record in its split.

        Returns:
          One string; with `skip`, an empty one stands for a damaged record.
        """
        path = tf.gather(tf.constant(self._paths), tf.gather(self._shard_of, index))
        records = _record_dataset(
            path, tf.gather(self._offsets, index), tf.gather(self._sizes, index)
        )
        if not self._skip:
            return records
        damaged = tf.data.Dataset.from_tensors(index).map(self._note_lost)
        return records.ignore_errors(log_warning=False).concatenate(damaged).take(1)

    def name_of(self, index: int) -> str:
        """Returns where a record lies: shard, record in the shard, and byte."""
        shard = int(self._shard_of[index])
        first = int(np.searchsorted(self._shard_of, shard))
        return (
            f"{self._paths[shard]}: record {index - first} at byte "
            f"{int(self._offsets[index])}"
        )

    def find_damage(self) -> str | None:
        """Reads every record and returns where the first damaged one lies."""
        for index in range(self.n_records):
            try:
                for _ in self.read(tf.constant(index, tf.int64)):
                    pass
            except tf.errors.OpError:
                return self.name_of(index)
        return None

    def _note_lost(self, index: tf.Tensor) -> tf.Tensor:
        def note(value: np.ndarray) -> bytes:
            self.lost.add(self.name_of(int(value)))
            return b""

        text = tf.numpy_function(note, [index], tf.string)
        return tf.ensure_shape(text, [])


def _record_dataset(
    path: tf.Tensor, offset: tf.Tensor, size: tf.Tensor
) -> tf.data.Dataset:
    """The one record of `path` at `offset`; its checksums are checked."""
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=tf.minimum(size, _LARGEST_BUFFER),
        byte_offsets=[offset],
        metadata="",
    )
    spec = tf.TensorSpec([], tf.string)
    return tf.data.experimental.from_variant(variant, spec).take(1)


def _check_shards(shards: tuple[contents.Shard, ...], paths: list[str]) -> None:
    for shard, path in zip(shards, paths, strict=True):
        try:
            size = tf.io.gfile.stat(path).length
        except tf.errors.OpError:
            raise errors.DataError(
                f"{path}: no such file, but the manifest lists it"
            ) from None
        if size != shard.n_bytes:
            raise errors.DataError(
                f"{path}: has {size} bytes, the manifest says {shard.n_bytes}"
            )
