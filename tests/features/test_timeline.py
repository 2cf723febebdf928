"""Which frame stands at which tick."""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from avexp_tf.features import timeline
from avexp_tf.media import frame as frame_lib


@dataclasses.dataclass
class Silence:
    """A sound track that has nothing and ends at a time."""

    end_secs: float = 0.0

    def advance(self, secs):
        return np.zeros(65, np.float32), secs < self.end_secs

    def lasts_beyond(self, secs):
        return secs < self.end_secs


def frames(secs, durations=None, lost=(), last=0.04):
    secs = list(secs)
    if durations is None:
        durations = [*np.diff(secs), last]
    return [
        frame_lib.Frame(index, sec, duration, index in lost, None, None)
        for index, (sec, duration) in enumerate(zip(secs, durations, strict=True))
    ]


def shown(ticks):
    return [-1 if tick.frame is None else tick.frame.index for tick in ticks]


def test_clock_takes_the_newest_frame_at_25_per_second():
    ticks = list(timeline.clock_ticks(frames(np.arange(25) / 25), Silence()))
    assert [tick.secs for tick in ticks] == [k / 30 for k in range(30)]
    # By hand: tick 1 at 33 ms still shows frame 0 (0 ms), tick 2 at 67 ms frame 1 (40).
    assert shown(ticks)[:7] == [0, 0, 1, 2, 3, 4, 5]
    assert shown(ticks) == [k * 25 // 30 for k in range(30)]


def test_clock_at_60_per_second_takes_every_other_frame():
    ticks = timeline.clock_ticks(frames(np.arange(120) / 60, last=1 / 60), Silence())
    assert shown(ticks) == list(range(0, 120, 2))


def test_stamps_rounded_to_milliseconds_lose_no_frame():
    secs = np.round(np.arange(90) / 30, 3)
    ticks = timeline.clock_ticks(frames(secs, last=1 / 30), Silence())
    assert shown(ticks) == list(range(90))


def test_over_hours_nothing_drifts():
    secs = np.arange(200_000) * 1001 / 30_000
    last = -1
    for tick in timeline.clock_ticks(frames(secs), Silence()):
        assert -0.00061 < tick.secs - tick.frame.secs < 1 / 30 + 0.001
        assert tick.frame.index >= last
        last = tick.frame.index
    assert tick.secs == pytest.approx(secs[-1], abs=0.04)


def test_before_the_first_and_after_the_last_frame_there_is_none():
    ticks = list(timeline.clock_ticks(frames([0.1, 0.14]), Silence(0.3)))
    assert shown(ticks) == [-1, -1, -1, 0, 0, 1, -1, -1, -1]
    assert all(tick.audio_present for tick in ticks)


def test_no_video_at_all_runs_as_long_as_the_sound():
    ticks = list(timeline.clock_ticks([], Silence(1.0)))
    assert shown(ticks) == [-1] * 30
    assert list(timeline.clock_ticks([], Silence())) == []


def test_lost_frames_are_a_gap_from_when_the_last_one_ended():
    some = frames([0.0, 0.04, 0.08, 0.36, 0.40], [0.04] * 5, lost={3})
    ticks = timeline.clock_ticks(some, Silence())
    # Frame 2 ends at 120 ms, frame 3 starts at 360 ms: ticks 4 (133) to 10 (333).
    assert shown(ticks) == [0, 0, 1, 2, *[-1] * 7, 3, 4, 4]


def test_a_picture_is_held_for_a_second_or_as_long_as_the_file_says():
    held = shown(timeline.clock_ticks(frames([0.0, 3.0], [0.04, 0.04]), Silence()))
    assert held == [0] * 30 + [-1] * 60 + [1] * 2
    held = shown(timeline.clock_ticks(frames([0.0, 3.0], [3.0, 0.04]), Silence()))
    assert held == [0] * 90 + [1] * 2


def test_frame_ticks_stand_at_the_frames():
    some = frames([0.05, 0.2, 0.21])
    ticks = list(timeline.frame_ticks(some, Silence(0.21)))
    assert [tick.secs for tick in ticks] == [0.05, 0.2, 0.21]
    assert [tick.frame for tick in ticks] == some
    assert [tick.audio_present for tick in ticks] == [True, True, False]


@hypothesis.given(
    st.lists(st.floats(0.002, 0.9), min_size=1, max_size=60), st.floats(0, 2)
)
def test_every_tick_shows_the_newest_frame_at_or_before_it(steps, start):
    secs = start + np.cumsum(steps) - steps[0]
    some = frames(secs, [*steps[1:], 0.04])
    ticks = list(timeline.clock_ticks(some, Silence()))
    assert [tick.secs for tick in ticks] == [k / 30 for k in range(len(ticks))]
    for tick in ticks:
        before = np.flatnonzero(secs <= tick.secs + timeline.ROUNDING_SECS)
        expected = before[-1] if len(before) else -1
        end = secs[-1] + 0.04
        if tick.secs < end - timeline.ROUNDING_SECS:
            assert shown([tick]) == [expected]
