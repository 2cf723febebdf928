"""avexp-train and avexp-evaluate as a user calls them; what they say to bad input."""

import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import array_corpus
import numpy as np
import pandas as pd
import pytest
import small_runs

from avexp_tf import config
from avexp_tf import files
from avexp_tf import flags
from avexp_tf.corpora import synthetic
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.data import schema
from avexp_tf.data import shard_reader
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.training import experiment
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import strategy
from avexp_tf.training import trained_model

# The package's own names of these are the functions of its API.
evaluate = importlib.import_module("avexp_tf.evaluate")
train = importlib.import_module("avexp_tf.train")

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module", name="records")
def _records(tmp_path_factory):
    return small_runs.write_records(tmp_path_factory.mktemp("whole") / "records")


@pytest.fixture(name="copy")
def _copy(records, tmp_path):
    """Records that may be damaged."""
    return shutil.copytree(records, tmp_path / "records")


def words_of(records, run_dir, **model):
    """The command line of a small training."""
    settings = small_runs.experiment(records, **model)
    sections = settings.data, settings.model, settings.train
    return [*flags.to_args(*sections), f"--run_dir={run_dir}"]


def names_in(folder):
    """All files and folders; nothing where there is no folder."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fails(capsys, main, *arguments):
    """The one line that a call ends with."""
    code, stdout, stderr = small_runs.call(capsys, main, *arguments)
    assert code == 2
    assert len(stderr) == 1, stderr
    assert stderr[0].startswith("error: ")
    assert not [line for line in stdout if not line.startswith("saved at step")]
    return stderr[0].removeprefix("error: ")


@pytest.fixture(scope="module", name="run")
def _run(records, tmp_path_factory):
    """A finished run, for tests that only read it."""
    path = tmp_path_factory.mktemp("runs") / "baseline"
    experiment.train(small_runs.experiment(records), path, report=str)
    return path


def test_from_records_to_the_papers_figures(records, tmp_path, capsys):
    runs = [tmp_path / name for name in ("baseline", "frame_zero")]
    for path in runs:
        words = [
            word
            for word in words_of(records, path)
            if not word.startswith(("--name", "--variant", "--ablation"))
        ]
        words += ["--interval=0.8"] * (path.name == "frame_zero")
        code, stdout, stderr = small_runs.call(
            capsys, train, *words, f"--strategy={path.name}"
        )
        assert (code, stderr) == (0, [])
        assert stdout[0].startswith("best on dev: epoch ")
        assert stdout[1:] == [
            f"weights: {path / 'best.weights.h5'}",
            f"evaluate: avexp-evaluate --run_dir={path}",
        ]
        result = json.loads((path / "result.json").read_text())
        assert (result["name"], result["epochs"]) == (path.name, 2)
        history = pd.read_csv(path / "history.csv")
        assert list(history["epoch"]) == [1, 2]
        best = history.iloc[result["best_epoch"] - 1]
        assert best["dev_ccc"] == pytest.approx(result["best_dev_ccc"], abs=1e-5)
        settings = config.load(config.ExperimentConfig, path / "config.json")
        expected = ("video:frame_zero:0.5",) if path.name == "frame_zero" else ()
        assert settings.train.ablation == expected
        environment = json.loads((path / "environment.json").read_text())
        assert environment["packages"].keys() >= {"tensorflow", "keras", "numpy"}
        assert "git_revision" in environment
        assert list((path / "tensorboard").iterdir())

    out = tmp_path / "sweep"
    code, stdout, stderr = small_runs.call(
        capsys,
        evaluate,
        f"--run_dir={runs[0]},{runs[1]}",
        f"--out={out}",
        f"--predictions={tmp_path / 'predictions.csv'}",
        "--loss_seeds=3",
    )
    assert (code, stderr) == (0, [])
    assert names_in(out) == [
        "figure_3.png",
        "figure_3.svg",
        "figure_4.png",
        "figure_4.svg",
        "intervals.csv",
        "recordings.csv",
        "report.md",
        "results.csv",
    ]
    assert stdout[-6:] == [
        str(out / name)
        for name in (
            "results.csv",
            "recordings.csv",
            "intervals.csv",
            "report.md",
            "figure_3.png",
            "figure_4.png",
        )
    ]
    for figure in ("figure_3.png", "figure_4.png"):
        assert (out / figure).read_bytes().startswith(b"\x89PNG")
    # Two models, 25 points, one loss seed, two targets.
    results = pd.read_csv(out / "results.csv", keep_default_na=False)
    assert tuple(results.columns) == sweep_results.RESULT_COLUMNS
    assert len(results) == 2 * 25 * 2
    assert set(results["model"]) == {"baseline", "frame_zero"}
    assert (tmp_path / "predictions.csv").exists()
    report = (out / "report.md").read_text()
    table = [line for line in report.splitlines() if line.startswith("|")]
    assert len(table) == 2 * (2 + 25)
    assert table[0].split("|")[1:5] == [
        cell
        for cell in table[0].split("|")[1:5]
        if cell.strip() in ("lost", "Baseline", "Frame-Zero", "Best possible")
    ]
    assert [line for line in stdout if line.startswith("|")] == table
    assert table[2 + 25].split("|")[1:3] == [
        cell
        for cell in table[2 + 25].split("|")[1:3]
        if cell.strip() in ("lost", "Frame-Zero, 0.8 asked")
    ]
    intervals = pd.read_csv(out / "intervals.csv", keep_default_na=False)
    assert tuple(intervals.columns) == sweep_results.INTERVAL_COLUMNS
    assert set(intervals["model"]) == {"frame_zero"} and len(intervals) == 25 * 2


def test_a_complete_run_is_left_alone_and_other_settings_are_refused(
    records, run, capsys
):
    before = {path: path.stat().st_mtime_ns for path in run.glob("[!.]*")}
    assert len(before) == 8
    words = words_of(records, run)
    code, stdout, stderr = small_runs.call(capsys, train, *words)
    assert (code, stderr) == (0, [])
    assert stdout == [f"{run}: this run is complete already; nothing to do"]
    assert {path: path.stat().st_mtime_ns for path in run.glob("[!.]*")} == before
    assert fails(capsys, train, *words, "--epochs=3") == (
        f"{run}: holds a run with other settings (--epochs was 2, is now 3); choose "
        "another --run_dir (of a study, another --out)"
    )
    assert config.load(config.ExperimentConfig, run / "config.json").train.epochs == 2


def test_models_that_results_could_not_tell_apart(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "again")
    message = fails(capsys, evaluate, f"--run_dir={run},{tmp_path}/again")
    assert message == (
        f"{run} and {tmp_path}/again are both baseline of seed 0; train one "
        "of them with another --name"
    )
    message = fails(capsys, evaluate, f"--run_dir={run},")
    assert message == f"--run_dir={run},: has an empty name"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--run_dir must be given; see --help"),
        (["--run_dir=RUN"], "--records must be given; see --help"),
        (["--run_dir=RUN", "--records=nowhere"], "nowhere/manifest.json: no such file"),
        (["RUN"], "'RUN': not a flag; see --help"),
        (["--epochs=0"], "--epochs=0: must be at least 1"),
        (["--epochs=x"], "flag --epochs=x: invalid literal"),
        (["--dropout=nan"], "--dropout=nan: must be a finite number"),
        (["--variant=x"], "--variant=x: must be one of audio_visual, video_only"),
        (["--seed=2147483648"], "--seed=2147483648: must be at most 2147483647"),
        (["--d_model=9", "--num_heads=2"], "--d_model=9: must be a multiple of --num_"),
        (["--ablation=video:frame_zero:2"], "condition 'video:frame_zero:2': frame_ze"),
        (["--strategy=x"], "model 'x': must be one of baseline, clip_zero"),
        (["--strategy=baseline", "--name=x"], "--strategy=baseline: sets --name; give"),
        (["--epoch=1"], "Unknown command line flag 'epoch'. Did you mean: epochs"),
        (
            ["--threads=-1", "--run_dir=R", "--records=x"],
            "--threads=-1: must be",
        ),
        (["--virtual_cpus=0", "--run_dir=R", "--records=x"], "--virtual_cpus=0: must"),
        (
            ["--virtual_cpus=17", "--run_dir=R", "--records=x"],
            "--virtual_cpus=17: must be from 1 to 16",
        ),
    ],
)
def test_wrong_calls_of_train(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fails(capsys, train, *words).startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--run_dir must be given; see --help"),
        (["--run_dir=nowhere"], "nowhere/config.json: can't be read: No such file or"),
        (["--run_dir=RUN", "--conditions=x"], "condition 'x': must read MODALITY:PATT"),
        (["--run_dir=RUN", "--loss_seeds=x"], "--loss_seeds=x: must be whole numbers"),
        (["--run_dir=RUN", "--split=test"], "no recording is in the split 'test'; the"),
        (["--run_dir=RUN", "--records=nowhere"], "nowhere/manifest.json: no such file"),
        (["--run_dir=RUN", "--eval_stride=0"], "--eval_stride=0: must be at least 1"),
        (["--run_dir=RUN", "--out=FILE/x"], "FILE/x: this folder can't be made: Not a"),
        (["--run_dir=RUN", "--predictions=FILE/x"], "FILE/x: can't be written: Not a"),
    ],
)
def test_wrong_calls_of_evaluate(words, message, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("")
    words = [word.replace("RUN", str(run)) for word in words]
    assert message in fails(capsys, evaluate, "--conditions=none", *words)
    assert names_in(tmp_path) == ["FILE"]
    assert not (run / "sweep").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--predictions=OUT/mine.csv"],
            "OUT/mine.csv: is there already, and is no",
        ),
        (["--predictions=OUT/results.csv"], "OUT/results.csv: is where the results go"),
        ([], "OUT/recordings.csv: is there already, and is no table of a sweep"),
    ],
)
def test_results_replace_nothing_else(words, message, run, tmp_path, capsys):
    words = [word.replace("OUT", str(tmp_path)) for word in words]
    for name in ("mine.csv", "recordings.csv"):
        (tmp_path / name).write_text("somebody's own\n")
    words += [f"--run_dir={run}", f"--out={tmp_path}", "--conditions=none"]
    assert message.replace("OUT", str(tmp_path)) in fails(capsys, evaluate, *words)
    assert names_in(tmp_path) == ["mine.csv", "recordings.csv"]
    for path in tmp_path.iterdir():
        assert path.read_text() == "somebody's own\n"


def test_a_run_without_weights_can_not_be_evaluated(run, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(run, path)
    (path / "best.weights.h5").unlink()
    message = fails(capsys, evaluate, f"--run_dir={path}")
    assert message == (
        f"{path}/best.weights.h5: no such file: this run has not finished an epoch, "
        "or lost them; avexp-train goes on with it"
    )
    (path / "best.weights.h5").write_bytes(b"no weights")
    (path / "result.json").unlink()  # has their digest
    message = fails(capsys, evaluate, f"--run_dir={path}")
    assert message.startswith(f"{path}/best.weights.h5: can't be loaded into the model")
    shutil.copy(run / "best.weights.h5", path)
    values = json.loads((path / "config.json").read_text())
    values["model"]["ff_dim"] = 12
    (path / "config.json").write_text(json.dumps(values))
    message = fails(capsys, evaluate, f"--run_dir={path}")
    assert message.startswith(f"{path}/best.weights.h5: can't be loaded into the model")


def shard_of(records, split="train"):
    return sorted(records.glob(f"{split}-*.tfrecord"))[0]


def missing_file(records):
    shard = shard_of(records)
    shard.unlink()
    return f"{shard}: no such file, but the manifest lists it"


def truncated_shard(records):
    shard = shard_of(records)
    size = shard.stat().st_size
    os.truncate(shard, size - 9)
    return f"{shard}: has {size - 9} bytes, the manifest says {size}"


def flipped_byte(records):
    shard = shard_of(records)
    data = bytearray(shard.read_bytes())
    data[60] ^= 4
    shard.write_bytes(data)
    return (
        f"{shard}: record 0 at byte 0: the checksum of its data is wrong; prepare the "
        "records again (training and evaluation can go on without it: "
        "--on_corrupt=skip)"
    )


def wrong_version_of_the_manifest(records):
    path = records / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"schema_version": 2}))
    return f"{path}: schema_version is 2, this program reads 1; run avexp-prepare again"


def changed_manifest(records):
    path = records / "manifest.json"
    path.write_text(path.read_text().replace("synthetic_fc6", "synthetic_fc7"))
    return f"{path}: was changed after it was written: its sha256 is another"


def empty_split(records):
    manifest = manifest_lib.Manifest.load(records)
    splits = {k: v for k, v in manifest.splits.items() if k != "dev"}
    dataclasses.replace(manifest, splits=splits).save(records)
    return f"{records}: no recording is in the split 'dev'; there is train, validation"


def overlapping_subjects(records):
    manifest = manifest_lib.Manifest.load(records)
    train_split = manifest.split("train")
    group = manifest.split("dev").recordings[0].split_group
    first, *rest = train_split.recordings
    first = dataclasses.replace(first, split_group=group)
    train_split = dataclasses.replace(train_split, recordings=(first, *rest))
    splits = {**manifest.splits, "train": train_split}
    dataclasses.replace(manifest, splits=splits).save(records)
    return (
        f"{records}/manifest.json: the group {group!r} is in two splits, train and dev"
    )


def rewritten(records, change):
    """Changes train's first record as if somebody else's program had written it so."""
    manifest = manifest_lib.Manifest.load(records)
    split = manifest.split("train")
    path = records / split.shards[0].file
    framed = [data for _, data in shard_reader.framed_records(path, split.shards[0])]
    framed[0] = framing.frame(change(framing.unframe(framed[0]), manifest.layout))
    path.write_bytes(b"".join(framed))
    shard = dataclasses.replace(
        split.shards[0],
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        record_bytes=tuple(map(len, framed)),
    )
    split = dataclasses.replace(split, shards=(shard, *split.shards[1:]))
    splits = {**manifest.splits, "train": split}
    dataclasses.replace(manifest, splits=splits).save(records)
    return path


def wrong_version_of_a_record(records):
    def change(data, layout):
        segment = example.decode(data, layout)
        version, schema.VERSION = schema.VERSION, 3
        try:
            return example.encode(segment, layout)
        finally:
            schema.VERSION = version

    path = rewritten(records, change)
    return (
        f"{path}: record 0 at byte 0: schema_version is 3, this program reads 1; "
        "prepare the records again (training and evaluation can go on without it: "
        "--on_corrupt=skip)"
    )


def other_dims_in_a_record(records):
    def change(data, layout):
        segment = example.decode(data, layout)
        segment = dataclasses.replace(segment, video=segment.video[:, :-2])
        other = dataclasses.replace(layout, video_dim=layout.video_dim - 2)
        return example.encode(segment, other)

    path = rewritten(records, change)
    n = manifest_lib.Manifest.load(records).split("train").segment_ticks[0]
    return (
        f"{path}: record 0 at byte 0: video has {n * 12} bytes, {n} ticks need "
        f"{n * 16}; prepare the records again (training and evaluation can go on "
        "without it: --on_corrupt=skip)"
    )


@pytest.mark.parametrize(
    "damage",
    [
        missing_file,
        truncated_shard,
        flipped_byte,
        wrong_version_of_the_manifest,
        changed_manifest,
        empty_split,
        overlapping_subjects,
        wrong_version_of_a_record,
        other_dims_in_a_record,
    ],
)
def test_damaged_records_end_a_training_in_one_line(copy, tmp_path, capsys, damage):
    expected = damage(copy)
    run_dir = tmp_path / "run"
    assert fails(capsys, train, *words_of(copy, run_dir)) == expected
    # No weights and no result: what there is, another call goes on with.
    assert not {"best.weights.h5", "result.json"} & set(names_in(run_dir))
    assert not [name for name in names_in(run_dir) if name.startswith(files.TEMPORARY)]


def test_nan_features_end_a_training_at_the_step_that_meets_them(
    copy, tmp_path, capsys
):
    def change(data, layout):
        segment = example.decode(data, layout)
        return example.encode(
            dataclasses.replace(segment, video=np.full_like(segment.video, np.nan)),
            layout,
        )

    rewritten(copy, change)
    settings = small_runs.experiment(copy)
    source = record_source.RecordSource.open(settings.data, "train")
    batches = pipeline.training_batches(source, [()], settings.train.seed, epoch=0)
    has_nan = [np.isnan(inputs["video"]).any() for inputs, _ in batches]
    step = 1 + has_nan.index(True)
    message = fails(capsys, train, *words_of(copy, tmp_path / "run"))
    assert message.startswith(
        f"step {step}: the loss is nan: lower --learning_rate or set "
    )
    assert message.endswith(
        "see whether avexp-verify finds features that are no numbers"
    )
    assert "best.weights.h5" not in names_in(tmp_path / "run")


def test_damage_can_be_skipped_and_is_told(copy, tmp_path, capsys):
    message = flipped_byte(copy)
    place = message.partition(";")[0]
    words = words_of(copy, tmp_path / "run")
    assert fails(capsys, train, *words) == message
    # The way on that the message names works in the same directory.
    code, stdout, stderr = small_runs.call(capsys, train, *words, "--on_corrupt=skip")
    assert (code, stderr) == (0, [])
    assert f"skipped, damaged: {place}" in stdout


def test_damage_in_the_evaluated_split(records, run, tmp_path, capsys):
    copied = shutil.copytree(records, tmp_path / "records")
    shard = shard_of(copied, "validation")
    data = bytearray(shard.read_bytes())
    data[60] ^= 4
    shard.write_bytes(data)
    message = fails(
        capsys,
        evaluate,
        f"--run_dir={run}",
        f"--records={copied}",
        f"--out={tmp_path / 'out'}",
        f"--predictions={tmp_path / 'predictions.csv'}",
        "--conditions=none",
    )
    assert message.startswith(f"{shard}: record 0 at byte 0: the checksum")
    assert names_in(tmp_path) == ["out", "records"]
    assert names_in(tmp_path / "out") == []


def test_records_that_the_model_can_not_read(run, tmp_path, capsys):
    corpus = array_corpus.ArrayCorpus((60, 45, 80, 31, 50, 77))
    other = small_runs.write_records(tmp_path / "other", corpus)
    message = fails(capsys, evaluate, f"--run_dir={run}", f"--records={other}")
    assert message == (
        f"{other}: its video features are random 1 [3], the model takes synthetic_fc6 "
        "1 [8]"
    )
    wider = dataclasses.replace(small_runs.CORPUS, audio_dim=6)
    other = small_runs.write_records(
        tmp_path / "wider", synthetic.SyntheticCorpus(wider)
    )
    message = fails(capsys, evaluate, f"--run_dir={run}", f"--records={other}")
    assert message == (
        f"{other}: its audio features are synthetic_lld 1 [6], the model takes "
        "synthetic_lld 1 [4]"
    )


def test_records_that_were_changed_under_a_run(run, tmp_path, capsys):
    records = small_runs.write_records(tmp_path / "records")
    path = tmp_path / "run"
    shutil.copytree(run, path)
    words = words_of(records, path)
    values = json.loads((path / "config.json").read_text())
    values["data"]["records"] = str(records)
    (path / "config.json").write_text(json.dumps(values))
    assert small_runs.call(capsys, train, *words)[0] == 0
    shutil.rmtree(records)
    other = dataclasses.replace(small_runs.CORPUS, synthetic_seed=1)
    small_runs.write_records(records, synthetic.SyntheticCorpus(other))
    message = fails(capsys, train, *words)
    assert message.startswith(f"{path}: holds a run on other records")


@pytest.mark.parametrize("place", ["file", "file/run", "/proc/run"])
def test_a_run_directory_that_can_not_be_written(place, records, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    message = fails(capsys, train, *words_of(records, path))
    assert message.startswith(f"{path}: this folder can't be made: ")
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("n_bytes", [1000, 6000])
def test_no_space_ends_a_training_in_one_line(n_bytes, records, tmp_path):
    """With a limit on the size of files, writing fails as on a full disk."""
    path = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "avexp_tf.train", *words_of(records, path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (n_bytes, n_bytes)
        ),
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {path}/")
    assert last.endswith("can't be written: File too large")
    assert "Traceback" not in done.stderr
    assert not {"best.weights.h5", "result.json"} & set(names_in(path))
    assert not [name for name in names_in(path) if name.startswith(files.TEMPORARY)]


@pytest.mark.slow
def test_a_training_on_two_replicas_ends_with_the_same_weights(records, tmp_path):
    """With losses, clipping, uneven last batches, and evaluation between."""
    settings = small_runs.experiment(records, dropout=0.0)
    training = dataclasses.replace(
        settings.train,
        epochs=3,
        patience=0,
        learning_rate=0.01,
        clip_norm=0.5,
        ablation=("video:frame_zero:0.5",),
    )
    settings = dataclasses.replace(settings, train=training)
    found = {n_replicas: tmp_path / f"on_{n_replicas}" for n_replicas in (1, 2)}
    for n_replicas, path in found.items():
        assert strategy.choose(n_replicas).num_replicas_in_sync == n_replicas
        experiment.train(settings, path, n_replicas, report=str)
    history = {n: pd.read_csv(path / "history.csv") for n, path in found.items()}
    assert (history[1]["step"].diff()[1:] > 2).all()
    for name in ("loss", "dev_ccc"):
        np.testing.assert_allclose(history[2][name], history[1][name], atol=1e-4)
    assert history[1]["loss"].iloc[-1] < history[1]["loss"].iloc[0]
    states = []
    for path in found.values():
        newest = max((path / "checkpoints").glob("*.npz"))
        with np.load(newest) as arrays:
            states.append({name: arrays[name] for name in arrays.files})
    alone, mirrored = states
    assert alone.keys() == mirrored.keys()
    assert sum(name.startswith("model") for name in alone) > 20
    for name, values in alone.items():
        np.testing.assert_allclose(mirrored[name], values, atol=1e-4, err_msg=name)


def test_a_training_that_diverges_at_its_end_says_so(records, run, tmp_path, capsys):
    """No step follows whose loss would be no number."""
    message = fails(
        capsys,
        train,
        *words_of(records, tmp_path / "run"),
        "--epochs=1",
        "--batch_size=1000",
        "--learning_rate=1e30",
    )
    assert message.startswith("step 1: on dev it predicts what are no finite numbers")
    assert not (tmp_path / "run" / "best.weights.h5").exists()
    other = shutil.copytree(run, tmp_path / "other")
    (other / "result.json").unlink()
    run_dir = run_dirs.RunDir(other)
    model = trained_model.load(run_dir)
    model.set_weights([np.full_like(one, np.nan) for one in model.get_weights()])
    run_dir.save_weights(model)
    message = fails(
        capsys,
        evaluate,
        f"--run_dir={other}",
        f"--out={tmp_path / 'out'}",
        "--conditions=none",
    )
    assert message.startswith(f"{other}: it predicts what are no finite numbers")
    assert names_in(tmp_path / "out") == []


def test_weights_that_changed_are_refused_and_made_again(records, tmp_path, capsys):
    path = tmp_path / "run"
    words = words_of(records, path)
    assert small_runs.call(capsys, train, *words)[0] == 0
    weights = path / "best.weights.h5"
    whole = weights.read_bytes()
    for damaged in (whole[:5000], whole[:-1] + bytes([whole[-1] ^ 4])):
        weights.write_bytes(damaged)
        message = fails(capsys, evaluate, f"--run_dir={path}", "--conditions=none")
        assert message.startswith(f"{weights}: is damaged: its SHA-256 is not that of")
        assert small_runs.call(capsys, train, *words)[0] == 0
        found = trained_model.load(run_dirs.RunDir(path)).get_weights()
        weights.write_bytes(whole)
        (path / "result.json").unlink()
        wanted = trained_model.load(run_dirs.RunDir(path)).get_weights()
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
        assert small_runs.call(capsys, train, *words)[0] == 0


def test_a_loss_that_records_can_not_show_claims_no_folder(records, tmp_path, capsys):
    words = words_of(records, tmp_path / "run")
    message = fails(capsys, train, *words, "--ablation=video:face_zero:0.5")
    assert "have no background" in message
    assert not (tmp_path / "run").exists()


def test_predictions_may_lie_in_a_new_folder(run, tmp_path, capsys):
    out = tmp_path / "out"
    code, _, _ = small_runs.call(
        capsys,
        evaluate,
        f"--run_dir={run}",
        f"--out={out}",
        f"--predictions={out}/predictions.csv",
        "--conditions=none",
    )
    assert code == 0 and (out / "predictions.csv").stat().st_size > 1000
