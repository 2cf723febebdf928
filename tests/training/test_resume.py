"""A run that was stopped anywhere ends as one that never was.

The learner is a stand-in that learns nothing in no time; test_resume_exact has a real
one.
"""

import csv
import dataclasses
import os
import pathlib
import shutil
import signal

import numpy as np
import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import termination
from avexp_tf.corpora.synthetic import corpus as synthetic_corpus
from avexp_tf.corpora.synthetic import settings as synthetic_settings
from avexp_tf.data import prepare
from avexp_tf.training import experiment as experiments
from avexp_tf.training import learner as learners
from avexp_tf.training import run as run_lib
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import scoring
from tests.training import run_end

STEPS = 5  # of an epoch
EPOCHS = 4
DEV_CCC = {1: 0.25, 2: 0.5, 3: 0.125, 4: 0.375}  # best after epoch 2


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the run's own code comes after it."""


class Learner:
    """Takes steps that depend on the batch and on all steps before."""

    steps = STEPS
    schedule = {"peak": 0.5}
    dev_batches = range(3)
    learning_rate = 0.5
    on_step = staticmethod(lambda step: None)

    def __init__(self, experiment, *_):
        self._arrays = {
            "model-0000": np.full(2, experiment.train.seed, np.float32),
            "optimizer-0000": np.zeros((), np.int64),
        }
        self.model = self.optimizer = self.trainer = self.variables = self
        self.predictor = self

    def train_batches(self, epoch, first_step):
        return range(STEPS * epoch + first_step, STEPS * (epoch + 1))

    def losses(self, batches, reading):
        for batch in reading(batches):
            weights = self._arrays["model-0000"]
            self._arrays["model-0000"] = np.float32(np.sin(3 * weights + batch))
            self._arrays["optimizer-0000"] = self._arrays["optimizer-0000"] + 1
            self.on_step(int(self._arrays["optimizer-0000"]))
            yield float(weights.sum() / 3)

    def predict(self, batch):
        raise NotImplementedError

    def arrays(self):
        return dict(self._arrays)

    def shapes(self):
        return {name: array.shape for name, array in self._arrays.items()}

    def assign(self, arrays):
        self._arrays = {name: arrays[name] for name in self._arrays}

    def get_weights(self):
        return [self._arrays["model-0000"]]

    def save_weights(self, path):
        pathlib.Path(path).write_bytes(self._arrays["model-0000"].tobytes())

    def crossmodal_scalars(self):
        return {"alpha": float(self._arrays["model-0000"][0])}

    def pooled_ccc(self, batches, *_):
        list(batches)
        epoch = -(-int(self._arrays["optimizer-0000"]) // STEPS)
        return np.full((1, 2), DEV_CCC[epoch])


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    made = []

    def make(*arguments):
        made.append(Learner(*arguments))
        return made[-1]

    monkeypatch.setattr(learners, "Learner", make)
    monkeypatch.setattr(scoring, "pooled_ccc", lambda *a: made[-1].pooled_ccc(*a))
    monkeypatch.setattr(Learner, "on_step", staticmethod(lambda step: None))


@pytest.fixture(scope="module", name="records")
def _records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    settings = synthetic_settings.SyntheticConfig(
        video_dim=4,
        audio_dim=2,
        train_speakers=1,
        dev_speakers=1,
        validation_speakers=0,
        recordings_per_speaker=1,
        min_ticks=5,
        max_ticks=9,
    )
    corpus = synthetic_corpus.SyntheticCorpus(settings)
    prepare.prepare(corpus, folder, config.RecordsConfig(), report=str)
    return folder


def experiment_of(records, **train):
    settings = {"epochs": EPOCHS, "checkpoint_secs": 0.0, "seed": 3} | train
    return config.ExperimentConfig(
        config.DataConfig(records=str(records)), train=config.TrainConfig(**settings)
    )


def run(records, folder, resume=True, **train):
    """Trains; returns what it reported."""
    said = []
    experiment = experiment_of(records, **train)
    experiments.train(experiment, folder, report=said.append, resume=resume)
    return said


@pytest.fixture(name="whole")
def _whole(records, tmp_path):
    """The end of a run that nothing stopped."""
    folder = tmp_path / "whole"
    said = run(records, folder)
    assert not any("goes on" in line for line in said)
    end = run_end.end_of(folder)
    assert [row["epoch"] for row in end["history"]] == ["1", "2", "3", "4"]
    assert [step for step, _ in end["curves"]["loss"]] == [5, 10, 15, 20]
    return end


def do_at(monkeypatch, step, what):
    monkeypatch.setattr(
        Learner, "on_step", staticmethod(lambda done: what() if done == step else None)
    )


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


def sigint():
    os.kill(os.getpid(), signal.SIGINT)


def kill():
    raise Killed


@pytest.fixture(name="folder")
def _folder(records, tmp_path):
    """A run that SIGTERM ended after step 2 of epoch 3, with checkpoints before it."""
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        do_at(patch, 12, sigterm)
        said = []
        with pytest.raises(termination.Terminated):
            experiments.train(
                experiment_of(records, checkpoint_steps=1), folder, report=said.append
            )
    assert said == ["saved at step 12"]
    assert not (folder / "result.json").exists()
    return folder


@pytest.mark.parametrize("step", range(1, STEPS * EPOCHS + 1))
def test_stopped_after_any_step_it_goes_on_from_there(
    whole, records, tmp_path, monkeypatch, step
):
    folder = tmp_path / "run"
    how, raised = (
        (sigterm, termination.Terminated) if step % 2 else (sigint, KeyboardInterrupt)
    )
    with monkeypatch.context() as patch:
        do_at(patch, step, how)
        with pytest.raises(raised):
            run(records, folder)
    said = run(records, folder)
    assert said[0] == f"{folder}: goes on after step {step} of {STEPS * EPOCHS}"
    assert run_end.end_of(folder) == whole


@pytest.mark.parametrize("step", range(1, STEPS * EPOCHS + 1))
def test_killed_after_any_step_it_takes_the_steps_since_the_checkpoint_again(
    whole, records, tmp_path, monkeypatch, step
):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        do_at(patch, step, kill)
        with pytest.raises(Killed):
            run(records, folder, checkpoint_steps=3)
    saved = {3, 5, 8, 10, 13, 15, 18}
    expected = max((one for one in saved if one < step), default=0)
    said = run(records, folder)
    if expected:
        assert said[0] == f"{folder}: goes on after step {expected} of 20"
    else:
        assert not any("goes on" in line for line in said)
    assert run_end.end_of(folder) == whole


def test_killed_before_any_change_of_its_files(whole, records, tmp_path, monkeypatch):
    """Killed between any two files that belong together."""
    n_changes = 0
    while True:
        folder = tmp_path / f"run{n_changes}"
        left = [n_changes]

        def counted(original, folder=folder, left=left):
            def change(*arguments, **options):
                if str(folder) in str(arguments[:2]):
                    if not left[0]:
                        raise Killed
                    left[0] -= 1
                return original(*arguments, **options)

            return change

        try:
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", counted(os.replace))
                patch.setattr(pathlib.Path, "unlink", counted(pathlib.Path.unlink))
                run(records, folder, checkpoint_steps=4)
        except Killed:
            run(records, folder)
            assert run_end.end_of(folder) == whole, n_changes
            n_changes += 1
        else:
            break
    # Eight checkpoints of two files, four histories, two best weights, and more.
    assert n_changes >= 8 * 2 + 4 + 2


def test_what_was_written_after_the_checkpoint_is_not_there_twice(
    whole, records, folder
):
    with open(folder / "history.csv", "a") as file:
        file.write("3,15,0.5\n")
    events = folder / "tensorboard" / "events.out.tfevents.99.other"
    shutil.copy(next((folder / "tensorboard").iterdir()), events)
    (folder / f"{files.TEMPORARY}7-best.weights.h5").write_bytes(b"half")
    (folder / f"{files.TEMPORARY}folder").mkdir()
    run(records, folder)
    assert run_end.end_of(folder) == whole
    assert not list(folder.rglob(f"{files.TEMPORARY}*"))


def test_the_last_two_checkpoints_and_the_best_are_kept(records, folder):
    run(records, folder)
    steps = []
    for path in sorted((folder / "checkpoints").glob("*.json")):
        steps.append(int(path.read_text().split('"step": ')[1].split(",")[0]))
    assert steps == [10, 15, 20]  # epoch 2 was best


@pytest.mark.parametrize("damage", ["flip", "cut", "no arrays", "json"])
def test_a_damaged_newest_checkpoint_is_passed_over(whole, records, folder, damage):
    newest = max((folder / "checkpoints").glob("*.npz"))
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)
    elif damage == "cut":
        newest.write_bytes(data[:-1])
    elif damage == "no arrays":
        newest.unlink()
    else:
        newest.with_suffix(".json").write_text("{}")
    said = run(records, folder)
    assert str(newest.with_suffix("")) in said[0]
    assert said[0].endswith("; going back to the checkpoint before")
    assert said[1] == f"{folder}: goes on after step 11 of {STEPS * EPOCHS}"
    assert run_end.end_of(folder) == whole


