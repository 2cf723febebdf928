"""Segments hold every tick once, with the audio of their neighbours around it."""

import array_corpus
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import schema
from avexp_tf.data import segmenter

INFO = recording.RecordingInfo("rec", "sub", "sub")


def blocks_of(block, sizes):
    """Cuts a block into blocks of these sizes, over and over."""
    start, index = 0, 0
    while start < len(block):
        size = sizes[index % len(sizes)]
        yield array_corpus.rows(block, start, start + size)
        start, index = start + size, index + 1


def lengths_of(n_ticks, segment_ticks):
    layout = schema.Layout(3, 2, 1, 0)
    blocks = [array_corpus.ticks("rec", n_ticks)]
    return [s.n_ticks for s in segmenter.cut(blocks, INFO, layout, segment_ticks)]


@pytest.mark.parametrize(
    ("n_ticks", "lengths"),
    [
        (1, [1]),
        (10, [10]),
        (11, [6, 5]),
        (19, [10, 9]),
        (20, [10, 10]),
        (21, [10, 6, 5]),
        (29, [10, 10, 9]),
        (30, [10, 10, 10]),
        (31, [10, 10, 6, 5]),
    ],
)
def test_where_the_cuts_lie(n_ticks, lengths):
    assert lengths_of(n_ticks, 10) == lengths


@settings(deadline=None, max_examples=150)
@given(
    n_ticks=st.integers(1, 60),
    segment_ticks=st.integers(2, 12),
    context=st.integers(1, 30),
    centered=st.booleans(),
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=4),
)
def test_every_tick_once_with_the_audio_around_it(
    n_ticks, segment_ticks, context, centered, sizes
):
    before = context // 2 if centered else context - 1
    after = context - 1 - before
    layout = schema.Layout(3, 2, context, before)
    block = array_corpus.ticks("rec", n_ticks)
    segments = list(segmenter.cut(blocks_of(block, sizes), INFO, layout, segment_ticks))
    assert [s.n_ticks for s in segments] == lengths_of(n_ticks, segment_ticks)

    # The recording as a whole, zeros where there is nothing, padded at both ends.
    video = np.where(block.video_present[:, None], block.video, 0).astype(np.float16)
    labels = np.where(block.label_valid, block.labels, 0).astype(np.float32)
    audio = np.where(block.audio_present[:, None], block.audio, 0).astype(np.float32)
    audio = np.pad(audio, ((before, after), (0, 0)))
    present = np.pad(block.audio_present.astype(np.uint8), (before, after))

    first = 0
    for index, segment in enumerate(segments):
        n = segment.n_ticks
        assert (segment.segment_index, segment.first_tick) == (index, first)
        here = slice(first, first + n)
        np.testing.assert_array_equal(segment.video, video[here])
        np.testing.assert_array_equal(segment.labels, labels[here])
        np.testing.assert_array_equal(segment.label_valid, block.label_valid[here])
        np.testing.assert_array_equal(segment.video_present, block.video_present[here])
        np.testing.assert_array_equal(segment.audio_present, block.audio_present[here])
        np.testing.assert_array_equal(segment.timestamps, block.timestamps[here])
        stream = slice(first, first + n + context - 1)
        np.testing.assert_array_equal(segment.audio, audio[stream])
        np.testing.assert_array_equal(segment.stream_present(before), present[stream])
        assert len(segment.margin_present) == context - 1
        first += n
    assert first == n_ticks


def test_a_long_recording_is_never_held_as_a_whole():
    layout = schema.Layout(3, 2, 4, 3)
    read = 0

    def blocks():
        nonlocal read
        block = array_corpus.ticks("rec", 1000)
        for start in range(0, 1000, 10):
            read = start + 10
            yield array_corpus.rows(block, start, start + 10)

    for segment in segmenter.cut(blocks(), INFO, layout, 20):
        assert read - segment.first_tick <= 2 * 20 + 10


def test_empty_blocks_and_no_blocks_give_nothing():
    layout = schema.Layout(3, 2, 4, 3)
    empty = array_corpus.ticks("rec", 0)
    assert list(segmenter.cut([], INFO, layout, 20)) == []
    assert list(segmenter.cut([empty, empty], INFO, layout, 20)) == []


def test_time_must_rise_from_block_to_block():
    layout = schema.Layout(3, 2, 4, 3)
    block = array_corpus.ticks("rec", 5)
    with pytest.raises(errors.DataError, match="recording 'rec', tick 5: its time"):
        list(segmenter.cut([block, block], INFO, layout, 20))


def test_an_array_longer_than_its_block_is_refused():
    layout = schema.Layout(3, 2, 4, 3)
    block = array_corpus.ticks("rec", 20)
    longer = recording.Block(**{**vars(block), "video": np.zeros((40, 3))})
    with pytest.raises(errors.DataError, match="video has 40 rows, timestamps has 20"):
        list(segmenter.cut([longer], INFO, layout, 20))
