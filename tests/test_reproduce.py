"""A study's report: whole, the same after any stop, and true to its tables."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import small_runs

from avexp_tf import config
from avexp_tf import demo
from avexp_tf import errors
from avexp_tf import reproduce
from avexp_tf.corpora import synthetic
from avexp_tf.data import condition as conditions
from avexp_tf.data import manifest as manifests
from avexp_tf.data import prepare
from avexp_tf.data import record_source
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import report
from avexp_tf.evaluation import sweep as sweeps
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.training import experiment as experiments
from avexp_tf.training import run as run_lib
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

CORPUS = synthetic.SyntheticConfig(
    video_dim=8,
    audio_dim=3,
    train_speakers=1,
    dev_speakers=1,
    validation_speakers=3,
    min_ticks=120,
    max_ticks=200,
    no_face=0.2,
    silence=0.3,
)
RECIPES = {name: protocol.RECIPES[name] for name in ("baseline", "audio_only")}
TRAIN_SEEDS, LOSS_SEEDS = (0, 1), (1, 2)
TESTED = [
    conditions.NONE,
    *map(
        conditions.parse,
        (
            "video:frame_zero:1",
            "video:frame_zero:0.9",
            "audio:clip_zero:1",
            "video:gilbert_elliott:0.5:2:zero",
            "video:gilbert_elliott:0.5:8:zero",
        ),
    ),
]


def base_of(records):
    return config.ExperimentConfig(
        config.DataConfig(records=str(records), clip_ticks=40, eval_stride=40),
        config.ModelConfig(
            d_model=8, num_heads=2, ff_dim=8, num_layers=1, interval=0.9
        ),
        config.TrainConfig(epochs=2),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Records, and run directories as trainings leave them, with random weights."""
    folder = tmp_path_factory.mktemp("trained")
    make(folder, synthetic.SyntheticCorpus(CORPUS))
    return folder


def make(folder, corpus):
    records = folder / "records"
    settings = config.RecordsConfig(context_ticks=4, segment_ticks=100)
    prepare.prepare(corpus, records, settings)
    base = base_of(records)
    manifest = record_source.RecordSource.open(base.data, "train").manifest
    rng = np.random.default_rng(0)
    for seed in TRAIN_SEEDS:
        for name in RECIPES:
            path = folder / "runs" / (name if seed == 0 else f"{name}-seed-{seed}")
            experiment = protocol.experiment_of(name, base, seed)
            run = run_dirs.RunDir(path)
            run.begin(experiment, manifest)
            model = trained_model.build(experiment, manifest)
            model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.weights])
            run.save_weights(model)
            scalars = ",alpha,beta" if name == "baseline" else ""
            values = ",0.25,-1.5" if name == "baseline" else ""
            run.history_path.write_text(
                f"epoch,step,loss,dev_ccc,dev_valence,dev_arousal{scalars},seconds\n"
                f"1,4,0.9,0.2,0.1,0.3{values},{rng.uniform(1, 9)}\n"
                f"2,8,0.8,0.1,0.1,0.1{values},{rng.uniform(1, 9)}\n"
            )
            run.finish({"epoch": 1})


def study(trained, out, n_resamples=50):
    if not out.exists():
        shutil.copytree(trained / "runs", out)
    return reproduce.run_study(
        base_of(trained / "records"),
        RECIPES,
        TESTED,
        TRAIN_SEEDS,
        LOSS_SEEDS,
        out,
        jobs=1,
        n_resamples=n_resamples,
    )


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    """A study that nobody stopped: its folder and what it returned."""
    out = tmp_path_factory.mktemp("study") / "out"
    return out, study(trained, out)


def test_resamples_are_checked_before_the_trainings(trained, tmp_path):
    with pytest.raises(errors.ConfigError, match="--resamples=1: must be from 2 to"):
        study(trained, tmp_path, n_resamples=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["records", "runs/baseline"])
