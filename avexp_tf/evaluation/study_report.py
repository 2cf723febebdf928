"""The robustness report: what a study found, in sections that say how to read them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pandas as pd

from avexp_tf import config
from avexp_tf import files
from avexp_tf.evaluation import comparisons as comparison_lib
from avexp_tf.evaluation import document
from avexp_tf.evaluation import figures
from avexp_tf.evaluation import findings as findings_lib
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import published
from avexp_tf.evaluation import report
from avexp_tf.evaluation import study_figures

_POINT = ["modality", "pattern", "p", "mean_burst"]


def check_folder(out_dir: str | os.PathLike[str]) -> None:
    """Makes the folder of a study, before the work.

    Raises:
      errors.DataError: if it can't be made, or holds other files of the names that a
        study's tables and reports have.
    """
    report.check_folder(out_dir)
    columns = ",".join(comparison_lib.COLUMNS[:3])
    page = document.html_start(report.TITLE)
    for name, start, what in (
        ("comparisons.csv", columns, "table of comparisons"),
        ("report.html", page, "report of this program"),
    ):
        files.check_own(os.path.join(out_dir, name), start.encode(), what)


def write(
    found: findings_lib.Findings, out_dir: str | os.PathLike[str]
) -> tuple[str, list[str]]:
    """Writes tables, figures, `report.md` and `report.html`.

    Args:
      found: By the study.
      out_dir: The folder.

    Returns:
      The table of all points as Markdown, and the names of all files.

    Raises:
      errors.DataError: if a file can't be written.
    """
    names = found.save(out_dir)
    papers = figures.draw_all(found.results, out_dir)
    captions = {name: report.CAPTIONS[name] for name in papers}
    for name, caption in study_figures.draw_all(found, out_dir).items():
        captions[f"{name}.png"] = caption
    blocks = list(_blocks(found, captions))
    names += document.write(blocks, out_dir)
    for name in captions:
        names += [name, name.replace(".png", ".svg")]
    return document.markdown_table(report.point_table(found.results)), names


def _blocks(
    found: findings_lib.Findings, captions: dict[str, str]
) -> Iterator[document.Block]:
    def figure(name: str) -> Iterator[document.Block]:
        if f"{name}.png" in captions:
            yield document.Figure(f"{name}.png", captions[f"{name}.png"])

    results = found.results
    seeds = ", ".join(map(str, sorted(set(results["train_seed"]))))
    losses = ", ".join(map(str, sorted(set(results["loss_seed"]))))
    n_recordings = found.recordings["recording_id"].nunique()
    yield document.Heading(report.TITLE, 1)
    yield document.Paragraph(
        f"Records: `{found.records}`, recordings of the validation split: "
        f"{n_recordings}; training seeds: {seeds}; loss seeds: {losses}. Every number "
        "here is in `results.csv`, every test in `comparisons.csv`."
    )
    yield from figure("figure_3")
    yield from figure("figure_4")
    yield document.Heading("CCC at every point")
    yield document.Paragraph(
        "Each cell is the CCC of valence / arousal, pooled over all ticks of the split "
        f"and averaged over seeds. *[{published.DATA_SET}: ...]* is what the paper "
        f"reports of the same model at the same point on {published.DATA_SET}, another "
        "data set unless these records are of it. *Best possible* is the correlation "
        "of the exact posterior mean with the truth, under the same losses, where the "
        "corpus tells."
    )
    yield document.Table(report.point_table(results, with_paper=True))
    if results["optimum"].notna().any():
        yield document.Heading("Share of the best possible")
        yield document.Paragraph(
            "CCC over the best possible CCC of the same variant at the same point, "
            "valence / arousal; 1.00 can't be beaten. A dash stands where even the "
            "best possible is below 0.05."
        )
        yield document.Table(_optimum_table(results))
    yield document.Heading("Areas under the robustness curves")
    yield document.Paragraph(
        "The mean CCC over all shares of loss from 0 to 1 (trapezoid rule, absolute "
        "CCC), valence / arousal."
    )
    yield document.Table(_area_table(found.areas))
    yield from figure("areas")
    yield from _comparison_blocks(found.comparisons)
    yield from _floor_blocks(found.comparisons)
    yield document.Heading("One model for every condition")
    yield document.Paragraph(
        "How far each model falls behind the best trained model of the same point, at "
        "its worst: a model near 0 is as good as every specialised one in every "
        "condition at once. The last column compares with the baseline where nothing "
        "is lost."
    )
    yield document.Table(_shortfall_table(results))
    yield from figure("bursts")
    yield document.Heading("Really missing against really present")
    yield document.Paragraph(
        "CCC with nothing lost on purpose, on the ticks where a modality is really "
        "missing from the records (no face, no sound) and on those where it is there; "
        "valence / arousal."
    )
    yield document.Table(_gap_table(found.gaps))
    if len(found.chosen):
        yield document.Heading("Label delay and smoothing")
        yield document.Paragraph(
            "Both are chosen on dev alone, per model and target; *validation* is what "
            "the choice gives there, *plain* is without."
        )
        yield document.Table(_alignment_table(found))
        yield from figure("alignment")
    if found.intervals is not None:
        yield document.Heading(report.INTERVALS_TITLE)
        yield document.Paragraph(report.INTERVALS)
        yield document.Table(report.interval_table(found.intervals))
    yield document.Heading("Recordings")
    yield from figure("recordings")
    yield document.Heading("Training")
    yield document.Table(_training_table(found.best_epochs))
    yield from figure("training")


def _signed(value: float) -> str:
    return "-" if value != value else f"{value:+.3f}"


def _p(value: float) -> str:
    if value != value:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _interval(row: pd.Series) -> str:
    if row["low"] != row["low"]:
        return "-"
    return f"{_signed(row['low'])} to {_signed(row['high'])}"


def _comparison_blocks(table: pd.DataFrame) -> Iterator[document.Block]:
    yield document.Heading("Against the baseline")
    if table[table["family"] == "point"].empty:
        yield document.Paragraph("There is no baseline among the models.")
        return
    known = table[table["difference"].notna()]  # of targets that have labels
    points, areas = (known[known["family"] == name] for name in ("point", "area"))
    n_areas, n_points = (int(one["p_value"].notna().sum()) for one in (areas, points))
    if not n_points:
        yield document.Paragraph(
            "The difference in CCC to the baseline. A bootstrap over recordings needs "
            "two with labels at least: how sure it is can't be said."
        )
        if len(areas):
            yield document.Table(_difference_table(areas))
        return
    yield document.Paragraph(
        "Paired bootstrap over recordings: the difference in CCC to the baseline, its "
        "95% interval, and the two-sided p-value corrected after Holm for all "
        f"{n_areas} areas; below, the same for {n_points} points."
    )
    yield document.Table(_difference_table(areas))
    sure = points[points["p_holm"] < 0.05]
    if len(sure):
        title = f"The {len(sure)} points that stay below 0.05"
        yield document.Table(_difference_table(sure), title)
    else:
        yield document.Paragraph("No point stays below 0.05 after the correction.")


def _difference_table(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for _, row in table.iterrows():
        pattern, burst = row["pattern"], row["mean_burst"]
        if row["family"] == "area":
            where = f"{row['modality']} {protocol.title_of(pattern)}"
        else:
            burst = 0.0 if burst != burst else burst
            where = report.words_of(row["modality"], pattern, row["p"], burst)
        rows.append(
            {
                "model": protocol.title_of(row["model"]),
                "lost": where,
                "target": row["target"],
                "CCC": report.number(row["value"]),
                "difference": _signed(row["difference"]),
                "95% interval": _interval(row),
                "p": _p(row["p_value"]),
                "p, Holm": _p(row["p_holm"]),
            }
        )
    return pd.DataFrame(rows)


def _floor_blocks(table: pd.DataFrame) -> Iterator[document.Block]:
    verdicts = comparison_lib.never_below(table)
    if verdicts.empty:
        return
    yield document.Heading("Never below unimodal")
    yield document.Paragraph(
        "A model that loses a modality should never do worse than one that was trained "
        "without it. *pass*: at no point where video is lost below audio only, nor "
        "where audio is lost below video only. The margin is that of the worst point; "
        "a *fail* whose interval holds 0 may be chance."
    )
    rows = []
    for _, row in verdicts.iterrows():
        burst = 0.0 if row["mean_burst"] != row["mean_burst"] else row["mean_burst"]
        rows.append(
            {
                "model": protocol.title_of(row["model"]),
                "target": row["target"],
                "never below unimodal": "pass" if row["passes"] else "fail",
                "worst margin": _signed(row["difference"]),
                "95% interval": _interval(row),
                "where": report.words_of(
                    row["modality"], row["pattern"], row["p"], burst
                ),
                "against": protocol.title_of(row["reference"]),
            }
        )
    yield document.Table(pd.DataFrame(rows))


def _pairs(values: pd.Series, digits: int, names: list[str]) -> pd.DataFrame:
    """Turns values by (..., model, target) into cells `valence / arousal`."""
    wide = values.unstack("target")[list(config.TARGETS)]
    cells = wide.apply(
        lambda row: " / ".join(report.number(value, digits) for value in row),
        axis=1,
    )
    table = cells.unstack("model", fill_value="-")[names]
    return table.rename(columns=protocol.title_of).reset_index()


def _mean_by_point(results: pd.DataFrame) -> pd.DataFrame:
    keyed = results.fillna({"mean_burst": 0.0})
    keyed = keyed.assign(
        lost=[
            report.words_of(*point)
            for point in keyed[_POINT].itertuples(index=False, name=None)
        ]
    )
    mean = keyed.groupby(["lost", "model", "target"], sort=False)
    return mean[["ccc", "optimum"]].mean()


def _optimum_table(results: pd.DataFrame) -> pd.DataFrame:
    names = list(dict.fromkeys(results["model"]))
    mean = _mean_by_point(results)
    reachable = mean["optimum"].where(mean["optimum"] >= 0.05)
    order = list(dict.fromkeys(mean.index.get_level_values("lost")))
    table = _pairs(mean["ccc"] / reachable, 2, names)
    return table.set_index("lost").loc[order].reset_index()


def _area_table(areas: pd.DataFrame) -> pd.DataFrame:
    names = list(dict.fromkeys(areas["model"]))
    keys = ["modality", "pattern", "model", "target"]
    table = _pairs(areas.set_index(keys)["area"], 3, names)
    return table.assign(pattern=table["pattern"].map(protocol.title_of))


def _gap_table(gaps: pd.DataFrame) -> pd.DataFrame:
    names = list(dict.fromkeys(gaps["model"]))
    keys = ["modality", "really", "model", "target"]
    # Fewer labels may be valid for one target: the ticks of the other tell them apart.
    ticks = gaps.groupby(["modality", "really"])["n_ticks"].max()
    table = _pairs(gaps.set_index(keys)["ccc"], 3, names)
    table.insert(
        2,
        "ticks",
        [
            str(ticks[modality, really])
            for modality, really in zip(table["modality"], table["really"], strict=True)
        ],
    )
    return table


def _shortfall_table(results: pd.DataFrame) -> pd.DataFrame:
    mean = _mean_by_point(results)["ccc"].unstack("model")
    best = mean.max(axis=1)
    nothing = report.words_of("none", "none", 0.0)
    rows = []
    for name in dict.fromkeys(results["model"]):
        row = {"model": protocol.title_of(name)}
        for target in config.TARGETS:
            behind = (mean[name] - best).xs(target, level="target")
            row[f"{target}, at worst"] = _signed(behind.min())
            known = behind.notna().any()
            row[f"{target}, where"] = str(behind.idxmin()) if known else "-"
        if comparison_lib.BASELINE in mean:
            gap = (mean[name] - mean[comparison_lib.BASELINE]).loc[nothing]
            row["nothing lost, against the baseline"] = " / ".join(
                _signed(gap[target]) for target in config.TARGETS
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _alignment_table(found: findings_lib.Findings) -> pd.DataFrame:
    plain = found.alignments[
        (found.alignments["delay"] == 0) & (found.alignments["width"] == 1)
    ].set_index(["model", "target"])
    rows = []
    for _, row in found.chosen.iterrows():
        without = plain.loc[(row["model"], row["target"])]
        rows.append(
            {
                "model": protocol.title_of(row["model"]),
                "target": row["target"],
                "delay, ticks": int(row["delay"]),
                "average over, ticks": int(row["width"]),
                "dev, plain": f"{without['dev']:.3f}",
                "dev": f"{row['dev']:.3f}",
                "validation, plain": f"{without['validation']:.3f}",
                "validation": f"{row['validation']:.3f}",
            }
        )
    return pd.DataFrame(rows)


def _training_table(best: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for _, row in best.iterrows():
        rows.append(
            {
                "model": protocol.title_of(row["model"]),
                "seed": str(row["train_seed"]),
                "best epoch": str(int(row["epoch"])),
                "dev CCC": f"{row['dev_ccc']:.3f}",
                "alpha (audio into video)": report.number(row["alpha"]),
                "beta (video into audio)": report.number(row["beta"]),
            }
        )
    return pd.DataFrame(rows)
