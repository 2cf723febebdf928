"""Trains and sweeps the protocol's models, and keeps what is finished.

Each training is a process of its own: two that compute with one thread each get more
out of two cores than one with two threads, and a stopped study loses no finished model.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags
from avexp_tf import termination
from avexp_tf.data import condition as conditions
from avexp_tf.data import record_source
from avexp_tf.evaluation import measurement as measurements
from avexp_tf.evaluation import optimum as optima
from avexp_tf.evaluation import sweep as sweeps
from avexp_tf.evaluation import sweep_result as sweep_results
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

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
    """Runs all trainings that are not finished; those that were stopped go on.

    Args:
      trainings: What to train; those of most epochs are started first, so that the
        others fill the remaining processes meanwhile.
      jobs: Processes at a time.
      threads: CPU threads of each; 0 takes all cores.

    Raises:
      errors.RunError: if a directory holds a run with other settings, finished or not,
        or if a training fails, with its last line; the others are stopped.
    """
    for training in trainings:
        run_dirs.RunDir(training.run_path).check_settings(training.experiment)
    waiting = [
        training
        for training in trainings
        if run_dirs.RunDir(training.run_path).result() is None
    ]
    waiting.sort(key=lambda training: -training.experiment.train.epochs)
    running: dict[Training, subprocess.Popen] = {}
    # The other end closes with this process, also by SIGKILL: see `termination`.
    lifeline, ours = os.pipe()
    total = sum(training.experiment.train.epochs for training in trainings)

    def done() -> int:
        unfinished = (*waiting, *running)
        return total - sum(
            t.experiment.train.epochs - t.epochs_done() for t in unfinished
        )

    # What was done before says nothing about the time that is left.
    with tqdm.tqdm(total=total, initial=done(), desc="training", unit="epoch") as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    training = waiting.pop(0)
                    running[training] = _start(training, threads, lifeline)
                time.sleep(_POLL_SECS)
                for training, process in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[training]
                    if process.returncode:
                        raise errors.RunError(_last_words(training, process.returncode))
                bar.n = done()
                bar.set_postfix_str(
                    ", ".join(t.experiment.train.name for t in running), refresh=False
                )
                bar.refresh()
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()
            os.close(lifeline)
            os.close(ours)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a study measured on one split.

    Attributes:
      result: The sweep's tables and moments.
      ticks: Of the split.
      predicted: One float32 [N, 2] per model, nothing lost.
    """

    result: sweep_results.SweepResult
    ticks: measurements.Ticks
    predicted: list[np.ndarray]


