"""Real recordings all the way: faces, voices, records, model, export, predictions.

What each file shows was seen by looking at it; see `SWITCHES`.
"""

import csv
import pathlib
import re
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest

from avexp_tf import config
from avexp_tf.corpora.affwild2 import corpus as affwild2
from avexp_tf.data import condition
from avexp_tf.data import prepare
from avexp_tf.data import record_source
from avexp_tf.evaluation import sweep
from avexp_tf.features import extract
from avexp_tf.features import settings
from avexp_tf.features import weights
from avexp_tf.serving import saved_model
from avexp_tf.training import experiment as experiments
from avexp_tf.training import trained_model
from tests.end_to_end import scripts

damaged_files = scripts.load("damaged_files")
FRAMES = {
    "face_then_none": 169,
    "none_then_face": 169,
    "talk_25fps_a": 60,  # of which an excerpt is taken
    "talk_25fps_b": 60,
    "talk_short": 94,
    "talk_short_noise": 94,
}
VALIDATION = ("none_then_face", "talk_short_noise")
# Second in which the face goes or comes, and whether it is there before.
SWITCHES = {"face_then_none": (2.4, True), "none_then_face": (3.945, False)}
RECORDS = config.RecordsConfig(dev_fraction=0.3)


@pytest.fixture(scope="module")
def made(tmp_path_factory, media_dir, weights_dir):
    """Records, a run and an export, from six real files."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
        sface = weights_dir / "face_recognition_sface_2021dec.onnx"
        # Every fourth picture: a sixth of a second, and a fourth of the work.
        features = settings.FeatureConfig(visual_backbone=f"onnx:{sface}", face_every=4)
        rng = np.random.default_rng(0)
        (folder / "videos").mkdir()
        for path in media_dir.iterdir():
            if "25fps" in path.name:
                damaged_files.excerpt(
                    path, folder / "videos" / path.name, FRAMES[path.stem]
                )
            else:
                (folder / "videos" / path.name).symlink_to(path)
        for name, n_frames in FRAMES.items():
            part = "Validation_Set" if name in VALIDATION else "Train_Set"
            (folder / "labels" / part).mkdir(parents=True, exist_ok=True)
            labels = np.clip(
                np.cumsum(rng.normal(0, 0.1, (n_frames, 2)), axis=0), -1, 1
            )
            lines = ["valence,arousal", *(f"{v:.4f},{a:.4f}" for v, a in labels)]
            path = folder / "labels" / part / f"{name}.txt"
            path.write_text("\n".join(lines) + "\n")
        corpus = affwild2.AffWild2Corpus(
            folder / "videos", folder / "labels", extract.Extractor(features)
        )
        prepare.prepare(corpus, folder / "records", RECORDS)
    experiment = config.ExperimentConfig(
        config.DataConfig(records=str(folder / "records"), eval_stride=40),
        config.ModelConfig(d_model=16, num_heads=2, ff_dim=32, num_layers=1),
        config.TrainConfig(epochs=1, ablation=("video:frame_zero:0.5",)),
    )
    experiments.train(experiment, folder / "run")
    saved_model.export(folder / "run", folder / "export")
    return folder


@pytest.fixture(scope="module")
def predicted(made, weights_dir):
    """What the command writes, {name: columns}."""
    paths = sorted((made / "videos").iterdir())
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
        done = subprocess.run(
            [sys.executable, "-m", "avexp_tf.predict", *map(str, paths)]
            + [f"--model={made / 'export'}", f"--out={made / 'out'}", "--overlay"],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(paths) == 6
    tables = {}
    for path in paths:
        with open(made / "out" / f"{path.stem}.csv") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == FRAMES[path.stem]
        tables[path.stem] = {
            name: np.array([float(row[name] or "nan") for row in rows])
            for name in rows[0]
        }
    return tables


@pytest.mark.slow
def test_presence_switches_once_where_it_is_seen(predicted):
    for name, (at_secs, before) in SWITCHES.items():
        secs, seen = predicted[name]["time"], predicted[name]["video_present"] == 1
        # The last picture of one of them is black.
        secs, seen = secs[secs < secs[-1] - 0.2], seen[secs < secs[-1] - 0.2]
        (changed,) = np.flatnonzero(np.diff(seen.astype(int)))
        assert seen[0] == before
        assert abs(secs[changed + 1] - at_secs) < 0.5
    assert predicted["talk_short"]["video_present"].all()
    noise = predicted["talk_short_noise"]
    assert not noise["video_present"].any() and noise["audio_present"].all()
    assert np.isnan(noise["face_left"]).all()
    for table in predicted.values():
        assert np.isfinite(table["valence"]).all() and table["valence"].std() > 0


@pytest.mark.slow
def test_predictions_of_files_are_those_of_records(made, predicted):
    model = trained_model.TrainedModel.load(made / "run")
    source = record_source.RecordSource.open(model.run_dir.config().data, "validation")
    path = made / "predictions.csv"
    sweep.evaluate([model], source, [condition.NONE], [1], path)
    with open(path) as file:
        rows = list(csv.DictReader(file))
    for name in VALIDATION:
        mine = [row for row in rows if row["recording_id"] == name]
        assert len(mine) == FRAMES[name]
        for target in config.TARGETS:
            expected = [float(row[target]) for row in mine]
            np.testing.assert_allclose(predicted[name][target], expected, atol=1e-5)


@pytest.mark.slow
def test_plots_and_overlays_can_be_watched(made, predicted):
    for name in predicted:
        assert cv2.imread(str(made / "out" / f"{name}.png")) is not None
        with av.open(str(made / "out" / f"{name}.overlay.mp4")) as opened:
            (original,) = (made / "videos").glob(f"{name}.m*")
            with av.open(str(original)) as source:
                assert abs(opened.duration - source.duration) < 0.2 * av.time_base
            frames = [
                frame.to_ndarray(format="bgr24") for frame in opened.decode(video=0)
            ]
            assert len(frames) == FRAMES[name]
            assert len(opened.streams.audio) == 1
        # The strip of the video is green where there is a face, and red elsewhere; a
        # little right of the cursor, which may be the next tick.
        height, width, _ = frames[0].shape
        place = (height - 45, 190 + round(0.7 * (width - 200)) + 3)
        green = [frame[place][1] > frame[place][2] for frame in frames]
        assert np.mean(green == (predicted[name]["video_present"] == 1)) > 0.95


@pytest.mark.slow
def test_damaged_files_end_in_a_result_or_one_line(made, weights_dir):
    script = pathlib.Path(__file__).parents[2] / "benchmarks" / "damaged_files.py"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
        done = subprocess.run(
            [sys.executable, script, f"--media={made / 'videos'}", "--files=12"]
            + [f"--model={made / 'export'}", "--seed=100"],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    total = re.search(
        r"^\| all \| 12 \| (\d+) \| (\d+) \| 0 \| 0 \|$", done.stdout, re.M
    )
    assert total and int(total[1]) >= 4 and int(total[2]) >= 2
