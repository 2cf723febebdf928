"""Which devices a run uses: all GPUs, mirrored, the CPU, or several machines."""

from __future__ import annotations

import functools
import json
import os

import tensorflow as tf


def choose(virtual_cpus: int = 1) -> tf.distribute.Strategy:
    """Returns MirroredStrategy over several devices, and the default for one.

    Where `TF_CONFIG` names several workers, MultiWorkerMirroredStrategy over all of
    them; it must be asked for before TensorFlow has run anything.

    Args:
      virtual_cpus: Replicas on a machine without GPUs; that many logical CPUs must be
        configured. It is how distribution is tried and tested without GPUs.

    Returns:
      The strategy.
    """
    if n_workers() > 1:
        return _multi_worker()
    devices = tf.config.list_logical_devices("GPU")
    if not devices:
        devices = tf.config.list_logical_devices("CPU")[:virtual_cpus]
    if len(devices) > 1:
        return _mirrored(tuple(device.name for device in devices))
    return tf.distribute.get_strategy()


def n_workers() -> int:
    """Returns how many workers `TF_CONFIG` names; 1 without it."""
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    return max(1, sum(len(cluster.get(job, ())) for job in ("chief", "worker")))


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    # One per process: the collectives of a second one on the same devices would take
    # the keys of the first one's, which stand for tensors of other shapes.
    return tf.distribute.MirroredStrategy(list(names))
