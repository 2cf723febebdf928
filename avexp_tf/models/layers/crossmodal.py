"""The crossmodal layer: each modality attends to the other, both are summed."""

from __future__ import annotations

from typing import Any

import keras

from avexp_tf.models.layers import attention


@keras.saving.register_keras_serializable("avexp_tf")
class Crossmodal(keras.layers.Layer):
    """(video + alpha attend(video, audio)) + (audio + beta attend(audio, video)).

    Args:
      num_heads: Attention heads.
      dropout: Rate on the attention weights.
      scale_attention: Divide the logits by sqrt(head width).
      distance_bias: Lower the logits with the distance in ticks; see `Attention`.
      initial: First value of the learnable scalars alpha and beta.
      **kwargs: Of the Keras layer.

    Call arguments:
      video: [B, T, d].
      audio: [B, T, d].
      video_key_mask: bool [B, T], the video ticks that may be attended to.
      audio_key_mask: bool [B, T], likewise.

    Returns:
      [B, T, d].

    Reference:
      Parthasarathy and Sundaram 2020, section 2.1: queries from one modality, keys and
      values from the other, added back with learnable scalars.
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        scale_attention: bool = True,
        distance_bias: bool = False,
        initial: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout = dropout
        self.scale_attention = scale_attention
        self.distance_bias = distance_bias
        self.initial = initial

    def build(self, video_shape: Any, audio_shape: Any = None, **_: Any) -> None:
        """Creates the two attentions and the two scalars."""

        def attend(name: str) -> attention.Attention:
            layer = attention.Attention(
                self.num_heads,
                self.dropout,
                self.scale_attention,
                self.distance_bias,
                dtype=self.dtype_policy,
                name=name,
            )
            layer.build(video_shape, video_shape)
            return layer

        self.video_to_audio = attend("video_to_audio")
        self.audio_to_video = attend("audio_to_video")
        start = keras.initializers.Constant(self.initial)
        self.alpha = self.add_weight(shape=(), initializer=start, name="alpha")
        self.beta = self.add_weight(shape=(), initializer=start, name="beta")
        self.built = True

    def call(
        self,
        video: Any,
        audio: Any,
        video_key_mask: Any = None,
        audio_key_mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Fuses both streams; see the class."""
        from_audio = self.video_to_audio(
            video, audio, audio_key_mask, training=training
        )
        from_video = self.audio_to_video(
            audio, video, video_key_mask, training=training
        )
        return (video + self.alpha * from_audio) + (audio + self.beta * from_video)

    def compute_output_shape(
        self, video_shape: Any, audio_shape: Any = None, **_: Any
    ) -> Any:
        """Returns the video's shape."""
        return video_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the init arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "scale_attention": self.scale_attention,
            "distance_bias": self.distance_bias,
            "initial": self.initial,
        }
