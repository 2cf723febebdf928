"""Comparisons of a study whose differences were put in by hand."""

import numpy as np
import pytest

from avexp_tf.data import condition as conditions
from avexp_tf.evaluation import comparisons
from avexp_tf.evaluation import sweep as sweeps
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.objectives import moments

R, N = 16, 80
POINTS = [
    conditions.NONE,
    *(
        conditions.Condition(modality, "frame_zero", p)
        for modality in ("video", "audio")
        for p in (1.0, 0.9)
    ),
]
SEEDS = (1, 2)
# Noise of each model at each point; more noise, less CCC.
NOISE = {
    "baseline": [0.3, 2.0, 1.0, 0.4, 0.3],
    "frame_zero": [0.3, 0.7, 0.5, 0.4, 0.3],
    "video_only": [0.4] * 5,
    "audio_only": [0.8] * 5,
}


@pytest.fixture(scope="module")
def result():
    """A sweep of four models, the baseline trained twice."""
    rng = np.random.default_rng(0)
    sweep = sweeps.sweep_of(POINTS, SEEDS)
    truth = rng.normal(size=(R, 2, N))
    labels, per_model = [], []
    for name, seed in [("baseline", 0), *((name, 0) for name in NOISE)][1:] + [
        ("baseline", 1)
    ]:
        variant = name if name.endswith("_only") else "audio_visual"
        labels.append(sweep_results.Label(name, seed, variant))
        per_model.append(
            [
                moments.moments_of(
                    truth,
                    truth
                    + NOISE[name][POINTS.index(condition)]
                    * rng.normal(size=truth.shape),
                )
                for condition, _ in sweep
            ]
        )
    return sweep_results.SweepResult(
        labels, sweep, None, None, None, np.array(per_model)
    )


@pytest.fixture(scope="module")
def table(result):
    """All comparisons."""
    return comparisons.compare(comparisons.Tested.of(result, 400))


def one(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_values_are_means_over_seeds(result):
    tested = comparisons.Tested.of(result, 10)
    assert tested.names == list(NOISE)
    assert tested.points == POINTS
    pooled = [
        sweep_results._pooled(result.moments[m, k])
        for m, label in enumerate(result.labels)
        for k, (condition, _) in enumerate(result.sweep)
        if label.name == "baseline" and condition == POINTS[2]
    ]
    assert len(pooled) == 4  # training seeds times loss seeds
    np.testing.assert_allclose(
        tested.ccc[0, 0, 2], np.mean([moments.ccc_of(one) for one in pooled], axis=0)
    )


def test_a_better_model_is_found_and_an_equal_one_is_not(table):
    where = {"family": "point", "model": "frame_zero", "target": "arousal"}
    better = one(table, **where, modality="video", p=1.0)
    assert better["low"] > 0.2 and better["p_holm"] < 0.001
    assert better["difference"] == pytest.approx(
        better["value"] - better["reference_value"]
    )
    equal = one(table, **where, modality="none")
    assert abs(equal["difference"]) < 0.05 and equal["p_holm"] > 0.05


def test_areas_are_of_whole_curves(table):
    areas = table[table["family"] == "area"]
    assert set(areas["pattern"]) == {"frame_zero"}  # no other pattern was tested
    points = table[(table["family"] == "point") & (table["modality"] != "audio")]
    points = points[(points["model"] == "frame_zero") & (points["target"] == "valence")]
    at = points.set_index("p")["value"]
    expected = (at[0.0] + at[0.9]) / 2 * 0.9 + (at[0.9] + at[1.0]) / 2 * 0.1
    found = one(areas, model="frame_zero", modality="video", target="valence")
    assert found["value"] == pytest.approx(expected)


def test_never_below_unimodal(table):
    verdicts = comparisons.never_below(table).set_index(["model", "target"])
    assert set(verdicts.index.get_level_values("model")) == {"baseline", "frame_zero"}
    assert not verdicts["passes"]["baseline"].any()
    worst = verdicts.loc[("baseline", "valence")]
    assert (worst["modality"], worst["p"]) == ("video", 1.0)
    assert worst["reference"] == "audio_only"
    # Audio lost: 0.4 of noise at worst, as much as video only has.
    frame_zero = verdicts.loc[("frame_zero", "valence")]
    assert abs(frame_zero["difference"]) < 0.05
    family = table[table["family"] == "unimodal"]
    assert not (family["modality"] == "both").any()


def test_p_values_are_corrected_within_their_family(table):
    for _, family in table.groupby("family"):
        smallest = family["p_value"].min()
        row = family.loc[family["p_value"].idxmin()]
        assert row["p_holm"] == pytest.approx(min(1, smallest * len(family)))
    assert (table["n_recordings"] == R).all()


def test_without_a_baseline_there_is_nothing_to_compare(result):
    keep = [
        place for place, label in enumerate(result.labels) if label.name == "frame_zero"
    ]
    alone = sweep_results.SweepResult(
        [result.labels[place] for place in keep],
        result.sweep,
        None,
        None,
        None,
        result.moments[keep],
    )
    table = comparisons.compare(comparisons.Tested.of(alone, 10))
    assert table.empty and list(table.columns) == list(comparisons.COLUMNS)
    assert comparisons.never_below(table).empty
