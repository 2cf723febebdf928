"""Applies a source map to a projected stream, exactly as if the inputs were changed."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("avexp_tf")
class FrameSelect(keras.layers.Layer):
    """Shows frame `source[t]` at tick t, and the bias alone where `source[t]` is -1.

    A linear projection maps a zero input to its bias. So losing frames after a
    projection without bias, and adding the bias here, gives what zeroing or repeating
    the inputs would, at the price of one small matrix product.

    The selection is that product, with one row of a unit matrix per tick: -1 has an
    all-zero row. It needs no gather with broadcast indices, runs on every back end, and
    converts to LiteRT's own operators.

    Args:
      missing_embedding: Show a learned vector instead of the bias where the source is
        -1.
      **kwargs: Of the Keras layer.

    Call arguments:
      frames: [B, S, d], projected without bias, finite even where no tick shows them; S
        may exceed T (rows of background features follow those of the face).
      source: int32 [B, T], in -1 .. S - 1.

    Returns:
      [B, T, d].

    Example:
      >>> layer = FrameSelect()
      >>> layer(np.ones([1, 3, 8], "float32"), np.array([[0, 0, -1]], "int32")).shape
      TensorShape([1, 3, 8])
    """

    def __init__(self, missing_embedding: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.missing_embedding = missing_embedding

    def build(self, frames_shape: Any, source_shape: Any = None) -> None:
        """Creates the bias, and the embedding if there is one."""
        width = frames_shape[-1]
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
        if self.missing_embedding:
            self.embedding = self.add_weight(
                shape=(width,), initializer="zeros", name="missing"
            )
        self.built = True

    def call(self, frames: Any, source: Any) -> Any:
        """Selects the frames; see the class."""
        # Not `one_hot`: to ONNX, -1 is the last row.
        is_row = ops.expand_dims(source, -1) == ops.arange(ops.shape(frames)[1])
        rows = ops.cast(is_row, frames.dtype)  # [B, T, S]
        shown = ops.matmul(rows, frames)  # [B, T, S] x [B, S, d]
        if not self.missing_embedding:
            return shown + self.bias
        missing = ops.expand_dims(source < 0, -1)
        return shown + ops.where(missing, self.embedding, self.bias)

    def compute_output_shape(self, frames_shape: Any, source_shape: Any) -> Any:
        """Returns [B, T, d]."""
        return (*source_shape, frames_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the init arguments."""
        return {**super().get_config(), "missing_embedding": self.missing_embedding}
