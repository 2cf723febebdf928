"""Records against bytes worked out by hand, and against TensorFlow's own parser."""

import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import errors
from avexp_tf.data import example
from avexp_tf.data import schema
from avexp_tf.data import segment as segment_lib

LAYOUT = schema.Layout(
    video_dim=2, audio_dim=1, context_ticks=3, context_before=2, has_background=False
)


def make_segment(**changes):
    """Two ticks with numbers that float16 and float32 hold exactly."""
    values = {
        "recording_id": "a/b ü",
        "subject_id": "s1",
        "segment_index": 4,
        "first_tick": 400,
        "video": np.array([[1.5, -2.0], [0, 0]], np.float16),
        "audio": np.array([[0], [8.25], [0.5], [-1]], np.float32),
        "labels": np.array([[0.25, -0.5], [0, 1]], np.float32),
        "label_valid": np.array([[1, 1], [0, 1]], np.uint8),
        "video_present": np.array([1, 0], np.uint8),
        "audio_present": np.array([1, 1], np.uint8),
        "margin_present": np.array([0, 1], np.uint8),
        "timestamps": np.array([13.5, 13.75]),
    }
    return segment_lib.Segment(**{**values, **changes})


def test_a_record_holds_the_little_endian_bytes_of_the_contract():
    features = tf.train.Example.FromString(
        example.encode(make_segment(), LAYOUT)
    ).features.feature

    def array(key, dtype):
        return np.frombuffer(features[key].bytes_list.value[0], dtype).tolist()

    assert array("video", "<f2") == [1.5, -2.0, 0, 0]
    # 8.25 is 0x41040000, and the low byte comes first.
    assert features["audio"].bytes_list.value[0][4:8] == b"\x00\x00\x04\x41"
    assert array("audio", "<f4") == [0, 8.25, 0.5, -1]
    assert array("labels", "<f4") == [0.25, -0.5, 0, 1]
    assert array("label_valid", "u1") == [1, 1, 0, 1]
    assert array("video_present", "u1") == [1, 0]
    assert array("audio_present", "u1") == [1, 1]
    assert array("margin_present", "u1") == [0, 1]
    assert array("timestamps", "<f8") == [13.5, 13.75]
    assert features["recording_id"].bytes_list.value[0] == "a/b ü".encode()
    assert features["subject_id"].bytes_list.value[0] == b"s1"
    numbers = {
        key: list(features[key].int64_list.value)
        for key in ("segment_index", "first_tick", "n_ticks", "schema_version")
    }
    assert numbers == {
        "segment_index": [4],
        "first_tick": [400],
        "n_ticks": [2],
        "schema_version": [1],
    }
    assert len(features) == 14


def test_the_bytes_are_those_of_tensorflows_own_message():
    serialized = example.encode(make_segment(), LAYOUT)
    message = tf.train.Example.FromString(serialized)
    assert message.SerializeToString(deterministic=True) == serialized


def test_big_endian_arrays_are_stored_little_endian():
    segment = make_segment(timestamps=np.array([13.5, 13.75], ">f8"))
    assert example.encode(segment, LAYOUT) == example.encode(make_segment(), LAYOUT)


def test_decode_is_the_inverse_of_encode():
    segment = make_segment()
    found = example.decode(example.encode(segment, LAYOUT), LAYOUT)
    for name, value in vars(segment).items():
        np.testing.assert_array_equal(getattr(found, name), value)
        assert type(getattr(found, name)) is type(value)
        if isinstance(value, np.ndarray):
            assert getattr(found, name).dtype == value.dtype


@pytest.mark.parametrize("has_background", [False, True])
def test_the_pipeline_parses_what_encode_wrote(has_background):
    layout = schema.Layout(2, 1, 3, 2, has_background)
    background = np.array([[3, 4], [5, 6]], np.float16) if has_background else None
    segment = make_segment(background=background)
    serialized = example.encode(segment, layout)
    dataset = tf.data.Dataset.from_tensors(serialized)
    dataset = dataset.map(lambda record: schema.parse(record, layout))
    assert dataset.element_spec["audio"].shape.as_list() == [None, 1]
    assert dataset.element_spec["margin_present"].shape.as_list() == [2]
    assert dataset.element_spec["timestamps"].shape.as_list() == [None]
    (found,) = dataset.as_numpy_iterator()
    assert found.pop("n_ticks") == 2
    assert found.pop("schema_version") == 1
    assert found.pop("recording_id").decode() == "a/b ü"
    assert found.pop("subject_id") == b"s1"
    assert ("background" in found) == has_background
    for key, value in found.items():
        np.testing.assert_array_equal(value, getattr(segment, key))
        if key not in ("segment_index", "first_tick"):
            assert value.dtype == getattr(segment, key).dtype


def test_the_pipeline_refuses_an_array_of_another_length():
    serialized = example.encode(make_segment(), LAYOUT)
    wider = schema.Layout(4, 1, 3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        schema.parse(tf.constant(serialized), wider)


def test_encode_refuses_an_array_of_another_shape():
    segment = make_segment(audio=np.zeros((3, 1), np.float32))
    with pytest.raises(ValueError, match=r"audio has shape \(3, 1\), must be \(4, 1\)"):
        example.encode(segment, LAYOUT)


def changed(change):
    """A serialized record after a change of its features."""
    message = tf.train.Example.FromString(example.encode(make_segment(), LAYOUT))
    change(message.features.feature)
    return message.SerializeToString()


def drop(key):
    return lambda features: features.pop(key)


def put_bytes(key, *values):
    return lambda features: features[key].bytes_list.value.__setitem__(
        slice(None), values
    )


def put_ints(key, *values):
    return lambda features: features[key].int64_list.value.__setitem__(
        slice(None), values
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("labels"), "the field 'labels' is missing"),
        (drop("segment_index"), "the field 'segment_index' is missing"),
        (put_bytes("more", b"x"), "the field 'more' is not in the schema"),
        (put_ints("schema_version", 2), "schema_version is 2, this program reads 1"),
        (put_ints("n_ticks", 0), "n_ticks is 0, must be at least 1"),
        (put_ints("n_ticks", 3), "video has 8 bytes, 3 ticks need 12"),
        (put_ints("n_ticks", 2**62), "video has 8 bytes"),
        (put_ints("first_tick", -1), "first_tick must be one whole number"),
        (put_ints("first_tick", 1, 2), "first_tick must be one whole number"),
        (put_bytes("audio", b"1234"), "audio has 4 bytes, 2 ticks need 16"),
        (put_bytes("audio", b"1", b"2"), "audio must be one string of bytes"),
        (put_bytes("subject_id", b"\xff"), "subject_id is not UTF-8"),
    ],
)
def test_decode_says_what_is_wrong(change, message):
    with pytest.raises(errors.DataError, match=message):
        example.decode(changed(change), LAYOUT)


def test_decode_refuses_what_is_no_message():
    with pytest.raises(errors.DataError, match=r"is no tf\.train\.Example"):
        example.decode(b"\xff\xff\xff", LAYOUT)
