"""The TFRecord file format: each record between its length and two checksums.

A file is nothing but records one after the other, so files can be concatenated, and a
record can be read by its offset alone. Lengths and checksums are little-endian.

Reference: TensorFlow, `tensorflow/core/lib/io/record_writer.h`.
"""

from __future__ import annotations

import struct

import google_crc32c

from avexp_tf import errors

_HEADER = struct.Struct("<QI")  # length of the data, masked checksum of these 8 bytes
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")

OVERHEAD = _HEADER.size + _CRC.size
"""Bytes that the framing adds to a record."""


def frame(data: bytes) -> bytes:
    """Returns a record as it stands in a TFRecord file."""
    length = _LENGTH.pack(len(data))
    return b"".join(
        (length, _CRC.pack(_masked(length)), data, _CRC.pack(_masked(data)))
    )


def unframe(framed: bytes) -> bytes:
    """Returns the data of one framed record.

    Args:
      framed: Exactly what `frame` gave.

    Returns:
      The data.

    Raises:
      errors.DataError: if a byte differs from what was written, without the file's
        name.
    """
    if len(framed) < OVERHEAD:
        raise errors.DataError(f"has {len(framed)} bytes, a record has {OVERHEAD} more")
    length, length_crc = _HEADER.unpack_from(framed)
    if _masked(framed[: _LENGTH.size]) != length_crc:
        raise errors.DataError("the checksum of its length is wrong")
    if length != len(framed) - OVERHEAD:
        raise errors.DataError(
            f"says it has {length} bytes of data, has {len(framed) - OVERHEAD}"
        )
    data = framed[_HEADER.size : -_CRC.size]
    if _masked(data) != _CRC.unpack_from(framed, len(framed) - _CRC.size)[0]:
        raise errors.DataError("the checksum of its data is wrong")
    return data


def _masked(data: bytes) -> int:
    # Checksums of data that holds checksums are weak, so the format rotates and adds.
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
