"""What a study's table says of the robust recipe, by hand on two points."""

import pandas as pd
import pytest

from avexp_tf.evaluation import sweep_result as sweep_results
from tests.end_to_end import scripts

robust = scripts.load("robust")


def rows(condition, optimum, **ccc):
    """Rows of a results table; each model has one CCC per training seed."""
    modality, pattern, p = condition
    return [
        {
            "model": model,
            "train_seed": seed,
            "modality": modality,
            "pattern": pattern,
            "p": p,
            "mean_burst": None,
            "loss_seed": loss_seed,
            "target": "valence",
            "ccc": value + shift,
            "optimum": optimum,
            "n_ticks": 10,
        }
        for model, values in ccc.items()
        for seed, value in enumerate(values)
        for loss_seed, shift in ((1, -0.01), (2, 0.01))
    ]


def test_points_are_means_over_seeds_against_the_best_specialised_model():
    others = {"clip_zero": [0.4, 0.4], "frame_repeat": [0.1, 0.1], "video_only": [0, 0]}
    table = pd.DataFrame(
        rows(
            ("video", "clip_zero", 1.0),
            0.5,
            robust=[0.3, 0.36],
            baseline=[0.0, 0.2],
            frame_zero=[0.3, 0.3],
            **others,
        )
        + rows(
            ("none", "none", 0.0),
            1.0,
            robust=[0.95, 0.97],
            baseline=[0.90, 0.98],
            frame_zero=[0.9, 0.9],
            **others,
        )
    )[list(sweep_results.RESULT_COLUMNS)]
    found = robust.points(table, "robust").droplevel(["p", "mean_burst", "target"])
    lost = found.loc["video", "clip_zero"]
    assert lost["ccc"] == pytest.approx(0.33) and lost["by"] == "clip_zero"
    assert lost["below"] == pytest.approx(0.07)
    assert lost["spread"] == pytest.approx(0.06)
    assert lost["share"] == pytest.approx(0.66)
    whole = found.loc["none", "none"]
    assert whole["by"] == "baseline" and whole["below"] == pytest.approx(-0.02)
