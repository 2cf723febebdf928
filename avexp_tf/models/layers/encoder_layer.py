"""One transformer encoder layer: self-attention, then a feed-forward block."""

from __future__ import annotations

from typing import Any

import keras

from avexp_tf.models.layers import attention
from avexp_tf.models.layers import dropout as dropouts
from avexp_tf.models.layers import layer_norm


@keras.saving.register_keras_serializable("avexp_tf")
class EncoderLayer(keras.layers.Layer):
    """Self-attention and feed-forward block, each with a residual and a layer norm.

    Args:
      num_heads: Attention heads.
      ff_dim: Width of the feed-forward block.
      dropout: Rate on attention weights and on both blocks' outputs.
      norm: `pre` normalises each block's input, `post` the sum after it.
      activation: Of the feed-forward block.
      scale_attention: Divide the logits by sqrt(head width).
      distance_bias: Lower the logits with the distance in ticks; see `Attention`.
      **kwargs: Of the Keras layer.

    Call arguments:
      inputs: [B, T, d].
      key_mask: bool [B, T], the ticks that may be attended to.

    Returns:
      [B, T, d].
    """

    def __init__(
        self,
        num_heads: int,
        ff_dim: int,
        dropout: float = 0.0,
        norm: str = "pre",
        activation: str = "relu",
        scale_attention: bool = True,
        distance_bias: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.ff_dim = ff_dim
        self.dropout = dropout
        self.norm = norm
        self.activation = activation
        self.scale_attention = scale_attention
        self.distance_bias = distance_bias

    def build(self, inputs_shape: Any, key_mask_shape: Any = None) -> None:
        """Creates the sublayers."""
        policy = self.dtype_policy
        width = inputs_shape[-1]
        self.attention = attention.Attention(
            self.num_heads,
            self.dropout,
            self.scale_attention,
            self.distance_bias,
            dtype=policy,
            name="attention",
        )
        self.attention.build(inputs_shape, inputs_shape)
        self.attention_norm = layer_norm.LayerNormalization(
            epsilon=1e-6, dtype=policy, name="attention_norm"
        )
        self.ff_norm = layer_norm.LayerNormalization(
            epsilon=1e-6, dtype=policy, name="ff_norm"
        )
        self.ff_inner = keras.layers.Dense(
            self.ff_dim, activation=self.activation, dtype=policy, name="ff_inner"
        )
        self.ff_outer = keras.layers.Dense(width, dtype=policy, name="ff_outer")
        self.dropout_layer = dropouts.Dropout(
            self.dropout, dtype=policy, name="dropout"
        )
        for layer in (self.attention_norm, self.ff_norm, self.ff_inner):
            layer.build(inputs_shape)
        self.ff_outer.build((*inputs_shape[:-1], self.ff_dim))
        self.built = True

    def call(
        self, inputs: Any, key_mask: Any = None, training: bool | None = None
    ) -> Any:
        """Encodes; see the class."""

        def attend(x: Any) -> Any:
            return self.attention(x, x, key_mask=key_mask, training=training)

        def feed_forward(x: Any) -> Any:
            return self.ff_outer(self.ff_inner(x))

        x = inputs
        for block, norm in (
            (attend, self.attention_norm),
            (feed_forward, self.ff_norm),
        ):
            if self.norm == "pre":
                x = x + self.dropout_layer(block(norm(x)), training=training)
            else:
                x = norm(x + self.dropout_layer(block(x), training=training))
        return x

    def compute_output_shape(
        self, inputs_shape: Any, key_mask_shape: Any = None
    ) -> Any:
        """Returns the input's shape."""
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the init arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "ff_dim": self.ff_dim,
            "dropout": self.dropout,
            "norm": self.norm,
            "activation": self.activation,
            "scale_attention": self.scale_attention,
            "distance_bias": self.distance_bias,
        }
