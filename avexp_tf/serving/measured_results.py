"""What was measured of a model, for its card and its `metrics.json`."""

from __future__ import annotations

import csv
import math
import os
import pathlib
from typing import Any

from avexp_tf import errors
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.training import run_dir as run_dirs

_RESULTS = "sweep/results.csv"
# What the optimum was says nothing of a model.
_KEYS = set(sweep_results.RESULT_COLUMNS) - {"optimum"}


def load(
    run_dir: run_dirs.RunDir, results: str | os.PathLike[str] = ""
) -> dict[str, Any]:
    """Collects what was measured of a model.

    Args:
      run_dir: Its run directory.
      results: `results.csv` of a sweep; empty looks into the run directory.

    Returns:
      `dev`: epoch and CCC of the best epoch. `test`: one entry per condition, loss
      seed and target of the sweep, empty if there was none.

    Raises:
      errors.DataError: if `results` is given and can't be read, or does not hold this
        model.
    """
    found: dict[str, Any] = {"dev": run_dir.result() or {}, "test": []}
    path = pathlib.Path(results) if results else run_dir.path / _RESULTS
    if not results and not path.is_file():
        return found
    train = run_dir.config().train
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise errors.DataError(f"{path}: is no table: {error}") from None
    missing = _KEYS.difference(*map(set, rows[:1]))
    if missing:
        raise errors.DataError(f"{path}: has no column {', '.join(sorted(missing))}")
    if rows and "recording_id" in rows[0]:
        raise errors.DataError(
            f"{path}: holds one CCC per recording; results.csv has those of the corpus"
        )
    for row in rows:
        if row["model"] == train.name and row["train_seed"] == str(train.seed):
            found["test"].append(_result(row, path))
    if results and not found["test"]:
        raise errors.DataError(
            f"{path}: has no result of the model {train.name} with seed {train.seed}"
        )
    return found


def _result(row: dict[str, str], path: pathlib.Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = {
            "modality": row["modality"],
            "pattern": row["pattern"],
            "p": float(row["p"]),
            "mean_burst": float(row["mean_burst"]) if row["mean_burst"] else None,
            "loss_seed": int(row["loss_seed"]),
            "target": row["target"],
            # An empty cell: there was no valid label.
            "ccc": float(row["ccc"]) if row["ccc"] else None,
            "n_ticks": int(row["n_ticks"]),
        }
        numbers = [found["p"], found["mean_burst"] or 0.0, found["ccc"] or 0.0]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(
                f"p={row['p']}, mean_burst={row['mean_burst']}, ccc={row['ccc']}: must "
                "be finite numbers"
            )
        return found
    except ValueError as error:
        raise errors.DataError(f"{path}: {error}") from None
