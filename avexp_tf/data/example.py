"""Segments to serialized `tf.train.Example` messages and back, with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import message as protobuf_message

from avexp_tf import errors
from avexp_tf.data import example_proto
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
    message = example_proto.example_class()()
    features = message.features.feature
    for field in layout.fields:
        array = np.asarray(getattr(segment, field.key))
        shape = layout.shape(field, segment.n_ticks)
        if array.shape != shape:
            raise ValueError(f"{field.key} has shape {array.shape}, must be {shape}")
        data = np.ascontiguousarray(array, field.dtype).tobytes()
        features[field.key].bytes_list.value.append(data)
    for key in schema.TEXTS:
        features[key].bytes_list.value.append(getattr(segment, key).encode())
    for key in schema.NUMBERS:
        value = getattr(segment, key, schema.VERSION)  # no segment knows the version
        features[key].int64_list.value.append(int(value))
    # A protocol buffer's map has no order of its own.
    return message.SerializeToString(deterministic=True)


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
    example = example_proto.example_class()()
    try:
        example.ParseFromString(serialized)
    except protobuf_message.DecodeError as error:
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


def _only_bytes(feature, key: str) -> bytes:
    values = feature.bytes_list.value
    if len(values) != 1:
        raise errors.DataError(f"{key} must be one string of bytes")
    return values[0]
