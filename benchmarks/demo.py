"""Says of a demo's results what it set out to show, and by how much.

    python benchmarks/demo.py runs/demo/results.csv

For the spread between training seeds, run the demo with two of them:

    avexp-demo --train_seeds=0,1

Prints one line per claim with the smallest margin over targets, models and seeds, and
ends with an error code if one does not hold.
"""

from __future__ import annotations

import sys

import pandas as pd

SHARE_OF_OPTIMUM = 0.93
AUDIO_VISUAL = ("baseline", "clip_zero", "frame_zero", "frame_repeat")
MATCHING = {"clip_zero": 0.7, "frame_zero": 0.95, "frame_repeat": 0.95}


def margins(results: pd.DataFrame) -> dict[str, float]:
    """Returns by how much each claim holds; negative where it does not.

    Args:
      results: With the columns of `avexp_tf.evaluation.sweep_result.RESULT_COLUMNS`.
    """
    video = results[results["modality"] != "audio"]
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
            table = at(ccc, model, p, target)[list(AUDIO_VISUAL)]
            others = table.drop(columns=model).mean()
            lead = table[model].mean() - others.max()
            rival = others.idxmax()
            spread = (table.max() - table.min())[[model, rival]].max()
            name = f"lead of {model} over {rival}, {target} at p={p}"
            found[f"{name} (spread of seeds {spread:.3f})"] = float(lead - spread)
    return found


def main() -> None:
    """Reads the results named on the command line and prints the margins."""
    if len(sys.argv) != 2:
        sys.exit("error: give the results.csv of a demo")
    results = pd.read_csv(sys.argv[1])
    found = margins(results)
    for name, margin in found.items():
        print(f"{'holds' if margin >= 0 else 'FAILS'} {margin:+.4f}  {name}")
    if min(found.values()) < 0:
        sys.exit(1)


if __name__ == "__main__":
    main()
