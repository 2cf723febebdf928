"""The TFRecord framing against TensorFlow's, and against damage."""

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from avexp_tf import errors
from avexp_tf.data import framing


def test_tensorflow_reads_what_frame_wrote(tmp_path):
    records = [b"", b"one", bytes(range(256)) * 100]
    path = tmp_path / "x.tfrecord"
    path.write_bytes(b"".join(map(framing.frame, records)))
    found = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    assert list(found) == records


def test_unframe_reads_what_tensorflow_wrote(tmp_path):
    path = tmp_path / "x.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"some data")
    framed = path.read_bytes()
    assert framing.unframe(framed) == b"some data"
    assert len(framed) == 9 + framing.OVERHEAD


@given(st.binary(max_size=60), st.data())
def test_any_changed_bit_or_length_is_noticed(data, draw):
    framed = bytearray(framing.frame(data))
    bit = draw.draw(st.integers(0, 8 * len(framed) - 1))
    framed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.DataError):
        framing.unframe(bytes(framed))


@given(st.binary(max_size=60), st.data())
def test_a_record_cut_short_or_made_longer_is_noticed(data, draw):
    framed = framing.frame(data)
    length = draw.draw(st.integers(0, len(framed) - 1))
    with pytest.raises(errors.DataError):
        framing.unframe(framed[:length])
    with pytest.raises(errors.DataError):
        framing.unframe(framed + draw.draw(st.binary(min_size=1, max_size=9)))
