"""What `avexp-inspect` draws and says."""

import dataclasses

import array_corpus
import numpy as np
import pytest
from matplotlib import image

from avexp_tf import recording
from avexp_tf.data import describe
from avexp_tf.data import draw
from avexp_tf.data import schema
from avexp_tf.data import segmenter

INFO = recording.RecordingInfo("a $ in a name", "s", "s")
LAYOUT = schema.Layout(3, 2, 4, 3)


def segments_of(n_ticks, **changes):
    block = dataclasses.replace(array_corpus.ticks("any", n_ticks), **changes)
    return list(segmenter.cut([block], INFO, LAYOUT, 20))


def green_pixels(path):
    """Columns of the drawing in which there is the color of presence."""
    pixels = image.imread(path)[..., :3]
    is_green = np.abs(pixels - np.array([44, 160, 44]) / 255).max(axis=-1) < 0.02
    return np.flatnonzero(is_green.any(axis=0))


def test_the_strips_are_filled_where_something_is_present(tmp_path):
    half = np.arange(50) < 25
    evenly = {"timestamps": np.arange(50) / 25}
    widths = {}
    for name, present in (
        ("none", np.zeros(50, bool)),
        ("half", half),
        ("all", np.ones(50, bool)),
    ):
        segments = segments_of(
            50, video_present=present, audio_present=present, **evenly
        )
        draw.draw(segments, tmp_path / f"{name}.png")
        columns = green_pixels(tmp_path / f"{name}.png")
        widths[name] = columns.max() - columns.min() + 1 if len(columns) else 0
    assert widths["none"] == 0
    assert widths["all"] > 500
    assert widths["half"] == pytest.approx(widths["all"] / 2, abs=4)


def test_one_tick_and_no_label_can_be_drawn(tmp_path):
    segments = segments_of(1, label_valid=np.zeros((1, 2), bool))
    draw.draw(segments, tmp_path / "x.png")
    assert image.imread(tmp_path / "x.png").shape == (480, 1200, 4)


def test_a_record_in_words():
    block = recording.Block(
        timestamps=np.array([0.5, 1.0, 1.5, 2.25]),
        video=np.ones((4, 3)),
        audio=np.ones((4, 2)),
        labels=np.array([[0.5, 0], [-0.5, 0], [0.25, 0], [1, 0]]),
        label_valid=np.array([[1, 0], [1, 0], [0, 0], [0, 0]], bool),
        video_present=np.array([1, 1, 1, 0], bool),
        audio_present=np.array([0, 0, 0, 0], bool),
    )
    (segment,) = segmenter.cut([block], INFO, LAYOUT, 20)
    assert describe.record(segment) == [
        "recording: a $ in a name",
        "subject: s",
        "segment: 0, ticks 0 to 3, 0.500 to 2.250 s",
        "video: float16 [4, 3]",
        "audio: float32 [7, 2]",
        "video present: 75.0%",
        "audio present: 0.0%",
        "valence: 50.0% valid, mean 0.000, deviation 0.500, -0.500 to 0.500",
        "arousal: 0.0% valid",
    ]
