"""What one record holds: the single place that writer, reader and tools look it up.

A record is a `tf.train.Example` with one segment of one recording. Its arrays are raw
little-endian bytes, which write 50 times faster than lists of floats; every value is
finite: rows that are not present are zeros, and so are labels that are not valid.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np

from avexp_tf import config

if typing.TYPE_CHECKING:
    import tensorflow as tf

VERSION = 1

# Arrays: one bytes feature each.
VIDEO = "video"
AUDIO = "audio"
LABELS = "labels"
LABEL_VALID = "label_valid"
VIDEO_PRESENT = "video_present"
AUDIO_PRESENT = "audio_present"
MARGIN_PRESENT = "margin_present"
TIMESTAMPS = "timestamps"
BACKGROUND = "background"

# Context: what the record is, one value each.
RECORDING_ID = "recording_id"
SUBJECT_ID = "subject_id"
SEGMENT_INDEX = "segment_index"
FIRST_TICK = "first_tick"
N_TICKS = "n_ticks"
SCHEMA_VERSION = "schema_version"

TEXTS = (RECORDING_ID, SUBJECT_ID)
NUMBERS = (SEGMENT_INDEX, FIRST_TICK, N_TICKS, SCHEMA_VERSION)

# float16 ends here; a larger feature would be stored as infinity.
LARGEST_VIDEO = float(np.finfo(np.float16).max)


@dataclasses.dataclass(frozen=True)
class Field:
    """One array of a record.

    Attributes:
      key: Its name in the record, and of the attribute of `segment.Segment`.
      dtype: NumPy dtype, little-endian.
      rows: What its rows are: `ticks` [n], `stream` [n + C - 1] (the ticks with their
        context margin), or `margin` [C - 1] (only the margin: the rows before the
        first tick, then those after the last).
      columns: What its columns are: `video`, `audio`, `targets`, or empty for an array
        of one dimension.
    """

    key: str
    dtype: np.dtype
    rows: str
    columns: str = ""


_FIELDS = (
    Field(VIDEO, np.dtype("<f2"), "ticks", "video"),
    Field(AUDIO, np.dtype("<f4"), "stream", "audio"),
    Field(LABELS, np.dtype("<f4"), "ticks", "targets"),
    Field(LABEL_VALID, np.dtype("u1"), "ticks", "targets"),
    Field(VIDEO_PRESENT, np.dtype("u1"), "ticks"),
    Field(AUDIO_PRESENT, np.dtype("u1"), "ticks"),
    Field(MARGIN_PRESENT, np.dtype("u1"), "margin"),
    Field(TIMESTAMPS, np.dtype("<f8"), "ticks"),
)
_BACKGROUND = Field(BACKGROUND, np.dtype("<f2"), "ticks", "video")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The sizes that all records of a data set share.

    Attributes:
      video_dim: Columns of `video`.
      audio_dim: Columns of `audio`.
      context_ticks: C; `audio` has C - 1 rows more than there are ticks.
      context_before: How many of these rows lie before the first tick.
      has_background: Whether `background` is stored.
    """

    video_dim: int
    audio_dim: int
    context_ticks: int
    context_before: int
    has_background: bool = False

    @property
    def context_after(self) -> int:
        """Rows of `audio` after the last tick."""
        return self.context_ticks - 1 - self.context_before

    @property
    def fields(self) -> tuple[Field, ...]:
        """The arrays that every record holds."""
        return (*_FIELDS, _BACKGROUND) if self.has_background else _FIELDS

    def shape(self, field: Field, n_ticks: Any) -> tuple[Any, ...]:
        """Returns the shape of an array in a record.

        Args:
          field: One of `fields`.
          n_ticks: Ticks in the record: an int, or a scalar tensor.

        Returns:
          One or two sizes.
        """
        margin = self.context_ticks - 1
        rows = {"ticks": n_ticks, "stream": n_ticks + margin, "margin": margin}
        columns = {
            "video": (self.video_dim,),
            "audio": (self.audio_dim,),
            "targets": (len(config.TARGETS),),
            "": (),
        }
        return (rows[field.rows], *columns[field.columns])


def parse(serialized: tf.Tensor, layout: Layout) -> dict[str, tf.Tensor]:
    """Parses one record inside a tf.data pipeline.

    Args:
      serialized: One serialized `tf.train.Example`, string scalar.
      layout: The sizes, from the manifest.

    Returns:
      {key: tensor}: the arrays with their stored dtypes and the shapes of
      `Layout.shape`, the texts as string scalars, the numbers as int64 scalars.

    Raises:
      tf.errors.InvalidArgumentError: at run time, if a key is missing or an array has
        another length than `n_ticks` and the layout say.
    """
    import tensorflow as tf

    spec = {field.key: tf.io.FixedLenFeature([], tf.string) for field in layout.fields}
    spec |= {key: tf.io.FixedLenFeature([], tf.string) for key in TEXTS}
    spec |= {key: tf.io.FixedLenFeature([], tf.int64) for key in NUMBERS}
    features = tf.io.parse_single_example(serialized, spec)
    n_ticks = tf.cast(features[N_TICKS], tf.int32)
    for field in layout.fields:
        flat = tf.io.decode_raw(
            features[field.key], tf.dtypes.as_dtype(field.dtype.newbyteorder("="))
        )
        shape = layout.shape(field, n_ticks)
        static = layout.shape(field, 0)
        array = tf.reshape(flat, shape)  # [rows] or [rows, columns]
        rows = static[0] if field.rows == "margin" else None
        features[field.key] = tf.ensure_shape(array, (rows, *static[1:]))
    return features
