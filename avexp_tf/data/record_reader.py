"""Reads records one by one, at their own offsets.

Any order costs the same, so training shuffles all records of a split without a buffer;
and one damaged record ends neither its file nor, with `on_corrupt=skip`, the run. What
comes out is what was written: its checksums are right, and it is the recording and the
segment that the manifest says.
"""

from __future__ import annotations

import threading

import numpy as np
import tensorflow as tf

from avexp_tf import errors
from avexp_tf import remote
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import manifest as manifests
from avexp_tf.data import schema
from avexp_tf.data import shard_reader

_LARGEST_BUFFER = 16 << 20


class LostRecords:
    """Names the records that were skipped, each once.

    Attributes:
      names: `shard: record at byte: reason` of each, in the order in which they were
        met.
    """

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of the records that were skipped."""
        with self._lock:
            return list(self._names)

    def add(self, name: str) -> None:
        """Adds a record unless it is known already."""
        with self._lock:
            self._names[name] = None


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
        self._layout = manifest.layout
        self._shards = manifest.split(split).shards
        self._paths = manifest.shard_paths(records_dir, split)
        self._is_remote = remote.is_remote(records_dir)
        sizes = [np.asarray(shard.record_bytes, np.int64) for shard in self._shards]
        self._shard_of = np.repeat(np.arange(len(sizes)), [len(s) for s in sizes])
        self._offsets = np.concatenate([np.cumsum(s) - s for s in sizes])
        self._sizes = np.concatenate(sizes)
        self.n_records = len(self._sizes)
        entries = manifest.split(split).recordings
        self._recording_ids = [
            entry.recording_id for entry in entries for _ in entry.segments
        ]
        self._segments = np.concatenate(
            [np.arange(len(entry.segments)) for entry in entries]
        )
        problems = [self._shard_problem(shard) for shard in range(len(self._paths))]
        self._incomplete = {shard for shard, text in enumerate(problems) if text}
        if self._incomplete and not self._skip:
            raise errors.DataError(next(filter(None, problems)))

    def read(self, index: tf.Tensor) -> tf.data.Dataset:
        """Returns a data set of one serialized record, inside a tf.data pipeline.

        Args:
          index: int64 [], of the record in its split.

        Returns:
          One string; with `skip`, an empty one stands for a damaged record.
        """
        if not self._skip:
            return self._record(index)
        # As a map over one element: that errs once, where a file that can't be opened
        # errs each time it is asked again, and `ignore_errors` would ask for ever.
        one = tf.data.Dataset.from_tensors(index)
        records = one.map(lambda i: self._record(i).get_single_element())
        again = one.map(self._read_again)
        return records.ignore_errors(log_warning=False).concatenate(again).take(1)

    def _record(self, index: tf.Tensor) -> tf.data.Dataset:
        """The one record; iterating over it is an error if it is damaged."""
        path = tf.gather(tf.constant(self._paths), tf.gather(self._shard_of, index))
        # Straight from a local file into the record spares a copy. Of a store in the
        # network that would be three requests, of length, record and checksums.
        size = tf.gather(self._sizes, index)
        buffer_bytes = tf.minimum(size, _LARGEST_BUFFER) if self._is_remote else 0
        records = _record_dataset(path, tf.gather(self._offsets, index), buffer_bytes)
        recording_id = tf.gather(tf.constant(self._recording_ids), index)
        segment = tf.gather(self._segments, index)
        records = records.map(lambda data: _checked(data, recording_id, segment))
        # A file that ends before the record is an error too, not an empty data set.
        return records.apply(tf.data.experimental.assert_cardinality(1))

    def name_of(self, index: int) -> str:
        """Returns where a record lies: shard, record in the shard, and byte."""
        shard = int(self._shard_of[index])
        first = int(np.searchsorted(self._shard_of, shard))
        return (
            f"{self._paths[shard]}: record {index - first} at byte "
            f"{int(self._offsets[index])}"
        )

    def find_change(self) -> str | None:
        """Returns what is wrong first with a file that was whole at the start."""
        for shard in range(len(self._paths)):
            problem = self._shard_problem(shard)
            if problem and shard not in self._incomplete:
                return problem
        return None

    def find_damage(self) -> str | None:
        """Reads every record and returns what is wrong with the first damaged one."""
        for index in range(self.n_records):
            try:
                self.load(index)
            except errors.DataError as error:
                return str(error)
        return None

    def load(self, index: int) -> bytes:
        """Returns a serialized record, read without tf.data.

        Raises:
          errors.DataError: naming shard, record and byte, if it is damaged.
          tf.errors.OpError: if its file can't be read.
        """
        path = self._paths[self._shard_of[index]]
        with tf.io.gfile.GFile(path, "rb") as file:
            file.seek(int(self._offsets[index]))
            framed = file.read(int(self._sizes[index]))
        try:
            data = framing.unframe(framed)
            segment = example.decode(data, self._layout)
            found = (segment.recording_id, segment.segment_index)
            if found != (self._recording_ids[index], self._segments[index]):
                raise errors.DataError(f"is segment {found[1]} of {found[0]!r}")
        except errors.DataError as error:
            raise errors.DataError(f"{self.name_of(index)}: {error}") from None
        return data

    def _read_again(self, index: tf.Tensor) -> tf.Tensor:
        """Tells a damaged record from a file that can't be read at the moment."""

        def load(value: np.ndarray) -> bytes:
            place = int(value)
            try:
                return self.load(place)
            except errors.DataError as error:
                self.lost.add(str(error))
            except tf.errors.OpError as error:
                if int(self._shard_of[place]) not in self._incomplete:
                    raise  # tomorrow it may be there again, whole
                is_short = isinstance(error, tf.errors.OutOfRangeError)
                what = (
                    "the file ends before it" if is_short else "there is no such file"
                )
                self.lost.add(f"{self.name_of(place)}: {what}")
            return b""

        text = tf.numpy_function(load, [index], tf.string)
        return tf.ensure_shape(text, [])

    def _shard_problem(self, shard: int) -> str:
        return shard_reader.size_problem(self._paths[shard], self._shards[shard])


def _record_dataset(
    path: tf.Tensor, offset: tf.Tensor, buffer_bytes: tf.Tensor | int
) -> tf.data.Dataset:
    """The one record of `path` at `offset`; its checksums are checked."""
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=tf.cast(buffer_bytes, tf.int64),
        byte_offsets=[offset],
        metadata="",
    )
    spec = tf.TensorSpec([], tf.string)
    return tf.data.experimental.from_variant(variant, spec).take(1)


def _checked(data: tf.Tensor, recording_id: tf.Tensor, segment: tf.Tensor) -> tf.Tensor:
    """Returns a record; InvalidArgumentError if it is another, or of another schema."""
    found = tf.io.parse_single_example(
        data,
        {
            schema.RECORDING_ID: tf.io.FixedLenFeature([], tf.string),
            schema.SEGMENT_INDEX: tf.io.FixedLenFeature([], tf.int64),
            schema.SCHEMA_VERSION: tf.io.FixedLenFeature([], tf.int64),
        },
    )
    same = (
        tf.equal(found[schema.RECORDING_ID], recording_id)
        & tf.equal(found[schema.SEGMENT_INDEX], tf.cast(segment, tf.int64))
        & tf.equal(found[schema.SCHEMA_VERSION], schema.VERSION)
    )
    with tf.control_dependencies([tf.debugging.Assert(same, ["another record"])]):
        return tf.identity(data)
