"""What a study's table says of the robust recipe, by hand on two points."""

import json
import pathlib
import subprocess
import sys

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


def ask(script, *words):
    """Runs a script of `benchmarks/`; returns its exit code, output and complaint."""
    command = [sys.executable, str(pathlib.Path(robust.__file__).with_name(script))]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.mark.parametrize("script", ["robust.py", "demo.py"])
def test_what_is_no_table_of_results_is_one_line(tmp_path, script):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    for path in (other, tmp_path / "absent.csv"):
        code, _, complaint = ask(script, str(path))
        assert code == 2 and len(complaint) == 1 and str(path) in complaint[0]


def test_the_last_line_is_json_for_programs(tmp_path):
    ccc = dict.fromkeys(robust.SPECIALISED, [0.5])
    table = pd.DataFrame(
        rows(("none", "none", 0.0), 0.6, robust=[0.58], **ccc)
        + rows(("video", "clip_zero", 1.0), 0.6, robust=[0.4], **ccc)
    )
    table = pd.concat([table, table.assign(target="arousal")])
    table.to_csv(tmp_path / "results.csv")
    code, output, _ = ask("robust.py", str(tmp_path / "results.csv"))
    assert code == 1  # two of four points are 0.1 below the best
    found = json.loads(output[-1])
    assert found["benchmark"] == "The robust recipe"
    assert (found["points"], found["close to the best"]) == (4, 2)
    assert found["near the optimum"] == 2
