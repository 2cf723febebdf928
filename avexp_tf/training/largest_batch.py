"""Finds the largest batch that fits, after one did not.

Without a GPU each attempt is a process of its own, since a process that is out of
memory often dies of it: not all of its libraries can report it. A GPU's memory belongs
to the process that took it, and reports it well, so there the attempts are made here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import runtime
from avexp_tf.data import record_source
from avexp_tf.training import learner as learner_lib
from avexp_tf.training import strategy as strategies

# Of each attempt: batches that were read ahead pile up, and memory falls into pieces.
_STEPS = 8
_DEV_BATCHES = 2
_ATTEMPTS = 8  # sizes that one process tries between two known ones

# Yields those of rising sizes that fit, up to the first that does not.
Fitting = Callable[[list[int]], Iterable[int]]


def search(failed: int, fitting: Fitting) -> int:
    """Returns the largest batch that fits.

    Args:
      failed: One that does not.
      fitting: Tries sizes.

    Returns:
      Clips; 0 if not even one fits.
    """
    fits, first = 0, failed
    sizes = [1 << power for power in range(failed.bit_length())]
    while first - fits > 1:
        sizes = [size for size in sizes if fits < size < first]
        for size in fitting(sizes):
            fits = size
        first = min([size for size in sizes if size > fits] + [first])
        step = max((first - fits) // (_ATTEMPTS + 1), 1)
        sizes = list(range(fits + step, first, step))
    return fits


def try_here(learner: learner_lib.Learner) -> Fitting:
    """Returns a function that tries batches in this process, read as in training.

    Args:
      learner: Takes a step and predicts; its weights are of no more use after that.

    Returns:
      The function.
    """

    def fitting(sizes: list[int]) -> Iterator[int]:
        for size in sizes:
            train_batches, dev_batches = learner.batches_of(size)
            try:
                with contextlib.suppress(errors.RunError):  # of a loss that is NaN
                    list(learner.trainer.losses(train_batches.take(_STEPS)))
                for batch in dev_batches.take(_DEV_BATCHES):
                    learner.predictor.predict(batch)
            except (tf.errors.ResourceExhaustedError, MemoryError):
                return
            yield size

    return fitting


def try_in_processes(experiment: config.ExperimentConfig, virtual_cpus: int) -> Fitting:
    """Returns a function that tries batches, each list of them in a new process.

    Args:
      experiment: All settings; its records must be there.
      virtual_cpus: See `strategy.choose`.

    Returns:
      The function.
    """

    def fitting(sizes: list[int]) -> Iterator[int]:
        asked = {
            "experiment": config.to_dict(experiment),
            "virtual_cpus": virtual_cpus,
            "sizes": sizes,
            "path": sys.path,
        }
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, json.dumps(asked)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        for line in done.stdout.splitlines():
            if line.startswith(_FITS):
                yield int(line.removeprefix(_FITS))

    return fitting


_FITS = "fits "
_CHILD = """
import json, sys
asked = json.loads(sys.argv[1])
sys.path[:] = asked.pop("path")
from avexp_tf.training import largest_batch
largest_batch.tell(**asked)
"""


def tell(experiment: Any, virtual_cpus: int, sizes: list[int]) -> None:
    """Prints those of some sizes that fit; what a process of `try_in_processes` does.

    Args:
      experiment: What `config.to_dict` gave.
      virtual_cpus: See `strategy.choose`.
      sizes: To try, rising.
    """
    runtime.configure(threads=0, virtual_cpus=virtual_cpus)
    settings = config.from_dict(config.ExperimentConfig, experiment)
    learner = learner_lib.Learner(
        settings,
        record_source.RecordSource.open(settings.data, "train"),
        record_source.RecordSource.open(settings.data, "dev"),
        strategies.choose(virtual_cpus),
    )
    for size in try_here(learner)(sizes):
        print(f"{_FITS}{size}", flush=True)
