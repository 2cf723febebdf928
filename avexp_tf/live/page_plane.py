"""The map of valence and arousal with the newest estimates of each model, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avexp_tf.live import comparison
from avexp_tf.live import page_style

_PLANE = 220  # of a side, in units of the SVG
_TRAIL = 15  # moments


def plane(moments: Sequence[comparison.Moment], names: Sequence[str]) -> str:
    """Returns the map, with the way that the last moments took.

    Args:
      moments: Oldest first.
      names: Of the models.
    """
    half = _PLANE / 2
    text = 'font-size="11" fill="currentColor"'
    parts = [
        f'<svg viewBox="0 0 {_PLANE} {_PLANE}" role="img" id="avexp-plane" '
        'aria-label="Map of expressed emotion: unpleasant to pleasant from left to '
        'right, calm to excited from bottom to top">',
        f'<rect x="1" y="1" width="{_PLANE - 2}" height="{_PLANE - 2}" rx="6" '
        'fill="none" stroke="var(--faint)"/>',
        f'<path d="M{half} 18V{_PLANE - 18}M4 {half}H{_PLANE - 4}" '
        'stroke="var(--faint)" fill="none"/>',
        f'<text x="{half}" y="13" text-anchor="middle" {text}>excited</text>',
        f'<text x="{half}" y="{_PLANE - 6}" text-anchor="middle" {text}>calm</text>',
        f'<text x="6" y="{half - 5}" {text}>unpleasant</text>',
        f'<text x="{_PLANE - 6}" y="{half - 5}" text-anchor="end" {text}>'
        "pleasant</text>",
    ]
    recent = moments[-_TRAIL:]
    if recent:
        if recent[-1].truth is not None and np.isfinite(recent[-1].truth).all():
            x, y = _place(recent[-1].truth)
            parts.append(
                f'<path d="M{x - 6:.1f} {y:.1f}h12M{x:.1f} {y - 6:.1f}v12" '
                'stroke="var(--truth)" stroke-width="2.5"/>'
            )
        for index in range(len(names)):
            color = page_style.color(index)
            places = [_place(moment.values[index]) for moment in recent]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{color}" '
                'stroke-width="1.5" opacity="0.45"/>'
            )
            parts.append(_mark(index, *places[-1]))
    return "".join([*parts, "</svg>"])


def _place(values: np.ndarray) -> tuple[float, float]:
    valence, arousal = (min(max(float(value), -1.0), 1.0) for value in values)
    reach = _PLANE / 2 - 10
    return _PLANE / 2 + valence * reach, _PLANE / 2 - arousal * reach


def _mark(index: int, x: float, y: float) -> str:
    color = page_style.color(index)
    if index:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{color}"/>'
    return (
        f'<path d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z" fill="var(--paper)" '
        f'stroke="{color}" stroke-width="2.5"/>'
    )
