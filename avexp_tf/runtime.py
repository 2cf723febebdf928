"""TensorFlow set up for one process: before it has run anything."""

from __future__ import annotations

from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags


def define_flags() -> None:
    """Defines --threads."""
    if "threads" not in flags.FLAGS:
        flags.DEFINE_integer(
            "threads",
            0,
            "CPU threads to compute with; 0 takes all cores.",
            module_name=avexp_flags.MODULE,
        )


def set_up() -> None:
    """Applies --threads.

    Raises:
      errors.ConfigError: if it is negative.
    """
    import tensorflow as tf

    threads = flags.FLAGS.threads
    if threads < 0:
        raise errors.ConfigError(f"--threads={threads}: must be at least 0")
    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.get_logger().setLevel("ERROR")
