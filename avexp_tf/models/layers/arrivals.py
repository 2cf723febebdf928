"""What of a modality arrived, read off its source map."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("avexp_tf")
class Arrivals(keras.layers.Layer):
    """Whether each tick shows its own frame, and the share of a clip's ticks that do.

    Call arguments:
      source: int32 [B, T], as `FrameSelect` takes it.
      valid: bool [B, T], False in padding.

    Returns:
      float [B, T, 2].
    """

    def call(self, source: Any, valid: Any) -> Any:
        """Looks at the source map; see the class."""
        own = ops.equal(source, ops.arange(ops.shape(source)[1]))
        arrived = ops.cast(ops.logical_and(own, valid), self.compute_dtype)
        counted = ops.cast(valid, self.compute_dtype)
        share = ops.divide(
            ops.sum(arrived, axis=1, keepdims=True),
            ops.maximum(ops.sum(counted, axis=1, keepdims=True), 1.0),
        )
        return ops.stack([arrived, share * counted], axis=-1)

    def compute_output_shape(self, source_shape: Any, valid_shape: Any = None) -> Any:
        """Returns [B, T, 2]."""
        return (*source_shape, 2)

    def get_config(self) -> dict[str, Any]:
        """Returns Keras's own settings, which it can't find by itself in a policy."""
        return super().get_config()
