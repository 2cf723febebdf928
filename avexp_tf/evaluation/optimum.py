"""The best CCC that any model can reach, where the corpus tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf.corpora import synthetic
from avexp_tf.corpora.synthetic import optimum as synthetic_optimum
from avexp_tf.data import manifest as manifests
from avexp_tf.training import scoring


def predictors(
    manifest: manifests.Manifest, variants: Sequence[str]
) -> dict[str, scoring.Predict]:
    """Returns what the best possible model of each variant would predict.

    Args:
      manifest: Of the records.
      variants: audio_visual, video_only, audio_only.

    Returns:
      {variant: predict}, empty for a corpus whose optimum is not known.
    """
    if manifest.corpus_name != synthetic.SyntheticCorpus.name:
        return {}
    settings = config.from_dict(
        synthetic.SyntheticConfig, manifest.corpus_config, "manifest.json"
    )
    optimum = synthetic_optimum.Optimum(
        settings, manifest.records.context_ticks, manifest.records.context_before
    )
    mean = np.asarray(manifest.audio_statistics.mean)
    std = np.asarray(manifest.audio_statistics.std)

    def predictor(variant: str) -> scoring.Predict:
        def predict(batch: dict[str, Any]) -> np.ndarray:
            n_ticks = batch["valid"].shape[1]
            video = optimum.video_states(batch["video"][:, :n_ticks])
            audio = optimum.audio_states(batch["audio"] * std + mean)
            n_clips, n_maps = batch["video_source"].shape[:2]
            # One pass for all maps: [B, K, ...] as [B K, ...].
            means = optimum.posterior_means(
                np.repeat(video, n_maps, axis=0),
                np.repeat(audio, n_maps, axis=0),
                np.repeat(batch["audio_row_present"], n_maps, axis=0),
                None
                if variant == "audio_only"
                else batch["video_source"].reshape(-1, n_ticks),
                None
                if variant == "video_only"
                else batch["audio_source"].reshape(-1, n_ticks),
            )
            return means.reshape(n_clips, n_maps, n_ticks, -1)

        return predict

    return {variant: predictor(variant) for variant in variants}
