"""The message `tf.train.Example`, without TensorFlow.

Importing TensorFlow takes seconds and hundreds of megabytes, once per worker process;
writing and checking records needs nothing of it but this message. The bytes are the
same.

Reference: TensorFlow, `tensorflow/core/example/{example,feature}.proto`.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from google.protobuf import message_factory

_PACKAGE = "avexp_tf"
_Field = descriptor_pb2.FieldDescriptorProto


@functools.cache
def example_class() -> Any:
    """Returns the message class; its fields are those of `tf.train.Example`."""
    file = descriptor_pb2.FileDescriptorProto(
        name="avexp_tf/example.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, kind in (
        ("BytesList", _Field.TYPE_BYTES),
        ("FloatList", _Field.TYPE_FLOAT),
        ("Int64List", _Field.TYPE_INT64),
    ):
        _add(file.message_type.add(name=name), "value", 1, kind, repeated=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), 1):
        kind = "".join(word.capitalize() for word in name.split("_"))
        _add(feature, name, number, kind).oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _add(entry, "key", 1, _Field.TYPE_STRING)
    _add(entry, "value", 2, "Feature")
    _add(features, "feature", 1, "Features.FeatureEntry", repeated=True)
    _add(file.message_type.add(name="Example"), "features", 1, "Features")
    # A pool of its own, so that it never meets TensorFlow's.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.Example")
    return message_factory.GetMessageClass(descriptor)


def _add(
    message: Any, name: str, number: int, kind: Any, repeated: bool = False
) -> Any:
    """Adds a field of a scalar type, or of the message named `kind`."""
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if isinstance(kind, str):
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    else:
        field.type = kind
    return field