def test_a_study_lies_in_no_folder_of_something_else(trained, name):
    before = sorted((trained / name).iterdir())
    with pytest.raises(errors.ConfigError, match=f"--out={trained / name}: holds rec"):
        study(trained, trained / name)
    assert sorted((trained / name).iterdir()) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.csv", "my,own,table\n"),
        ("comparisons.csv", "mine\n"),
        ("report.md", "# My report\n"),
        ("report.html", "<!DOCTYPE html>\n<title>Mine</title>"),
    ],
)
def test_a_study_replaces_nobody_elses_file(trained, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(errors.DataError, match=f"{name}: is there already, and is no"):
        study(trained, tmp_path)
    assert (tmp_path / name).read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("command", "out", "message"),
    [
        (demo, "", "--out must be given"),
        (demo, "s3://b/x", "s3://b/x: must be a folder of this machine"),
        (reproduce, "s3://b/x", "s3://b/x: must be a folder of this machine"),
    ],
    ids=["demo", "demo on s3", "study on s3"],
)
def test_a_study_lies_in_a_folder_of_this_machine(
    command, out, message, trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = [f"--records={trained / 'records'}"] if command is reproduce else []
    code, _, said = small_runs.call(capsys, command, f"--out={out}", *words)
    assert code == 2 and message in said[-1]
    assert not list(tmp_path.iterdir())


def test_everything_is_written(finished):
    out, (table, names, trainings) = finished
    assert len(trainings) == 4
    assert all((out / name).stat().st_size for name in names)
    assert {"results.csv", "comparisons.csv", "report.md", "report.html"} <= set(names)
    assert "intervals.csv" in names
    figures = {name for name in names if name.endswith(".png")}
    assert {name.replace(".png", ".svg") for name in figures} <= set(names)
    assert {"figure_3.png", "figure_4.png", "bursts.png", "areas.png"} <= figures
    assert "Baseline" in table


def test_the_page_holds_every_figure_and_links_nothing(finished):
    out, (_, names, _) = finished
    page = (out / "report.html").read_text()
    n_figures = sum(name.endswith(".png") for name in names)
    assert page.count('src="data:image/png;base64,') == n_figures
    assert len(re.findall("<figcaption>[^<]{40,}</figcaption>", page)) == n_figures
    assert "http" not in re.sub('base64,[^"]*', "", page)
    for words in (
        "Never below unimodal",
        "Really missing",
        report.INTERVALS_TITLE,
        "Baseline, 0.9 asked",
        "[Aff-Wild2: 0.393 / 0.522]",
        "[Aff-Wild2: -0.060 / 0.284]",
    ):
        assert words in page and words in (out / "report.md").read_text()


def test_results_are_what_a_plain_sweep_gives(trained, finished):
    out, (_, _, trainings) = finished
    results = pd.read_csv(out / "results.csv")
    assert list(results.columns) == list(sweep_results.RESULT_COLUMNS)
    models = [trained_model.TrainedModel.load(one.run_path) for one in trainings]
    source = record_source.RecordSource.open(
        base_of(trained / "records").data, "validation"
    )
    found = sweeps.evaluate(models, source, TESTED, LOSS_SEEDS)
    plain = found.results
    assert len(plain) == len(results)
    np.testing.assert_allclose(results["ccc"], plain["ccc"], atol=2e-6)
    np.testing.assert_allclose(results["optimum"], plain["optimum"], atol=2e-6)
    intervals = pd.read_csv(out / "intervals.csv")
    np.testing.assert_allclose(
        intervals[["coverage", "width"]],
        found.intervals[["coverage", "width"]],
        rtol=1e-5,
        atol=2 / 1000,  # a bound may lie within rounding of a label
    )


def test_ticks_are_either_missing_or_present(finished):
    page = (finished[0] / "report.md").read_text()
    rows = re.findall(r"\| (video|audio) +\| (missing|present) +\| (\d+)", page)
    assert len(rows) == 4
    total = {"video": 0, "audio": 0}
    for modality, _, n_ticks in rows:
        assert int(n_ticks) > 0
        total[modality] += int(n_ticks)
    results = pd.read_csv(finished[0] / "results.csv")
    assert set(total.values()) == {results["n_ticks"].max()}


def test_the_kept_epoch_and_its_scalars_are_told(finished):
    page = (finished[0] / "report.md").read_text()
    row = r"\| Baseline +\| 1 +\| 1 +\| 0\.200 +\| 0\.250 +\| -1\.500 +\|"
    assert re.search(row, page)
    assert re.search(r"\| Audio only +\| 0 +\| 1 +\| 0\.200 +\| - +\| - +\|", page)


def files_of(out):
    suffixes = (".csv", ".md", ".html", ".png", ".svg")
    return {
        path.name: path.read_bytes()
        for path in out.iterdir()
        if path.suffix in suffixes
    }


def test_stopped_anywhere_it_gives_the_same_report(
    trained, finished, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    real, calls = sweeps.measure, []

    def stopped(models, *args, **kwargs):
        if len(calls) % 2:
            calls.append("stopped")
            raise KeyboardInterrupt
        calls.append([model.train_seed for model in models])
        return real(models, *args, **kwargs)

    monkeypatch.setattr(sweeps, "measure", stopped)
    for _ in range(2):  # in the second group of validation, then before dev's second
        with pytest.raises(KeyboardInterrupt):
            study(trained, out)
    assert not (out / "report.md").exists()
    monkeypatch.setattr(sweeps, "measure", real)
    study(trained, out)
    assert calls == [[0, 0], "stopped", [1, 1], "stopped"]
    assert files_of(out) == files_of(finished[0])


def test_nothing_finished_is_done_again_but_what_was_damaged_is(
    trained, finished, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "sweeps" / "validation-audio_only.npz").write_bytes(b"half of it")
    (out / "figure_4.png").unlink()
    measured = []
    real = sweeps.measure

    def noted(models, known, *args, **kwargs):
        measured.append(([model.name for model in models], list(known)))
        return real(models, known, *args, **kwargs)

    monkeypatch.setattr(sweeps, "measure", noted)
    study(trained, out)
    assert measured == [(["audio_only"], [])]
    assert files_of(out) == files_of(finished[0])


def test_missing_records_are_refused_before_anything_is_trained(trained, tmp_path):
    base = base_of(tmp_path / "nothing")
    with pytest.raises(errors.AvexpError, match="nothing"):
        reproduce.run_study(base, RECIPES, TESTED, (0,), (1,), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class ValenceOnly(synthetic.SyntheticCorpus):
    """As tables of which one target was labelled; of one recording none."""

    def read(self, recording_id):
        for block in super().read(recording_id):
            valid = block.label_valid.copy()
            valid[:, 1] = False
            if recording_id == self.recordings()[-1].recording_id:
                valid[:] = False
            yield dataclasses.replace(block, label_valid=valid)


def test_a_study_of_one_target_has_a_report(tmp_path):
    make(tmp_path, ValenceOnly(CORPUS))
    out = tmp_path / "out"
    study(tmp_path, out)
    table = pd.read_csv(out / "comparisons.csv")
    arousal = table[table["target"] == "arousal"]
    assert len(arousal) and arousal["difference"].isna().all()
    valence = table[table["target"] == "valence"].dropna(subset=["p"])
    # A recording without labels is no evidence, and takes none away.
    assert valence["low"].notna().all()
    n_labelled = len(pd.read_csv(out / "recordings.csv")["recording_id"].unique()) - 1
    assert set(valence["n_recordings"]) == {n_labelled}
    assert not re.search(r"\bnan\b", (out / "report.md").read_text())
    assert not re.search(r">nan<| nan ", (out / "report.html").read_text())


def test_a_study_does_not_go_on_with_other_records(trained, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    other = dataclasses.replace(CORPUS, synthetic_seed=7)
    (tmp_path / "records").mkdir()
    settings = config.RecordsConfig(context_ticks=4, segment_ticks=100)
    prepare.prepare(synthetic.SyntheticCorpus(other), tmp_path / "records", settings)
    before = files_of(tmp_path / "out")
    with pytest.raises(errors.RunError, match="baseline: holds a run on other records"):
        study(tmp_path, tmp_path / "out")
    assert files_of(tmp_path / "out") == before


def test_where_the_records_lie_does_not_matter(trained, finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    shutil.copytree(trained / "records", tmp_path / "records")
    study(tmp_path, out)
    elsewhere = files_of(out)
    for name in ("results.csv", "comparisons.csv", "recordings.csv"):
        assert elsewhere[name] == files_of(finished[0])[name]


def test_a_training_that_lost_its_weights_is_made_again(trained, finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    (out / "audio_only" / "best.weights.h5").unlink()
    study(trained, out)
    assert (out / "audio_only" / "best.weights.h5").stat().st_size
    assert "best on dev" in (out / "audio_only" / "train.log").read_text()


class PartlyLabelled(synthetic.SyntheticCorpus):
    """Which targets were labelled in train and dev."""

    def __init__(self, train, dev):
        super().__init__(CORPUS)
        self._labelled = {"train": train, "dev": dev}

    def read(self, recording_id):
        labelled = self._labelled.get(recording_id.split("-")[0], (True, True))
        for block in super().read(recording_id):
            valid = block.label_valid & np.array(labelled)
            yield dataclasses.replace(block, label_valid=valid)


@pytest.mark.parametrize(
    ("train", "dev", "message"),
    [
        ((True, True), (False, False), "the split dev has no valid label"),
        ((True, False), (False, True), "dev has no valid label of a target that train"),
    ],
)
def test_dev_without_labels_is_told_before_the_first_step(
    train, dev, message, tmp_path
):
    records = tmp_path / "records"
    settings = config.RecordsConfig(context_ticks=4, segment_ticks=100)
    prepare.prepare(PartlyLabelled(train, dev), records, settings)
    base = base_of(records)
    with pytest.raises(errors.DataError, match=message):
        experiments.train(base, tmp_path / "run")
    with pytest.raises(errors.DataError, match=message):
        reproduce.run_study(base, RECIPES, TESTED, (0,), (1,), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_a_model_is_not_chosen_on_what_it_did_not_learn(tmp_path):
    records = tmp_path / "records"
    settings = config.RecordsConfig(context_ticks=4, segment_ticks=100)
    prepare.prepare(PartlyLabelled((True, False), (True, True)), records, settings)
    experiments.train(base_of(records), tmp_path / "run", report=str)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["dev_arousal"].notna().all()
    np.testing.assert_allclose(history["dev_ccc"], history["dev_valence"])


def test_a_run_that_is_made_again_is_not_finished_before_it_is(
    trained, finished, tmp_path, monkeypatch
):
    """Its weights were lost, and it is stopped after the first of its epochs."""
    shutil.copytree(finished[0] / "baseline", tmp_path / "run")
    run = run_dirs.RunDir(tmp_path / "run")
    run.weights_path.unlink()
    real = run_lib.Run._close_epoch

    def stopped(self, *arguments):
        real(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run_lib.Run, "_close_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            experiments.train(run.config(), run.path)
    assert run.weights_path.exists() and run.result() is None
    assert experiments.train(run.config(), run.path)["epochs"] == 2


def test_sound_is_normalised_as_the_model_learnt(trained, tmp_path):
    """Records of other statistics: what is predicted does not follow from these."""
    louder = tmp_path / "louder"
    shutil.copytree(trained / "records", louder)
    manifest = manifests.Manifest.load(louder)
    statistics = manifest.audio_statistics
    shifted = dataclasses.replace(
        statistics, mean=tuple(mean + 5.0 for mean in statistics.mean)
    )
    dataclasses.replace(manifest, audio_statistics=shifted).save(louder)
    model = trained_model.TrainedModel.load(trained / "runs" / "baseline")
    found = []
    for records in (trained / "records", louder):
        source = record_source.RecordSource.open(base_of(records).data, "validation")
        result = sweeps.evaluate([model], source, [conditions.NONE], (1,)).results
        found.append(result["ccc"].to_numpy())
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_models_of_other_clips_are_not_evaluated_together(trained, tmp_path):
    paths = [trained / "runs" / "baseline", tmp_path / "other"]
    shutil.copytree(paths[0], paths[1])
    settings = run_dirs.RunDir(paths[1]).config()
    data = dataclasses.replace(settings.data, clip_ticks=20)
    settings = dataclasses.replace(settings, data=data)
    (paths[1] / "config.json").write_text(json.dumps(config.to_dict(settings)))
    models = [trained_model.TrainedModel.load(path) for path in paths]
    with pytest.raises(errors.ConfigError, match="clip_ticks are 40 and 20: evaluate"):
        sweeps.data_of(models)
    assert sweeps.data_of(models[:1], eval_stride=7).clip_stride == 7
