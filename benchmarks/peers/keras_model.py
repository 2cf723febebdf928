"""The plain Keras way: stacked audio vectors, dense layers, Keras attention, `fit`.

What follows from the paper's text without a second thought; the same sizes.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avexp_tf import config
from avexp_tf.models import crossmodal_transformer
from avexp_tf.models import layers


def build(
    settings: config.ModelConfig, dims: crossmodal_transformer.InputDims
) -> keras.Model:
    """Builds the model on `video` [B, T, 4096] and `audio` [B, T, 3900]."""
    video = keras.Input((None, dims.video), name="video")
    audio = keras.Input((None, dims.audio * dims.context_ticks), name="audio")
    v = _encoder(keras.layers.Dense(settings.d_model)(video), settings)
    a = _encoder(keras.layers.Dense(settings.d_model)(audio), settings)
    from_audio = _attention(settings)(v, a)
    from_video = _attention(settings)(a, v)
    fused = v + _Scale()(from_audio) + a + _Scale()(from_video)
    outputs = [
        ops.squeeze(keras.layers.Dense(1, dtype="float32", name=target)(fused), -1)
        for target in config.TARGETS
    ]
    return keras.Model([video, audio], outputs)


@keras.saving.register_keras_serializable("benchmarks")
class _Scale(keras.layers.Layer):
    """Multiplies by a learnable number."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x: Any) -> Any:
        return self.scale * x


def _attention(settings: config.ModelConfig) -> keras.layers.Layer:
    return keras.layers.MultiHeadAttention(
        settings.num_heads,
        settings.d_model // settings.num_heads,
        dropout=settings.dropout,
    )


def _encoder(x: Any, settings: config.ModelConfig) -> Any:
    x = layers.SinusoidalPositions()(x)
    for _ in range(settings.num_layers):
        normed = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        attended = _attention(settings)(normed, normed)
        x = x + keras.layers.Dropout(settings.dropout)(attended)
        normed = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        inner = keras.layers.Dense(settings.ff_dim, activation="relu")(normed)
        outer = keras.layers.Dense(settings.d_model)(inner)
        x = x + keras.layers.Dropout(settings.dropout)(outer)
    return keras.layers.LayerNormalization(epsilon=1e-6)(x)


def ccc_loss(labels: Any, predicted: Any) -> Any:
    """1 - CCC over the batch."""
    d_predicted = predicted - ops.mean(predicted)
    d_labels = labels - ops.mean(labels)
    gap = ops.square(ops.mean(predicted) - ops.mean(labels))
    spread = ops.mean(ops.square(d_predicted)) + ops.mean(ops.square(d_labels)) + gap
    return 1.0 - 2.0 * ops.mean(d_predicted * d_labels) / (spread + 1e-8)
