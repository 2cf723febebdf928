"""All tensors that a run consists of, as arrays and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Variables:
    """The variables of a model and of its optimizer, in an order of their own.

    Weights, the states of random generators, moments, and the number of steps: what a
    step reads and what it changes.

    Args:
      model: Built.
      optimizer: Built.
      strategy: In whose scope they were built.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
    ):
        self._strategy = strategy
        self._variables: dict[str, Any] = {}
        for kind, variables in (
            ("model", model.variables),
            ("optimizer", optimizer.variables),
        ):
            for index, variable in enumerate(variables):
                self._variables[f"{kind}-{index:04d}"] = variable

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Returns {name: shape}."""
        return {name: tuple(one.shape) for name, one in self._variables.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns {name: value}."""
        return {name: one.numpy() for name, one in self._variables.items()}

    def assign(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets all variables; the inverse of `arrays`, more names do no harm."""
        with self._strategy.scope():
            for name, variable in self._variables.items():
                variable.assign(arrays[name])
