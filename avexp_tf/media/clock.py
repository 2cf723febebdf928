"""Time stamps of one stream as seconds on the recording's clock."""

from __future__ import annotations

import fractions

from avexp_tf import errors
from avexp_tf.media import splices as splices_lib

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
      splices: Of this stream.
    """

    def __init__(
        self,
        name: str,
        origin_secs: float,
        period_secs: float,
        splices: splices_lib.Splices,
    ):
        self._name = name
        self._origin_secs = origin_secs
        self._period_secs = period_secs
        self._splices = splices
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
            if last - secs >= splices_lib.SPLICE_SECS:
                stamp_secs = secs + self._origin_secs
                self._origin_secs = self._splices.next_origin_secs(
                    stamp_secs, last, self._period_secs
                )
                secs = stamp_secs - self._origin_secs
            else:
                secs = last + NUDGE_SECS
        self._last_secs = secs
        return secs
