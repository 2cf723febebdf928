"""Where a sender's clock lies on this machine's, by when its packets arrive."""

from __future__ import annotations

import collections
import math
import threading

from avexp_tf.live import sender_clock

# What came on time within these seconds says how the clocks lie. Long enough to hold a
# packet of every stream, short enough that a call which falls behind soon goes on.
_RECENT_SECS = 2.0
# Less is no news: sound that is put elsewhere has a gap.
_SLACK_SECS = 0.05
# Stamps so far off are of another clock if several in a row agree; one is just wrong.
_FAR_SECS = 5.0
# How much faster than this machine's a clock may run before packets are held back.
_DRIFT = 1e-3


class ArrivalClock:
    """Puts packets on a timeline that always goes on, by the stamps of their sender.

    The least late of the last packets are on time. So a sender that pauses, falls
    behind, or starts its clock afresh is followed within seconds: its stamps count from
    the present then. May be used from several threads.

    Args:
      backlog_secs: How old what comes at the beginning of a stream may be. By as much
        packets may come early, as where a camera's last seconds are sent at once;
        earlier ones are due when their stamps say. 0 for a file, whose server may send
        it as fast as it likes.
    """

    def __init__(self, backlog_secs: float = math.inf):
        self._backlog_secs = backlog_secs
        self._start_secs: float | None = None  # zero of the stamps, by this machine
        self._shift_secs = 0.0  # of the stamps, on the timeline
        self._floor_secs = -math.inf
        self._anchored_secs = 0.0
        # When each came, and the zero that it speaks for: both only grow.
        self._recent: collections.deque[tuple[float, float]] = collections.deque()
        self._n_far, self._far_secs = 0, 0.0  # in a row, and the zero they speak for
        self._lock = threading.Lock()

    def now(self, now_secs: float) -> float | None:
        """Returns the time on the timeline; None before the first packet.

        Args:
          now_secs: By this machine's clock.
        """
        with self._lock:
            if self._start_secs is None:
                return None
            return now_secs - self._start_secs + self._shift_secs

    def arrived(self, secs: float, now_secs: float) -> tuple[float, float]:
        """Takes a packet that arrives.

        Args:
          secs: Its stamp, by the sender's clock.
          now_secs: The time, by this machine's.

        Returns:
          Its time on the timeline; and when it is due by this machine's clock, in the
          past if it is late.
        """
        with self._lock:
            start_secs = now_secs - secs
            if self._start_secs is None:
                self._start_secs = start_secs
                self._anchor(start_secs, now_secs)
            if self._is_far(start_secs):
                if self._n_far < sender_clock.AGREE:
                    return secs + self._shift_secs, now_secs
                self._shift_secs += start_secs - self._start_secs
                self._start_secs = start_secs
                self._anchor(start_secs, now_secs)
            self._follow(start_secs, now_secs)
            return secs + self._shift_secs, self._start_secs + secs

    def _is_far(self, start_secs: float) -> bool:
        """Returns whether a packet speaks for another clock, and counts those."""
        assert self._start_secs is not None
        late_secs = start_secs - self._start_secs
        # Of a file whatever comes early waits.
        if abs(late_secs) <= _FAR_SECS or (late_secs < 0 and not self._backlog_secs):
            self._n_far = 0
            return False
        if abs(start_secs - self._far_secs) > _FAR_SECS:
            self._n_far, self._far_secs = 0, start_secs
        self._n_far += 1
        return True

    def _anchor(self, start_secs: float, now_secs: float) -> None:
        self._recent.clear()
        floor_secs = start_secs - self._backlog_secs
        if self._backlog_secs and self._floor_secs > -math.inf:
            # What was held up may all come at once, up to the present.
            floor_secs = min(floor_secs, self._floor_secs)
        self._floor_secs = floor_secs
        self._anchored_secs = now_secs
        self._n_far = 0

    def _follow(self, start_secs: float, now_secs: float) -> None:
        """Moves the zero to that of the least late of the last packets."""
        assert self._start_secs is not None
        drifted_secs = _DRIFT * (now_secs - self._anchored_secs)
        start_secs = max(start_secs, self._floor_secs - drifted_secs)
        while self._recent and self._recent[0][0] < now_secs - _RECENT_SECS:
            self._recent.popleft()
        while self._recent and self._recent[-1][1] >= start_secs:
            self._recent.pop()
        self._recent.append((now_secs, start_secs))
        late_secs = self._recent[0][1] - self._start_secs
        if late_secs > _SLACK_SECS:
            # All are late: they stand later, and the time goes on as it did.
            self._shift_secs += late_secs
            if not self._backlog_secs:
                self._floor_secs += late_secs
        elif late_secs > 0:
            return
        # One that is early says that it is later already.
        self._start_secs += late_secs
