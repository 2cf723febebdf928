"""The One-Euro filter: steady at rest, quick in motion, and it never looks ahead."""

from __future__ import annotations

import math

import numpy as np


class OneEuro:
    """Smooths values that come one after the other.

    Args:
      cutoff_hz: Cutoff frequency at rest.
      speed: How much the cutoff rises with speed, in Hz per unit per second.
      speed_cutoff_hz: Cutoff frequency of the speed itself.

    Reference:
      Casiez, Roussel, Vogel: "1 Euro Filter: A Simple Speed-based Low-pass Filter for
      Noisy Input in Interactive Systems", CHI 2012.
    """

    def __init__(self, cutoff_hz: float, speed: float, speed_cutoff_hz: float = 1.0):
        self._cutoff_hz = cutoff_hz
        self._speed = speed
        self._speed_cutoff_hz = speed_cutoff_hz
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self._secs: float | None = None
        self._values = np.zeros(0)
        self._slope = np.zeros(0)

    def smooth(self, secs: float, values: np.ndarray) -> np.ndarray:
        """Returns smoothed values.

        Args:
          secs: Their time, after that of the call before.
          values: float [n].

        Returns:
          float64 [n].
        """
        values = np.asarray(values, np.float64)
        if self._secs is None:
            self._secs, self._values = secs, values
            self._slope = np.zeros_like(values)
            return values
        step_secs = secs - self._secs
        slope = (values - self._values) / step_secs
        share = _share(self._speed_cutoff_hz, step_secs)
        self._slope = self._slope + share * (slope - self._slope)
        cutoff_hz = self._cutoff_hz + self._speed * np.abs(self._slope)
        share_now = _share(cutoff_hz, step_secs)
        self._values = self._values + share_now * (values - self._values)
        self._secs = secs
        return self._values


def _share(cutoff_hz: float | np.ndarray, step_secs: float) -> float | np.ndarray:
    """Returns the weight of the newest value in a first-order low-pass."""
    turns = 2 * math.pi * cutoff_hz * step_secs
    return turns / (turns + 1)