def test_when_both_are_damaged_the_best_is_left(whole, records, folder):
    for path in sorted((folder / "checkpoints").glob("*.npz"))[-2:]:
        path.write_bytes(b"")
    said = run(records, folder)
    assert said[2] == f"{folder}: goes on after step 10 of {STEPS * EPOCHS}"
    assert run_end.end_of(folder) == whole


def test_when_all_checkpoints_are_damaged_the_user_decides(whole, records, folder):
    for path in (folder / "checkpoints").glob("*.npz"):
        path.write_bytes(b"")
    with pytest.raises(errors.RunError, match="all of its checkpoints are damaged; .*"):
        run(records, folder)
    said = run(records, folder, resume=False)
    assert not any("goes on" in line for line in said)
    assert run_end.end_of(folder) == whole


@pytest.mark.parametrize("gone", [True, False])
def test_the_best_weights_are_made_what_they_were(whole, records, folder, gone):
    path = folder / "best.weights.h5"
    path.unlink() if gone else path.write_bytes(b"of steps that are taken again")
    run(records, folder)
    assert run_end.end_of(folder) == whole


def test_patience_is_remembered(records, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    run(records, whole, patience=1)
    assert len(run_end.end_of(whole)["history"]) == 3  # epoch 2 was best
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        do_at(patch, 11, kill)
        with pytest.raises(Killed):
            run(records, folder, patience=1)
    run(records, folder, patience=1)
    assert run_end.end_of(folder) == run_end.end_of(whole)
    assert run(records, folder, patience=1) == [
        f"{folder}: this run is complete already; nothing to do"
    ]


def test_checkpoints_by_the_clock(records, tmp_path, monkeypatch):
    """Whatever the wall clock does; an hour passes with each step."""
    now = [0.0]

    def step(_):
        now[0] += 3600

    monkeypatch.setattr(Learner, "on_step", staticmethod(step))
    monkeypatch.setattr(run_lib.time, "monotonic", lambda: now[0])
    saved = []
    save = run_lib.Run._save
    monkeypatch.setattr(
        run_lib.Run,
        "_save",
        lambda self: (saved.append(self._progress.step), save(self)),
    )
    run(records, tmp_path / "run", checkpoint_secs=7200.0)
    # Every second step since the last one, and after each epoch of five.
    assert saved == [2, 4, 5, 7, 9, 10, 12, 14, 15, 17, 19, 20]


def test_time_spent_before_the_stop_counts(records, folder):
    run(records, folder)
    with open(folder / "history.csv", newline="") as file:
        assert all(float(row["seconds"]) > 0 for row in csv.DictReader(file))


def test_other_settings_are_refused_and_those_of_checkpoints_are_not(records, folder):
    before = (folder / "config.json").read_bytes()
    with pytest.raises(errors.RunError, match=r"--patience was 5, is now 6"):
        run(records, folder, patience=6)
    assert (folder / "config.json").read_bytes() == before
    said = run(records, folder, checkpoint_steps=9)
    assert said[0] == f"{folder}: goes on after step 12 of {STEPS * EPOCHS}"


def test_other_records_are_refused(records, folder):
    run_dir = run_dirs.RunDir(folder)
    manifest = run_dir.manifest()
    statistics = dataclasses.replace(manifest.audio_statistics, count=1)
    other = dataclasses.replace(manifest, audio_statistics=statistics)
    with pytest.raises(errors.RunError, match="holds a run on other records"):
        run_dir.begin(experiment_of(records), other)


def test_two_trainings_at_once_are_refused(records, folder, monkeypatch):
    monkeypatch.setattr(run_dirs, "_LOCK_SECS", 0.2)
    with run_dirs.RunDir(folder).locked():
        with pytest.raises(errors.DataError, match="another process is writing here"):
            run(records, folder)


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(
    whole, records, tmp_path, monkeypatch
):
    folder, real, calls = tmp_path / "run", os.fsync, [0]

    def fsync(descriptor):
        calls[0] += 1
        if calls[0] > 20:
            raise OSError(28, os.strerror(28))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(errors.DataError, match="can't be written: No space left"):
            run(records, folder, checkpoint_steps=1)
    run(records, folder)
    assert run_end.end_of(folder) == whole
