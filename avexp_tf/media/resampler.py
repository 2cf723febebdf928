"""Decoded sound of any rate, layout and format as samples of one rate."""

from __future__ import annotations

from typing import Any

import av
import numpy as np


class Resampler:
    """Takes frames one after the other; one of another format starts it afresh.

    Args:
      rate_hz: Samples per second to give.
      layout: `stereo` or another of FFmpeg's layouts to keep channels apart; empty
        gives their mean.

    Attributes:
      in_rate_hz: Of the frames that it takes now; 0 before the first one, and after one
        that was damaged.
      n_damaged: Frames that could not be resampled, so far.
    """

    def __init__(self, rate_hz: int, layout: str = ""):
        self.in_rate_hz = 0
        self.n_damaged = 0
        self._rate_hz = rate_hz
        self._layout = layout
        self._shape: Any = None  # rate, layout and format that it takes
        self._resampler: Any = None

    def fits(self, decoded: Any) -> bool:
        """Returns whether a frame, an `av.AudioFrame`, goes on from the one before."""
        return _shape(decoded) == self._shape

    def take(self, decoded: Any) -> list[np.ndarray]:
        """Resamples the next frame.

        Args:
          decoded: An `av.AudioFrame`.

        Returns:
          Pieces of float32 [n], or [channels, n] where a layout was asked for.
        """
        if self._resampler is None or not self.fits(decoded):
            self._shape = _shape(decoded)
            self.in_rate_hz = decoded.sample_rate
            # Packed, in one plane: of planar sound with 8 channels and more, which a
            # damaged header can claim, PyAV reads planes that there are not.
            self._resampler = av.AudioResampler(
                format="flt", layout=self._layout or decoded.layout, rate=self._rate_hz
            )
        return self._pieces(decoded)

    def flush(self) -> list[np.ndarray]:
        """Returns the samples that are left, and starts afresh at the next frame."""
        if self._resampler is None:
            return []
        pieces = self._pieces(None)
        self._resampler = None
        return pieces

    def _pieces(self, decoded: Any) -> list[np.ndarray]:
        try:
            resampled = self._resampler.resample(decoded)
        except (av.FFmpegError, OSError, ValueError):
            # A damaged header can name channels that there are not. The next frame
            # gets a resampler of its own.
            self.n_damaged += 1
            self._resampler = self._shape = None
            self.in_rate_hz = 0
            return []
        return [self._samples(one) for one in resampled]

    def _samples(self, one: Any) -> np.ndarray:
        n_channels = len(one.layout.channels)
        samples = one.to_ndarray().reshape(-1, n_channels).T  # [channels, n]
        if not self._layout:
            # -> [n]. FFmpeg's own mix to mono lets two full channels add up to 1.41; a
            # mean stays in range and loses no channel.
            samples = samples.mean(axis=0, dtype=np.float32)
        return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)


def _shape(decoded: Any) -> tuple[int, str, str]:
    return decoded.sample_rate, decoded.layout.name, decoded.format.name
