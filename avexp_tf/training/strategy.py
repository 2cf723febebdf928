"""Which devices a run uses: all GPUs, mirrored, or the CPU."""

from __future__ import annotations

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
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()
