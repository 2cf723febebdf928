"""The crossmodal transformer in PyTorch, with the layer names of the Keras model.

Written as a PyTorch user would for speed: fused attention, fused Adam, one dense layer
on the stacked LLD context. `load` takes the Keras weights, so that both can be shown to
compute the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from avexp_tf import config
from avexp_tf.models import crossmodal_transformer


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, settings: config.ModelConfig):
        super().__init__()
        width = settings.d_model
        self.heads, self.rate = settings.num_heads, settings.dropout
        for name in ("query", "key", "value", "output"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, queries: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Attends."""

        def split(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        attended = functional.scaled_dot_product_attention(
            split(self.query(queries)),
            split(self.key(memory)),
            split(self.value(memory)),
            dropout_p=self.rate if self.training else 0.0,
        )
        return self.output(attended.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and feed-forward block."""

    def __init__(self, settings: config.ModelConfig):
        super().__init__()
        width = settings.d_model
        self.attention = Attention(settings)
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.ff_norm = nn.LayerNorm(width, eps=1e-6)
        self.ff_inner = nn.Linear(width, settings.ff_dim)
        self.ff_outer = nn.Linear(settings.ff_dim, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encodes."""
        normed = self.attention_norm(x)
        x = x + self.dropout(self.attention(normed, normed))
        return x + self.dropout(
            self.ff_outer(functional.relu(self.ff_inner(self.ff_norm(x))))
        )


class CrossmodalTransformer(nn.Module):
    """The model.

    Args:
      settings: Pre-norm, ReLU, sinusoidal positions; others are not built here.
      dims: Of the inputs.
    """

    def __init__(
        self, settings: config.ModelConfig, dims: crossmodal_transformer.InputDims
    ):
        super().__init__()
        width = settings.d_model
        self.context = dims.context_ticks
        self.n_layers = settings.num_layers
        self.video_projection = nn.Linear(dims.video, width, bias=False)
        stacked = dims.audio * dims.context_ticks
        self.audio_projection = nn.Linear(stacked, width, bias=False)
        for name in config.MODALITIES:
            self.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(width)))
            for index in range(settings.num_layers):
                setattr(self, f"{name}_layer_{index + 1}", EncoderLayer(settings))
            setattr(self, f"{name}_norm", nn.LayerNorm(width, eps=1e-6))
        self.video_to_audio = Attention(settings)
        self.audio_to_video = Attention(settings)
        self.alpha = nn.Parameter(torch.tensor(1.0))
        self.beta = nn.Parameter(torch.tensor(1.0))
        for target in config.TARGETS:
            setattr(self, f"{target}_head", nn.Linear(width, 1))

    def forward(
        self,
        video: torch.Tensor,
        audio: torch.Tensor,
        video_source: torch.Tensor,
        audio_source: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns valence and arousal [B, T]; all ticks are valid."""
        stacked = audio.unfold(1, self.context, 1).transpose(2, 3).flatten(2)
        encoded = {}
        for name, frames, source in (
            ("video", self.video_projection(video), video_source),
            ("audio", self.audio_projection(stacked), audio_source),
        ):
            n_ticks = frames.shape[1]
            rows = source[..., None] == torch.arange(n_ticks, device=source.device)
            x = rows.to(frames.dtype) @ frames + getattr(self, f"{name}_bias")
            x = x + positions(n_ticks, x.shape[-1]).to(x.dtype)
            for index in range(self.n_layers):
                x = getattr(self, f"{name}_layer_{index + 1}")(x)
            encoded[name] = getattr(self, f"{name}_norm")(x)
        v, a = encoded["video"], encoded["audio"]
        fused = v + self.alpha * self.video_to_audio(v, a)
        fused = fused + a + self.beta * self.audio_to_video(a, v)
        valence, arousal = (
            getattr(self, f"{target}_head")(fused).squeeze(-1)
            for target in config.TARGETS
        )
        return valence, arousal

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes the Keras model's weights, by their paths.

        Raises:
          ValueError: if one has no place here.
        """
        state = {}
        for path, value in weights.items():
            parts = path.split("/")
            for folder in ("crossmodal", "fusion"):
                if folder in parts:
                    parts.remove(folder)
            if parts[0].endswith("_select"):
                parts = [parts[0].replace("_select", "_bias")]
            elif parts[-1] in ("kernel", "gamma"):
                parts[-1] = "weight"
                value = (
                    value.reshape(-1, value.shape[-1]).T if value.ndim > 1 else value
                )
            elif parts[-1] == "beta" and len(parts) > 1:
                parts[-1] = "bias"
            state[".".join(parts)] = torch.tensor(np.ascontiguousarray(value))
        self.load_state_dict(state)


def positions(n_ticks: int, width: int) -> torch.Tensor:
    """The sinusoidal code, [T, d]."""
    position = torch.arange(n_ticks, dtype=torch.float32)[:, None]
    pair = torch.div(torch.arange(width), 2, rounding_mode="floor")
    angle = position * torch.exp(pair * (-2.0 / width * math.log(1e4)))
    even = torch.arange(width) % 2 == 0
    return torch.where(even, torch.sin(angle), torch.cos(angle))


def ccc_loss(predicted: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 - CCC over all ticks; every label is valid."""
    predicted, labels = predicted.float(), labels.float()
    d_predicted = predicted - predicted.mean()
    d_labels = labels - labels.mean()
    covariance = (d_predicted * d_labels).mean()
    gap = (predicted.mean() - labels.mean()).square()
    spread = d_predicted.square().mean() + d_labels.square().mean() + gap
    return 1.0 - 2.0 * covariance / (spread + 1e-8)
