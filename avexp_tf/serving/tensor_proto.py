"""Arrays to TensorFlow's TensorProto and back, checked as a server must."""

from __future__ import annotations

from typing import Any

import numpy as np

# DataType of tensorflow/core/framework/types.proto, for what signatures use, and the
# field that lists its values one by one.
_KINDS: dict[int, tuple[np.dtype, str]] = {
    1: (np.dtype(np.float32), "float_val"),
    3: (np.dtype(np.int32), "int_val"),
    4: (np.dtype(np.uint8), "int_val"),
    7: (np.dtype(object), "string_val"),
    9: (np.dtype(np.int64), "int64_val"),
    10: (np.dtype(bool), "bool_val"),
}
_NUMBERS = {dtype: number for number, (dtype, _) in _KINDS.items()}
_LARGEST_BYTES = 1 << 31


def dtype_of(number: int) -> np.dtype | None:
    """Returns the NumPy dtype of a DataType; None for those that no signature uses."""
    kind = _KINDS.get(number)
    return kind[0] if kind else None


def can_hold(dtype: np.dtype) -> bool:
    """Tells whether signatures use a NumPy dtype; object stands for strings."""
    return dtype in _NUMBERS


def encode(array: np.ndarray, proto: Any) -> None:
    """Writes an array into a TensorProto.

    Args:
      array: Of a dtype that signatures use; bytes or str as object array.
      proto: Empty.

    Raises:
      ValueError: for any other dtype.
    """
    array = np.asarray(array)
    if array.dtype.kind in "SU":
        array = array.astype(object)
    if array.dtype not in _NUMBERS:
        raise ValueError(f"has dtype {array.dtype}, which no signature takes")
    proto.dtype = _NUMBERS[array.dtype]
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if array.dtype.hasobject:
        for item in array.ravel():
            proto.string_val.append(item.encode() if isinstance(item, str) else item)
        return
    little = array.dtype.newbyteorder("<")
    proto.tensor_content = np.ascontiguousarray(array, little).tobytes()


def decode(proto: Any, most_bytes: int = _LARGEST_BYTES) -> np.ndarray:
    """Reads a TensorProto.

    Args:
      proto: From anywhere.
      most_bytes: The largest array to make: a few bytes can ask for any size.

    Returns:
      The array; strings as an object array of bytes.

    Raises:
      ValueError: if it contradicts itself, or holds what no signature uses.
    """
    if proto.dtype not in _KINDS:
        raise ValueError(f"has the dtype number {proto.dtype}, which is not supported")
    dtype, field = _KINDS[proto.dtype]
    if proto.tensor_shape.unknown_rank:
        raise ValueError("has no shape")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape) or len(shape) > 8:
        raise ValueError(f"has the shape {list(shape)[:9]}, which is none")
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize > most_bytes:
        raise ValueError(
            f"has the shape {list(shape)}, which is more than {most_bytes} bytes"
        )
    if proto.tensor_content:
        if dtype.hasobject:
            raise ValueError("holds strings as tensor_content")
        if len(proto.tensor_content) != count * dtype.itemsize:
            raise ValueError(
                f"has {len(proto.tensor_content)} bytes, its shape {list(shape)} needs "
                f"{count * dtype.itemsize}"
            )
        return np.frombuffer(proto.tensor_content, dtype.newbyteorder("<")).reshape(
            shape
        )
    values = getattr(proto, field)
    if len(values) > count:
        raise ValueError(
            f"has {len(values)} values, its shape {list(shape)} needs {count}"
        )
    if dtype.hasobject:
        found = np.full(count, values[-1] if values else b"", object)
        found[: len(values)] = [*values]
        return found.reshape(shape)
    try:
        # Checks the range of int_val, which holds narrower types too.
        given = np.asarray(list(values), dtype)
    except OverflowError as error:
        raise ValueError(str(error)) from None
    # The last value stands for all that follow; without one, all are zero.
    filled = np.full(count, given[-1], dtype) if len(given) else np.zeros(count, dtype)
    filled[: len(given)] = given
    return filled.reshape(shape)
