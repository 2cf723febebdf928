"""How many pictures are looked at: every one, every k-th, or as many as there is time.

A model that was trained on repeated frames does not need every one.
"""

from __future__ import annotations

import math
from typing import Protocol

from avexp_tf.features import timeline

# What a call may take of real time, so that something is left for everything else.
_SHARE = 0.8
_FORGET = 0.1  # weight of the newest measurement
_MOST = 300


class VisualBudget(Protocol):
    """Decides how many pictures are passed over."""

    @property
    def every(self) -> int:
        """k: every k-th picture is looked at."""
        ...

    def measured(self, look_secs: float, other_secs: float, n_ticks: int) -> None:
        """Takes what some ticks cost: looks at pictures, and everything else."""
        ...


class Fixed:
    """Every k-th picture.

    Args:
      every: k.
    """

    def __init__(self, every: int):
        self.every = every

    def measured(self, look_secs: float, other_secs: float, n_ticks: int) -> None:
        """Costs don't matter."""


class Adaptive:
    """The smallest k that keeps up with real time, by what looks have cost so far.

    Args:
      tick_secs: Time that there is per tick.
    """

    def __init__(self, tick_secs: float = 1 / timeline.TICK_RATE_HZ):
        self._tick_secs = tick_secs
        self._look_secs: float | None = None
        self._other_secs: float | None = None

    @property
    def every(self) -> int:
        """k, from 1 to 300."""
        if self._look_secs is None:
            return 1
        left_secs = _SHARE * self._tick_secs - (self._other_secs or 0.0)
        if left_secs <= self._look_secs / _MOST:
            return _MOST
        return max(1, math.ceil(self._look_secs / left_secs))

    def measured(self, look_secs: float, other_secs: float, n_ticks: int) -> None:
        """Takes what some ticks cost.

        Args:
          look_secs: Of one look at a picture; 0 where there was none.
          other_secs: Of everything else.
          n_ticks: How many ticks.
        """
        if look_secs:
            self._look_secs = _mixed(self._look_secs, look_secs)
        if n_ticks:
            self._other_secs = _mixed(self._other_secs, other_secs / n_ticks)


def make(text: str) -> VisualBudget:
    """Returns the budget that `--visual_budget` names: a number, or `adaptive`."""
    return Adaptive() if text == "adaptive" else Fixed(int(text))


def _mixed(old: float | None, new: float) -> float:
    return new if old is None else old + _FORGET * (new - old)
