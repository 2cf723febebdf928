"""The figures of a study beyond the paper's: areas, bursts, delay, recordings, epochs.

Each function draws one figure and returns the sentence that says how to read it, an
empty one if the findings hold nothing to draw.
"""

from __future__ import annotations

import os

import numpy as np

from avexp_tf import config
from avexp_tf.evaluation import figure_file
from avexp_tf.evaluation import findings as findings_lib
from avexp_tf.evaluation import protocol

_BURST_PATTERN = "gilbert_elliott"


def draw_areas(found: findings_lib.Findings, folder: str | os.PathLike[str]) -> str:
    """Draws the difference of each area to the baseline's, with its interval."""
    table = found.comparisons[found.comparisons["family"] == "area"]
    if table.empty:
        return ""
    names = list(dict.fromkeys(table["model"]))
    curves = list(dict.fromkeys(zip(table["modality"], table["pattern"], strict=True)))
    styles = figure_file.styles_of(names)
    with figure_file.drawn(
        folder, "areas", nrows=1, ncols=2, figsize=(11, 4.5), sharey=True
    ) as (figure, axes):
        for axis, target in zip(axes[0], config.TARGETS, strict=True):
            for place, name in enumerate(names):
                mine = table[(table["model"] == name) & (table["target"] == target)]
                mine = mine.set_index(["modality", "pattern"]).loc[curves]
                offset = (place - (len(names) - 1) / 2) * 0.8 / len(names)
                axis.errorbar(
                    mine["difference"],
                    np.arange(len(curves)) + offset,
                    xerr=[
                        mine["difference"] - mine["low"],
                        mine["high"] - mine["difference"],
                    ],
                    fmt=styles[name][1],
                    color=styles[name][0],
                    markersize=4,
                    linewidth=1,
                    label=protocol.title_of(name),
                )
            axis.axvline(0, color="0.6", linewidth=0.8, zorder=0)
            axis.set_title(target)
            axis.set_xlabel("area minus the baseline's, CCC")
        axes[0, 0].set_yticks(
            range(len(curves)),
            [f"{modality} {protocol.title_of(p)}" for modality, p in curves],
        )
        axes[0, 0].invert_yaxis()
        _legend(figure, axes[0, 0])
    return (
        "Areas under the robustness curves against the baseline's, with 95% intervals "
        "over recordings: right of the line is better than the baseline, and an "
        "interval that leaves the line out is sure at 5% before correction."
    )


def draw_bursts(found: findings_lib.Findings, folder: str | os.PathLike[str]) -> str:
    """Draws CCC against the mean burst at one rate of loss."""
    table = found.results[
        found.results["pattern"].str.startswith(_BURST_PATTERN)
        & (found.results["modality"] == "video")
    ]
    if table.empty:
        return ""
    names = list(dict.fromkeys(table["model"]))
    patterns = list(dict.fromkeys(table["pattern"]))
    styles = figure_file.styles_of(names)
    with figure_file.drawn(
        folder,
        "bursts",
        nrows=2,
        ncols=len(patterns),
        figsize=(4.2 * len(patterns) + 1, 6),
        sharex=True,
        sharey="row",
    ) as (figure, axes):
        for row, target in enumerate(config.TARGETS):
            for column, pattern in enumerate(patterns):
                axis = axes[row, column]
                shown = table[
                    (table["target"] == target) & (table["pattern"] == pattern)
                ]
                for name in names:
                    if name == "video_only":
                        style = "-."
                    else:
                        style = ":" if name == "audio_only" else "-"
                    mine = shown[shown["model"] == name].groupby("mean_burst")["ccc"]
                    mean = mine.mean()
                    axis.plot(
                        mean.index,
                        mean,
                        style,
                        color=styles[name][0],
                        marker=styles[name][1],
                        markersize=4,
                        label=protocol.title_of(name),
                    )
                    axis.fill_between(
                        mean.index,
                        mine.min(),
                        mine.max(),
                        color=styles[name][0],
                        alpha=0.12,
                        linewidth=0,
                    )
                axis.set_xscale("log")
                points = sorted(shown["mean_burst"].unique())
                axis.set_xticks(points, [f"{point:g}" for point in points])
                axis.minorticks_off()
                axis.grid(axis="y", color="0.93")
                if row == 0:
                    axis.set_title(
                        "repeated frames" if pattern.endswith("repeat") else "zeros"
                    )
                else:
                    axis.set_xlabel("mean burst, ticks")
                if column == 0:
                    axis.set_ylabel(f"{target} CCC")
        _legend(figure, axes[0, 0])
    return (
        f"CCC when {protocol.BURST_P:.0%} of the video is lost in bursts of different "
        "length (Gilbert-Elliott): the loss rate is the same at every point, so what "
        "falls to the right falls for the length of the gaps alone."
    )


