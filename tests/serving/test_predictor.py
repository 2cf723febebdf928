"""Predictions of recordings: the same from features, a run, an export and records."""

import csv
import dataclasses
import shutil

import array_corpus
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import clips
from avexp_tf.data import condition
from avexp_tf.data import prepare
from avexp_tf.data import record_source
from avexp_tf.evaluation import sweep
from avexp_tf.serving import model_source
from avexp_tf.serving import predictor
from avexp_tf.serving import saved_model
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

LENGTHS = [70, 9, 41, 23]
RECORDS = config.RecordsConfig(context_ticks=5, segment_ticks=30, dev_fraction=0.0)
DATA = config.DataConfig(clip_ticks=12, eval_stride=5, batch_size=4)
MODEL = config.ModelConfig(d_model=8, num_heads=2, ff_dim=16, num_layers=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run directory and its export, of random weights, on records with gaps."""
    folder = tmp_path_factory.mktemp("predictor")
    corpus = array_corpus.ArrayCorpus(LENGTHS, split="train")
    prepare.prepare(corpus, folder / "records", RECORDS)
    make_run(folder / "run", folder / "records", MODEL)
    saved_model.export(folder / "run", folder / "export")
    return folder


def make_run(path, records, model_config):
    experiment = config.ExperimentConfig(
        config.DataConfig(
            records=str(records),
            clip_ticks=DATA.clip_ticks,
            eval_stride=DATA.eval_stride,
            batch_size=DATA.batch_size,
        ),
        model_config,
    )
    source = record_source.RecordSource.open(experiment.data, "train")
    run_dir = run_dirs.RunDir(path)
    run_dir.begin(experiment, source.manifest)
    model = trained_model.build(experiment, source.manifest)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    run_dir.save_weights(model)
    return run_dir


@pytest.fixture(scope="module")
def evaluated(made):
    """{recording: [n, 2]} as `avexp-evaluate --predictions` writes it."""
    model = trained_model.TrainedModel.load(made / "run")
    source = record_source.RecordSource.open(model.run_dir.config().data, "train")
    path = made / "predictions.csv"
    sweep.evaluate([model], source, [condition.NONE], [1], path)
    found = {}
    with open(path) as file:
        for row in csv.DictReader(file):
            values = [float(row[target]) for target in config.TARGETS]
            found.setdefault(row["recording_id"], []).append(values)
    return {name: np.array(rows) for name, rows in found.items()}


@pytest.mark.parametrize("which", ["run", "export", "export/1"])
def test_predictions_are_those_of_evaluation(made, evaluated, which):
    found = model_source.find(made / which).predictor()
    assert len(evaluated) == len(LENGTHS)
    for name, values in evaluated.items():
        block = array_corpus.ticks(name, len(values))
        # Six decimals in the CSV file.
        np.testing.assert_allclose(found.predict(block), values, atol=2e-6)


def test_a_stream_of_blocks_gives_what_the_whole_gives(made):
    found = model_source.find(made / "run").predictor()
    block = array_corpus.ticks("r0", 70)
    pieces = [array_corpus.rows(block, k, k + 7) for k in range(0, 70, 7)]
    pieces.insert(3, array_corpus.rows(block, 0, 0))
    predicted = list(found.stream(pieces))
    assert [one.first_tick for one in predicted] == [0, 30, 50]
    np.testing.assert_array_equal(
        np.concatenate([one.values for one in predicted]), found.predict(block)
    )
    assert list(found.stream([])) == []


def test_missing_modalities_change_the_prediction_and_stay_finite(made):
    found = model_source.find(made / "export").predictor()
    block = array_corpus.ticks("r2", 41)
    whole = found.predict(block)
    for name in ("video", "audio"):
        absent = {**vars(block), f"{name}_present": np.zeros(41, bool)}
        without = found.predict(recording.Block(**absent))
        assert np.isfinite(without).all()
        assert np.abs(without - whole).max() > 1e-3


@pytest.mark.parametrize("variant", ["video_only", "audio_only"])
def test_one_branch_models_take_what_is_theirs(made, tmp_path, variant):
    model_config = config.ModelConfig(
        variant=variant, d_model=8, num_heads=2, ff_dim=16, num_layers=1
    )
    make_run(tmp_path / "run", made / "records", model_config)
    saved_model.export(tmp_path / "run", tmp_path / "export")
    block = array_corpus.ticks("r2", 41)
    one, other = (
        model_source.find(tmp_path / name).predictor().predict(block)
        for name in ("run", "export")
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_stride_can_be_another(made):
    source = model_source.find(made / "run")
    block = array_corpus.ticks("r0", 70)
    values = [source.predictor(stride).predict(block) for stride in (0, 5, 12)]
    np.testing.assert_array_equal(values[0], values[1])
    assert np.abs(values[0] - values[2]).max() > 1e-4


def test_a_recording_without_a_tick_has_no_values(made):
    found = model_source.find(made / "run").predictor()
    values = found.predict(array_corpus.rows(array_corpus.ticks("r0", 9), 0, 0))
    assert (values.shape, values.dtype) == ((0, 2), np.float32)


def test_wrong_widths_are_told(made):
    found = model_source.find(made / "run").predictor()
    block = array_corpus.ticks("r0", 20, video_dim=4)
    with pytest.raises(errors.DataError, match="video"):
        found.predict(block)


def test_the_newest_version_is_taken(made, tmp_path):
    for version in ("9", "10", "0008", str(2**63), "not-a-version"):
        shutil.copytree(made / "export" / "1", tmp_path / "base" / version)
    (tmp_path / "base" / "11").mkdir()  # still being copied
    assert model_source.find(tmp_path / "base").path == tmp_path / "base" / "10"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda base: shutil.rmtree(base / "1"), "is neither an export"),
        (lambda base: shutil.rmtree(base / "1" / "assets.extra"), "has no assets.extr"),
        (lambda base: (base / "1/assets.extra/manifest.json").unlink(), "no such file"),
        (lambda base: (base / "1/assets.extra/config.json").unlink(), "can't be read"),
        (lambda base: shutil.rmtree(base), "no such folder"),
        (
            lambda base: (base / "1/saved_model.pb").write_bytes(b"nonsense"),
            "can't be loaded",
        ),
    ],
)
def test_what_is_no_model_is_told(made, tmp_path, broken, message):
    base = tmp_path / "base"
    shutil.copytree(made / "export", base)
    broken(base)
    with pytest.raises(errors.AvexpError, match=message):
        model_source.find(base).predictor()


def test_weights_of_another_model_are_told_in_one_line(made, tmp_path, recwarn):
    other = dataclasses.replace(MODEL, variant="video_only")
    make_run(tmp_path / "run", made / "records", other)
    weights = made / "run" / "best.weights.h5"
    shutil.copy(weights, tmp_path / "run")
    with pytest.raises(errors.RunError, match=r"config.json: .*[^:\n]$"):
        model_source.find(tmp_path / "run").predictor()
    assert not [one for one in recwarn if "Skipping" in str(one.message)]


@given(st.integers(1, 300), st.integers(1, 60), st.integers(1, 60))
def test_clips_start_as_in_evaluation(n_ticks, clip_ticks, stride):
    found = predictor.clip_starts(n_ticks, clip_ticks, stride)
    if stride <= clip_ticks:
        expected = clips.evaluation_starts(n_ticks, clip_ticks, stride)
        assert found == expected.numpy().tolist()
    covered = {tick for start in found for tick in range(start, start + clip_ticks)}
    assert covered >= set(range(n_ticks))
