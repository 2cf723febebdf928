"""TensorFlow set up for one process: before it has run anything."""

from __future__ import annotations

from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags


def define_flags() -> None:
    """Defines --threads and --virtual_cpus."""
    for name, default, text in (
        ("threads", 0, "CPU threads to compute with; 0 takes all cores."),
        (
            "virtual_cpus",
            1,
            "Replicas to train on where there is no GPU, to try distribution out.",
        ),
    ):
        if name not in flags.FLAGS:
            flags.DEFINE_integer(name, default, text, module_name=avexp_flags.MODULE)


def set_up() -> None:
    """Applies --threads and --virtual_cpus.

    Raises:
      errors.ConfigError: if one of them is too small.
    """
    import tensorflow as tf

    threads = flags.FLAGS.threads
    if threads < 0:
        raise errors.ConfigError(f"--threads={threads}: must be at least 0")
    virtual_cpus = flags.FLAGS.virtual_cpus
    if virtual_cpus < 1:
        raise errors.ConfigError(f"--virtual_cpus={virtual_cpus}: must be at least 1")
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    if virtual_cpus > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * virtual_cpus,
        )
    tf.get_logger().setLevel("ERROR")
