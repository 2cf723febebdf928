"""The sound of a call as one vector per tick, the same as a file's."""

from __future__ import annotations

import math
import time

import numpy as np

from avexp_tf import errors
from avexp_tf.features import lld_stream
from avexp_tf.features import sound_ticks
from avexp_tf.live import sound_buffer

_RATE_HZ = lld_stream.SAMPLE_RATE_HZ
# How much sound after a row's time openSMILE takes before it gives the row: a window of
# 60 ms, and smoothing over the rows that follow. 0.09 s were measured.
LAG_SECS = 0.1
# Where a voice begins or ends, its pitch smoother can hold rows back by 1.5 s more.
LONGEST_LAG_SECS = 1.7
# How long it may think about sound that it has; longer means that it wants more.
_GRACE_SECS = 0.1
_START_SECS = 3.0  # the same for the first row, while its process starts
# Sound that begins later than this is not preceded by all the silence before it.
_LEAD_SECS = 10.0
_PATIENCE_SECS = 10.0


class LiveSound:
    """Mean descriptors per tick of sound that comes in any rhythm.

    A tick whose rows openSMILE holds back, because it wants more sound than has come,
    gets the newest row instead, and the rows count for the tick at which they come. So
    a call that waits for `LONGEST_LAG_SECS` has exactly a file's descriptors, and a
    shorter delay has them but for moments at which the voice begins or ends.

    Call `close` when done.

    Args:
      ahead_secs: How far beyond the next tick sound is kept.
    """

    def __init__(self, ahead_secs: float):
        most = math.ceil((ahead_secs + _LEAD_SECS) * _RATE_HZ)
        self._buffer = sound_buffer.SoundBuffer(most)
        self._stream: lld_stream.LldStream | None = None
        self._ticks = sound_ticks.SoundTicks()
        self._ended = False
        self._answered = False  # openSMILE has started and given a row
        self._lags = False
        self.n_restarts = 0
        self.n_late = 0  # ticks whose rows were held back

    @property
    def n_dropped(self) -> int:
        """Samples that came too late or too early."""
        return self._buffer.n_dropped

    def push(self, samples: np.ndarray, secs: float) -> None:
        """Adds a block.

        Args:
          samples: float [n] in [-1, 1], 16 kHz.
          secs: When the first one was heard.
        """
        self._ended = False
        self._buffer.push(lld_stream.pcm(samples), round(secs * _RATE_HZ))

    def end(self) -> None:
        """Says that no sound will come."""
        self._ended = True
        self._buffer.settle()

    def lasts_beyond(self, secs: float) -> bool:
        """Returns whether there is a sample at or after a time."""
        return max(self._ticks.end_secs, self._buffer.end / _RATE_HZ) > secs

    def advance(self, secs: float) -> tuple[np.ndarray, bool]:
        """Goes on to the next tick.

        Args:
          secs: Its time.

        Returns:
          The mean descriptors, float32 [65] (zeros where not present), and whether
          sound is present.
        """
        if self._stream is None:
            lead = round((secs - _LEAD_SECS) * _RATE_HZ)
            if lead > self._buffer.start:
                self._buffer.restart(lead)
            if self._buffer.end > self._buffer.start:
                self._ticks = sound_ticks.SoundTicks(self._buffer.start / _RATE_HZ)
                self._stream = lld_stream.LldStream()
                self._answered = self._lags = False
        self._feed(secs + LAG_SECS)
        self._wait(secs)
        return self._ticks.take()

    def clear(self) -> None:
        """Lets go of the samples that wait."""
        self._buffer.clear()

    def reset(self, secs: float) -> None:
        """Starts afresh at a time; what came before is let go."""
        self.close()
        self._ticks = sound_ticks.SoundTicks(secs)
        self._buffer.restart(round(secs * _RATE_HZ))

    def close(self) -> None:
        """Stops openSMILE."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _fail(self) -> None:
        """Lets go of an openSMILE that does not answer; the next tick starts one."""
        self.close()
        self._ticks.skip()
        self.n_restarts += 1

    def _wait(self, secs: float) -> None:
        """Waits for the rows up to a time, unless openSMILE wants sound to come."""
        has_more = True
        since = time.monotonic()
        grace_secs = _GRACE_SECS if self._answered else max(_START_SECS, _GRACE_SECS)
        while not self._ticks.collect(secs) and self._stream is not None:
            rows = self._rows(0.0 if self._lags and not has_more else 0.02)
            if len(rows):
                self._ticks.add_rows(rows)
                self._answered, grace_secs = True, _GRACE_SECS
                since = time.monotonic()
                continue
            waited_secs = time.monotonic() - since
            if has_more and (self._lags or waited_secs > grace_secs):
                self._feed(min(secs + LONGEST_LAG_SECS, self._buffer.end / _RATE_HZ))
                has_more = False
                since = time.monotonic()
            elif waited_secs > _PATIENCE_SECS:
                self._fail()
            elif self._answered and not has_more:
                has_all = self._buffer.start >= (secs + LONGEST_LAG_SECS) * _RATE_HZ - 1
                if not has_all and (self._lags or waited_secs > grace_secs):
                    self._lags = True
                    self.n_late += 1
                    return
        self._lags = False

    def _rows(self, wait_secs: float) -> np.ndarray:
        assert self._stream is not None
        try:
            return self._stream.wait(wait_secs)
        except errors.RunError:
            self._fail()
            return np.zeros((0, lld_stream.N_COLUMNS), np.float32)

    def _feed(self, secs: float) -> None:
        """Gives openSMILE the sound up to a time, or all if no more will come."""
        if self._stream is None:
            return
        stop = math.ceil(secs * _RATE_HZ)
        is_last = self._ended and self._buffer.end <= stop
        if is_last:
            stop = self._buffer.end
        samples = self._buffer.take(stop)
        self._ticks.add_samples(samples)
        try:
            self._ticks.add_rows(self._stream.feed(samples))
            if is_last:
                self._ticks.add_rows(self._stream.finish())
                self.close()
        except errors.RunError:
            self._fail()
