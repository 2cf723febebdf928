"""Time stamps of one stream as seconds on the recording's clock."""

from __future__ import annotations

import fractions

from avexp_tf import errors

# A step back by less than this is a slip of the muxer; by more, the file was spliced
# from two, and the clock goes on from where it was.
SPLICE_SECS = 1.0
# A longer step forward is a damaged stamp, not a pause.
LONGEST_STEP_SECS = 3600.0
# How far past its neighbour a frame is put whose stamp does not rise.
NUDGE_SECS = 0.001


class StreamClock:
    """Reads the stamps of one stream in order.

    Args:
      name: Of the file, for messages.
      origin_secs: The stamp, in seconds, of second 0.
      period_secs: How long a frame lasts that doesn't say so.
    """

    def __init__(self, name: str, origin_secs: float, period_secs: float):
        self._name = name
        self._origin_secs = origin_secs
        self._period_secs = period_secs
        self._last_secs: float | None = None

    def read(self, pts: int | None, time_base: fractions.Fraction | None) -> float:
        """Returns when a frame stands; every call returns more than the one before.

        Args:
          pts: The frame's stamp, or None where the file gives none.
          time_base: Seconds per unit of `pts`.

        Returns:
          Seconds since the recording's start.

        Raises:
          errors.DataError: if the stamp lies more than an hour after the one before.
        """
        last = self._last_secs
        if pts is None or time_base is None:
            secs = 0.0 if last is None else last + self._period_secs
        else:
            secs = float(pts * time_base) - self._origin_secs
        reference = 0.0 if last is None else last
        if secs - reference > LONGEST_STEP_SECS:
            raise errors.DataError(
                f"{self._name}: damaged: time stamps jump from {reference:.3f} s to "
                f"{secs:.3f} s; at most {LONGEST_STEP_SECS:.0f} s are believed"
            )
        if last is not None and secs <= last:
            if last - secs >= SPLICE_SECS:
                moved = last + self._period_secs
                self._origin_secs += secs - moved
                secs = moved
            else:
                secs = last + NUDGE_SECS
        self._last_secs = secs
        return secs
