"""Every rule for what a corpus yields, and the words for breaking it."""

import array_corpus
import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import blocks
from avexp_tf.data import schema

LAYOUT = schema.Layout(3, 2, 60, 59)


def make(**changes):
    """Five ticks, all present and valid, with a change."""
    block = array_corpus.ticks("any", 5)
    values = vars(block) | {
        "label_valid": np.ones((5, 2), bool),
        "video_present": np.ones(5, bool),
        "audio_present": np.ones(5, bool),
    }
    return recording.Block(**(values | changes))


def check(block, after_secs=-np.inf, layout=LAYOUT):
    return blocks.checked(block, "rec", 100, after_secs, layout)


def put(name, place, value):
    array = getattr(make(), name).copy()
    array[place] = value
    return {name: array}


def test_arrays_come_out_in_the_types_of_the_schema():
    found = check(make())
    for field in LAYOUT.fields:
        if field.key != "margin_present":
            assert getattr(found, field.key).dtype == field.dtype


def test_what_is_not_present_or_not_valid_becomes_zero():
    block = make(
        video=np.full((5, 3), np.nan),
        audio=np.full((5, 2), np.inf),
        labels=np.full((5, 2), -5.0),
        video_present=np.zeros(5, bool),
        audio_present=np.zeros(5, bool),
        label_valid=np.zeros((5, 2), bool),
    )
    found = check(block)
    assert not found.video.any()
    assert not found.audio.any()
    assert not found.labels.any()


def test_a_label_is_masked_per_target():
    valid = np.ones((5, 2), bool)
    valid[1, 0] = False
    found = check(make(label_valid=valid, **put("labels", (1, 0), 7.0)))
    assert found.labels[1, 0] == 0
    assert found.labels[1, 1] != 0


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        (put("video", (2, 1), np.nan), r"tick 102: video\[1\] is nan, must be finite"),
        (put("audio", (4, 0), -np.inf), r"tick 104: audio\[0\] is -inf, must be fini"),
        (
            put("video", (0, 0), 7e4),
            r"tick 100: video\[0\] is 70000, must be at most 65504",
        ),
        (
            put("audio", (0, 0), 1e39),
            r"tick 100: audio\[0\] is 1e\+39, must be at most 3.402",
        ),
        (put("labels", (3, 1), 1.25), r"tick 103: arousal is 1.25, must be in \[-1, 1"),
        (put("labels", (3, 0), -2), r"tick 103: valence is -2.0, must be in \[-1, 1\]"),
        (
            put("labels", (0, 0), np.nan),
            r"tick 100: labels\[0\] is nan, must be finite",
        ),
        (put("timestamps", 2, np.nan), "tick 102: its time is nan, must be finite"),
        (put("timestamps", 1, 0.0), "tick 101: its time is 0.0 s, must be later"),
        (
            {"video": np.zeros((5, 4))},
            r"tick 100: video has shape \(5, 4\), must be \(5, 3\)",
        ),
        ({"audio": np.zeros(5)}, r"tick 100: audio has shape \(5,\), must be \(5, 2\)"),
        ({"video": np.full((5, 3), "x")}, "tick 100: video is <U1, must be numbers"),
        (
            {"video_present": np.ones(5)},
            "tick 100: video_present is float64, must be bool",
        ),
        ({"background": np.zeros((5, 3))}, "tick 100: background must be there in all"),
    ],
)
def test_a_broken_rule_names_recording_tick_value_and_rule(changes, rule):
    with pytest.raises(errors.DataError, match=f"recording 'rec', {rule}"):
        check(make(**changes))


def test_the_largest_float16_is_stored_as_it_is():
    found = check(make(**put("video", (0, 0), -65504.0)))
    assert found.video[0, 0] == -65504.0


def test_time_rises_across_blocks():
    block = make()
    first = float(block.timestamps[0])
    check(block, after_secs=first - 1e-9)
    with pytest.raises(
        errors.DataError, match="tick 100: its time is .* must be later"
    ):
        check(block, after_secs=first)


def test_a_background_must_be_finite_everywhere():
    layout = schema.Layout(3, 2, 60, 59, has_background=True)
    good = make(background=np.ones((5, 3)), video_present=np.zeros(5, bool))
    assert check(good, layout=layout).background.all()
    bad = make(background=np.full((5, 3), np.nan))
    with pytest.raises(errors.DataError, match=r"background\[0\] is nan"):
        check(bad, layout=layout)
    with pytest.raises(errors.DataError, match="background must be there in all"):
        check(make(), layout=layout)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(
        errors.DataError, match="tick 7: labels has 4 rows, timestamps has 5"
    ):
        blocks.check_lengths(make(labels=np.zeros((4, 2))), "rec", 7)
