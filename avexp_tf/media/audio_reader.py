"""The sound of a media file, on the same clock as its pictures: mono, 16 kHz."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from avexp_tf import errors
from avexp_tf.media import clock
from avexp_tf.media import container
from avexp_tf.media import resampler
from avexp_tf.media import splices as splices_lib

SAMPLE_RATE_HZ = 16_000
# Stamps of many containers are rounded to milliseconds and tremble by a packet or so;
# up to here the sample count is believed, beyond it the stamps. Less than a tick.
TOLERANCE_SECS = 0.020
# What microphones, files and sound cards use; anything else is a damaged header.
_RATES_HZ = (1_000, 768_000)


@dataclasses.dataclass(frozen=True)
class AudioBlock:
    """Consecutive samples.

    Attributes:
      start: Where the first one stands: sample i is heard at i / rate seconds.
      samples: Nominally in [-1, 1], float32 [n]: the mean of all channels; or
        [channels, n], where a layout was asked for.
    """

    start: int
    samples: np.ndarray


class AudioReader:
    """Decodes the sound of a file, one packet at a time, whatever its length.

    Blocks come in order and never overlap. Where one starts after the end of the one
    before, the file has no sound in between: it starts late, a packet is damaged, or
    the stamps jump.

    Args:
      path: A media file.
      rate_hz: Samples per second to give.
      layout: `stereo` or another of FFmpeg's layouts to keep channels apart; empty
        gives their mean.

    Attributes:
      n_damaged: Packets that could not be decoded, so far.
      broke_off: The file ended before its container said so.
      end_secs: Where the last block so far ends; None if there was none.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate_hz: int = SAMPLE_RATE_HZ,
        layout: str = "",
    ):
        self._path = pathlib.Path(path)
        self._rate_hz = rate_hz
        self._layout = layout
        self.n_damaged = 0
        self.broke_off = False
        self.end_secs: float | None = None

    def __iter__(self) -> Iterator[AudioBlock]:
        """Yields the blocks; none without an audio stream.

        Raises:
          errors.DataError: if the file can't be opened, or a stamp or the sample rate
            can't be true.
        """
        with container.opened(self._path) as opened:
            stream = container.stream(opened, "audio")
            if stream is None:
                return
            origin_secs = container.origin_secs(opened)
            line = _SampleLine(
                str(self._path),
                origin_secs,
                self._rate_hz,
                self._layout,
                splices_lib.Splices(self._path, "audio", origin_secs),
            )
            for decoded in self._decoded(opened, stream):
                yield from self._ended(line.placed(decoded))
                self.n_damaged += line.take_damaged()
            yield from self._ended(line.flushed())

    def _ended(self, blocks: Iterator[AudioBlock]) -> Iterator[AudioBlock]:
        for block in blocks:
            n_samples = block.samples.shape[-1]
            self.end_secs = (block.start + n_samples) / self._rate_hz
            yield block

    def _decoded(self, opened: Any, stream: Any) -> Iterator[Any]:
        for packet in container.packets(opened, stream):
            if packet is None:
                self.broke_off = True
                return
            try:
                yield from packet.decode()
            except (av.FFmpegError, OSError, ValueError):
                self.n_damaged += 1


class _SampleLine:
    """Puts decoded frames of any rate and layout on one line of samples.

    A run is a stretch whose samples are counted from one stamp; where a later stamp
    disagrees with the count, the next run starts.
    """

    def __init__(
        self,
        name: str,
        origin_secs: float,
        rate_hz: int,
        layout: str,
        splices: splices_lib.Splices,
    ):
        self._name = name
        self._splices = splices
        self._rate_hz = rate_hz
        self._origin_secs = origin_secs
        self._resampler = resampler.Resampler(rate_hz, layout)
        self._run_secs = 0.0  # where the run starts
        self._n_in = 0  # samples that went into it
        self._n_out = 0  # samples that came out of it
        self._end = 0  # first sample of the line that nothing was written to
        self._n_told = 0  # damaged frames

    def placed(self, decoded: Any) -> Iterator[AudioBlock]:
        rate_hz = decoded.sample_rate
        if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
            raise errors.DataError(
                f"{self._name}: damaged: sound at {rate_hz} Hz; {_RATES_HZ[0]} to "
                f"{_RATES_HZ[1]} Hz are believed"
            )
        expected_secs = self._run_secs
        if self._resampler.in_rate_hz:
            expected_secs += self._n_in / self._resampler.in_rate_hz
        secs = self._secs(decoded, expected_secs)
        if (
            not self._resampler.fits(decoded)
            or abs(secs - expected_secs) > TOLERANCE_SECS
        ):
            yield from self.flushed()
            self._run_secs = secs
            self._n_in = self._n_out = 0
        self._n_in += decoded.samples
        decoded.pts = None  # positions are counted here, not in the resampler
        yield from self._written(self._resampler.take(decoded))

    def flushed(self) -> Iterator[AudioBlock]:
        yield from self._written(self._resampler.flush())

    def _secs(self, decoded: Any, expected_secs: float) -> float:
        """Returns when a frame is heard; a step back by a splice moves the origin."""
        if decoded.pts is None or decoded.time_base is None:
            return expected_secs
        secs = float(decoded.pts * decoded.time_base) - self._origin_secs
        if secs - expected_secs > clock.LONGEST_STEP_SECS:
            raise errors.DataError(
                f"{self._name}: damaged: time stamps jump from {expected_secs:.3f} s "
                f"to {secs:.3f} s; at most {clock.LONGEST_STEP_SECS:.0f} s are believed"
            )
        steps_back = expected_secs - secs >= splices_lib.SPLICE_SECS
        if not (self._resampler.in_rate_hz and steps_back):
            return secs
        stamp_secs = secs + self._origin_secs
        self._origin_secs = self._splices.next_origin_secs(stamp_secs, expected_secs)
        return stamp_secs - self._origin_secs

    def take_damaged(self) -> int:
        """Returns how many frames could not be resampled since the last call."""
        n_new = self._resampler.n_damaged - self._n_told
        self._n_told += n_new
        return n_new

    def _written(self, pieces: list[np.ndarray]) -> Iterator[AudioBlock]:
        for samples in pieces:
            n_samples = samples.shape[-1]
            start = round(self._run_secs * self._rate_hz) + self._n_out
            self._n_out += n_samples
            # What a step back would write a second time, or before second 0.
            n_known = min(max(self._end - start, 0), n_samples)
            if n_known < n_samples:
                self._end = start + n_samples
                yield AudioBlock(start + n_known, samples[..., n_known:])
