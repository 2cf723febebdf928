"""The clock of whoever sends a call: where its stamps stand, and which are believed."""

from __future__ import annotations

import math

# So many packets in a row from long ago come from a sender that started afresh, and so
# many from far ahead tell of a stall; of fewer the stamps are wrong.
AGREE = 10


class SenderClock:
    """Puts the stamps of packets on a call's timeline.

    Args:
      origin_secs: When the timeline begins; None takes the first packet's time.
      late_secs: A packet that lies further behind the next tick is from long ago.
      early_secs: One that lies further ahead of it is not believed alone.

    Attributes:
      origin_secs: Likewise; None before the first packet.
      newest_secs: The latest stamp that was believed.
    """

    def __init__(self, origin_secs: float | None, late_secs: float, early_secs: float):
        self.origin_secs = origin_secs
        self.newest_secs = -math.inf
        self._late_secs = late_secs
        self._early_secs = early_secs
        self._new_origin_secs: float | None = None
        self.forget()

    def forget(self) -> None:
        """Leaves out of account what the last packets said."""
        self._n_late = self._n_early = 0  # in a row

    def place(self, secs: float, next_secs: float) -> tuple[float, bool]:
        """Places a packet.

        Args:
          secs: Its stamp.
          next_secs: Where the next tick stands on the timeline.

        Returns:
          Seconds after the origin, and whether they are believed.
        """
        if self.origin_secs is None:
            self.origin_secs = secs
        place = secs - self.origin_secs
        is_late = place < next_secs - self._late_secs
        is_early = place > next_secs + self._early_secs
        self._n_late = self._n_late + 1 if is_late else 0
        self._n_early = self._n_early + 1 if is_early else 0
        if self._n_late >= AGREE:
            self._new_origin_secs = secs
        return place, not is_late and not 0 < self._n_early < AGREE

    def heard(self, secs: float) -> None:
        """Takes the time up to which a packet that is believed reaches."""
        self.newest_secs = max(self.newest_secs, secs)

    def started_afresh(self) -> bool:
        """Returns whether the sender's clock did so; then the origin is a new one."""
        if self._new_origin_secs is None:
            return False
        self.origin_secs = self.newest_secs = self._new_origin_secs
        self._new_origin_secs = None
        return True
