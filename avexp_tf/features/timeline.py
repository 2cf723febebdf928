"""The one timeline of a recording: which picture and which sound stand at each tick."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np

from avexp_tf.features import sound_track
from avexp_tf.media import frame as frame_lib

TICK_RATE_HZ = 30
# Many containers round stamps to milliseconds: 66.67 ms is written as 67, and would
# come a whole tick too late without this much grace.
ROUNDING_SECS = 0.0006
# A picture that nothing replaces for longer is a stopped camera, unless the file itself
# says that it is shown so long.
HOLD_SECS = 1.0


@dataclasses.dataclass(frozen=True)
class Tick:
    """One step of the timeline.

    Attributes:
      secs: Since the recording's start.
      frame: What is shown, the same object at each tick that shows it; or None.
      lld: Mean descriptors since the previous tick, float32 [65]; zeros without sound.
      audio_present: There was sound.
    """

    secs: float
    frame: frame_lib.Frame | None
    lld: np.ndarray
    audio_present: bool


def frame_ticks(
    frames: Iterable[frame_lib.Frame], sound: sound_track.SoundTrack
) -> Iterator[Tick]:
    """Yields one tick per frame, at the frame's own time stamp.

    Args:
      frames: In order, `secs` rising.
      sound: Of the same recording.

    Yields:
      The ticks.
    """
    for frame in frames:
        yield Tick(frame.secs, frame, *sound.advance(frame.secs))


def clock_ticks(
    frames: Iterable[frame_lib.Frame], sound: sound_track.SoundTrack
) -> Iterator[Tick]:
    """Yields ticks at k / 30 s, each with the newest frame at or before it.

    The clock runs as long as pictures or sound last. A tick has no frame before the
    first one, after the last one has been shown, where frames could not be decoded, and
    where a frame is older than a second with no new one.

    Args:
      frames: In order, `secs` rising.
      sound: Of the same recording.

    Yields:
      The ticks.
    """
    rest = iter(frames)
    current: frame_lib.Frame | None = None
    upcoming = next(rest, None)
    index = 0
    while True:
        secs = index / TICK_RATE_HZ
        while upcoming is not None and upcoming.secs <= secs + ROUNDING_SECS:
            current, upcoming = upcoming, next(rest, None)
        shown = current
        if current is not None:
            held_secs = current.duration_secs
            if upcoming is not None and not upcoming.lost_before:
                held_secs = max(held_secs, HOLD_SECS)
            if secs >= current.secs + held_secs - ROUNDING_SECS:
                shown = None
        if upcoming is None and shown is None and not sound.lasts_beyond(secs):
            return
        yield Tick(secs, shown, *sound.advance(secs))
        index += 1
