"""Real tables, labels and gaps go the whole way: records, training, evaluation."""

import importlib
import pathlib

import numpy as np
import pandas as pd
import pytest
import small_runs
from avexp_tf.tfrecords import prepare

# The package's own names of these are the functions of its API.
evaluate = importlib.import_module("avexp_tf.evaluate")
train = importlib.import_module("avexp_tf.train")


ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_story_1_of_omg_empathy(data_dir, tmp_path, capsys):
    records = tmp_path / "records"
    code, stdout, _ = small_runs.call(
        capsys,
        prepare,
        "--corpus=table",
        f"--tables={data_dir / 'omg_empathy'}",
        f"--mapping={ROOT / 'configs' / 'omg_empathy.json'}",
        f"--out={records}",
    )
    assert code == 0
    assert stdout[0].startswith("note: this corpus is not split by subject; in more")

    runs = [tmp_path / name for name in ("baseline", "frame_zero")]
    for path in runs:
        code, stdout, stderr = small_runs.call(
            capsys,
            train,
            f"--records={records}",
            f"--run_dir={path}",
            f"--strategy={path.name}",
            "--d_model=16",
            "--num_heads=2",
            "--ff_dim=16",
            "--num_layers=1",
            "--epochs=1",
            "--learning_rate=1e-3",
        )
        assert (code, stderr) == (0, [])
        history = pd.read_csv(path / "history.csv")
        assert np.isfinite(history["loss"]).all()
        assert np.isfinite(history["dev_valence"]).all()
        assert history["dev_arousal"].isna().all()  # it has no label

    out = tmp_path / "sweep"
    code, stdout, stderr = small_runs.call(
        capsys,
        evaluate,
        f"--run_dir={runs[0]},{runs[1]}",
        "--conditions=video:frame_zero:0.9",
        "--loss_seeds=1",
        f"--out={out}",
    )
    assert (code, stderr) == (0, [])
    results = pd.read_csv(out / "results.csv", keep_default_na=False)
    valence = results[results["target"] == "valence"]
    assert len(valence) == 4
    assert pd.to_numeric(valence["ccc"]).between(-1, 1).all()
    assert (valence["n_ticks"] > 50_000).all()
    arousal = results[results["target"] == "arousal"]
    assert (arousal["ccc"] == "").all()
    assert (arousal["n_ticks"] == 0).all()
    assert (results["optimum"] == "").all()

    recordings = pd.read_csv(out / "recordings.csv", keep_default_na=False)
    own = recordings[
        (recordings["target"] == "valence")
        & (recordings["model"] == "frame_zero")
        & (recordings["modality"] == "video")
    ]
    assert set(own["recording_id"]) == {f"Subject_{s}_Story_1" for s in own_subjects()}
    assert set(own["subject_id"]) == {f"subject {s}" for s in own_subjects()}
    assert own["n_ticks"].sum() == valence["n_ticks"].iloc[0]
    table = [line for line in stdout if line.startswith("| nothing lost")]
    assert table and table[0].count("/ -") == 2


def own_subjects():
    return range(1, 7)
