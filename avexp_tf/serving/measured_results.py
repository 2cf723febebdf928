"""What was measured of a model, for its card and its `metrics.json`."""

from __future__ import annotations

import csv
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.training import run_dir as run_dirs

_RESULTS = "sweep/results.csv"
_INTERVALS = "intervals.csv"  # beside it


def load(
    run_dir: run_dirs.RunDir, results: str | os.PathLike[str] = ""
) -> dict[str, Any]:
    """Collects what was measured of a model.

    Args:
      run_dir: Its run directory.
      results: `results.csv` of a sweep; empty looks into the run directory.

    Returns:
      `dev`: epoch and CCC of the best epoch. `test`: one entry per condition, loss
      seed and target of the sweep, empty if there was none. `intervals`: the same of
      what its intervals hold, from `intervals.csv` beside `results`.

    Raises:
      errors.DataError: if `results` is given and can't be read, or does not hold this
        model; or if a table is damaged.
    """
    found: dict[str, Any] = {
        "dev": run_dir.result() or {},
        "test": [],
        "intervals": [],
    }
    path = pathlib.Path(results) if results else run_dir.path / _RESULTS
    if not results and not path.is_file():
        return found
    experiment = run_dir.config()
    train = experiment.train
    # What the optimum was says nothing of a model.
    columns = set(sweep_results.RESULT_COLUMNS) - {"optimum"}
    found["test"] = _of_model(path, train, columns, ("ccc",))
    if results and not found["test"]:
        raise errors.DataError(
            f"{path}: has no result of the model {train.name} with seed {train.seed}"
        )
    beside = path.with_name(_INTERVALS)
    if experiment.model.interval and beside.is_file():
        columns = set(sweep_results.INTERVAL_COLUMNS)
        found["intervals"] = _of_model(beside, train, columns, ("coverage", "width"))
    return found


def _of_model(
    path: pathlib.Path,
    train: config.TrainConfig,
    columns: set[str],
    measured: Sequence[str],
) -> list[dict[str, Any]]:
    """Reads the rows of one model from a table of a sweep."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise errors.DataError(f"{path}: is no table: {error}") from None
    missing = columns.difference(*map(set, rows[:1]))
    if missing:
        raise errors.DataError(f"{path}: has no column {', '.join(sorted(missing))}")
    if rows and "recording_id" in rows[0]:
        raise errors.DataError(
            f"{path}: holds one CCC per recording; results.csv has those of the corpus"
        )
    return [
        _result(row, path, measured)
        for row in rows
        if row["model"] == train.name and row["train_seed"] == str(train.seed)
    ]


def _result(
    row: dict[str, str], path: pathlib.Path, measured: Sequence[str]
) -> dict[str, Any]:
    try:
        found: dict[str, Any] = {
            "modality": row["modality"],
            "pattern": row["pattern"],
            "p": float(row["p"]),
            "mean_burst": float(row["mean_burst"]) if row["mean_burst"] else None,
            "loss_seed": int(row["loss_seed"]),
            "target": row["target"],
            # An empty cell: there was no valid label.
            **{name: float(row[name]) if row[name] else None for name in measured},
            "n_ticks": int(row["n_ticks"]),
        }
        names = ("p", "mean_burst", *measured)
        if not all(math.isfinite(found[name] or 0.0) for name in names):
            shown = ", ".join(f"{name}={row[name]}" for name in names)
            raise ValueError(f"{shown}: must be finite numbers")
        return found
    except ValueError as error:
        raise errors.DataError(f"{path}: {error}") from None
