"""The sweep as Markdown: one table with every model at every point, and the figures."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from avexp_tf import config
from avexp_tf import files
from avexp_tf.evaluation import document
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import published
from avexp_tf.evaluation import sweep_result as sweep_results

TITLE = "Robustness to missing modalities"
_FIRST_LINE = f"# {TITLE}"

_POINT = ["modality", "pattern", "p", "mean_burst"]
_PATTERN_TITLES = {
    "none": "nothing lost",
    "clip_zero": "Clip-Zero",
    "frame_zero": "Frame-Zero",
    "frame_repeat": "Frame-Repeat",
    "gilbert_elliott_zero": "bursts of zeros",
    "gilbert_elliott_repeat": "bursts of repeats",
}
CAPTIONS = {
    "figure_3.png": "Figure 3: CCC when audio is lost. Lines are means over training "
    "and loss seeds, bands span them; a flat line means that the model does not need "
    "the audio.",
    "figure_4.png": "Figure 4: CCC when video is lost. The farther left, the more is "
    "lost; dashed, where it is known, the best that a model could do.",
}

INTERVALS_TITLE = "How often intervals hold the label (and how wide they are)"
INTERVALS = (
    "The share of the labels of valence / arousal that lie in the model's intervals, "
    "and in parentheses their mean width, over all ticks of the split and averaged "
    "over seeds. Intervals that tell the truth hold the share that they were asked "
    "for, whatever is lost, and are wide where little is known; a model that was not "
    "trained on a loss may not notice it."
)

_BEST = (
    " *Best possible* is the correlation of the exact posterior mean with the truth, "
    "under the same losses."
)


def point_table(results: pd.DataFrame, with_paper: bool = False) -> pd.DataFrame:
    """Returns CCC per point and model, means over seeds, as text.

    Args:
      results: With the columns of `sweep_result.RESULT_COLUMNS`.
      with_paper: Put the paper's own numbers beside ours.

    Returns:
      One row per point; per model, and for the optimum where it is known, a column
      `valence / arousal`.
    """
    names = list(dict.fromkeys(results["model"]))
    keyed = results.fillna({"mean_burst": 0.0})
    order = keyed[_POINT].drop_duplicates()
    mean = keyed.groupby([*_POINT, "model", "target"])[["ccc", "optimum"]].mean()
    audio_visual = [name for name in names if not name.endswith("_only")]
    rows = []
    for point in order.itertuples(index=False):
        row = {"lost": words_of(*point)}
        for name in names:
            cell = _pair(mean["ccc"], (*point, name))
            paper = published.CCC.get((name, *point[:3])) if with_paper else None
            if paper:
                cell += f" [{published.DATA_SET}: {paper[0]:.3f} / {paper[1]:.3f}]"
            row[protocol.title_of(name)] = cell
        for name in audio_visual[:1] or names[:1]:
            if mean["optimum"].notna().any():
                row["Best possible"] = _pair(mean["optimum"], (*point, name))
        rows.append(row)
    return pd.DataFrame(rows)


def interval_table(intervals: pd.DataFrame) -> pd.DataFrame:
    """Returns coverage and width per point and model, means over seeds, as text.

    Args:
      intervals: Of `SweepResult`.

    Returns:
      One row per point, and per model a column with coverage (width) of valence /
      arousal.
    """
    keyed = intervals.fillna({"mean_burst": 0.0})
    order = keyed[_POINT].drop_duplicates()
    keys = [*_POINT, "model", "target"]
    mean = keyed.groupby(keys)[["coverage", "width"]].mean()
    shown = mean.map(lambda value: number(value, 2))
    cells = shown["coverage"] + " (" + shown["width"] + ")"
    rows = []
    for point in order.itertuples(index=False):
        row = {"lost": words_of(*point)}
        for name, share in _shares(intervals).items():
            row[f"{protocol.title_of(name)}, {share} asked"] = " / ".join(
                cells.get((*point, name, target), "-") for target in config.TARGETS
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _shares(intervals: pd.DataFrame) -> dict[str, str]:
    """What each model's intervals are to hold; seeds may have been asked for others."""
    return {
        str(name): ", ".join(f"{share:g}" for share in sorted(set(one["interval"])))
        for name, one in intervals.groupby("model", sort=False)
    }


def words_of(modality: str, pattern: str, p: float, mean_burst: float = 0.0) -> str:
    """Returns a condition in words, such as `video Frame-Zero p=0.95`."""
    title = _PATTERN_TITLES.get(pattern, pattern)
    if modality == "none":
        return title
    burst = f", mean {mean_burst:g} ticks" if mean_burst else ""
    return f"{modality} {title} p={p:g}{burst}"


def _pair(values: pd.Series, key: tuple) -> str:
    pair = [values.get((*key, target), float("nan")) for target in config.TARGETS]
    return " / ".join(number(value) for value in pair)


def number(value: float, digits: int = 3) -> str:
    """Returns a number as text, a dash if it is none, and no minus before a zero."""
    return "-" if value != value else f"{round(value, digits) + 0.0:.{digits}f}"


def check_folder(out_dir: str | os.PathLike[str]) -> None:
    """Makes the folder for the tables and the report of a sweep, before the work.

    Raises:
      errors.DataError: if it can't be made, or holds other files of these names.
    """
    files.make_folder(out_dir)
    start = ",".join(sweep_results.RESULT_COLUMNS[:7]).encode()
    for name in sweep_results.TABLES:
        files.check_own(os.path.join(out_dir, name), start, "table of a sweep")
    path = os.path.join(out_dir, "report.md")
    files.check_own(path, _FIRST_LINE.encode(), "report of this program")


def write(
    results: pd.DataFrame,
    figures: Sequence[str],
    records: str,
    out_dir: str | os.PathLike[str],
    intervals: pd.DataFrame | None = None,
) -> str:
    """Writes `report.md` and returns its tables.

    Args:
      results: With the columns of `sweep_result.RESULT_COLUMNS`.
      figures: Names of the figures that lie beside it.
      records: The records that were evaluated on.
      out_dir: The folder.
      intervals: Of `SweepResult`.

    Returns:
      The table of all points, and that of intervals if there are any, as Markdown.

    Raises:
      errors.DataError: if the file can't be written.
    """
    table = document.markdown_table(point_table(results))
    seeds = sorted(set(results["train_seed"]))
    lines = [
        _FIRST_LINE,
        "",
        f"Records: `{records}`; training seeds: {', '.join(map(str, seeds))}; "
        f"loss seeds: {', '.join(map(str, sorted(set(results['loss_seed']))))}.",
        "",
        "Each cell is the CCC of valence / arousal, pooled over all ticks of the split "
        f"and averaged over seeds.{_BEST if results['optimum'].notna().any() else ''}",
        "",
        table,
        "",
    ]
    if intervals is not None:
        held = document.markdown_table(interval_table(intervals))
        lines += [f"## {INTERVALS_TITLE}", "", INTERVALS, "", held, ""]
        table += f"\n\n{INTERVALS_TITLE}\n{held}"
    for name in figures:
        lines += [f"![{CAPTIONS[name]}]({name})", "", f"*{CAPTIONS[name]}*", ""]
    with files.replacing(os.path.join(out_dir, "report.md")) as file:
        file.write("\n".join(lines).encode())
    return table