def measure(
    run_paths: Sequence[pathlib.Path],
    data: config.DataConfig,
    split: str,
    tested: Sequence[conditions.Condition],
    loss_seeds: Sequence[int],
    kept: pathlib.Path,
) -> Measured:
    """Sweeps the models of a study over a split, and keeps what is finished.

    Models of one training seed are swept in one reading of the records; a study that
    was stopped goes on with the next of them.

    Args:
      run_paths: Finished run directories.
      data: Records and clips.
      split: To sweep.
      tested: Conditions, the unablated one first.
      loss_seeds: Each condition is drawn once per seed.
      kept: Folder for what is finished.

    Returns:
      Everything of the split.

    Raises:
      errors.DataError: if a model takes other inputs, or the folder can't be written.
      errors.RunError: if a run has not finished an epoch.
    """
    source = record_source.RecordSource.open(data, split)
    sweep = sweeps.sweep_of(tested, loss_seeds)
    runs = [run_dirs.RunDir(path) for path in run_paths]
    labels = [sweep_results.Label.of_run(run) for run in runs]
    files.make_folder(kept)
    files.remove_temporaries(kept)
    shared = _key_of(source, sweep)
    keys = [shared + run.weights_sha256() for run in runs]
    paths = [kept / f"{split}-{run.path.name}.npz" for run in runs]
    ticks_path = kept / f"{split}-ticks.npz"
    known = optima.predictors(
        source.manifest, list(dict.fromkeys(label.variant for label in labels))
    )
    best_paths = {name: kept / f"{split}-optimum-{name}.npz" for name in known}

    ticks = measurements.Ticks.load(ticks_path, shared)
    found = [
        measurements.Measurement.load(path, key)
        for path, key in zip(paths, keys, strict=True)
    ]
    best = {
        name: measurements.Measurement.load(path, shared)
        for name, path in best_paths.items()
    }
    missing = [place for place, one in enumerate(found) if one is None]
    groups = [
        [place for place in missing if labels[place].train_seed == seed]
        for seed in dict.fromkeys(labels[place].train_seed for place in missing)
    ]
    wanted = {name: known[name] for name, one in best.items() if one is None}
    if not groups and (wanted or ticks is None):
        groups = [[]]
    for number, group in enumerate(groups, 1):
        title = f"sweep of {split} {number}/{len(groups)}"
        models = [trained_model.TrainedModel.load(runs[place].path) for place in group]
        ticks, measured = sweeps.measure(models, wanted, source, sweep, title=title)
        lost = source.reader.lost.names
        if lost and len(missing) < len(runs):
            raise errors.DataError(
                f"{data.records}: {lost[0]} is damaged now, and was not when other "
                f"models were measured: mend it, or remove {kept}"
            )
        is_kept = not lost  # what is kept is of all ticks
        if is_kept:
            ticks.save(ticks_path, shared)
        for name, one in zip(wanted, measured[len(group) :], strict=True):
            best[name] = one
            if is_kept:
                one.save(best_paths[name], shared)
        for place, one in zip(group, measured, strict=False):
            found[place] = one
            if is_kept:
                one.save(paths[place], keys[place])
        wanted = {}
    source.report_lost()
    whole = [one for one in found if one is not None]
    optimum = {name: one for name, one in best.items() if one is not None}
    entries = source.manifest.split(split).recordings
    assert ticks is not None
    return Measured(
        sweep_results.tabulate(labels, sweep, entries, whole, optimum),
        ticks,
        [one.predicted for one in whole],
    )


def _key_of(
    source: record_source.RecordSource,
    sweep: Sequence[tuple[conditions.Condition, int]],
) -> str:
    """Everything that a measurement follows from but the weights."""
    shards = source.manifest.split(source.split).shards
    data = source.data
    return json.dumps(
        {
            "shards": [shard.sha256 for shard in shards],
            "statistics": source.manifest.audio_statistics.to_json(),
            "corpus": source.manifest.corpus_config,
            "clips": [data.clip_ticks, data.clip_stride, data.on_corrupt],
            "sweep": [[str(condition), seed] for condition, seed in sweep],
        }
    )


def _start(training: Training, threads: int, lifeline: int) -> subprocess.Popen:
    files.make_folder(training.run_path)
    paths = os.pathsep.join(filter(None, sys.path))
    with open(training.log_path, "ab") as log:
        return subprocess.Popen(
            training.command(threads),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            pass_fds=[lifeline],
            env={
                **os.environ,
                "PYTHONPATH": paths,
                termination.PARENT_VARIABLE: str(lifeline),
            },
        )


def _last_words(training: Training, code: int) -> str:
    name = training.experiment.train.name
    if code == -signal.SIGKILL:
        return f"training {name} was killed, perhaps for want of memory"
    text = training.log_path.read_text(errors="replace").replace("\r", "\n")
    lines = [line for line in text.split("\n") if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else "it printed nothing"
    return f"training {name} failed: {last}"


def check_jobs(jobs: int, threads: int = 0) -> tuple[int, int]:
    """Returns processes and threads of each.

    With 0 jobs: one per core, up to four; one where there is a GPU.

    Args:
      jobs: Processes at a time.
      threads: CPU threads of all together, of which each gets at least one; 0 takes
        all cores.

    Raises:
      errors.ConfigError: if one of the two is negative.
    """
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value < 0:
            raise errors.ConfigError(f"--{name}={value}: must be at least 0")
    cores = threads
    if not cores:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    # Trainings that share a GPU would fight for its memory.
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    jobs = jobs or (1 if on_gpu else min(cores, 4))
    return jobs, max(cores // jobs, 1)
