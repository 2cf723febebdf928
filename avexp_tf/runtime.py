"""TensorFlow set up for one process: before it has run anything."""

from __future__ import annotations

from absl import flags

from avexp_tf import cluster
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import quiet

# Each is a replica with a graph of its own, on the same cores: a hundred take minutes
# to build, and show nothing that a few don't.
_MOST_VIRTUAL_CPUS = 16


def define_flags() -> None:
    """Defines --threads."""
    avexp_flags.define_one(
        "threads", 0, "CPU threads to compute with; 0 takes all cores."
    )


def set_up(virtual_cpus: int = 1) -> None:
    """Starts TensorFlow without its greetings, with --threads.

    Args:
      virtual_cpus: Logical CPUs.

    Raises:
      errors.ConfigError: if one of the two breaks its rule.
    """
    threads = flags.FLAGS.threads
    if threads < 0:
        raise errors.ConfigError(f"--threads={threads}: must be at least 0")
    if not 1 <= virtual_cpus <= _MOST_VIRTUAL_CPUS:
        raise errors.ConfigError(
            f"--virtual_cpus={virtual_cpus}: must be from 1 to {_MOST_VIRTUAL_CPUS}"
        )
    configure(threads, virtual_cpus)


def configure(threads: int, virtual_cpus: int = 1) -> None:
    """Starts TensorFlow without its greetings.

    Args:
      threads: To compute with; 0 takes all cores.
      virtual_cpus: Logical CPUs.
    """
    with quiet.start():
        import tensorflow as tf

        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        if virtual_cpus > 1:
            tf.config.set_logical_device_configuration(
                tf.config.list_physical_devices("CPU")[0],
                [tf.config.LogicalDeviceConfiguration()] * virtual_cpus,
            )
    if cluster.n_workers() == 1:  # several must meet before anything is computed
        quiet.start_tensorflow()
    tf.get_logger().setLevel("ERROR")


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))
