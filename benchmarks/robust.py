"""Compares the robust recipe of a study with the best specialised model at each point.

    avexp-reproduce --flagfile=configs/demo.flags --records=runs/demo/records \
        --models=robust --out=runs/demo/study
    python benchmarks/robust.py runs/demo/study/results.csv

A point is a condition and a target; its best is the best mean over training seeds of
baseline, Clip-Zero, Frame-Zero and Frame-Repeat. Prints all points, and how many hold:
at most 0.01 below that best, and at 0.95 of the optimum. Ends with an error code if one
of the first does not hold. `--append` adds the summary to benchmarks/RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import demo
import pandas as pd
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors

MOST_BELOW = 0.01
LEAST_SHARE = 0.95
SPECIALISED = list(demo.AUDIO_VISUAL)
_POINT = ["modality", "pattern", "p", "mean_burst", "target"]


def points(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Returns one row per point.

    Args:
      table: With the columns of `avexp_tf.evaluation.sweep_result.RESULT_COLUMNS`.
      model: The one to compare with the specialised ones.

    Returns:
      With `ccc`, `spread` (of its training seeds), `best`, `by` (whose that is),
      `below` (negative where it is above) and `share` (of the optimum).
    """
    table = table.fillna({"mean_burst": 0})
    seeds = table.groupby([*_POINT, "model", "train_seed"])["ccc"].mean()
    means = seeds.groupby([*_POINT, "model"]).mean().unstack("model")
    own = seeds.xs(model, level="model").groupby(_POINT)
    optimum = table[table["model"] == model].groupby(_POINT)["optimum"].mean()
    found = pd.DataFrame(
        {
            "ccc": means[model],
            "spread": own.max() - own.min(),
            "best": means[SPECIALISED].max(axis=1),
            "by": means[SPECIALISED].idxmax(axis=1),
        }
    )
    found["below"] = found["best"] - found["ccc"]
    found["share"] = found["ccc"] / optimum
    return found


def define_flags() -> None:
    """Defines the flags of this script."""
    results.define_flag()
    flags.DEFINE_string("model", "robust", "Name of the recipe in the study.")


def main(argv: Sequence[str]) -> int:
    """Prints the points and what holds."""
    if len(argv) != 2:
        raise errors.ConfigError("give the results.csv of a study; see --help")
    table = demo.read(argv[1])
    model = flags.FLAGS.model
    if model not in set(table["model"]):
        raise errors.ConfigError(f"{argv[1]}: no model {model!r}; see --models")
    found = points(table, model)
    print(found.round(3).to_string())
    close = found["below"] <= MOST_BELOW
    whole = found.loc["none"]["ccc"].groupby("target").mean()  # one point each
    lines = [
        f"| {model}, mean of {table['train_seed'].nunique()} training seeds | |",
        "|---|---|",
        f"| points (condition x target) | {len(found)} |",
        f"| at most {MOST_BELOW} below the best specialised model | {close.sum()} |",
        f"| above the best | {(found['below'] < 0).sum()} |",
        f"| at {LEAST_SHARE} of the optimum or above | "
        f"{(found['share'] >= LEAST_SHARE).sum()} |",
        f"| with nothing lost, valence / arousal | "
        f"{' / '.join(f'{whole[target]:.3f}' for target in config.TARGETS)} |",
        f"| largest spread of its seeds | {found['spread'].max():.3f} |",
    ]
    for name, at in (
        ("furthest below the best", found["below"].idxmax()),
        ("furthest above the best", found["below"].idxmin()),
        ("smallest share of the optimum", found["share"].idxmin()),
    ):
        row = found.loc[at]
        lines.append(
            f"| {name} | {_words(at)}: {row['ccc']:.3f}, {row['by']} "
            f"{row['best']:.3f}, share {row['share']:.2f} |"
        )
    results.finish(
        "The robust recipe",
        "a point is one condition and target.",
        lines,
        {
            "points": len(found),
            "close to the best": int(close.sum()),
            "near the optimum": int((found["share"] >= LEAST_SHARE).sum()),
        },
    )
    return 0 if close.all() else 1


def _words(point: tuple) -> str:
    modality, pattern, p, burst, target = point
    words = f"{target}, {modality} {pattern} p={p:g}"
    return f"{words}, bursts of {burst:g}" if burst else words


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
