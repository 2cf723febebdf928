"""Samples that came and are not yet due, in any order."""

from __future__ import annotations

import numpy as np

from avexp_tf.features import lld_stream
from avexp_tf.media import audio_reader

_RATE_HZ = lld_stream.SAMPLE_RATE_HZ
_TOLERANCE = round(audio_reader.TOLERANCE_SECS * _RATE_HZ)


class SoundBuffer:
    """Puts blocks of sound in their places on one line of samples.

    Stamps tremble: a block that starts within 20 ms, and within half of its length, of
    where another one ends goes on from there; beyond that its stamp is believed. That
    is decided in the order of the stamps, once the block is due: what comes before it
    may still be under way. Where blocks overlap, the earlier one counts.

    Args:
      most_ahead: Samples that are kept beyond those that were taken.

    Attributes:
      start: The next sample to be taken.
      n_dropped: Samples that came too late or too early.
    """

    def __init__(self, most_ahead: int):
        self.start = 0
        self.n_dropped = 0
        self._samples = np.zeros(most_ahead, np.int16)
        self._known = np.zeros(most_ahead, bool)
        self._known_before = False  # whether the sample before `start` came
        self._waiting: list[tuple[int, np.ndarray]] = []  # not due: place, samples
        self._n_waiting = 0  # their samples

    @property
    def end(self) -> int:
        """One after the last sample that came; `start` where none is waiting."""
        places = np.flatnonzero(self._known)
        known = self.start + (int(places[-1]) + 1 if len(places) else 0)
        ends = [place + len(block) for place, block in self._waiting]
        return max([known, *ends])

    def clear(self) -> None:
        """Lets go of everything."""
        self._waiting, self._n_waiting = [], 0
        self._known[:] = False
        self._samples[:] = 0
        self._known_before = False

    def restart(self, start: int) -> None:
        """Lets go of everything before a place on the line."""
        self.take(min(start, self.start + len(self._samples)))
        self.start = start

    def push(self, samples: np.ndarray, place: int) -> None:
        """Adds a block.

        Args:
          samples: int16 [n].
          place: Where its stamp says that it starts.
        """
        if self.start <= place <= self.start + len(self._samples) - len(samples):
            self._waiting.append((place, samples))
            self._n_waiting += len(samples)
            # Of a sender that says the same time again and again.
            if self._n_waiting > 2 * len(self._samples):
                self.settle()
        else:
            self._put(samples, place)

    def _put(self, samples: np.ndarray, place: int) -> None:
        first = self._snapped(place - self.start, _tolerance(samples))
        stop = first + len(samples)
        known_from, known_to = max(first, 0), min(stop, len(self._samples))
        self.n_dropped += len(samples) - max(known_to - known_from, 0)
        if known_from >= known_to:
            return
        span = slice(known_from, known_to)
        new = samples[known_from - first : known_to - first]
        self._samples[span] = np.where(self._known[span], self._samples[span], new)
        self._known[span] = True

    def settle(self, stop: int | None = None) -> None:
        """Decides where blocks belong.

        Args:
          stop: Of those that may reach to before this place; None takes all.
        """
        due: list[tuple[int, np.ndarray]] = []
        waiting: list[tuple[int, np.ndarray]] = []
        for one in self._waiting:
            is_due = stop is None or one[0] - _tolerance(one[1]) < stop
            (due if is_due else waiting).append(one)
        if due:
            self._waiting = waiting
            self._n_waiting = sum(len(block) for _, block in waiting)
            for place, block in sorted(due, key=lambda one: one[0]):
                self._put(block, place)

    def take(self, stop: int) -> np.ndarray:
        """Removes the samples before a place; what did not come is zeros.

        Args:
          stop: At most `most_ahead` after `start`.

        Returns:
          int16 [stop - start].
        """
        n_taken = stop - self.start
        if n_taken <= 0:
            return np.zeros(0, np.int16)
        self.settle(stop)
        taken = self._samples[:n_taken].copy()
        self._known_before = bool(self._known[n_taken - 1])
        for array in (self._samples, self._known):
            array[:-n_taken] = array[n_taken:]
            array[-n_taken:] = 0
        self.start = stop
        return taken

    def _snapped(self, place: int, tolerance: int) -> int:
        """Returns the end of a block that is near a place, or the place itself."""
        low = max(place - tolerance, 0)
        high = min(place + tolerance, len(self._known) - 1)
        if low > high:
            return place
        around = self._known[low : high + 1]
        before = self._known[low - 1] if low else self._known_before
        ends = low + np.flatnonzero(~around & np.append(before, around[:-1]))
        if not len(ends):
            return place
        return int(ends[np.argmin(np.abs(ends - place))])


def _tolerance(samples: np.ndarray) -> int:
    return min(_TOLERANCE, len(samples) // 2 - 1)
