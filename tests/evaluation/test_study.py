"""A study keeps what is finished and lets what was stopped go on; nobody is left."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import study

# Stands for a training of three epochs: it goes on after those that its history has.
_FAKE = """
import json, pathlib, signal, sys, time
from avexp_tf import termination
folder = pathlib.Path(sys.argv[1])
history = folder / "history.csv"
try:
    with termination.raised_on_sigterm():
        termination.end_with_parent()
        if not history.exists():
            history.write_text("epoch\\n")
        while (done := history.read_text().count("\\n") - 1) < 3:
            print("epoch", done + 1, flush=True)
            time.sleep({secs})
            {body}
            with open(history, "a") as file:
                file.write(f"{{done + 1}}\\n")
except termination.Terminated:
    (folder / "told").write_text("")
    sys.exit(143)
(folder / "best.weights.h5").write_text("")
(folder / "result.json").write_text("{{}}")
"""


class Fake(study.Training):
    """Trains nothing, three epochs long."""

    body, secs = "pass", 0.05

    def command(self, threads):
        code = _FAKE.format(body=self.body, secs=self.secs)
        return [sys.executable, "-c", code, str(self.run_path)]


class Fails(Fake):
    """Ends with an error of the user's."""

    body = "sys.exit('error: x.csv: is empty')"


class Killed(Fake):
    """Ends as under the kernel's hand."""

    body = "import os; os.kill(os.getpid(), signal.SIGKILL)"


class Slow(Fake):
    """Is not done before it is told to end."""

    secs = 600


def made(kind, folder, name="baseline"):
    base = config.ExperimentConfig(train=config.TrainConfig(epochs=3))
    return kind(protocol.experiment_of(name, base, 0), folder / name)


def test_all_are_trained_and_a_second_call_does_nothing(tmp_path):
    trainings = [made(Fake, tmp_path, name) for name in protocol.RECIPES]
    study.run(trainings, jobs=3, threads=1)
    for training in trainings:
        assert training.epochs_done() == 3
        (training.run_path / "train.log").unlink()
    study.run(trainings, jobs=3, threads=1)
    assert not any(training.log_path.exists() for training in trainings)


def test_those_of_most_epochs_start_first(tmp_path):
    short = made(Fake, tmp_path)
    train = dataclasses.replace(short.experiment.train, epochs=4)
    long = Fake(dataclasses.replace(short.experiment, train=train), tmp_path / "longer")
    study.run([short, long], jobs=1, threads=1)
    started = [t.log_path.stat().st_mtime_ns for t in (long, short)]
    assert started == sorted(started)


def test_a_finished_run_with_other_settings_is_not_taken_for_this_one(tmp_path):
    training = made(Fake, tmp_path)
    study.run([training], jobs=1, threads=1)
    settings = config.to_dict(training.experiment)
    settings["train"]["epochs"] = 4
    (training.run_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(errors.RunError, match="--epochs was 4, is now 3"):
        study.run([training], jobs=1, threads=1)


def test_one_that_was_stopped_goes_on(tmp_path):
    training = made(Fake, tmp_path)
    training.run_path.mkdir()
    (training.run_path / "history.csv").write_text("epoch\n1\n2\n")
    training.log_path.write_text("of the first call\n")
    assert training.epochs_done() == 2
    study.run([training], jobs=1, threads=1)
    assert training.log_path.read_text() == "of the first call\nepoch 3\n"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Fails, "training baseline failed: x.csv: is empty"),
        (Killed, "training baseline was killed, perhaps for want of memory"),
    ],
)
def test_when_one_fails_the_others_are_told_to_end(tmp_path, kind, message):
    trainings = [made(Slow, tmp_path, "clip_zero"), made(kind, tmp_path)]
    with pytest.raises(errors.RunError, match=message):
        study.run(trainings, jobs=2, threads=1)
    assert (trainings[0].run_path / "told").exists()
    assert not (trainings[0].run_path / "result.json").exists()


@pytest.mark.parametrize(
    ("jobs", "threads", "wanted"),
    [(0, 1, (1, 1)), (0, 3, (3, 1)), (0, 8, (4, 2)), (2, 8, (2, 4)), (3, 2, (3, 1))],
)
def test_trainings_share_the_threads(jobs, threads, wanted, monkeypatch):
    monkeypatch.setattr(study.tf.config, "list_physical_devices", lambda kind: [])
    assert study.check_jobs(jobs, threads) == wanted


_STUDY = """
import pathlib, sys
sys.path[:0] = [{here!r}]
import test_study
from avexp_tf.evaluation import study
study.run([test_study.made(test_study.Slow, pathlib.Path({folder!r}))], 1, 1)
"""


def test_the_trainings_end_with_a_study_that_is_killed(tmp_path):
    code = _STUDY.format(here=os.path.dirname(__file__), folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.DEVNULL,
    )
    log = made(Slow, tmp_path).log_path
    deadline = time.monotonic() + 120
    while not log.exists() or not log.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while not (log.parent / "told").exists():
        assert time.monotonic() < deadline, "the training outlives the study"
        time.sleep(0.05)
