"""Draws the pictures of the pages and puts small ones into the notebooks.

    python docs/pictures.py

`docs/images/robustness.png` is not made here: `make demo` draws it.
"""

from __future__ import annotations

import base64
import io
import pathlib
import re
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import avexp_tf
from avexp_tf import objectives

ROOT = pathlib.Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.85"
_EMBEDDED = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]*")
_SMALL_PIXELS = 560

PATTERNS = {
    "Clip-Zero": "video:clip_zero:1",
    "Frame-Zero": "video:frame_zero:0.5",
    "Frame-Repeat": "video:frame_repeat:0.5",
    "Subclip-Zero": "video:subclip_zero:0.5",
    "Bursts, zero": "video:gilbert_elliott:0.5:12:zero",
    "Bursts, repeat": "video:gilbert_elliott:0.5:12:repeat",
}


def loss_patterns() -> Any:
    """One draw of every pattern: which frame the receiver shows at each tick."""
    figure, axis = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
    n_ticks = 60
    for row, text in enumerate(PATTERNS.values()):
        shown = avexp_tf.simulate(text, n_ticks, seed=3)["video"].to_numpy()
        for tick, source in enumerate(shown):
            colour = BLUE if source == tick else GREY if source < 0 else ORANGE
            axis.barh(-row, 0.92, left=tick, height=0.7, color=colour)
    axis.set_yticks(-np.arange(len(PATTERNS)), list(PATTERNS))
    axis.set_xlim(0, n_ticks)
    axis.set_xlabel("tick (30 a second)")
    for colour, label in ((BLUE, "arrived"), (ORANGE, "repeated"), (GREY, "nothing")):
        axis.barh(0, 0, color=colour, label=label)
    axis.spines[:].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def ccc() -> Any:
    """Two recordings: the CCC of each, of their mean, and of both together."""
    rng = np.random.default_rng(0)
    ticks = np.arange(100)
    figure, axis = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
    halves, predicted = [], []
    for part, level in enumerate((-0.4, 0.4)):
        labels = level + 0.05 * np.sin(ticks / 9)
        found = level + 0.05 * np.sin(ticks / 9 + 1.3) + rng.normal(0, 0.03, 100)
        at = ticks + part * 110
        axis.plot(at, labels, color="black", label="label" if part == 0 else None)
        axis.plot(at, found, color=BLUE, label="prediction" if part == 0 else None)
        value = float(objectives.ccc(labels, found))
        axis.text(at[50], level + 0.18, f"CCC {value:.2f}", ha="center")
        halves.append(labels)
        predicted.append(found)
    whole = float(objectives.ccc(np.concatenate(halves), np.concatenate(predicted)))
    mean = np.mean(
        [float(objectives.ccc(a, b)) for a, b in zip(halves, predicted, strict=True)]
    )
    axis.set_title(f"all ticks: CCC {whole:.2f}; mean of the two: {mean:.2f}")
    axis.set_xlabel("tick")
    axis.set_ylabel("valence")
    axis.set_ylim(-0.7, 0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="upper left")
    return figure


def _boxes(figure_size: tuple[float, float], boxes: Any, arrows: Any) -> Any:
    figure, axis = plt.subplots(figsize=figure_size, layout="constrained")
    for (x, y), text in boxes.items():
        axis.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=10,
            bbox={"boxstyle": "round,pad=0.5", "fc": "white", "ec": BLUE},
        )
    for start, stop in arrows:
        axis.annotate(
            "",
            stop,
            start,
            arrowprops={"arrowstyle": "->", "color": "0.4", "shrinkA": 46},
            annotation_clip=False,
        )
    axis.set_xlim(-0.4, 3.4)
    axis.set_ylim(-0.6, 1.6)
    axis.axis("off")
    return figure


