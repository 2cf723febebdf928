"""The sound of one recording as one vector per tick."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from avexp_tf.features import lld_stream
from avexp_tf.features import sound_ticks
from avexp_tf.media import audio_reader

_GAP_PIECE = 10 * lld_stream.SAMPLE_RATE_HZ


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
        self._ticks = sound_ticks.SoundTicks()

    def __enter__(self) -> SoundTrack:
        return self

    def __exit__(self, *unused: Any) -> None:
        if self._stream is not None:
            self._stream.close()

    def lasts_beyond(self, secs: float) -> bool:
        """Returns whether the track has a sample at or after a time."""
        while self._ticks.end_secs <= secs and not self._exhausted:
            self._pull()
        return self._ticks.end_secs > secs

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
            self._ticks.skip()
        self._started = True
        self._collect_until(secs)
        return self._ticks.take()

    def _collect_until(self, secs: float) -> None:
        # A row is there only after the samples that it hears.
        while not self._ticks.collect(secs) and not self._exhausted:
            self._pull()

    def _pull(self) -> None:
        """Takes the next piece of sound, and the rows that openSMILE has ready."""
        samples = next(self._pieces, None)
        if samples is None:
            self._exhausted = True
            if self._stream is not None:
                self._ticks.add_rows(self._stream.finish())
            return
        if self._stream is None:
            self._stream = lld_stream.LldStream()
        self._ticks.add_samples(samples)
        self._ticks.add_rows(self._stream.feed(samples))


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
