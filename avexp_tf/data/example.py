"""Segments to serialized `tf.train.Example` messages and back, with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from avexp_tf import errors
from avexp_tf.data import schema
from avexp_tf.data import segment as segment_lib


def encode(segment: segment_lib.Segment, layout: schema.Layout) -> bytes:
    """Serializes a segment; the same segment always gives the same bytes.

    Args:
      segment: What to store.
      layout: The sizes of the data set.

    Returns:
      A serialized `tf.train.Example`.

    Raises:
      ValueError: if an array has another shape than the layout says.
    """
    import tensorflow as tf

    features = {}
    for field in layout.fields:
        array = np.asarray(getattr(segment, field.key))
        shape = layout.shape(field, segment.n_ticks)
        if array.shape != shape:
            raise ValueError(f"{field.key} has shape {array.shape}, must be {shape}")
        features[field.key] = _bytes(np.ascontiguousarray(array, field.dtype).tobytes())
    for key in schema.TEXTS:
        features[key] = _bytes(getattr(segment, key).encode())
    for key in schema.NUMBERS:
        value = (
            schema.VERSION
            if key == schema.SCHEMA_VERSION
            else int(getattr(segment, key))
        )
        features[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # A protocol buffer's map has no order of its own.
    return example.SerializeToString(deterministic=True)


def decode(serialized: bytes, layout: schema.Layout) -> segment_lib.Segment:
    """Parses a record and checks every field's presence, type and length.

    Args:
      serialized: What `encode` gave.
      layout: The sizes of the data set.

    Returns:
      The segment.

    Raises:
      errors.DataError: saying which field breaks which rule, without the file's name.
    """
    import tensorflow as tf

    example = tf.train.Example()
    try:
        example.ParseFromString(serialized)
    except Exception as error:  # protobuf's DecodeError has no stable home
        raise errors.DataError(f"is no tf.train.Example: {error}") from None
    features = example.features.feature
    known = {field.key for field in layout.fields} | {*schema.TEXTS, *schema.NUMBERS}
    for key in sorted(known.symmetric_difference(features)):
        what = "is missing" if key in known else "is not in the schema"
        raise errors.DataError(f"the field {key!r} {what}")
    numbers: dict[str, Any] = {}
    for key in schema.NUMBERS:
        values = features[key].int64_list.value
        if len(values) != 1 or values[0] < 0:
            raise errors.DataError(f"{key} must be one whole number of at least 0")
        numbers[key] = values[0]
    version = numbers.pop(schema.SCHEMA_VERSION)
    if version != schema.VERSION:
        raise errors.DataError(
            f"schema_version is {version}, this program reads {schema.VERSION}"
        )
    n_ticks = numbers.pop(schema.N_TICKS)
    if n_ticks < 1:
        raise errors.DataError("n_ticks is 0, must be at least 1")
    texts: dict[str, Any] = {}
    for key in schema.TEXTS:
        try:
            texts[key] = _only_bytes(features[key], key).decode()
        except UnicodeDecodeError:
            raise errors.DataError(f"{key} is not UTF-8") from None
    arrays: dict[str, Any] = {}
    for field in layout.fields:
        data = _only_bytes(features[field.key], field.key)
        shape = layout.shape(field, n_ticks)
        n_bytes = int(np.prod(shape, dtype=np.int64)) * field.dtype.itemsize
        if len(data) != n_bytes:
            raise errors.DataError(
                f"{field.key} has {len(data)} bytes, {n_ticks} ticks need {n_bytes}"
            )
        arrays[field.key] = np.frombuffer(data, field.dtype).reshape(shape)
    return segment_lib.Segment(**texts, **numbers, **arrays)


def _bytes(value: bytes):
    import tensorflow as tf

    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _only_bytes(feature, key: str) -> bytes:
    values = feature.bytes_list.value
    if len(values) != 1:
        raise errors.DataError(f"{key} must be one string of bytes")
    return values[0]
