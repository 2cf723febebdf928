"""Sinusoidal position code for clips of any length."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("avexp_tf")
class SinusoidalPositions(keras.layers.Layer):
    """Adds sine and cosine of the position, with wavelengths from 2 pi to 20000 pi.

    Call arguments:
      inputs: [B, T, d].

    Returns:
      [B, T, d].

    Reference:
      Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """

    def call(self, inputs: Any) -> Any:
        """Adds the code; see the class."""
        n_ticks = ops.shape(inputs)[1]
        width = inputs.shape[-1]
        position = ops.cast(ops.arange(n_ticks), "float32")[:, None]
        pair = ops.cast(ops.arange(width) // 2, "float32")[None]
        angle = position * ops.exp(pair * (-2.0 / width * 9.210340371976184))  # ln 1e4
        even = ops.cast(ops.arange(width) % 2 == 0, "float32")[None]
        code = even * ops.sin(angle) + (1.0 - even) * ops.cos(angle)
        return inputs + ops.cast(code, inputs.dtype)[None]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns Keras's own settings, which it can't find by itself in a policy."""
        return super().get_config()
