"""Which of several workers of one training this process is, by TensorFlow's own rule.

`TF_CONFIG` holds it as JSON: `{"cluster": {"worker": ["host:port", ...]}, "task":
{"type": "worker", "index": 0}}`, the same cluster and another task for each worker.
"""

from __future__ import annotations

import json
import os
from typing import Any

from avexp_tf import errors

_VARIABLE = "TF_CONFIG"
_JOBS = ("chief", "worker")  # a chief, where there is one, leads


def n_workers() -> int:
    """Returns how many workers there are; 1 without `TF_CONFIG`.

    Raises:
      errors.ConfigError: if the variable can't be read.
    """
    return max(1, sum(len(workers) for workers in _cluster().values()))


def leads() -> bool:
    """Returns whether this is the worker that writes the run directory.

    Raises:
      errors.ConfigError: if the variable does not say which of the workers this is.
    """
    if n_workers() == 1:
        return True
    cluster, task = _cluster(), _read().get("task")
    if isinstance(task, dict):
        job, index = task.get("type"), task.get("index")
        if job in cluster and isinstance(index, int) and index < len(cluster[job]):
            return job == next(name for name in _JOBS if name in cluster) and not index
    raise errors.ConfigError(
        f'{_VARIABLE}: its "task" must be one of its "cluster", not {task!r}'
    )


def another_ended(error: BaseException) -> bool:
    """Returns whether this is how TensorFlow says that another worker has ended."""
    if n_workers() == 1:
        return False
    import tensorflow as tf

    return isinstance(
        error,
        tf.errors.UnavailableError
        | tf.errors.AbortedError
        | tf.errors.CancelledError
        | tf.errors.DeadlineExceededError,
    )


def _cluster() -> dict[str, list[str]]:
    cluster = _read().get("cluster", {})
    found = {}
    for job in _JOBS:
        workers = cluster.get(job, []) if isinstance(cluster, dict) else None
        if not isinstance(workers, list):
            raise errors.ConfigError(f'{_VARIABLE}: its "cluster" must list {job}s')
        if workers:
            found[job] = workers
    return found


def _read() -> dict[str, Any]:
    text = os.environ.get(_VARIABLE) or "{}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.ConfigError(f"{_VARIABLE}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise errors.ConfigError(f"{_VARIABLE}: must be a JSON object, not {text!r}")
    return value