def tables() -> Any:
    """From tables to records."""
    rng = np.random.default_rng(1)
    secs = np.arange(200) / 25
    valence = np.clip(np.cumsum(rng.normal(0, 0.05, 200)), -1, 1)
    columns = {
        "smile": valence + rng.normal(0, 0.2, 200),
        "pitch": valence + rng.normal(0, 0.5, 200),
        "valence": valence,
    }
    columns["smile"][70:100] = np.nan
    figure, axes = plt.subplots(
        3, 1, sharex=True, figsize=(7.5, 2.8), layout="constrained"
    )
    for axis, (name, values) in zip(axes, columns.items(), strict=True):
        axis.plot(secs, values, color="black" if name == "valence" else BLUE)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.set_yticks([])
        axis.spines[["top", "right", "left"]].set_visible(False)
    axes[0].axvspan(70 / 25, 4, color="0.93")
    axes[0].text(3.4, 0, "empty cells:\na gap", ha="center", va="center", fontsize=8)
    axes[-1].set_xlabel("seconds")
    return figure


def serving() -> Any:
    """From a run to a server."""
    boxes = {
        (0, 0.5): "run\ndirectory",
        (1.2, 1.2): "SavedModel",
        (1.2, -0.2): "LiteRT",
        (2.2, 0.5): "gate: equal to\nKeras under\nevery loss",
        (3.2, 1.2): "server",
        (3.2, -0.2): "phone",
    }
    ends = list(boxes)
    arrows = [(ends[0], (0.9, 1.1)), (ends[0], (0.95, -0.1))]
    arrows += [(ends[1], (1.9, 0.85)), (ends[2], (1.9, 0.15))]
    arrows += [(ends[3], (3.0, 1.1)), (ends[3], (3.0, -0.1))]
    return _boxes((7.5, 2.3), boxes, arrows)


def call() -> Any:
    """What of a call is there, and how the confidence follows it."""
    secs = np.arange(180) / 30
    there = {"microphone": np.ones(180), "camera": ((secs < 2) | (secs >= 4)) * 1.0}
    state, confidence = np.ones(2), []
    keep = np.exp(-1 / 30)  # as `live.recognizer.Estimator`
    for now in zip(*there.values(), strict=True):
        state += (1 - keep) * (np.array(now) - state)
        confidence.append(state.mean())
    figure, axis = plt.subplots(figsize=(7.5, 2.3), layout="constrained")
    axis.plot(secs, confidence, color="black")
    axis.set_ylabel("confidence")
    axis.set_ylim(0, 1.9)
    axis.set_yticks([0, 0.5, 1])
    for row, (name, values) in enumerate(there.items()):
        for value, colour in ((1, BLUE), (0, GREY)):
            at = secs[values == value]
            axis.plot(at, np.full(len(at), 1.3 + row / 3), "s", ms=4, color=colour)
        axis.text(-0.1, 1.3 + row / 3, name, ha="right", va="center", fontsize=9)
    axis.set_xlim(-1, 6)
    axis.set_xlabel("seconds")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _small(path: pathlib.Path) -> str:
    """Returns a picture as a data address, with few pixels and colours."""
    image = Image.open(path).convert("RGB")
    height = round(image.height * _SMALL_PIXELS / image.width)
    image = image.resize((_SMALL_PIXELS, height), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.quantize(16, dither=Image.Dither.NONE).save(content, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def main() -> None:
    """Draws all."""
    for draw in (loss_patterns, ccc, tables, serving, call):
        figure = draw()
        figure.savefig(IMAGES / f"{draw.__name__}.png", dpi=110)
        plt.close(figure)
    for notebook, name in (
        ("1_quickstart", "loss_patterns"),
        ("2_affwild2", "robustness"),
        ("3_your_own_features", "tables"),
        ("4_export_and_serve", "serving"),
        ("5_live", "call"),
    ):
        path = ROOT / "colab" / f"{notebook}.ipynb"
        address = _small(IMAGES / f"{name}.png")
        path.write_text(_EMBEDDED.sub(address, path.read_text(), count=1))


if __name__ == "__main__":
    main()
