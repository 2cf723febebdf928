"""What the page shows, as HTML and SVG: quick to make, sharp, and readable aloud."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence

import cv2
import numpy as np

from avexp_tf import config
from avexp_tf.features import timeline
from avexp_tf.live import comparison
from avexp_tf.live import page_call

# Low end, high end, of each target, in words.
ENDS = {"valence": ("unpleasant", "pleasant"), "arousal": ("calm", "excited")}
STREAMS = {"video": "Face", "audio": "Voice"}
STATES = {
    comparison.HERE: "arrives",
    comparison.REPEATED: "lost, the last one is repeated",
    comparison.LOST: "lost",
    comparison.OFF: "switched off",
    comparison.NOTHING: "none is found",
}
_NO_PICTURE = {
    comparison.LOST: "picture lost",
    comparison.OFF: "camera off",
    comparison.NOTHING: "no face found",
}
# Of a bar in the strip, as a share, and its colour.
_BARS = {
    comparison.HERE: (1.0, "currentColor"),
    comparison.REPEATED: (0.5, "currentColor"),
    comparison.LOST: (0.25, "var(--lost)"),
    comparison.OFF: (0.25, "var(--lost)"),
    comparison.NOTHING: (0.1, "currentColor"),
}
_WIDTH = 600  # of a trace, in units of its SVG
_HEIGHT = 100
_PLANE = 220
_TRAIL = 15

# Orange and blue that colour-blind people can tell apart, in a light and a dark page;
# lines differ by dashes and points by shape too.
CSS = """
.gradio-container {--block-info-text-color: #52525b; --block-label-text-color: #3f3f46;
  --body-text-color-subdued: #52525b; --block-title-text-color: #27272a;}
.dark .gradio-container, .gradio-container.dark {--block-info-text-color: #a1a1aa;
  --block-label-text-color: #d4d4d8; --body-text-color-subdued: #a1a1aa;
  --block-title-text-color: #e4e4e7;}
.avexp {--one: #c2410c; --two: #1d4ed8; --truth: #6b7280; --lost: #b91c1c;
  --faint: #d4d4d8; --ink: #27272a; --paper: #fff;
  color: var(--ink); background: var(--paper);
  border: 1px solid var(--faint); border-radius: 10px; padding: 14px 16px;
  font: 14px/1.4 system-ui, sans-serif;}
.dark .avexp {--one: #fb923c; --two: #60a5fa; --truth: #a1a1aa; --lost: #f87171;
  --faint: #3f3f46;
  --ink: #e4e4e7; --paper: #18181b;}
.avexp *, .avexp-note, .avexp-note * {color: inherit;}
.avexp h3 {font-size: 14px; font-weight: 600; margin: 0 0 6px;}
.avexp .top {display: flex; flex-wrap: wrap; gap: 20px; margin-bottom: 14px;}
.avexp .seen {flex: 1 1 260px; max-width: 340px;}
.avexp .frame {position: relative; aspect-ratio: 4 / 3; background: #27272a;
  border-radius: 6px; overflow: hidden; display: flex; align-items: center;
  justify-content: center;}
.avexp .frame img, .avexp .frame svg {position: absolute; inset: 0; width: 100%;
  height: 100%; object-fit: contain;}
.avexp .frame .none {color: #e4e4e7; padding: 20px; text-align: center;}
.avexp .now {flex: 0 1 240px;}
.avexp .read {flex: 1 1 190px;}
.avexp table {border-collapse: collapse; border: 0 !important; width: 100%;
  margin: 0 0 10px;}
.avexp tr {border: 0 !important;}
.avexp th, .avexp td {text-align: right; padding: 3px 6px 3px 0; border: 0 !important;
  border-bottom: 1px solid var(--faint) !important;
  font-variant-numeric: tabular-nums;}
.avexp th:first-child, .avexp td:first-child {text-align: left;}
.avexp .one {color: var(--one);} .avexp .two {color: var(--two);}
.avexp .truth {color: var(--truth);}
.avexp .row {display: grid; grid-template-columns: 84px 1fr; gap: 8px;
  margin-bottom: 10px;}
.avexp .row svg {width: 100%; display: block;}
.avexp .side {display: flex; flex-direction: column; justify-content: space-between;
  text-align: right; font-size: 12px;}
.avexp .side b {font-size: 13px;}
.avexp .when {display: flex; justify-content: space-between; font-size: 12px;
  margin-left: 92px;}
.avexp .key {display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px;
  margin: 0 0 10px 92px; padding: 0; list-style: none;}
.avexp .key li {display: flex; align-items: center; margin: 0;}
.avexp .key svg {flex: none; width: 34px; height: 12px; margin-right: 6px;}
.avexp .work {font-size: 12px; margin: 8px 0 0;}
.avexp-note {border-left: 4px solid #1d4ed8; padding: 6px 12px; margin: 0;}
.avexp-error {border-left: 4px solid #b91c1c; padding: 6px 12px; margin: 0 0 12px;}
@media (max-width: 600px) {.avexp .row {grid-template-columns: 1fr;}
  .avexp .side {flex-direction: row;} .avexp .when, .avexp .key {margin-left: 0;}}
"""


def view(shown: page_call.View | None, names: Sequence[str]) -> str:
    """Returns the page's right side.

    Args:
      shown: The call; None before there is one.
      names: Of the models.
    """
    said = html.escape(sentence(shown, names), quote=True)
    if shown is None:
        parts = [_top([], None, True, names), _traces([], names)]
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
    parts = [error, top, _traces(moments, names), _work(shown)]
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
        f"{STREAMS[name]}: {STATES[state]}." for name, state in newest.states.items()
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
    low, high = ENDS[target]
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
        f'<div class="now"><h3>Now, on one map</h3>{_plane(moments, names)}</div>'
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


def _plane(moments: Sequence[comparison.Moment], names: Sequence[str]) -> str:
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
            color = _color(index)
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
    if index:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{_color(index)}"/>'
    return (
        f'<path d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z" fill="var(--paper)" '
        f'stroke="{_color(index)}" stroke-width="2.5"/>'
    )


def _table(newest: comparison.Moment | None, names: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{target}</th>' for target in config.TARGETS)
    rows = []
    for index, name in enumerate(names):
        cells = "<td>–</td>" * len(config.TARGETS)
        if newest is not None:
            cells = "".join(f"<td>{_signed(v)}</td>" for v in newest.values[index])
        rows.append(
            f'<tr class="{_css_class(index)}"><th scope="row">{html.escape(name)}</th>'
            f"{cells}</tr>"
        )
    if newest is not None and newest.truth is not None:
        cells = "".join(f"<td>{_signed(value)}</td>" for value in newest.truth)
        rows.append(f'<tr class="truth"><th scope="row">true</th>{cells}</tr>')
    streams = ""
    if newest is not None:
        streams = "<br>".join(
            f"{STREAMS[name]}: {STATES[state]}" for name, state in newest.states.items()
        )
    return (
        f'<table id="avexp-table"><tr><td></td>{heads}</tr>{"".join(rows)}</table>'
        f'<div id="avexp-streams">{streams}</div>'
    )


def _traces(moments: Sequence[comparison.Moment], names: Sequence[str]) -> str:
    last_secs = moments[-1].secs if moments else 0.0
    parts = [_key(moments, names)]
    for index, target in enumerate(config.TARGETS):
        low, high = ENDS[target]
        parts.append(
            f'<div class="row"><div class="side"><span>{high}</span><b>{target}</b>'
            f"<span>{low}</span></div>"
            f"{_trace(moments, index, target, names, last_secs)}</div>"
        )
    for name, title in STREAMS.items():
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
            f'<path d="M0 6H34" stroke="{_color(index)}" stroke-width="2.5" '
            f'stroke-dasharray="{_dashes(index)}"/>'
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
        height, color = _BARS[state]
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
            f'class="model-{index}" stroke="{_color(index)}" stroke-width="2" '
            f'stroke-dasharray="{_dashes(index)}"',
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
        share, color = _BARS[state]
        height = 20 * share
        parts.append(
            f'<rect class="{state}" x="{left:.1f}" y="{20 - height:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" fill="{color}" '
            'opacity=".75"/>'
        )
        start = k
    return "".join([*parts, "</svg>"])


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


def _x(secs: float, last_secs: float) -> float:
    return _WIDTH * (1 - (last_secs - secs) / page_call.WINDOW_SECS)


def _y(value: float) -> float:
    return _HEIGHT / 2 * (1 - min(max(value, -1.0), 1.0))


def _signed(value: float) -> str:
    return f"{value:+.2f}" if math.isfinite(value) else "–"


def _color(index: int) -> str:
    return "var(--two)" if index else "var(--one)"


def _css_class(index: int) -> str:
    return "two" if index else "one"


def _dashes(index: int) -> str:
    return "none" if index else "7 4"
