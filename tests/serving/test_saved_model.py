"""The SavedModel gives Keras's numbers, whatever is lost; a failure leaves nothing."""

import dataclasses
import errno
import json
import os
import shutil

import numpy as np
import pytest
import small_runs
import tensorflow as tf

import avexp_tf
from avexp_tf import config
from avexp_tf import errors
from avexp_tf.corpora import synthetic
from avexp_tf.data import condition
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import pipeline
from avexp_tf.data import prepare
from avexp_tf.data import record_source
from avexp_tf.evaluation import sweep_result
from avexp_tf.serving import check
from avexp_tf.serving import export_config
from avexp_tf.serving import litert
from avexp_tf.serving import measured_results
from avexp_tf.serving import model_card
from avexp_tf.serving import requests
from avexp_tf.serving import saved_model
from avexp_tf.serving import signatures
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

VARIANTS = ("audio_visual", "video_only", "audio_only")


@pytest.fixture(scope="module", name="records")
def _records(tmp_path_factory):
    return small_runs.write_records(tmp_path_factory.mktemp("whole") / "records")


@pytest.fixture(scope="module", name="runs")
def _runs(records, tmp_path_factory):
    """One run of each variant."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        variant: small_runs.write_run(
            folder / variant, small_runs.experiment(records, variant, variant=variant)
        )
        for variant in VARIANTS
    }


@pytest.fixture(scope="module", name="exports")
def _exports(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    return {
        variant: saved_model.export(run, folder / variant)
        for variant, run in runs.items()
    }


def data_of(records):
    return small_runs.experiment(records).data


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_equals_keras_under_every_loss(variant, exports, runs, records):
    worst = check.largest_difference(exports[variant], runs[variant], data_of(records))
    assert worst < 1e-5


@pytest.mark.parametrize("text", export_config.CONDITIONS)
def test_it_equals_keras_under_each_loss(text, exports, runs, records):
    worst = check.largest_difference(
        exports["audio_visual"], runs["audio_visual"], data_of(records), [text]
    )
    assert worst < 1e-5


def test_the_check_sees_a_difference(exports, runs, records):
    worst = check.largest_difference(
        exports["video_only"], runs["audio_visual"], data_of(records)
    )
    assert worst > 1e-2


def test_the_card_is_of_what_the_model_takes(exports, runs):
    for variant in VARIANTS:
        text = (exports[variant] / "assets.extra" / "model_card.md").read_text()
        takes_sound = variant != "video_only"
        for words in ("LLDs", "Row k + ", "| audio |"):
            assert (words in text) == takes_sound, (variant, words)
        assert ("| video |" in text) == (variant != "audio_only")
        assert "openSMILE" not in text and "VGG-Face" not in text  # made-up features
    run_dir = run_dirs.RunDir(runs["video_only"])
    manifest = run_dir.manifest()
    named = dataclasses.replace(
        manifest,
        video=dataclasses.replace(manifest.video, name="vggface_fc6_bfloat16"),
        audio=dataclasses.replace(manifest.audio, name="IS13_lld"),
    )
    run_dir.manifest = lambda: named
    for inputs, words in (
        (("video",), ["VGG-Face"]),
        (("audio",), ["openSMILE"]),
        (("video", "audio"), ["VGG-Face", "openSMILE"]),
    ):
        specs = {signatures.DEFAULT: {n: tf.TensorSpec([None], name=n) for n in inputs}}
        card = model_card.card(run_dir, specs, {})
        assert [line.split(",")[0] for line in card["licences"][1:-1]] == words
        assert ("audio_statistics" in card) == ("audio" in inputs)


def test_the_card_tells_what_was_learned_and_measured(runs, tmp_path):
    run_dir = run_dirs.RunDir(runs["video_only"])
    train = run_dir.config().train
    table = tmp_path / "results.csv"
    lines = [
        f"{train.name},{train.seed},{cells},1,valence,{ccc},,9"
        for cells, ccc in (
            ("none,none,0.0,", 0.5),
            ("video,gilbert_elliott_zero,0.5,2.0", 0.4),
            ("video,gilbert_elliott_zero,0.5,30.0", 0.2),
        )
    ]
    table.write_text("\n".join([",".join(sweep_result.RESULT_COLUMNS), *lines]))
    manifest = run_dir.manifest()
    split = dataclasses.replace(manifest.splits["train"], label_ticks=(9, 0))
    one_target = dataclasses.replace(
        manifest, splits=dict(manifest.splits, train=split), corpus_name="table"
    )
    run_dir.manifest = lambda: one_target
    run_dir.result = lambda: {"best_dev_ccc": 0.25, "best_epoch": 3}
    specs = {signatures.DEFAULT: {"video": tf.TensorSpec([None], name="video")}}
    card = model_card.card(run_dir, specs, measured_results.load(run_dir, table))
    shown = model_card.markdown(card)
    for line in (
        "| none | 0.500 | - |",
        "| video:gilbert_elliott_zero:0.5, bursts of 2 ticks | 0.400 | - |",
        "| video:gilbert_elliott_zero:0.5, bursts of 30 ticks | 0.200 | - |",
        "was chosen: 0.250 (valence, epoch 3)",
        "expressed arousal; not learned",
    ):
        assert line in shown
    assert "30 ticks a second" not in shown
    for clock, words in (("30hz", "30 ticks a sec"), ("frames", "a tick at every fr")):
        run_dir.manifest = lambda clock=clock: dataclasses.replace(
            one_target, corpus_config={"clock": clock}
        )
        assert words in model_card.markdown(
            model_card.card(run_dir, specs, {"dev": {}, "test": [], "intervals": []})
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_signature_has_names_and_types(variant, exports):
    loaded = tf.saved_model.load(str(exports[variant]))
    signature = loaded.signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    expected = {}
    for name, width in (("video", 8), ("audio", 4)):
        if variant in ("audio_visual", f"{name}_only"):
            expected[name] = ([None, None, width], tf.float32)
            expected[f"{name}_present"] = ([None, None], tf.bool)
    assert {n: (s.shape.as_list(), s.dtype) for n, s in inputs.items()} == expected
    outputs = signature.structured_outputs
    assert {n: s.dtype for n, s in outputs.items()} == dict.fromkeys(
        config.TARGETS, tf.float32
    )


def test_it_takes_any_number_of_clips_and_ticks(exports):
    loaded = tf.saved_model.load(str(exports["audio_visual"]))
    signature = loaded.signatures["serving_default"]
    rng = np.random.default_rng(0)
    margin = small_runs.RECORDS.context_ticks - 1
    for n_clips, n_ticks in ((1, 1), (3, 20), (2, 130)):
        found = signature(
            video=tf.constant(rng.random((n_clips, n_ticks, 8)), tf.float32),
            video_present=tf.ones([n_clips, n_ticks], tf.bool),
            audio=tf.constant(rng.random((n_clips, n_ticks + margin, 4)), tf.float32),
            audio_present=tf.zeros([n_clips, n_ticks], tf.bool),
        )
        for target in config.TARGETS:
            assert found[target].shape == (n_clips, n_ticks)
            assert np.isfinite(found[target]).all()


def test_a_model_without_context_or_layers_is_exported(tmp_path):
    settings = config.RecordsConfig(context_ticks=1, segment_ticks=40)
    corpus = synthetic.SyntheticCorpus(small_runs.CORPUS)
    prepare.prepare(corpus, tmp_path / "records", settings, report=str)
    experiment = small_runs.experiment(tmp_path / "records", num_layers=0)
    run = small_runs.write_run(tmp_path / "run", experiment)
    version = saved_model.export(run, tmp_path / "export")  # with warm-up requests
    assert check.largest_difference(version, run, experiment.data) < 1e-5
    source = record_source.RecordSource.open(experiment.data, "validation")
    assert litert.convert(run_dirs.RunDir(run), source, ("float32",), {})["float32"]
    raw = [record.numpy() for record in tf.data.TFRecordDataset(_shards(source))]
    served = tf.saved_model.load(str(version)).signatures["examples"]
    assert np.isfinite(served(examples=tf.constant(raw))["valence"].numpy()).any()


def _shards(source):
    return source.manifest.shard_paths(source.data.records, source.split)


def test_each_weight_is_stored_once(exports, runs):
    model = trained_model.load(run_dirs.RunDir(runs["audio_visual"]))
    reader = tf.train.load_checkpoint(
        str(exports["audio_visual"] / "variables/variables")
    )
    shapes = reader.get_variable_to_shape_map()
    stored = sum(int(np.prod(shape)) for shape in shapes.values() if shape)
    assert 0.9 < stored / model.count_params() < 1.1


def test_the_first_version_is_followed_by_the_next(runs, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    target = saved_model.export(runs["audio_only"], tmp_path)
    assert target == tmp_path / "8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7", "8", "notes"]
    extra = target / "assets.extra"
    manifest = manifest_lib.Manifest.load(extra)
    trained_on = manifest_lib.Manifest.load(runs["audio_only"])
    assert manifest == saved_model.without_names(trained_on)
    assert trained_on.splits["train"].recordings
    assert not manifest.splits["train"].recordings  # people are nobody's business
    settings = config.load(config.ExperimentConfig, extra / config.FILE_NAME)
    assert settings.model.variant == "audio_only"


def test_nobody_is_named_anywhere_in_an_export(tmp_path):
    """Not even where own tables are mapped by lists of people."""
    people = {
        "train": ["Annika", "Bobette"],
        "dev": ["Cleopatra"],
        "validation": ["Dorothea"],
    }
    (tmp_path / "tables").mkdir()
    rng = np.random.default_rng(0)
    for name in ("Annika", "Bobette", "Cleopatra", "Dorothea"):
        table = {"v": rng.normal(size=(50, 1)), "a": rng.normal(size=(50, 1))}
        table |= {"time": np.arange(50) / 30, "valence": rng.uniform(-1, 1, 50)}
        np.savez(tmp_path / "tables" / f"{name}_1.npz", **table)
    mapping = {
        "recording": "(?P<subject>.+)_1",
        "subject": "{subject}",
        "splits": people,
        "video": ["v"],
        "audio": ["a"],
        "valence": "valence",
        "time": "time",
    }
    (tmp_path / "mapping.json").write_text(json.dumps(mapping))
    records = tmp_path / "records"
    avexp_tf.prepare(
        "table",
        records,
        tables=tmp_path / "tables",
        mapping=tmp_path / "mapping.json",
        context_ticks=4,
    )
    run = small_runs.write_run(tmp_path / "run", small_runs.experiment(records))
    kept = manifest_lib.Manifest.load(records).corpus_config["mapping"]
    assert list(kept["splits"]["train"]) == people["train"]
    export = avexp_tf.export(run, tmp_path / "base", litert=("float32",))
    found = [path for path in export.rglob("*") if path.is_file()]
    assert {"saved_model.pb", "float32.tflite"} <= {path.name for path in found}
    for path in found:
        content = path.read_bytes()
        for name in ("Annika", "Bobette", "Cleopatra", "Dorothea"):
            assert name.encode() not in content, path


def test_numbers_that_no_server_reads(runs, tmp_path):
    (tmp_path / "0003").mkdir()
    (tmp_path / str(2**63)).mkdir()
    assert saved_model.export(runs["audio_only"], tmp_path) == tmp_path / "4"
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(errors.DataError, match=f"no version can follow {2**63 - 1}"):
        saved_model.export(runs["audio_only"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_for_tensorflow(*_, **__):
    raise tf.errors.ResourceExhaustedError(None, None, "x; No space left on device")


@pytest.mark.parametrize(
    ("module", "name", "failure"),
    [
        (tf.saved_model, "save", full),
        (tf.saved_model, "save", full_for_tensorflow),
        (os, "replace", full),
        (os, "rename", full),
    ],
)
def test_a_full_disk_leaves_nothing(module, name, failure, runs, tmp_path, monkeypatch):
    base = tmp_path / "export"
    monkeypatch.setattr(module, name, failure)
    with pytest.raises(
        errors.DataError, match=f"{base}.*: can't be written: .*No space left on device"
    ):
        saved_model.export(runs["video_only"], base)
    assert list(base.iterdir()) == []


def test_results_that_are_not_there_leave_no_folder(runs, tmp_path):
    settings = export_config.ExportConfig(results=str(tmp_path / "nope"))
    with pytest.raises(errors.DataError, match="nope: can't be read"):
        saved_model.export(runs["audio_only"], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_can_not_be_made(runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DataError, match="file/x: this folder can't be made"):
        saved_model.export(runs["video_only"], tmp_path / "file" / "x")


def test_a_run_without_weights(runs, tmp_path):
    run = shutil.copytree(runs["video_only"], tmp_path / "run")
    (run / "best.weights.h5").unlink()
    with pytest.raises(errors.RunError, match="best.weights.h5: no such file"):
        saved_model.export(run, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_the_request_is_what_a_client_has(records, runs):
    """Raw LLDs, zeros without sound, and flags instead of source maps."""
    source = record_source.RecordSource.open(data_of(records), "validation")
    tested = condition.parse("each:frame_zero:0.5")
    batches = pipeline.evaluation_batches(source, [(((tested,),), 3)])
    batch = {name: value.numpy() for name, value in next(iter(batches)).items()}
    manifest = manifest_lib.Manifest.load(runs["audio_visual"])
    request = requests.of_presence(batch, 0, manifest)
    statistics = manifest.audio_statistics
    heard = batch["audio_row_present"]
    assert (request["audio"][~heard] == 0).all()
    raw = batch["audio"][heard] * statistics.std + statistics.mean
    np.testing.assert_allclose(request["audio"][heard], raw, rtol=1e-5)
    for name in config.MODALITIES:
        shown = batch[f"{name}_source"][:, 0] >= 0
        np.testing.assert_array_equal(request[f"{name}_present"], shown)
        assert (shown <= batch[f"{name}_present"]).all()


def test_what_must_lie_here_says_so():
    for path in ("s3://bucket/export", "gs://bucket/export/1"):
        with pytest.raises(errors.DataError, match=f"{path}: must be a folder of this"):
            saved_model.extra(path)
