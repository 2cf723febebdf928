"""The paper's Figures 3 and 4: CCC against the share of loss, one panel per pattern."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from avexp_tf import config
from avexp_tf.evaluation import figure_file
from avexp_tf.evaluation import protocol

FIGURE_OF = {"audio": "figure_3", "video": "figure_4"}
_PANELS = {
    "clip_zero": "(a) Clip-Zero",
    "frame_zero": "(b) Frame-Zero",
    "frame_repeat": "(c) Frame-Repeat",
}


def draw(results: pd.DataFrame, modality: str, folder: str | os.PathLike[str]) -> None:
    """Draws one of the paper's figures as PNG and SVG.

    Args:
      results: With the columns of `sweep_result.RESULT_COLUMNS`.
      modality: The ablated one: audio gives Figure 3, video Figure 4.
      folder: Where to.

    Raises:
      errors.DataError: if a file can't be written.
    """
    shown = results[results["modality"] == modality]["pattern"].unique()
    patterns = [pattern for pattern in _PANELS if pattern in shown]
    with figure_file.drawn(
        folder,
        FIGURE_OF[modality],
        nrows=2,
        ncols=len(patterns),
        figsize=(2 + 3 * len(patterns), 6.2),
        sharey="row",
    ) as (figure, axes):
        for row, target in enumerate(config.TARGETS):
            for column, pattern in enumerate(patterns):
                axis = axes[row, column]
                _draw_panel(axis, results, modality, pattern, target)
                if row == 0:
                    axis.set_title(_PANELS[pattern])
                else:
                    axis.set_xlabel(f"share of {modality} lost, p")
                if column == 0:
                    axis.set_ylabel(f"{target} CCC")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, frameon=False
        )


def _draw_panel(
    axis: Any, results: pd.DataFrame, modality: str, pattern: str, target: str
) -> None:
    table = results[results["target"] == target]
    unablated = table[table["modality"] == "none"]
    ablated = table[(table["modality"] == modality) & (table["pattern"] == pattern)]
    table = pd.concat([unablated, ablated])
    points = sorted({0.0, *ablated["p"]}, reverse=True)
    styles = figure_file.styles_of(list(dict.fromkeys(table["model"])))
    places = range(len(points))
    for name in dict.fromkeys(table["model"]):
        mine = table[table["model"] == name].groupby("p")["ccc"]
        if name.endswith("_only"):
            if name.removesuffix("_only") != modality:
                style = ":" if name == "audio_only" else "-."
                _reference(axis, mine.mean(), protocol.title_of(name), "0.45", style)
            continue
        colour, marker = styles[name]
        mean = mine.mean().reindex(points)
        low, high = mine.min().reindex(points), mine.max().reindex(points)
        axis.plot(
            places,
            mean,
            color=colour,
            marker=marker,
            markersize=5,
            label=protocol.title_of(name),
        )
        axis.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    best = table[~table["model"].str.endswith("_only")].groupby("p")["optimum"].max()
    if best.notna().any():
        axis.plot(
            places,
            best.reindex(points),
            color="0.6",
            linestyle="--",
            label="Best possible",
        )
    axis.set_xticks(list(places), [f"{p:g}" for p in points])
    axis.axhline(0, color="0.85", linewidth=0.8, zorder=0)
    axis.grid(axis="y", color="0.93")


def _reference(axis: Any, ccc: pd.Series, title: str, colour: str, style: str) -> None:
    """A model that does not see the ablated modality: one level for every p."""
    axis.axhline(ccc.loc[0.0], color=colour, linestyle=style, label=title)


def draw_all(results: pd.DataFrame, out_dir: str | os.PathLike[str]) -> Sequence[str]:
    """Draws those of the two figures that the results hold points of.

    One that they hold no points of is removed.

    Returns:
      The names of the PNG files, in the order of the paper; an SVG lies beside each.
    """
    names = []
    for modality, name in FIGURE_OF.items():
        shown = results[
            (results["modality"] == modality) & results["pattern"].isin(list(_PANELS))
        ]
        if len(shown):
            draw(results, modality, out_dir)
            names.append(f"{name}.png")
        else:  # what lies there is of other results
            for ending in (".png", ".svg"):
                pathlib.Path(out_dir, name + ending).unlink(missing_ok=True)
    return names
