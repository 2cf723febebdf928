"""`avexp-demo` as a whole, at a size that takes a minute."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from avexp_tf.evaluation import sweep_result as sweep_results

_SMALL = (
    "--train_speakers=3",
    "--dev_speakers=1",
    "--validation_speakers=2",
    "--recordings_per_speaker=1",
    "--min_ticks=250",
    "--max_ticks=300",
    "--d_model=8",
    "--ff_dim=8",
    "--num_layers=1",
    "--batch_size=8",
    "--epochs=1",
)
_MODELS = (
    "baseline",
    "clip_zero",
    "frame_zero",
    "frame_repeat",
    "video_only",
    "audio_only",
)


def _run_demo(out: pathlib.Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "avexp_tf.demo", f"--out={out}", *_SMALL],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, _run_demo(out)


@pytest.mark.slow
def test_demo_prints_the_table_and_where_everything_lies(demo):
    out, printed = demo
    lines = printed.strip().split("\n")
    places = [pathlib.Path(line) for line in lines if line.startswith(str(out))]
    assert all(place.exists() for place in places)
    names = {place.relative_to(out).as_posix() for place in places}
    assert names >= {"records", "results.csv", "report.md", "export/1", *_MODELS}
    assert names >= {"figure_3.png", "figure_4.png"}
    # After the table nothing but what the export's check found and those places.
    assert lines[-len(places) :] == [str(place) for place in places]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 1 + 24  # header, rule, nothing lost, 2 x 3 x 4 points
    assert "Best possible" in table[0]


@pytest.mark.slow
def test_demo_results_hold_every_model_at_every_point(demo):
    out, _ = demo
    results = pd.read_csv(out / "results.csv")
    assert tuple(results.columns) == sweep_results.RESULT_COLUMNS
    assert set(results["model"]) == set(_MODELS)
    # Where something is drawn, once per loss seed: 3 points of Clip-Zero, Frame-Zero
    # and Frame-Repeat each below p = 1, for both modalities.
    rows = 1 + 2 * (3 * 1 + (3 + 3 + 3) * 2)
    assert len(results) == len(_MODELS) * rows * 2
    assert np.isfinite(results["ccc"]).all()
    assert np.isfinite(results["optimum"]).all()
    assert (results["ccc"] <= 1).all()


@pytest.mark.slow
def test_demo_figures_are_pictures_of_something(demo):
    out, _ = demo
    for name in ("figure_3.png", "figure_4.png"):
        pixels = np.asarray(Image.open(out / name).convert("L"))
        assert pixels.shape[0] > 500 and pixels.shape[1] > 1000
        assert 0.01 < (pixels < 250).mean() < 0.5  # drawn on, and mostly white


@pytest.mark.slow
def test_demo_that_is_run_again_keeps_what_is_finished(demo):
    out, _ = demo
    kept = [out / name / "result.json" for name in _MODELS]
    kept.append(out / "records" / "manifest.json")
    before = [path.stat().st_mtime_ns for path in kept]
    results = pd.read_csv(out / "results.csv")
    _run_demo(out)
    assert [path.stat().st_mtime_ns for path in kept] == before
    again = pd.read_csv(out / "results.csv")
    pd.testing.assert_frame_equal(results, again, atol=1e-5)
    assert [path.name for path in (out / "export").iterdir()] == ["1"]
    (out / "export" / "1" / "assets.extra" / "model_card.json").write_text("{}")
    _run_demo(out)
    assert sorted(path.name for path in (out / "export").iterdir()) == ["1", "2"]
