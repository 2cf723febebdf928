"""Says of a demo's results what it set out to show, and by how much.

    python benchmarks/demo.py runs/demo/results.csv

For the spread between training seeds, run the demo with two of them:

    avexp-demo --train_seeds=0,1

Prints one line per claim with the smallest margin over targets, models and seeds, and
ends with an error code if one does not hold; `--append` adds them to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import results

from avexp_tf import cli
from avexp_tf import errors

SHARE_OF_OPTIMUM = 0.93
AUDIO_VISUAL = ("baseline", "clip_zero", "frame_zero", "frame_repeat")
# Those of `sweep_result.RESULT_COLUMNS` that are read: importing it starts TensorFlow.
_COLUMNS = {"model", "train_seed", "modality", "pattern", "p", "mean_burst"}
_COLUMNS |= {"target", "ccc", "optimum"}
MATCHING = {"clip_zero": 0.7, "frame_zero": 0.95, "frame_repeat": 0.95}


def margins(table: pd.DataFrame) -> dict[str, float]:
    """Returns by how much each claim holds; negative where it does not.

    Args:
      table: With the columns of `avexp_tf.evaluation.sweep_result.RESULT_COLUMNS`.
    """
    video = table[table["modality"] != "audio"]
    keys = ["pattern", "p", "target", "model", "train_seed"]
    mean = video.groupby(keys)[["ccc", "optimum"]].mean()
    ccc, optimum = mean["ccc"], mean["optimum"]
    share = ccc / optimum
    found = {}

    def at(values: pd.Series, pattern: str, p: float, target: str) -> pd.DataFrame:
        """[train_seed, model]."""
        return values.loc[pattern, p, target].unstack("model")

    targets = ("valence", "arousal")
    found["share of the optimum with nothing lost"] = min(
        at(share, "none", 0.0, target)[list(AUDIO_VISUAL)].min().min()
        - SHARE_OF_OPTIMUM
        for target in targets
    )
    for target, lost in (("arousal", 0.5), ("valence", 0.75)):
        whole = at(ccc, "none", 0.0, target)["baseline"]
        without = at(ccc, "clip_zero", 1.0, target)["baseline"]
        found[f"baseline loses {lost:.0%} of {target} without video"] = float(
            ((whole - without) / whole - lost).min()
        )
    arousal = at(ccc, "clip_zero", 1.0, "arousal")
    found["Clip-Zero's share of the optimal arousal without video"] = float(
        at(share, "clip_zero", 1.0, "arousal")["clip_zero"].min() - SHARE_OF_OPTIMUM
    )
    found["Clip-Zero's arousal without video against audio-only, less 0.02"] = float(
        (arousal["clip_zero"] - arousal["audio_only"]).min() + 0.02
    )
    for model, p in MATCHING.items():
        for target in targets:
            seeds = at(ccc, model, p, target)[list(AUDIO_VISUAL)]
            others = seeds.drop(columns=model).mean()
            lead = seeds[model].mean() - others.max()
            rival = others.idxmax()
            spread = (seeds.max() - seeds.min())[[model, rival]].max()
            name = f"lead of {model} over {rival}, {target} at p={p}"
            found[f"{name} (spread of seeds {spread:.3f})"] = float(lead - spread)
    return found


def read(path: str) -> pd.DataFrame:
    """Reads a results.csv.

    Raises:
      errors.DataError: If it is none.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise errors.DataError(f"{path}: can't be read: {error}") from None
    absent = _COLUMNS - set(table)
    if absent:
        raise errors.DataError(f"{path}: no results.csv: no column {min(absent)}")
    return table


def main(argv: Sequence[str]) -> int:
    """Prints the margins."""
    if len(argv) != 2:
        raise errors.ConfigError("give the results.csv of a demo; see --help")
    table = read(argv[1])
    absent = {*AUDIO_VISUAL, "audio_only"} - set(table["model"])
    if absent:
        raise errors.DataError(f"{argv[1]}: no demo's: no model {min(absent)}")
    found = margins(table)
    lines = ["| claim | margin | |", "|---|---|---|"]
    for name, margin in found.items():
        lines.append(f"| {name} | {margin:+.4f} | {_verdict(margin)} |")
    seeds = table["train_seed"].nunique()
    values = results.rounded(found)
    results.finish("The demo's claims", f"{seeds} training seeds.", lines, values)
    return 0 if min(found.values()) >= 0 else 1


def _verdict(margin: float) -> str:
    return "holds" if margin >= 0 else "**fails**"


if __name__ == "__main__":
    cli.run(main, results.define_flag, __doc__)
