"""Trains what a config says, from records to a run directory with the best weights.

What can be known before the first step is checked here, on every worker; `run` does the
steps.
"""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.parse
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from avexp_tf import cluster
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import remote
from avexp_tf.data import condition as conditions
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.training import largest_batch
from avexp_tf.training import learner as learner_lib
from avexp_tf.training import run as run_lib
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import strategy as strategies

_ANSWER_SECS = 10.0


def train(
    experiment: config.ExperimentConfig,
    run_path: str | os.PathLike[str],
    virtual_cpus: int = 1,
    report: Callable[[str], None] = print,
    resume: bool = True,
    data_service: str = "",
) -> dict[str, Any]:
    """Trains a model and keeps the weights that were best on dev.

    Dev CCC is the mean over targets, without loss and under the training's own loss
    (drawn once for all epochs).

    Of several workers (see `cluster`) the first writes the run directory, which the
    others must be able to read: they start from its checkpoints.

    Args:
      experiment: All settings.
      run_path: The run directory.
      virtual_cpus: Replicas where there is no GPU; see `strategy.choose`.
      report: Takes the lines that tell the user something.
      resume: Go on with what the directory holds; False starts it again.
      data_service: Address of a tf.data service that reads for this training; see
        `pipeline.training_batches`.

    Returns:
      What `result.json` holds: the best epoch and its dev CCC.

    Raises:
      errors.DataError: if the records can't be used, or the directory can't be written.
      errors.RunError: if the directory is another run's, all of its checkpoints are
        damaged, or the loss is not finite.
      termination.Terminated: after SIGTERM, when all is saved.
    """
    _check_data_service(experiment, data_service)
    strategy = strategies.choose(virtual_cpus)  # several workers: before all else
    run_dir = run_dirs.RunDir(run_path)
    train_source = record_source.RecordSource.open(experiment.data, "train")
    dev_source = record_source.RecordSource.open(experiment.data, "dev")
    train_source.manifest.check_trainable(experiment.data.records)
    ablations = conditions.parse_ablations(experiment.train.ablation)
    pipeline.check_training(train_source, ablations, data_service)
    with contextlib.ExitStack() as stack:
        stack.enter_context(strategies.watching())
        if cluster.leads():
            stack.enter_context(run_dir.locked())
            run_dir.check(experiment, train_source.manifest)
            if not resume:
                run_dir.forget()
            done = run_dir.result()
            if not done:
                run_dir.begin(experiment, train_source.manifest)
        strategies.meet(strategy)
        if not cluster.leads():
            done = run_dir.result()
        if done:
            report(f"{run_path}: this run is complete already; nothing to do")
            return done
        if not cluster.leads():
            run_dir.check(experiment, train_source.manifest)
            run_dir = stack.enter_context(run_dir.copied())
            run_dir.begin(experiment, train_source.manifest)
        strategies.meet(strategy)
        run = run_lib.Run(
            experiment,
            run_dir,
            train_source,
            dev_source,
            strategy,
            report,
            data_service,
        )
        try:
            result = run.finish()
        except (tf.errors.ResourceExhaustedError, MemoryError):
            raise out_of_memory(
                experiment, run_path, virtual_cpus, run.learner, report
            ) from None
    report(
        f"best on dev: epoch {result['best_epoch']}, CCC {result['best_dev_ccc']:.3f}\n"
        f"weights: {remote.join(run_path, run_dir.weights_path.name)}\n"
        f"evaluate: avexp-evaluate --run_dir={os.fspath(run_path)}"
    )
    return result


def _check_data_service(experiment: config.ExperimentConfig, address: str) -> None:
    if not address:
        return
    if experiment.train.deterministic:
        raise errors.ConfigError(
            "--deterministic: a data service gives clips in another order each time; "
            "leave out one of --deterministic and --data_service"
        )
    if cluster.n_workers() > 1:
        raise errors.ConfigError(
            "--data_service: each worker takes its rows of the same batches, which a "
            "data service does not give to several; leave out one of TF_CONFIG and "
            "--data_service"
        )
    # TensorFlow would go on asking, and can't be interrupted meanwhile.
    place = urllib.parse.urlsplit(address)
    try:
        if place.scheme != "grpc" or not place.hostname or not place.port:
            raise ValueError("must be grpc://host:port")
        socket.create_connection((place.hostname, place.port), _ANSWER_SECS).close()
    except (ValueError, OSError) as error:
        raise errors.ConfigError(f"--data_service={address}: {error}") from None


def out_of_memory(
    experiment: config.ExperimentConfig,
    run_path: str | os.PathLike[str],
    virtual_cpus: int,
    learner: learner_lib.Learner | None = None,
    report: Callable[[str], None] = print,
) -> errors.RunError:
    """Returns the error of a batch that does not fit, which says what would.

    Args:
      experiment: All settings.
      run_path: Where the run is; one without a checkpoint leaves the directory to
        other settings.
      virtual_cpus: See `strategy.choose`.
      learner: Of the run, if it is still there.
      report: Takes a line about what is done.
    """
    run_dir = run_dirs.RunDir(run_path)
    if not any(run_dir.checkpoints_path.glob("*.json")):
        run_dir.forget_settings()
    failed = experiment.data.batch_size
    if cluster.n_workers() > 1:
        return errors.RunError(
            f"--batch_size={failed}: does not fit into memory on "
            f"{cluster.n_workers()} workers"
        )
    report("out of memory; looking for the largest batch that fits")
    if learner is not None and tf.config.list_logical_devices("GPU"):
        fitting = largest_batch.try_here(learner)
    else:
        fitting = largest_batch.try_in_processes(experiment, virtual_cpus)
    fits = largest_batch.search(failed, fitting)
    rule = f"the largest that does is {fits}" if fits else "no batch does"
    return errors.RunError(f"--batch_size={failed}: does not fit into memory; {rule}")
