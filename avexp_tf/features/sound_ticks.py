"""From samples and descriptor rows to what one tick has of them."""

from __future__ import annotations

import math

import numpy as np

from avexp_tf.features import lld_stream

_RATE_HZ = lld_stream.SAMPLE_RATE_HZ
# The window of 59 of the 65 descriptors: what a row hears after its own time.
_AHEAD = round(0.020 * _RATE_HZ)
# Keeps a row or a sample at its own time when that time was reached by a division.
_ROUNDING = 1e-6


class SoundTicks:
    """Collects rows and samples, and gives those of one tick after the other.

    Add both as they come, `collect` up to a tick's time until its rows are there, then
    `take`. What a tick gets of them is said at `SoundTrack`.

    Args:
      start_secs: When the first sample is heard and the first row stands.
    """

    def __init__(self, start_secs: float = 0.0):
        # Of the tick that is being collected.
        self._sum = np.zeros(lld_stream.N_COLUMNS)
        self._count = 0
        self._heard = False
        self._newest: np.ndarray | None = None
        # What was added and lies after the last tick.
        self._rows = np.zeros((0, lld_stream.N_COLUMNS), np.float32)
        self._first_row = 0
        self._sounding = np.zeros(0, bool)
        self._first_sample = 0
        self._start_secs = start_secs

    @property
    def end_secs(self) -> float:
        """Where the samples end that were added."""
        n_samples = self._first_sample + len(self._sounding)
        return self._start_secs + n_samples / _RATE_HZ

    def add_samples(self, samples: np.ndarray) -> None:
        """Adds the next samples, int16 [n]."""
        self._sounding = np.concatenate([self._sounding, samples != 0])

    def add_rows(self, rows: np.ndarray) -> None:
        """Adds the next rows, float32 [n, 65]."""
        if len(rows):
            self._rows = np.concatenate([self._rows, rows])

    def collect(self, secs: float) -> bool:
        """Moves what stands up to a time into the tick.

        Returns:
          Whether the row at that time, or the last one before it, was among it.
        """
        secs -= self._start_secs
        n_rows = math.floor(secs * lld_stream.ROWS_PER_SEC + _ROUNDING) + 1
        n_samples = math.floor(secs * _RATE_HZ + _ROUNDING) + 1
        taken = self._rows[: max(n_rows - self._first_row, 0)]
        if len(taken):
            finite = taken[np.isfinite(taken).all(axis=1)]
            self._sum += finite.sum(axis=0, dtype=np.float64)
            self._count += len(finite)
            self._newest = taken[-1].copy()
            self._rows = self._rows[len(taken) :]
            self._first_row += len(taken)
        n_heard = max(n_samples + _AHEAD - self._first_sample, 0)
        self._heard |= bool(self._sounding[:n_heard].any())
        n_done = min(max(n_samples - self._first_sample, 0), len(self._sounding))
        self._sounding = self._sounding[n_done:]
        self._first_sample += n_done
        return self._first_row >= n_rows

    def skip(self) -> None:
        """Leaves out what was collected."""
        self._sum[:] = 0
        self._count, self._heard = 0, False

    def take(self) -> tuple[np.ndarray, bool]:
        """Ends the tick.

        Returns:
          Its mean descriptors, float32 [65] (zeros where not present), and whether
          sound is present.
        """
        mean = np.full(lld_stream.N_COLUMNS, np.nan)
        if self._count:
            mean = self._sum / self._count
        elif self._newest is not None:
            mean = self._newest.astype(np.float64)
        present = self._heard and bool(np.all(np.isfinite(mean)))
        self.skip()
        return (mean if present else np.zeros_like(mean)).astype(np.float32), present
