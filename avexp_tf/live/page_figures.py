"""What the page shows, as HTML and SVG: quick to make, sharp, and readable aloud."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence

import cv2

from avexp_tf import config
from avexp_tf.features import timeline
from avexp_tf.live import comparison
from avexp_tf.live import page_call
from avexp_tf.live import page_plane
from avexp_tf.live import page_style
from avexp_tf.live import page_traces

_NO_PICTURE = {
    comparison.LOST: "picture lost",
    comparison.OFF: "camera off",
    comparison.NOTHING: "no face found",
}


def view(shown: page_call.View | None, names: Sequence[str]) -> str:
    """Returns the page's right side.

    Args:
      shown: The call; None before there is one.
      names: Of the models.
    """
    said = html.escape(sentence(shown, names), quote=True)
    if shown is None:
        parts = [_top([], None, True, names), page_traces.traces([], names)]
        return (
            f'<div class="avexp" id="avexp-view" data-said="{said}">'
            f"{''.join(parts)}</div>"
        )
    moments = shown.moments
    newest = moments[-1].index if moments else ""
    error = ""
    if shown.error:
        error = f'<p class="avexp-error">Stopped: {html.escape(shown.error)}</p>'
    top = _top(moments, shown.picture, shown.has_pictures, names)
    parts = [error, top, page_traces.traces(moments, names), _work(shown)]
    return (
        f'<div class="avexp" id="avexp-view" data-said="{said}" '
        f'data-newest="{newest}">{"".join(parts)}</div>'
    )


def sentence(shown: page_call.View | None, names: Sequence[str]) -> str:
    """Returns what a screen reader says of the newest moment."""
    if shown is None:
        return "Nothing is playing. Choose what to watch."
    if shown.error:
        return f"Stopped: {shown.error}"
    if not shown.moments:
        return (
            f"{shown.title}: starting." if shown.playing else f"{shown.title}: ended."
        )
    newest = shown.moments[-1]
    words = [
        f"{page_style.STREAMS[name]}: {page_style.STATES[state]}."
        for name, state in newest.states.items()
    ]
    for name, values in zip(names, newest.values, strict=True):
        said = " and ".join(
            _in_words(target, value)
            for target, value in zip(config.TARGETS, values, strict=True)
        )
        words.append(f"{name} says {said}.")
    if not shown.playing:
        words.insert(0, "Ended.")
    return f"{shown.title}. {' '.join(words)}"


def _in_words(target: str, value: float) -> str:
    low, high = page_style.ENDS[target]
    size = abs(float(value))
    if size < 0.1:
        return f"neither {low} nor {high}"
    much = "slightly" if size < 0.35 else "fairly" if size < 0.65 else "very"
    return f"{much} {high if value > 0 else low}"


def _top(
    moments: Sequence[comparison.Moment],
    picture: page_call.Picture | None,
    has_pictures: bool,
    names: Sequence[str],
) -> str:
    newest = moments[-1] if moments else None
    return (
        '<div class="top">'
        f'<div class="seen"><h3>What the other side sees</h3>'
        f"{_frame(newest, picture, has_pictures)}</div>"
        '<div class="now"><h3>Now, on one map</h3>'
        f"{page_plane.plane(moments, names)}</div>"
        f'<div class="read"><h3>Now, in numbers</h3>{_table(newest, names)}</div>'
        "</div>"
    )


def _frame(
    newest: comparison.Moment | None,
    picture: page_call.Picture | None,
    has_pictures: bool,
) -> str:
    state = comparison.NOTHING if newest is None else newest.states["video"]
    if picture is None or newest is None:
        text = "nothing is playing" if newest is None else _NO_PICTURE.get(state, "")
        if newest is not None and not has_pictures and not text:
            text = (
                "This recording keeps what a network made of the face, and no picture"
            )
        return f'<div class="frame"><span class="none">{text}</span></div>'
    height, width = picture.image.shape[:2]
    done, encoded = cv2.imencode(".jpg", picture.image, [cv2.IMWRITE_JPEG_QUALITY, 75])
    data = base64.b64encode(encoded.tobytes()).decode() if done else ""
    box = ""
    if newest.box is not None:
        left, top, right, bottom = (float(edge) * picture.scale for edge in newest.box)
        place = (
            f'x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" '
            f'height="{bottom - top:.0f}"'
        )
        box = (
            f'<svg viewBox="0 0 {width} {height}" aria-hidden="true"><rect {place} '
            'id="avexp-box" fill="none" stroke="#fff" stroke-width="4"/><rect '
            f'{place} fill="none" stroke="#1d4ed8" stroke-width="2"/></svg>'
        )
    told = "face found" if newest.box is not None else "no face found"
    return (
        f'<div class="frame"><img alt="The picture; {told}" '
        f'src="data:image/jpeg;base64,{data}">{box}</div>'
    )


def _table(newest: comparison.Moment | None, names: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{target}</th>' for target in config.TARGETS)
    rows = []
    for index, name in enumerate(names):
        cells = "<td>–</td>" * len(config.TARGETS)
        if newest is not None:
            cells = "".join(f"<td>{_signed(v)}</td>" for v in newest.values[index])
        rows.append(
            f'<tr class="{page_style.css_class(index)}"><th scope="row">'
            f"{html.escape(name)}</th>{cells}</tr>"
        )
    if newest is not None and newest.truth is not None:
        cells = "".join(f"<td>{_signed(value)}</td>" for value in newest.truth)
        rows.append(f'<tr class="truth"><th scope="row">true</th>{cells}</tr>')
    streams = ""
    if newest is not None:
        streams = "<br>".join(
            f"{page_style.STREAMS[name]}: {page_style.STATES[state]}"
            for name, state in newest.states.items()
        )
    return (
        f'<table id="avexp-table"><tr><td></td>{heads}</tr>{"".join(rows)}</table>'
        f'<div id="avexp-streams">{streams}</div>'
    )


def _work(shown: page_call.View) -> str:
    per_tick = 1000 / timeline.TICK_RATE_HZ
    told = html.escape(shown.title)
    if not shown.playing:
        told += " – ended"
    if shown.moments:
        told += (
            f". Latency: shown {shown.behind_secs:.1f} s after it happens; computing "
            f"takes {shown.work_secs * 1000:.0f} ms of the {per_tick:.0f} ms that a "
            "picture lasts."
        )
    return f'<p class="work" id="avexp-work">{told}</p>'


def _signed(value: float) -> str:
    return f"{value:+.2f}" if math.isfinite(value) else "–"
