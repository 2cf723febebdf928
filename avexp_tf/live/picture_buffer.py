"""Pictures that came and are not yet due, in any order."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from avexp_tf.features import timeline


@dataclasses.dataclass(frozen=True)
class LivePicture:
    """One picture of a camera.

    Attributes:
      index: In the order of arrival.
      secs: When it was taken.
      duration_secs: How long it is shown if none follows.
      lost_before: Pictures right before it are known to be lost.
      image: uint8 [height, width, 3], BGR.
    """

    index: int
    secs: float
    duration_secs: float
    lost_before: bool
    image: np.ndarray

    def image_bgr(self) -> np.ndarray:
        """Returns the picture."""
        return self.image


class PictureBuffer:
    """Says which picture each tick shows, as `timeline.clock_ticks` does for files.

    Between two ticks only the newest picture is kept, so that it holds one per tick of
    the time that it is allowed to look ahead.

    Args:
      most_ahead: Ticks beyond the next one for which pictures are kept.
    """

    def __init__(self, most_ahead: int):
        self._most_ahead = most_ahead
        self._waiting: dict[int, LivePicture] = {}  # by the first tick that shows it
        self._next = 0
        self._current: LivePicture | None = None
        self._ended = False
        self._n_pushed = 0
        self.n_dropped = 0  # that came too late or far too early

    def __len__(self) -> int:
        return len(self._waiting)

    def push(
        self,
        image: np.ndarray,
        secs: float,
        duration_secs: float,
        lost_before: bool = False,
    ) -> None:
        """Adds a picture; one that came too late to be shown counts as dropped."""
        picture = LivePicture(self._n_pushed, secs, duration_secs, lost_before, image)
        self._n_pushed += 1
        self._ended = False
        is_older = self._current is not None and secs <= self._current.secs
        ends_secs = secs + max(duration_secs, timeline.HOLD_SECS)
        if is_older or ends_secs <= self._next / timeline.TICK_RATE_HZ:
            self.n_dropped += 1
            return
        due = (secs - timeline.ROUNDING_SECS) * timeline.TICK_RATE_HZ - 1e-9
        if due > self._next + self._most_ahead:
            self.n_dropped += 1
            return
        tick = max(math.ceil(due), self._next)
        other = self._waiting.get(tick)
        if other is not None:
            first, newest = sorted((other, picture), key=lambda one: one.secs)
            picture = dataclasses.replace(newest, lost_before=first.lost_before)
        self._waiting[tick] = picture

    def end(self) -> None:
        """Says that no picture will come: what is shown lasts as long as it says."""
        self._ended = True

    def take(self, tick: int) -> tuple[LivePicture | None, LivePicture | None]:
        """Goes on to a tick.

        Args:
          tick: Its number; pictures of ticks before are passed over.

        Returns:
          What it shows, None where nothing does; and the last picture that was shown
          at all.
        """
        for due in sorted(key for key in self._waiting if key <= tick):
            self._current = self._waiting.pop(due)
        self._next = tick + 1
        return self._shown_at(tick, self._current), self._current

    def lasts_at(self, tick: int) -> bool:
        """Returns whether a picture is shown at a tick, or comes after it."""
        if any(due > tick for due in self._waiting):
            return True
        due = max(self._waiting, default=None)
        current = self._current if due is None else self._waiting[due]
        return self._shown_at(tick, current) is not None

    def clear(self) -> None:
        """Lets go of everything."""
        self._waiting = {}
        self._current = None

    def restart(self, tick: int) -> None:
        """Lets go of what was due before a tick, and goes on there."""
        self._waiting = {
            due: picture for due, picture in self._waiting.items() if due >= tick
        }
        self._current = None
        self._next = tick

    def _shown_at(self, tick: int, current: LivePicture | None) -> LivePicture | None:
        """Returns the newest picture up to a tick, unless it has been shown enough."""
        if current is None:
            return None
        later = [due for due in self._waiting if due > tick]
        upcoming = self._waiting[min(later)] if later else None
        held_secs = current.duration_secs
        comes = not self._ended if upcoming is None else not upcoming.lost_before
        if comes:
            held_secs = max(held_secs, timeline.HOLD_SECS)
        secs = tick / timeline.TICK_RATE_HZ
        ends_secs = current.secs + held_secs - timeline.ROUNDING_SECS
        return current if secs < ends_secs else None
