"""Sums over the replicas of a strategy, from within one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

AllReduce = Callable[[Any], Any]


def all_reduce() -> AllReduce:
    """Returns what sums a tensor over all replicas; itself where there is one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return lambda x: x
    return lambda x: context.all_reduce(tf.distribute.ReduceOp.SUM, x)
