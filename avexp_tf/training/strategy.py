"""Which devices a run uses: all GPUs, mirrored, or the CPU."""

from __future__ import annotations

import tensorflow as tf


def choose() -> tf.distribute.Strategy:
    """Returns MirroredStrategy over several devices, and the default for one.

    Several are the GPUs, or where there is none, logical CPUs that somebody configured
    (`tf.config.set_logical_device_configuration`): how tests run two replicas.
    """
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()
