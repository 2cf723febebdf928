"""Trains the protocol's models, several at a time, and keeps what is finished.

Each training is a process of its own: two that compute with one thread each get more
out of two cores than one with two threads, and a stopped study loses no finished model.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags
from avexp_tf.data import condition as conditions
from avexp_tf.data import pipeline
from avexp_tf.evaluation import sweep as sweeps
from avexp_tf.training import run_dir as run_dirs

_POLL_SECS = 0.5


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of a study.

    Attributes:
      experiment: Its settings.
      run_path: Its run directory.
    """

    experiment: config.ExperimentConfig
    run_path: pathlib.Path

    @property
    def log_path(self) -> pathlib.Path:
        """What the process printed."""
        return self.run_path / "train.log"

    def command(self, threads: int) -> list[str]:
        """Returns the command that runs it."""
        experiment = self.experiment
        return [
            sys.executable,
            "-m",
            "avexp_tf.train",
            f"--run_dir={self.run_path}",
            f"--threads={threads}",
            *avexp_flags.to_args(experiment.data, experiment.model, experiment.train),
        ]

    def epochs_done(self) -> int:
        """Returns how many epochs its history holds."""
        try:
            text = run_dirs.RunDir(self.run_path).history_path.read_text()
        except OSError:
            return 0
        return max(text.count("\n") - 1, 0)


def run(trainings: Sequence[Training], jobs: int, threads: int) -> None:
    """Runs all trainings that are not finished.

    Args:
      trainings: What to train; each is started in this order.
      jobs: Processes at a time.
      threads: CPU threads of each; 0 takes all cores.

    Raises:
      errors.RunError: if a training fails, with its last line; the others are stopped.
    """
    waiting = [
        training
        for training in trainings
        if run_dirs.RunDir(training.run_path).result() is None
    ]
    running: dict[Training, subprocess.Popen] = {}
    total = sum(training.experiment.train.epochs for training in trainings)
    with tqdm.tqdm(total=total, desc="training", unit="epoch") as bar:
        finished = total - sum(t.experiment.train.epochs for t in waiting)
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    training = waiting.pop(0)
                    running[training] = _start(training, threads)
                time.sleep(_POLL_SECS)
                for training, process in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[training]
                    if process.returncode:
                        raise errors.RunError(_last_words(training))
                    finished += training.experiment.train.epochs
                bar.n = finished + sum(t.epochs_done() for t in running)
                bar.set_postfix_str(
                    ", ".join(t.experiment.train.name for t in running), refresh=False
                )
                bar.refresh()
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()


def evaluate(
    run_paths: Sequence[pathlib.Path],
    data: config.DataConfig,
    tested: Sequence[conditions.Condition],
    loss_seeds: Sequence[int],
) -> sweeps.SweepResult:
    """Sweeps the models of a study over the validation split of its records."""
    models = [run_dirs.TrainedModel.load(path) for path in run_paths]
    source = pipeline.Source.open(data, "validation")
    return sweeps.evaluate(models, source, tested, loss_seeds)


def _start(training: Training, threads: int) -> subprocess.Popen:
    files.make_folder(training.run_path)
    # A history of a run that was stopped would count as progress of this one.
    run_dirs.RunDir(training.run_path).history_path.unlink(missing_ok=True)
    with open(training.log_path, "wb") as log:
        return subprocess.Popen(
            training.command(threads),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


def _last_words(training: Training) -> str:
    text = training.log_path.read_text(errors="replace").replace("\r", "\n")
    lines = [line for line in text.split("\n") if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else "it printed nothing"
    return f"training {training.experiment.train.name} failed: {last}"


def check_jobs(jobs: int) -> tuple[int, int]:
    """Returns processes and threads of each: with 0 jobs, one per core up to four.

    Raises:
      errors.ConfigError: if jobs is negative.
    """
    if jobs < 0:
        raise errors.ConfigError(f"--jobs={jobs}: must be at least 0")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    jobs = jobs or min(cores, 4)
    return jobs, max(cores // jobs, 1)
