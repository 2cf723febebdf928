"""Which devices a run uses: all GPUs, mirrored, the CPU, or several machines."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from avexp_tf import cluster
from avexp_tf import errors


def choose(virtual_cpus: int = 1) -> tf.distribute.Strategy:
    """Returns MirroredStrategy over several devices, and the default for one.

    Where `TF_CONFIG` names several workers, MultiWorkerMirroredStrategy over all of
    them; it must be asked for before TensorFlow has run anything, and waits until all
    of them have.

    Args:
      virtual_cpus: Replicas on a machine without GPUs; that many logical CPUs must be
        configured. It is how distribution is tried and tested without GPUs.

    Returns:
      The strategy.

    Raises:
      errors.ConfigError: if `TF_CONFIG` can't be understood.
    """
    if cluster.n_workers() > 1:
        cluster.leads()  # says so if this is none of them
        return _multi_worker()
    devices = tf.config.list_logical_devices("GPU")
    if not devices:
        devices = tf.config.list_logical_devices("CPU")[:virtual_cpus]
    if len(devices) > 1:
        return _mirrored(tuple(device.name for device in devices))
    return tf.distribute.get_strategy()


def agreed(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """Returns the mean of what each worker has computed, the same for all of them.

    Args:
      strategy: Of all workers, who must all call this.
      values: Of this worker, any shape.
    """
    if cluster.n_workers() == 1:
        return values

    def mean(own: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        # A copy, which lies on the replica's device.
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(own))

    @tf.function
    def global_mean(own: tf.Tensor) -> tf.Tensor:
        found = strategy.run(mean, args=(own,))
        return strategy.experimental_local_results(found)[0]

    return global_mean(tf.constant(values)).numpy()


def meet(strategy: tf.distribute.Strategy) -> None:
    """Waits until all workers are here."""
    agreed(strategy, np.zeros(1, np.float32))


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Explains an error of TensorFlow that another worker's end has caused.

    Raises:
      errors.RunError: in the place of it.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not cluster.another_ended(error):
            raise
        raise errors.RunError(
            "another worker has ended; start all of them again, and they go on from "
            "the last checkpoint"
        ) from error


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    # One per process: the collectives of a second one on the same devices would take
    # the keys of the first one's, which stand for tensors of other shapes.
    return tf.distribute.MirroredStrategy(list(names))
