"""Where clips start, and that evaluation covers every tick."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from avexp_tf.data import clips


def training_starts(n_ticks, clip_ticks, key=(1, 2)):
    return clips.training_starts(
        tf.constant(n_ticks), clip_ticks, tf.constant(key, tf.int32)
    ).numpy()


def evaluation_starts(n_ticks, clip_ticks, stride):
    return clips.evaluation_starts(tf.constant(n_ticks), clip_ticks, stride).numpy()


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.integers(1, 700), st.integers(1, 200), st.integers(0, 2**31 - 1))
def test_training_starts_are_in_the_segment_and_in_strata(n_ticks, clip_ticks, key):
    starts = training_starts(n_ticks, clip_ticks, (key, 7))
    n_clips = clips.clips_per_segment(n_ticks, clip_ticks)
    assert len(starts) == n_clips
    last = max(n_ticks - clip_ticks, 0)
    assert starts.min() >= 0
    assert starts.max() <= last
    # One start in each of n equal strata of what is possible.
    edges = np.arange(n_clips + 1) * (last + 1) / n_clips
    starts = np.sort(starts)
    assert (starts >= np.floor(edges[:-1]) - 1).all()
    assert (starts <= edges[1:]).all()


def test_training_starts_reach_all_offsets_in_any_order():
    drawn = [training_starts(150, 100, (key, 0)) for key in range(300)]
    assert {len(starts) for starts in drawn} == {2}  # 1.5 clips, rounded
    assert set(np.concatenate(drawn)) == set(range(51))
    assert 0.4 < np.mean([starts[0] > starts[1] for starts in drawn]) < 0.6


@pytest.mark.parametrize(
    ("n_ticks", "clip_ticks", "expected"),
    [(1, 100, 1), (149, 100, 1), (150, 100, 2), (250, 100, 3), (1000, 100, 10)],
)
def test_clips_per_segment(n_ticks, clip_ticks, expected):
    assert clips.clips_per_segment(n_ticks, clip_ticks) == expected


@pytest.mark.parametrize(
    ("n_ticks", "clip_ticks", "stride", "expected"),
    [
        (300, 100, 100, [0, 100, 200]),
        (301, 100, 100, [0, 100, 200, 201]),
        (250, 100, 50, [0, 50, 100, 150]),
        (99, 100, 100, [0]),
        (1, 100, 7, [0]),
        (5, 1, 1, [0, 1, 2, 3, 4]),
    ],
)
def test_evaluation_starts(n_ticks, clip_ticks, stride, expected):
    assert evaluation_starts(n_ticks, clip_ticks, stride).tolist() == expected
    assert clips.evaluation_clips(n_ticks, clip_ticks, stride) == len(expected)


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.integers(1, 500), st.integers(1, 120), st.data())
def test_evaluation_covers_every_tick(n_ticks, clip_ticks, data):
    stride = data.draw(st.integers(1, clip_ticks))
    starts = evaluation_starts(n_ticks, clip_ticks, stride)
    assert (np.diff(starts) > 0).all()
    assert starts[0] == 0
    covered = starts[:, None] + np.arange(clip_ticks)
    assert set(range(n_ticks)) <= set(covered.ravel())
    if n_ticks >= clip_ticks:
        assert covered.max() == n_ticks - 1
