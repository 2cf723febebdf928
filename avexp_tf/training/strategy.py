"""Which devices a run uses: all GPUs, mirrored, or the CPU."""

from __future__ import annotations

import functools

import tensorflow as tf


def choose(virtual_cpus: int = 1) -> tf.distribute.Strategy:
    """Returns MirroredStrategy over several devices, and the default for one.

    Args:
      virtual_cpus: Replicas on a machine without GPUs; that many logical CPUs must be
        configured. It is how distribution is tried and tested without GPUs.

    Returns:
      The strategy.
    """
    devices = tf.config.list_logical_devices("GPU")
    if not devices:
        devices = tf.config.list_logical_devices("CPU")[:virtual_cpus]
    if len(devices) > 1:
        return _mirrored(tuple(device.name for device in devices))
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    # One per process: the collectives of a second one on the same devices would take
    # the keys of the first one's, which stand for tensors of other shapes.
    return tf.distribute.MirroredStrategy(list(names))
