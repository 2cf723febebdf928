"""The paper's sizes: what a clip costs in arithmetic, and made clips."""

from __future__ import annotations

import numpy as np

from avexp_tf import config
from avexp_tf.models import crossmodal_transformer

DIMS = crossmodal_transformer.InputDims()
TICKS = 100
BATCH = 32


def training_operations(
    n_ticks: int = TICKS, model: config.ModelConfig | None = None
) -> float:
    """Multiplications and additions of all matrix products of one clip's step.

    Backwards each product is done twice, for its weights and for its input; the
    features have no gradient.
    """
    return 2 * _projections(n_ticks, model) + 3 * _rest(n_ticks, model)


def _projections(n_ticks: int, model: config.ModelConfig | None) -> float:
    width = (model or config.ModelConfig()).d_model
    stacked = DIMS.audio * DIMS.context_ticks
    return 2.0 * n_ticks * width * (DIMS.video + stacked)


def _rest(n_ticks: int, model: config.ModelConfig | None) -> float:
    model = model or config.ModelConfig()
    width = model.d_model
    attention = 4 * width * width + 2 * n_ticks * width  # per tick
    feed_forward = 2 * width * model.ff_dim
    select = n_ticks * width
    n_modalities = len(config.MODALITIES)
    per_tick = n_modalities * (
        select + model.num_layers * (attention + feed_forward) + attention
    )
    return 2.0 * n_ticks * (per_tick + width * len(config.TARGETS))


def made_clips(
    n_clips: int = BATCH, n_ticks: int = TICKS, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns inputs and labels of random clips, every tenth frame of video lost."""
    rng = np.random.default_rng(seed)
    rows = n_ticks + DIMS.context_ticks - 1
    ticks = np.tile(np.arange(n_ticks, dtype=np.int32), (n_clips, 1))
    inputs = {
        "video": rng.standard_normal((n_clips, n_ticks, DIMS.video), np.float32),
        "audio": rng.standard_normal((n_clips, rows, DIMS.audio), np.float32),
        "video_source": np.where(ticks % 10 == 9, -1, ticks),
        "audio_source": ticks,
        "valid": np.ones((n_clips, n_ticks), bool),
    }
    labels = {
        name: rng.uniform(-1, 1, (n_clips, n_ticks)).astype(np.float32)
        for name in config.TARGETS
    }
    return inputs, labels
