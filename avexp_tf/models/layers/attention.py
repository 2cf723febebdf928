"""Multi-head dot-product attention from one stream to another, or to itself."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avexp_tf.models.layers import dropout as dropouts

_MASKED = -1e4  # far below any logit, and still finite in bfloat16 and float16


@keras.saving.register_keras_serializable("avexp_tf")
class Attention(keras.layers.Layer):
    """Attends from `queries` to `memory`; self-attention when both are the same.

    Args:
      num_heads: Heads; the width must be a multiple of it.
      dropout: Rate on the attention weights.
      scale: Divide the logits by sqrt(width / num_heads).
      distance_bias: Lower each logit by the distance in ticks times the head's slope,
        2^(-8 h / num_heads) for h = 1 .. num_heads: some heads look at neighbours, some
        far. Works at any T, and both streams must have the same ticks.
      **kwargs: Of the Keras layer.

    Call arguments:
      queries: [B, T, d].
      memory: [B, S, d].
      key_mask: bool [B, S], False where a tick must not be attended to. A row that
        is False throughout is attended to as if there were no mask.

    Returns:
      [B, T, d].

    Reference:
      Vaswani et al., "Attention is all you need", 2017, section 3.2; for the distance
      bias Press et al., "Train short, test long", 2022.
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        scale: bool = True,
        distance_bias: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.scale = scale
        self.distance_bias = distance_bias

    def build(
        self,
        queries_shape: Any,
        memory_shape: Any = None,
        key_mask_shape: Any = None,
    ) -> None:
        """Creates the four projections."""
        width = queries_shape[-1]
        self.head_width = width // self.num_heads

        def dense(name: str) -> keras.layers.Dense:
            layer = keras.layers.Dense(width, dtype=self.dtype_policy, name=name)
            layer.build(queries_shape)
            return layer

        self.query_dense = dense("query")
        self.key_dense = dense("key")
        self.value_dense = dense("value")
        self.output_dense = dense("output")
        self.dropout_layer = dropouts.Dropout(
            self.dropout, dtype=self.dtype_policy, name="dropout"
        )
        self.built = True

    def call(
        self,
        queries: Any,
        memory: Any,
        key_mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Attends; see the class."""
        query = self._heads(self.query_dense, queries)
        key = self._heads(self.key_dense, memory)
        value = self._heads(self.value_dense, memory)
        if self.scale:
            # On the query, [T, d] numbers, rather than on the logits, [T, S].
            query = query * ops.cast(self.head_width**-0.5, query.dtype)
        logits = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # [B, H, T, S]
        if self.distance_bias:
            logits = logits - self._distances(ops.shape(query)[2], logits.dtype)
        if key_mask is not None:
            blocked = ops.cast(ops.logical_not(key_mask), logits.dtype)
            logits = logits + ops.expand_dims(blocked, (1, 2)) * _MASKED
        weights = ops.softmax(logits, axis=-1)
        weights = self.dropout_layer(weights, training=training)
        attended = ops.matmul(weights, value)  # [B, H, T, d / H]
        attended = ops.transpose(attended, (0, 2, 1, 3))
        shape = ops.shape(attended)
        width = self.num_heads * self.head_width
        return self.output_dense(ops.reshape(attended, (shape[0], shape[1], width)))

    def _distances(self, n_ticks: Any, dtype: str) -> Any:
        """Distance in ticks times slope, [H, T, T]."""
        ticks = ops.cast(ops.arange(n_ticks), "float32")
        distance = ops.abs(ticks[:, None] - ticks[None, :])
        heads = ops.arange(1, self.num_heads + 1, dtype="float32")
        slopes = ops.power(2.0, -8.0 / self.num_heads * heads)
        return ops.cast(slopes[:, None, None] * distance[None], dtype)

    def _heads(self, dense: keras.layers.Dense, inputs: Any) -> Any:
        # Of the inputs: tf2onnx loses the shape of what a dense layer gives.
        shape = ops.shape(inputs)
        heads = ops.reshape(
            dense(inputs), (shape[0], shape[1], self.num_heads, self.head_width)
        )
        return ops.transpose(heads, (0, 2, 1, 3))  # [B, H, T, d / H]

    def compute_output_shape(
        self, queries_shape: Any, memory_shape: Any, key_mask_shape: Any = None
    ) -> Any:
        """Returns the queries' shape."""
        return queries_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the init arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "scale": self.scale,
            "distance_bias": self.distance_bias,
        }
