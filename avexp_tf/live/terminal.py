"""A call on the terminal: one line that is written over."""

from __future__ import annotations

from avexp_tf import config
from avexp_tf.live import recognizer

_HALF = 10


def line(one: recognizer.Estimate) -> str:
    """Returns the line for one tick: two scales from -1 to 1, and what is there.

    Args:
      one: The estimate.
    """
    scales = [
        f"{name} {value:+.2f} {_scale(float(value))}"
        for name, value in zip(config.TARGETS, one.values, strict=True)
    ]
    there = [
        f"{name} {'yes' if present else 'no '}"
        for name, present in (("face", one.video_present), ("voice", one.audio_present))
    ]
    words = [f"{one.secs:8.1f} s", *scales, *there, f"input {one.confidence:4.0%}"]
    return "  ".join(words)


def _scale(value: float) -> str:
    place = round(min(max(value, -1.0), 1.0) * _HALF) + _HALF
    cells = ["-"] * (2 * _HALF + 1)
    cells[_HALF] = "|"
    cells[place] = "O"
    return "".join(cells)