def draw_alignment(found: findings_lib.Findings, folder: str | os.PathLike[str]) -> str:
    """Draws dev CCC against label delay and against smoothing."""
    table = found.alignments
    if table.empty:
        return ""
    names = list(dict.fromkeys(table["model"]))
    styles = figure_file.styles_of(names)
    sides = (
        ("delay", "width", "delay of the labels, ticks"),
        ("width", "delay", "moving average, ticks"),
    )
    with figure_file.drawn(
        folder, "alignment", nrows=2, ncols=2, figsize=(9.5, 6), sharey="row"
    ) as (figure, axes):
        for row, target in enumerate(config.TARGETS):
            for column, (varied, other, title) in enumerate(sides):
                axis = axes[row, column]
                shown = table[table["target"] == target]
                for name in names:
                    best = shown[shown["model"] == name].groupby(varied)["dev"].max()
                    axis.plot(
                        best.index,
                        best,
                        color=styles[name][0],
                        marker=styles[name][1],
                        markersize=4,
                        label=protocol.title_of(name),
                    )
                axis.grid(axis="y", color="0.93")
                if row:
                    axis.set_xlabel(f"{title} (best {other})")
                if column == 0:
                    axis.set_ylabel(f"{target} CCC on dev")
        _legend(figure, axes[0, 0])
    return (
        "Delay and smoothing of the predictions on dev, nothing lost: where a curve "
        "peaks is what is chosen; a peak at the left end means that it does not help."
    )


def draw_recordings(
    found: findings_lib.Findings, folder: str | os.PathLike[str]
) -> str:
    """Draws the distribution of CCC over recordings, nothing lost."""
    table = found.recordings[found.recordings["modality"] == "none"]
    keys = ["model", "recording_id", "target"]
    mean = table.groupby(keys, sort=False)["ccc"].mean().reset_index()
    names = list(dict.fromkeys(mean["model"]))
    with figure_file.drawn(
        folder, "recordings", nrows=1, ncols=2, figsize=(11, 4), sharey=True
    ) as (_, axes):
        for axis, target in zip(axes[0], config.TARGETS, strict=True):
            values = [
                mean[(mean["model"] == name) & (mean["target"] == target)]["ccc"]
                .dropna()
                .to_numpy()
                for name in names
            ]
            axis.boxplot(values, showfliers=False, medianprops={"color": "#D55E00"})
            for place, one in enumerate(values, 1):
                spread = np.linspace(-0.2, 0.2, max(len(one), 1))
                axis.plot(
                    place + spread[: len(one)], one, ".", color="0.4", markersize=3
                )
            axis.set_xticks(
                range(1, len(names) + 1),
                [protocol.title_of(name) for name in names],
                rotation=30,
                ha="right",
            )
            axis.set_title(target)
            axis.grid(axis="y", color="0.93")
        axes[0, 0].set_ylabel("CCC of one recording")
    return (
        "CCC within each recording, nothing lost: a dot per recording, the box holds "
        "the middle half and its line is the median. Within one recording labels vary "
        "less than over the corpus, so these lie below the pooled CCC."
    )


def draw_training(found: findings_lib.Findings, folder: str | os.PathLike[str]) -> str:
    """Draws loss and dev CCC of every epoch."""
    table = found.histories
    names = list(dict.fromkeys(table["model"]))
    styles = figure_file.styles_of(names)
    with figure_file.drawn(folder, "training", nrows=1, ncols=2, figsize=(11, 4)) as (
        figure,
        axes,
    ):
        for axis, column, title in zip(
            axes[0],
            ("loss", "dev_ccc"),
            ("training loss, 1 - CCC", "dev CCC, as models are chosen"),
            strict=True,
        ):
            for name in names:
                label: str | None = protocol.title_of(name)
                for _, run in table[table["model"] == name].groupby("train_seed"):
                    axis.plot(
                        run["epoch"],
                        run[column],
                        color=styles[name][0],
                        marker=styles[name][1],
                        markersize=3,
                        linewidth=1,
                        label=label,
                    )
                    label = None
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.set_title(title)
            axis.grid(axis="y", color="0.93")
        _legend(figure, axes[0, 0])
    return (
        "Training, one line per seed: the loss is that of the training clips with "
        "their own losses, the dev CCC the mean with nothing lost and with the "
        "training's own losses; a curve that still rises would gain from more epochs."
    )


FIGURES = {
    "areas": draw_areas,
    "bursts": draw_bursts,
    "alignment": draw_alignment,
    "recordings": draw_recordings,
    "training": draw_training,
}


def draw_all(
    found: findings_lib.Findings, folder: str | os.PathLike[str]
) -> dict[str, str]:
    """Draws what there is to draw.

    Returns:
      {name without suffix: sentence}.
    """
    captions = {name: draw(found, folder) for name, draw in FIGURES.items()}
    return {name: caption for name, caption in captions.items() if caption}


def _legend(figure: object, axis: object) -> None:
    handles, labels = axis.get_legend_handles_labels()  # type: ignore[attr-defined]
    figure.legend(  # type: ignore[attr-defined]
        handles, labels, loc="outside lower center", ncols=5, frameon=False
    )
