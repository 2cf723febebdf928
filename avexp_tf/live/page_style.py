"""Colours, marks and words that the parts of the page share."""

from __future__ import annotations

from avexp_tf.live import comparison

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
# Of a bar in the strip, as a share, and its colour.
BARS = {
    comparison.HERE: (1.0, "currentColor"),
    comparison.REPEATED: (0.5, "currentColor"),
    comparison.LOST: (0.25, "var(--lost)"),
    comparison.OFF: (0.25, "var(--lost)"),
    comparison.NOTHING: (0.1, "currentColor"),
}

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
.gradio-container input:focus-visible {outline: 3px solid #1d4ed8 !important;
  outline-offset: 2px;}
.dark .gradio-container input:focus-visible,
.gradio-container.dark input:focus-visible {outline-color: #60a5fa !important;}
@media (max-width: 600px) {.avexp .row {grid-template-columns: 70px 1fr;}
  .avexp .when {margin-left: 78px;} .avexp .key {margin-left: 0;}}
"""


def color(index: int) -> str:
    """Of a model, as CSS."""
    return "var(--two)" if index else "var(--one)"


def css_class(index: int) -> str:
    """Of a model's elements."""
    return "two" if index else "one"


def dashes(index: int) -> str:
    """Of a model's line, as SVG wants them."""
    return "none" if index else "7 4"
