"""The sound of one recording as one vector per tick."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from avexp_tf.features import lld_stream
from avexp_tf.media import audio_reader

_RATE_HZ = lld_stream.SAMPLE_RATE_HZ
_GAP_PIECE = 10 * _RATE_HZ
# The window of 59 of the 65 descriptors: what a row hears after its own time.
_AHEAD = round(0.020 * _RATE_HZ)
# Keeps a row or a sample at its own time when that time was reached by a division.
_ROUNDING = 1e-6


class SoundTrack:
    """Mean descriptors since the previous tick, and whether anything was heard.

    A tick has the rows of the descriptors that stand after the tick before and not
    after itself. Where there is no such row, because ticks follow faster than rows or
    the last window that fits into the sound has begun, the newest row stands in.

    Sound is present at a tick if the track has a sample that is not zero in 16 bits
    between the tick before and 20 ms after this one, which is what the tick's rows
    hear. A muted microphone, silence written by an editor, sound that starts late, ends
    early, is damaged or isn't there at all: not present. A quiet room: present. Less
    than 60 ms in all, or descriptors that are not finite: not present.

    Use as a context manager. Memory doesn't grow with the length.

    Args:
      blocks: The sound, from `AudioReader`.
      first_interval_secs: How far the first tick reaches back.
    """

    def __init__(
        self,
        blocks: Iterable[audio_reader.AudioBlock],
        first_interval_secs: float = 1 / 30,
    ):
        self._pieces = _pieces(blocks)
        self._first_interval_secs = first_interval_secs
        self._stream: lld_stream.LldStream | None = None
        self._exhausted = False
        self._started = False
        # Of the tick that is being collected.
        self._sum = np.zeros(lld_stream.N_COLUMNS)
        self._count = 0
        self._heard = False
        self._newest: np.ndarray | None = None
        # What was taken and lies after the last tick.
        self._rows = np.zeros((0, lld_stream.N_COLUMNS), np.float32)
        self._first_row = 0
        self._sounding = np.zeros(0, bool)
        self._first_sample = 0

    def __enter__(self) -> SoundTrack:
        return self

    def __exit__(self, *unused: Any) -> None:
        if self._stream is not None:
            self._stream.close()

    def lasts_beyond(self, secs: float) -> bool:
        """Returns whether the track has a sample at or after a time."""
        while self._end_secs() <= secs and not self._exhausted:
            self._pull()
        return self._end_secs() > secs

    def advance(self, secs: float) -> tuple[np.ndarray, bool]:
        """Goes on to the next tick.

        Args:
          secs: Its time, after that of the call before.

        Returns:
          The mean descriptors, float32 [65] (zeros where not present), and whether
          sound is present.

        Raises:
          errors.DataError: if the file's sound can't be used.
          errors.RunError: if openSMILE failed.
        """
        if not self._started and secs > self._first_interval_secs:
            self._collect_until(secs - self._first_interval_secs)
        self._started = True
        self._sum[:] = 0
        self._count, self._heard = 0, False
        self._collect_until(secs)
        mean = np.full(lld_stream.N_COLUMNS, np.nan)
        if self._count:
            mean = self._sum / self._count
        elif self._newest is not None:
            mean = self._newest.astype(np.float64)
        present = self._heard and bool(np.all(np.isfinite(mean)))
        return (mean if present else np.zeros_like(mean)).astype(np.float32), present

    def _end_secs(self) -> float:
        return (self._first_sample + len(self._sounding)) / _RATE_HZ

    def _collect_until(self, secs: float) -> None:
        """Moves the rows and samples up to a time from the track into the tick."""
        n_rows = math.floor(secs * lld_stream.ROWS_PER_SEC + _ROUNDING) + 1
        n_samples = math.floor(secs * _RATE_HZ + _ROUNDING) + 1
        while True:
            self._collect(n_rows, n_samples)
            # A row is there only after the samples that it hears.
            if self._exhausted or self._first_row >= n_rows:
                return
            self._pull()

    def _collect(self, n_rows: int, n_samples: int) -> None:
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

    def _pull(self) -> None:
        """Takes the next piece of sound, and the rows that openSMILE has ready."""
        samples = next(self._pieces, None)
        if samples is None:
            self._exhausted = True
            if self._stream is not None:
                self._append(self._stream.finish())
            return
        if self._stream is None:
            self._stream = lld_stream.LldStream()
        self._sounding = np.concatenate([self._sounding, samples != 0])
        self._append(self._stream.feed(samples))

    def _append(self, rows: np.ndarray) -> None:
        if len(rows):
            self._rows = np.concatenate([self._rows, rows])


def _pieces(blocks: Iterable[audio_reader.AudioBlock]) -> Iterator[np.ndarray]:
    """Yields the sound as int16 pieces without gaps: nothing is zeros."""
    end = 0
    for block in blocks:
        while end < block.start:
            n_missing = min(block.start - end, _GAP_PIECE)
            yield np.zeros(n_missing, np.int16)
            end += n_missing
        yield lld_stream.pcm(block.samples)
        end += len(block.samples)
