"""A call on the terminal: one line that is written over."""

from __future__ import annotations

import numpy as np

from avexp_tf import config
from avexp_tf import outputs
from avexp_tf.live import recognizer

_HALF = 10


def line(one: recognizer.Estimate) -> str:
    """Returns the line for one tick: two scales from -1 to 1, and what is there.

    Args:
      one: The estimate; its interval is drawn where it has one.
    """
    intervals = np.reshape(one.bounds, (outputs.N_TARGETS, -1))
    scales = [
        f"{name} {value:+.2f} {_scale(float(value), interval)}"
        for name, value, interval in zip(
            config.TARGETS, one.values, intervals, strict=True
        )
    ]
    there = [
        f"{name} {'yes' if present else 'no '}"
        for name, present in (("face", one.video_present), ("voice", one.audio_present))
    ]
    words = [f"{one.secs:8.1f} s", *scales, *there, f"input {one.confidence:4.0%}"]
    return "  ".join(words)


def _scale(value: float, interval: np.ndarray) -> str:
    cells = ["-"] * (2 * _HALF + 1)
    if len(interval):
        low, high = map(_place, interval)
        cells[low : high + 1] = "=" * (high + 1 - low)
    cells[_HALF] = "|"
    cells[_place(value)] = "O"
    return "".join(cells)


def _place(value: float) -> int:
    return round(float(min(max(value, -1.0), 1.0)) * _HALF) + _HALF
