"""Every test of a study: against the baseline, and against the unimodal models.

Values are means over training and loss seeds; what is resampled is recordings. P-values
are corrected within a family: all tests that answer the same question.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from avexp_tf import config
from avexp_tf.data import condition as conditions
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import statistics
from avexp_tf.evaluation import sweep_result as sweep_results

BASELINE = "baseline"
COLUMNS = (
    "family",
    "model",
    "reference",
    "modality",
    "pattern",
    "p",
    "mean_burst",
    "target",
    "value",
    "reference_value",
    "difference",
    "low",
    "high",
    "p_value",
    "p_holm",
    "n_recordings",
)
# The model that does not need what is lost.
_FLOOR_OF = {"video": "audio_only", "audio": "video_only"}


@dataclasses.dataclass(frozen=True)
class Tested:
    """Bootstrapped values of a sweep.

    Attributes:
      names: Of the models.
      points: Distinct conditions.
      ccc: float64 [1 + B, models, points, 2], the sample first.
      n_recordings: That were resampled, of each target: those with labels of it.
    """

    names: list[str]
    points: list[conditions.Condition]
    ccc: np.ndarray
    n_recordings: list[int]

    @classmethod
    def of(cls, result: sweep_results.SweepResult, n_resamples: int = 2000) -> Tested:
        """Bootstraps a sweep, averaging over training and loss seeds."""
        # [recordings, 2]
        labelled = np.any(result.moments[..., 0] > 0, axis=(0, 1))
        names = list(dict.fromkeys(label.name for label in result.labels))
        points = list(dict.fromkeys(condition for condition, _ in result.sweep))
        column_of = np.array([points.index(condition) for condition, _ in result.sweep])
        shape = (n_resamples + 1, len(names), len(points), len(config.TARGETS))
        ccc = np.zeros(shape)
        for t, rows in enumerate(np.transpose(labelled)):
            if not rows.any():
                ccc[..., t] = np.nan
                continue
            resampler = statistics.Resampler(int(rows.sum()), n_resamples)
            # One model at a time: a large study's resamples would not fit in memory.
            for label, per_recording in zip(result.labels, result.moments, strict=True):
                one = resampler.ccc(per_recording[:, rows, t : t + 1])  # [1 + B, K, 1]
                share = 1 / sum(other.name == label.name for other in result.labels)
                for column in range(len(points)):
                    mean = one[:, column_of == column, 0].mean(axis=1)
                    ccc[:, names.index(label.name), column, t] += share * mean
        return cls(names, points, ccc, labelled.sum(axis=0).tolist())

    def curve(self, modality: str, pattern: str) -> tuple[np.ndarray, list[int]]:
        """Returns p and the places in `points` of a robustness curve, p = 0 first."""
        places = [0] if self.points[0] == conditions.NONE else []
        places += [
            index
            for index, point in enumerate(self.points)
            if (point.modality, point.pattern_label) == (modality, pattern)
            and point.pattern in protocol.TEST_POINTS
        ]
        return np.array([self.points[index].p for index in places]), places

    def areas(self) -> dict[tuple[str, str], np.ndarray]:
        """Returns areas under the protocol's curves, absolute CCC.

        Returns:
          {(modality, pattern): float64 [1 + B, models, 2]}, of the curves that reach
          from p = 0 to p = 1.
        """
        found = {}
        for modality in config.MODALITIES:
            for pattern in protocol.TEST_POINTS:
                p, places = self.curve(modality, pattern)
                if {0.0, 1.0} <= set(p):
                    values = np.swapaxes(self.ccc[:, :, places], 2, 3)
                    found[modality, pattern] = statistics.area(p, values)
        return found


def compare(tested: Tested) -> pd.DataFrame:
    """Tests every model against the baseline and against the unimodal models.

    Args:
      tested: Of a sweep.

    Returns:
      Rows with the columns of `COLUMNS`; families: `point`, each point against the
      baseline; `area`, each curve likewise; `unimodal`, each point where a modality is
      lost, or nothing, against the model that does not need it.
    """
    rows: list[dict[str, Any]] = []
    trained = [name for name in tested.names if not name.endswith("_only")]
    for name in tested.names if BASELINE in tested.names else []:
        if name == BASELINE:
            continue
        for place, point in enumerate(tested.points):
            values = tested.ccc[:, :, place]
            rows += _rows("point", tested, values, name, BASELINE, _columns(point))
        for (modality, pattern), values in tested.areas().items():
            where = _columns(None) | {"modality": modality, "pattern": pattern}
            rows += _rows("area", tested, values, name, BASELINE, where)
    for modality, floor in _FLOOR_OF.items():
        if floor not in tested.names:
            continue
        level = tested.ccc[:, tested.names.index(floor), :1]  # nothing lost
        for name in trained:
            for place, point in enumerate(tested.points):
                if point.modality not in ("none", modality):
                    continue
                values = tested.ccc[:, :, place].copy()
                values[:, tested.names.index(floor)] = level[:, 0]
                rows += _rows("unimodal", tested, values, name, floor, _columns(point))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for _, members in table.groupby("family"):
        table.loc[members.index, "p_holm"] = statistics.holm(
            members["p_value"].to_numpy(np.float64)
        )
    return table


def never_below(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Says of each model and target whether it ever falls below a unimodal model.

    Args:
      comparisons: Of `compare`.

    Returns:
      One row per model and target: `passes`, the worst point's `difference`, its
      interval `low` and `high`, and where it is.
    """
    family = comparisons[comparisons["family"] == "unimodal"]
    family = family.dropna(subset=["difference"])  # no label of a target
    if family.empty:
        return family.assign(passes=[])
    worst = family.loc[
        family.groupby(["model", "target"], sort=False)["difference"].idxmin()
    ]
    return worst.assign(passes=worst["difference"] >= 0).reset_index(drop=True)


def _rows(
    family: str,
    tested: Tested,
    values: np.ndarray,
    name: str,
    reference: str,
    where: dict[str, Any],
) -> list[dict[str, Any]]:
    """Compares two models in values [1 + B, models, 2]: one row per target."""
    mine = values[:, tested.names.index(name)]
    others = values[:, tested.names.index(reference)]
    found = [
        statistics.difference(mine[:, t], others[:, t], n_recordings)
        for t, n_recordings in enumerate(tested.n_recordings)
    ]
    return [
        {"family": family, "model": name, "reference": reference}
        | where
        | {
            "target": target,
            "value": mine[0, t],
            "reference_value": others[0, t],
            "difference": float(found[t].estimate),
            "low": float(found[t].low),
            "high": float(found[t].high),
            "p_value": float(found[t].p_value),
            "p_holm": np.nan,
            "n_recordings": tested.n_recordings[t],
        }
        for t, target in enumerate(config.TARGETS)
    ]


def _columns(point: conditions.Condition | None) -> dict[str, Any]:
    if point is None:
        return {"p": np.nan, "mean_burst": np.nan}
    return {
        "modality": point.modality,
        "pattern": point.pattern_label,
        "p": point.p,
        "mean_burst": point.mean_burst or np.nan,
    }
