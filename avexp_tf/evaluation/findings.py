"""Everything that a report tells, as tables computed from a study's measurements."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.evaluation import alignment
from avexp_tf.evaluation import comparisons as comparison_lib
from avexp_tf.evaluation import study
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.objectives import moments
from avexp_tf.training import run_dir as run_dirs


@dataclasses.dataclass(frozen=True)
class Findings:
    """The tables of a study.

    Attributes:
      records: Folder of the records.
      results: See `sweep_result.RESULT_COLUMNS`.
      recordings: The same per recording.
      intervals: See `sweep_result.SweepResult`.
      comparisons: See `comparisons.COLUMNS`.
      areas: model, modality, pattern, target, area.
      gaps: model, modality, really (missing or present), target, ccc, n_ticks; nothing
        lost beyond what the records really lack.
      alignments: model, target, delay, width, dev, validation: CCC, means over seeds.
      chosen: The row of each model and target that is best on dev.
      histories: All epochs of all trainings, with model and train_seed.
      best_epochs: Of `histories`, the epoch whose weights were kept.
    """

    records: str
    results: pd.DataFrame
    recordings: pd.DataFrame
    intervals: pd.DataFrame | None
    comparisons: pd.DataFrame
    areas: pd.DataFrame
    gaps: pd.DataFrame
    alignments: pd.DataFrame
    chosen: pd.DataFrame
    histories: pd.DataFrame
    best_epochs: pd.DataFrame

    def save(self, out_dir: str | os.PathLike[str]) -> list[str]:
        """Writes the tables of a sweep, and `comparisons.csv`.

        Returns:
          Their names.

        Raises:
          errors.DataError: if they can't be written.
        """
        names = (*sweep_results.TABLES, "comparisons.csv")
        tables = (self.results, self.recordings, self.intervals, self.comparisons)
        return sweep_results.save_tables(dict(zip(names, tables, strict=True)), out_dir)


def gather(
    records: str,
    validation: study.Measured,
    dev: study.Measured | None,
    run_paths: Sequence[pathlib.Path],
    n_resamples: int = 2000,
) -> Findings:
    """Computes all tables.

    Args:
      records: Folder of the records.
      validation: What was measured.
      dev: The same models with nothing lost, on the split that choices are made on;
        None where there is none.
      run_paths: Of the models, in their order.
      n_resamples: Of the bootstrap.

    Returns:
      The tables.
    """
    result = validation.result
    tested = comparison_lib.Tested.of(result, n_resamples)
    alignments = _alignments(validation, dev)
    histories = _histories(result.labels, run_paths)
    keys = ["model", "train_seed"]
    best = histories.loc[histories.groupby(keys, sort=False)["dev_ccc"].idxmax()]
    labelled = alignments.dropna(subset=["dev"])
    at = labelled.groupby(["model", "target"], sort=False)["dev"].idxmax()
    chosen = labelled.loc[at].reset_index(drop=True)
    return Findings(
        records,
        result.results,
        result.recordings,
        result.intervals,
        comparison_lib.compare(tested),
        _areas(tested),
        _gaps(validation),
        alignments,
        chosen,
        histories,
        best.reset_index(drop=True),
    )


def _areas(tested: comparison_lib.Tested) -> pd.DataFrame:
    rows = [
        {
            "model": name,
            "modality": modality,
            "pattern": pattern,
            "target": target,
            "area": values[0, m, t],
        }
        for (modality, pattern), values in tested.areas().items()
        for m, name in enumerate(tested.names)
        for t, target in enumerate(config.TARGETS)
    ]
    return pd.DataFrame(
        rows, columns=["model", "modality", "pattern", "target", "area"]
    )


def _gaps(measured: study.Measured) -> pd.DataFrame:
    """CCC on ticks whose modality is really missing, and on those where it is there."""
    rows: list[dict[str, Any]] = []
    ticks = measured.ticks
    for label, predicted in zip(
        measured.result.labels, measured.predicted, strict=True
    ):
        for column, modality in enumerate(config.MODALITIES):
            there = ticks.present[:, column]
            for really, members in (("missing", ~there), ("present", there)):
                part = moments.moments_of(ticks.labels[members].T, predicted[members].T)
                for t, target in enumerate(config.TARGETS):
                    rows.append(
                        {
                            "model": label.name,
                            "modality": modality,
                            "really": really,
                            "target": target,
                            "ccc": moments.ccc_of(part)[t],
                            "n_ticks": int(part[t, 0]),
                        }
                    )
    keys = ["model", "modality", "really", "target", "n_ticks"]
    table = pd.DataFrame(rows)
    return table.groupby(keys, sort=False)["ccc"].mean().reset_index()


def _alignments(validation: study.Measured, dev: study.Measured | None) -> pd.DataFrame:
    columns = ["model", "target", "delay", "width", "dev", "validation"]
    if dev is None:
        return pd.DataFrame(columns=columns)
    ccc = {
        name: [alignment.ccc_of_all(one.ticks, values) for values in one.predicted]
        for name, one in (("dev", dev), ("validation", validation))
    }
    rows = [
        {
            "model": label.name,
            "target": target,
            "delay": delay,
            "width": width,
            "dev": ccc["dev"][m][d, w, t],
            "validation": ccc["validation"][m][d, w, t],
        }
        for m, label in enumerate(validation.result.labels)
        for d, delay in enumerate(alignment.DELAYS)
        for w, width in enumerate(alignment.WIDTHS)
        for t, target in enumerate(config.TARGETS)
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.groupby(columns[:4], sort=False)[columns[4:]].mean().reset_index()


def _histories(
    labels: Sequence[sweep_results.Label], run_paths: Sequence[pathlib.Path]
) -> pd.DataFrame:
    tables = []
    for label, path in zip(labels, run_paths, strict=True):
        history_path = run_dirs.RunDir(path).history_path
        if not history_path.exists():
            raise errors.RunError(
                f"{history_path}: no such file: to make it again, remove "
                f"{path} or train with --noresume"
            )
        table = pd.read_csv(history_path)
        # The only column that a second training would write otherwise.
        table = table.drop(columns="seconds", errors="ignore")
        tables.append(table.assign(model=label.name, train_seed=label.train_seed))
    whole = pd.concat(tables, ignore_index=True)
    for scalar in ("alpha", "beta"):
        if scalar not in whole:
            whole[scalar] = np.nan
    return whole
