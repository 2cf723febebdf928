"""Widens or narrows intervals by factors that are measured, not learned."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("avexp_tf")
class Calibration(keras.layers.Layer):
    """Multiplies columns by factors, 1 at first; while training it does nothing.

    What was learned on the training records is too narrow elsewhere: on records that
    the model has not seen it errs more. So the factors come from others.

    Call arguments:
      distances: [B, T, n], positive.
      training: Whether to pass them on as they are.

    Returns:
      [B, T, n].
    """

    def build(self, distances_shape: Any) -> None:
        """Creates the factors, as logarithms."""
        self.log_factors = self.add_weight(
            shape=(distances_shape[-1],),
            initializer="zeros",
            trainable=False,
            name="log_factors",
        )
        self.built = True

    def call(self, distances: Any, training: bool | None = None) -> Any:
        """Multiplies; see the class."""
        if training:
            return distances
        return distances * ops.cast(ops.exp(self.log_factors), distances.dtype)

    def compute_output_shape(self, distances_shape: Any) -> Any:
        """Returns the input's shape."""
        return distances_shape

    def get_config(self) -> dict[str, Any]:
        """Returns Keras's own settings, which it can't find by itself in a policy."""
        return super().get_config()
