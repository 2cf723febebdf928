"""The last seconds of a call as lines and strips, as SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from avexp_tf import config
from avexp_tf.live import comparison
from avexp_tf.live import page_call
from avexp_tf.live import page_style

_WIDTH = 600  # of a trace, in units of its SVG
_HEIGHT = 100


def traces(moments: Sequence[comparison.Moment], names: Sequence[str]) -> str:
    """Returns one trace per target, one strip per stream, and their key.

    Args:
      moments: Oldest first.
      names: Of the models.
    """
    last_secs = moments[-1].secs if moments else 0.0
    parts = [_key(moments, names)]
    for index, target in enumerate(config.TARGETS):
        low, high = page_style.ENDS[target]
        parts.append(
            f'<div class="row"><div class="side"><span>{high}</span><b>{target}</b>'
            f"<span>{low}</span></div>"
            f"{_trace(moments, index, target, names, last_secs)}</div>"
        )
    for name, title in page_style.STREAMS.items():
        parts.append(
            f'<div class="row"><div class="side"><b>{title.lower()}</b></div>'
            f"{_strip(moments, name, title, last_secs)}</div>"
        )
    whole = f"{page_call.WINDOW_SECS:.0f} seconds ago"
    parts.append(f'<div class="when"><span>{whole}</span><span>now</span></div>')
    return "".join(parts)


def _key(moments: Sequence[comparison.Moment], names: Sequence[str]) -> str:
    entries = []
    for index, name in enumerate(names):
        line = (
            f'<path d="M0 6H34" stroke="{page_style.color(index)}" stroke-width="2.5" '
            f'stroke-dasharray="{page_style.dashes(index)}"/>'
        )
        entries.append((line, html.escape(name)))
    if any(moment.truth is not None for moment in moments):
        line = '<path d="M0 6H34" stroke="var(--truth)" stroke-width="5" opacity=".4"/>'
        entries.append((line, "true"))
    for state, said in (
        (comparison.HERE, "arrives"),
        (comparison.REPEATED, "lost, the last one is repeated"),
        (comparison.LOST, "lost or off"),
        (comparison.NOTHING, "none is found"),
    ):
        height, color = page_style.BARS[state]
        bar = (
            f'<rect y="{12 - 12 * height:.1f}" width="34" height="{12 * height:.1f}" '
            f'fill="{color}" opacity=".75"/>'
        )
        entries.append((bar, said))
    items = "".join(
        f'<li><svg viewBox="0 0 34 12" aria-hidden="true">{drawing}</svg>{said}</li>'
        for drawing, said in entries
    )
    return f'<ul class="key">{items}</ul>'


def _trace(
    moments: Sequence[comparison.Moment],
    target: int,
    title: str,
    names: Sequence[str],
    last_secs: float,
) -> str:
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" height="96" '
        f'role="img" id="avexp-{title}" aria-label="{title} of the last 20 seconds, '
        'one line per model; the table has the numbers">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="var(--faint)" '
        'vector-effect="non-scaling-stroke"/>',
        f'<path d="M0 {_HEIGHT / 2}H{_WIDTH}" stroke="var(--faint)" '
        'vector-effect="non-scaling-stroke"/>',
    ]

    def line(points: list[tuple[float, float]], style: str) -> None:
        path = " ".join(
            f"{_x(secs, last_secs):.1f},{_y(value):.1f}" for secs, value in points
        )
        parts.append(
            f'<polyline points="{path}" fill="none" vector-effect="non-scaling-stroke" '
            f"{style}/>"
        )

    known = [
        (moment.secs, float(moment.truth[target]))
        for moment in moments
        if moment.truth is not None and math.isfinite(moment.truth[target])
    ]
    if known:
        line(known, 'stroke="var(--truth)" stroke-width="5" opacity=".4"')
    for index in range(len(names)):
        points = [(one.secs, float(one.values[index, target])) for one in moments]
        line(
            points,
            f'class="model-{index}" stroke="{page_style.color(index)}" '
            f'stroke-width="2" stroke-dasharray="{page_style.dashes(index)}"',
        )
    return "".join([*parts, "</svg>"])


def _strip(
    moments: Sequence[comparison.Moment], modality: str, title: str, last_secs: float
) -> str:
    """One bar per stretch of one state: its height says what is shown."""
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} 20" preserveAspectRatio="none" height="20" '
        f'role="img" id="avexp-strip-{modality}" aria-label="Which moments of the '
        f'{title.lower()} arrived">'
        f'<rect width="{_WIDTH}" height="20" fill="none" stroke="var(--faint)" '
        'vector-effect="non-scaling-stroke"/>'
    ]
    start = 0
    for k in range(1, len(moments) + 1):
        state = moments[start].states[modality]
        if k < len(moments) and moments[k].states[modality] == state:
            continue
        left = _x(moments[start].secs, last_secs)
        until = moments[k].secs if k < len(moments) else last_secs
        width = max(_x(until, last_secs) - left, 0.5)
        share, color = page_style.BARS[state]
        height = 20 * share
        parts.append(
            f'<rect class="{state}" x="{left:.1f}" y="{20 - height:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" fill="{color}" '
            'opacity=".75"/>'
        )
        start = k
    return "".join([*parts, "</svg>"])


def _x(secs: float, last_secs: float) -> float:
    return _WIDTH * (1 - (last_secs - secs) / page_call.WINDOW_SECS)


def _y(value: float) -> float:
    return _HEIGHT / 2 * (1 - min(max(value, -1.0), 1.0))
