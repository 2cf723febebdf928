"""The ten lines of a script, on a corpus of a few seconds."""

import importlib
import os
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import avexp_tf
from avexp_tf import recording

CORPUS = {
    "video_dim": 8,
    "audio_dim": 3,
    "train_speakers": 4,
    "dev_speakers": 2,
    "validation_speakers": 2,
    "recordings_per_speaker": 1,
    "min_ticks": 60,
    "max_ticks": 90,
    "context_ticks": 6,
    "segment_ticks": 50,
}
DATA = {"clip_ticks": 20, "batch_size": 4}
MODEL = {"d_model": 8, "num_heads": 2, "ff_dim": 8, "num_layers": 1, "dropout": 0.0}


@pytest.fixture(scope="module", name="records")
def _records(tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "records"
    manifest = avexp_tf.prepare("synthetic", out, **CORPUS)
    assert len(manifest.splits["train"].recordings) == 4
    return out


@pytest.fixture(scope="module", name="run")
def _run(records):
    out = records.parent / "clip_zero"
    history = avexp_tf.train(records, out, "clip_zero", epochs=2, **DATA, **MODEL)
    assert list(history["epoch"]) == [1, 2]
    assert np.isfinite(history[["loss", "dev_ccc", "alpha", "beta"]]).all(axis=None)
    return out


def test_importing_the_package_is_quick_and_loads_nothing():
    code = (
        "import avexp_tf, sys; "
        "heavy = {'tensorflow', 'keras', 'pandas', 'numpy', 'absl'} & set(sys.modules);"
        "assert not heavy, heavy; assert 'train' in dir(avexp_tf)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "export"])
def test_a_function_keeps_its_name_beside_the_command(name):
    command = importlib.import_module(f"avexp_tf.{name}")
    assert isinstance(command, types.ModuleType)
    assert callable(getattr(avexp_tf, name))
    assert not isinstance(getattr(avexp_tf, name), types.ModuleType)


def test_names_are_what_is_listed():
    assert set(avexp_tf.__all__) <= set(dir(avexp_tf))
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        avexp_tf.trian  # noqa: B018


@pytest.mark.parametrize("variant", ["audio_visual", "video_only", "audio_only"])
def test_records_train_a_compiled_model(records, variant):
    model = avexp_tf.build_model(records, variant=variant, **MODEL)
    batches = avexp_tf.load_records(records, ablation="video:frame_zero:0.5", **DATA)
    history = model.fit(batches, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    dev = avexp_tf.load_records(records, "dev", **DATA)
    found = model.evaluate(dev, verbose=0, return_dict=True)
    assert -1 <= found["valence_ccc"] <= 1
    # Keras's mean losses are of too many batches where it does not know their number.
    assert dev.cardinality() == len(list(dev)) > 1
    inputs, _ = next(iter(dev))
    own = {name: inputs[name] for name in model.input}
    np.testing.assert_allclose(
        model.predict(inputs, verbose=0)["valence"], model(own)["valence"], atol=1e-5
    )


def test_a_saved_model_is_read_by_another_process(records, tmp_path):
    avexp_tf.build_model(records, **MODEL).save(tmp_path / "model.keras")
    code = (
        "import sys, keras, avexp_tf.models, avexp_tf.objectives\n"
        "print(keras.models.load_model(sys.argv[1]).count_params())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and int(done.stdout) > 100, done.stderr


def test_the_same_seed_and_epoch_give_the_same_batches(records):
    def first(**settings):
        batches = avexp_tf.load_records(
            records, ablation="video:frame_zero:0.5", **DATA, **settings
        )
        return next(iter(batches))[0]["video_source"].numpy()

    np.testing.assert_array_equal(first(seed=3, epoch=1), first(seed=3, epoch=1))
    assert (first(seed=3, epoch=1) != first(seed=3, epoch=2)).any()


def test_the_order_is_the_same_whatever_the_global_seed(records):
    def order():
        batches = avexp_tf.load_records(records, seed=3, epoch=1, **DATA)
        return np.concatenate([inputs["video"].numpy() for inputs, _ in batches])

    orders = [order()]
    try:
        for seed in (0, 1, 123):
            tf.random.set_seed(seed)
            orders.append(order())
    finally:
        tf.random.set_seed(None)
    for other in orders[1:]:
        np.testing.assert_array_equal(other, orders[0])


def test_numbers_of_numpy_are_numbers(records):
    model = avexp_tf.build_model(
        records,
        **MODEL | {"d_model": np.int64(MODEL["d_model"]), "dropout": np.float64(0.5)},
    )
    assert model.count_params() == avexp_tf.build_model(records, **MODEL).count_params()
    batches = avexp_tf.load_records(
        records, **DATA | {"batch_size": np.int32(2), "mix_records": 10**9}
    )
    assert next(iter(batches))[0]["video"].shape[0] == 2
    numbers = {
        name: np.int64(value) if type(value) is int else value
        for name, value in CORPUS.items()
    }
    manifest = avexp_tf.prepare("synthetic", records, **numbers)  # the same: not again
    assert manifest.splits["train"].n_ticks > 100


def test_each_time_through_the_train_split_is_the_next_epoch(records):
    def open_at(epoch):
        losses = "video:frame_zero:0.5/video:frame_repeat:0.5"
        return avexp_tf.load_records(records, ablation=losses, epoch=epoch, **DATA)

    def contents(batches):
        both = [(a["video"].numpy(), a["video_source"].numpy()) for a, _ in batches]
        return [np.concatenate(part) for part in zip(*both, strict=True)]

    batches = open_at(4)
    assert len(batches) == len(list(batches))
    fifth = contents(batches)
    for ours, again in zip(fifth, contents(open_at(5)), strict=True):
        np.testing.assert_array_equal(ours, again)
    sixth = contents(batches)
    assert not np.array_equal(fifth[0], sixth[0])
    assert not np.array_equal(fifth[1], sixth[1])


def test_evaluation_clips_cover_every_label(records):
    labels = set()
    for inputs, targets in avexp_tf.load_records(
        records, "validation", ablation="audio:clip_zero:1", **DATA
    ):
        assert (inputs["audio_source"].numpy() == -1).all()
        assert inputs["audio_source"].shape == targets["valence"].shape
        labels |= set(targets["valence"].numpy().ravel())
    manifest = avexp_tf.prepare("synthetic", records, **CORPUS)
    # Padding has no label; where two clips overlap, a label comes twice.
    labels = {label for label in labels if np.isfinite(label)}
    assert len(labels) == manifest.splits["validation"].n_ticks


def test_a_simulated_loss_is_a_table_of_what_is_shown():
    table = avexp_tf.simulate("video:frame_repeat:0.8", 40, seed=1)
    assert list(table.columns) == ["video", "audio"]
    np.testing.assert_array_equal(table["audio"], np.arange(40))
    shown = table["video"].to_numpy()
    assert (shown <= np.arange(40)).all() and (np.diff(shown) >= 0).all()
    assert (shown != np.arange(40)).mean() > 0.5
    later = avexp_tf.simulate("video:frame_zero:0.5", 10, seed=1, first_tick=30)
    whole = avexp_tf.simulate("video:frame_zero:0.5", 40, seed=1)
    pd.testing.assert_frame_equal(later, whole.loc[30:])
    faceless = avexp_tf.simulate("video:face_zero:1", 3, first_tick=30)
    assert faceless["video"].tolist() == [33, 34, 35]


def test_evaluation_returns_the_table_that_it_writes(run, tmp_path):
    conditions = ["none", "video:clip_zero:1", "video:frame_zero:0.5"]
    found = avexp_tf.evaluate(run, conditions, loss_seeds=[1, 2], out=tmp_path)
    assert len(found) == (1 + 1 + 2) * 2
    assert found["ccc"].between(-1, 1).all()
    written = pd.read_csv(tmp_path / "results.csv")
    np.testing.assert_allclose(written["ccc"], found["ccc"], atol=1e-5)
    assert (tmp_path / "figure_4.png").stat().st_size > 1000


def test_one_run_is_not_evaluated_as_two(run):
    with pytest.raises(avexp_tf.Error, match="are both clip_zero of seed 0"):
        avexp_tf.evaluate([run, run], "none")


def test_records_to_evaluate_on_take_the_statistics_of_others(records, tmp_path):
    others = {**CORPUS, "synthetic_seed": 5, "validation_fraction": 1.0}
    made = avexp_tf.prepare("synthetic", tmp_path, statistics_from=records, **others)
    known = avexp_tf.prepare("synthetic", records, **CORPUS)
    assert made.audio_statistics == known.audio_statistics


def test_a_run_and_its_export_predict_the_same(run, records, tmp_path):
    settings = {"litert": "float32", "conditions": "none"}  # one, without a tuple
    exported = avexp_tf.export(run, tmp_path / "export", **settings)
    assert exported == tmp_path / "export" / "1"
    extra = exported / "assets.extra"
    assert [file.name for file in (extra / "litert").iterdir()] == ["float32.tflite"]
    assert "# Parity: passed" in (extra / "parity.md").read_text()
    rng = np.random.default_rng(0)
    n_ticks = 70
    block = recording.Block(
        timestamps=np.arange(n_ticks) / 30,
        video=rng.random((n_ticks, 8), np.float32),
        audio=rng.random((n_ticks, 3), np.float32),
        labels=np.zeros((n_ticks, 2), np.float32),
        label_valid=np.zeros((n_ticks, 2), bool),
        video_present=np.arange(n_ticks) % 3 > 0,
        audio_present=np.ones(n_ticks, bool),
    )
    of_run = avexp_tf.predict(run, block)
    assert list(of_run["time"]) == list(block.timestamps)
    assert of_run["valence"].std() > 0
    assert list(of_run["video_present"]) == list(block.video_present)
    pd.testing.assert_frame_equal(
        avexp_tf.predict(tmp_path / "export", block), of_run, atol=1e-5
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: avexp_tf.load_records(r, batchsize=3), "setting 'batchsize': not"),
        (lambda r: avexp_tf.load_records(r, batch_size=0), "--batch_size=0: must be"),
        (lambda r: avexp_tf.load_records(r / "x"), "manifest.json: no such file"),
        (lambda r: avexp_tf.prepare("tables", r), "--corpus=tables: must be one of"),
        (lambda r: avexp_tf.prepare("synthetic", r, dims=3), "setting 'dims': not kn"),
        (lambda r: avexp_tf.build_model(d_model=9), "must be a multiple of"),
        (lambda r: avexp_tf.build_model(epochs=9), "setting 'epochs': not known"),
        (lambda r: avexp_tf.train(r, r / "x", "clip"), "model 'clip': must be one"),
        (
            lambda r: avexp_tf.train(r, r / "x", "clip_zero", variant="video_only"),
            "strategy='clip_zero': sets variant",
        ),
        (lambda r: avexp_tf.train(r, r / "x", records=1), "multiple values"),
        (lambda r: avexp_tf.simulate("video:lost:1"), "pattern 'lost' must be one"),
        (lambda r: avexp_tf.simulate("none/none"), "by / are drawn per train batch"),
        (
            lambda r: avexp_tf.load_records(r, ablation="video:face_zero:0.5"),
            "^condition 'video:face_zero:0.5': the records in .* have no background",
        ),
        (lambda r: avexp_tf.load_records(r, split=["train"]), "split=.*must be text"),
        (lambda r: avexp_tf.evaluate(r, split=None), "split=None: must be text"),
        (lambda r: avexp_tf.load_records(r, batch_size=2**31), "must be at most 10000"),
        (lambda r: avexp_tf.simulate("none", 0), "n_ticks=0: must be a whole"),
        (lambda r: avexp_tf.evaluate([]), "run_dirs: must be a path or a list"),
        (lambda r: avexp_tf.evaluate(r, "fog"), "condition 'fog': must read"),
        (lambda r: avexp_tf.predict(r / "x", "a.mp4"), "no such folder"),
        (lambda r: avexp_tf.prepare("synthetic", ""), "out='': must be a path"),
        (lambda r: avexp_tf.prepare("synthetic", r, workers=0), "workers=0: must be a"),
        (lambda r: avexp_tf.prepare("table", r, tables=["a"]), "tables=.*be a path"),
        (lambda r: avexp_tf.load_records(None), "records=None: must be a path"),
        (lambda r: avexp_tf.load_records(r, ablation=None), "ablation=None: must be t"),
        (lambda r: avexp_tf.load_records(r, seed="a"), "seed='a': must be a whole"),
        (lambda r: avexp_tf.load_records(r, epoch=-1), "epoch=-1: must be a whole"),
        (lambda r: avexp_tf.simulate("none", 5.5), "n_ticks=5.5: must be a whole"),
        (lambda r: avexp_tf.simulate("none", seed=2**70), "seed=11.*: must be a whole"),
        (lambda r: avexp_tf.build_model(7), "records=7: must be a path"),
        (lambda r: avexp_tf.train(r, ""), "run_dir='': must be a path"),
        (lambda r: avexp_tf.evaluate(r, None), "conditions=None: must be text"),
        (lambda r: avexp_tf.evaluate(r, loss_seeds=1), "loss_seeds=1: must be a list"),
        (lambda r: avexp_tf.export(r, r, rounds=1), "setting 'rounds': not known"),
        (lambda r: avexp_tf.export(r, r, litert="int4"), "'int4' must be one of"),
        (lambda r: avexp_tf.prepare(["table"], r), "corpus=.*: must be text"),
        (
            lambda r: avexp_tf.prepare("table", r, overwrite="no"),
            "overwrite='no': mus",
        ),
        (
            lambda r: avexp_tf.train(r, r / "x", resume="no"),
            "resume='no': must be",
        ),
        (
            lambda r: avexp_tf.prepare("table", r, train_speakers=3),
            "--train_speakers: is a setting of --corpus=synthetic, not of table",
        ),
        (lambda r: avexp_tf.predict(r, []), "inputs: must be a path or a list"),
        (lambda r: avexp_tf.predict(r, pd.DataFrame({"a": [1]})), "inputs: must be a"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(call, message, records):
    with pytest.raises((avexp_tf.Error, TypeError), match=message) as error:
        call(records)
    assert "\n" not in str(error.value)
    assert not os.path.exists(records / "x")
