"""What a client sends for a clip, and for those of an evaluation batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avexp_tf import config
from avexp_tf.data import manifest as manifests
from avexp_tf.data import schema

Arrays = dict[str, np.ndarray]

_LEAST = np.float32(1e-30)  # not zero, and lost in any sum


def sound_rows(audio: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Returns LLDs of which rows of zeros are no sound, and nothing else is.

    That is how a signature knows gaps in the context before a clip. Sound may have
    descriptors that are all zero, as energy and pitch are in silence: they get the
    least number instead.

    Args:
      audio: float32 [rows, audio_dim] or [B, rows, audio_dim], not normalised.
      heard: bool, without the last dimension: there was sound.
    """
    silent = ~np.any(audio, axis=-1, keepdims=True)
    rows = np.where(silent, _LEAST, audio)
    return np.where(np.expand_dims(heard, -1), rows, np.float32(0))


def of_sources(
    batch: Mapping[str, np.ndarray], k: int, manifest: manifests.Manifest
) -> Arrays:
    """Returns a request to the signature `sources`.

    Args:
      batch: Of `pipeline.evaluation_batches`, as NumPy arrays.
      k: Which of its source maps.
      manifest: Of the records, for its statistics.

    Returns:
      `video`, `audio` (LLDs as they are, zeros where there is no sound),
      `video_source`, `audio_source`, and `background` where the records have one.
    """
    sources = {
        f"{name}_source": batch[f"{name}_source"][:, k] for name in config.MODALITIES
    }
    return features(batch, manifest) | sources


def of_presence(
    batch: Mapping[str, np.ndarray], k: int, manifest: manifests.Manifest
) -> Arrays:
    """Returns a request to `serving_default`, which has no word for repeated frames.

    Args: those of `of_sources`; nothing may be repeated.

    Returns:
      `video`, `audio`, `video_present`, `audio_present`, and `background` where the
      records have one: zeros where neither face nor scene is shown.
    """
    n_ticks = batch["valid"].shape[1]
    request = features(batch, manifest)
    for name in config.MODALITIES:
        source = batch[f"{name}_source"][:, k]
        request[f"{name}_present"] = (source >= 0) & (source < n_ticks)
    if manifest.has_background:
        scene = batch["video_source"][:, k] >= n_ticks
        request["background"] = np.where(
            scene[..., None], request["background"], np.float32(0)
        )
    return request


def presence_inputs(
    batch: Mapping[str, np.ndarray], k: int, layout: schema.Layout
) -> Arrays:
    """Returns what the Keras model takes for the request of `of_presence`.

    Args:
      batch: Of `pipeline.evaluation_batches`.
      k: Which of its source maps.
      layout: Of the records.

    Returns:
      The model's inputs: sound that is not present is missing from every context that
      it would be in, as a gap in a recording is.
    """
    inputs: Arrays = {"video": batch["video"], "valid": batch["valid"]}
    n_ticks = batch["valid"].shape[1]
    for name in config.MODALITIES:
        inputs[f"{name}_source"] = batch[f"{name}_source"][:, k]
    heard = np.ones(batch["audio"].shape[:2], bool)
    first = layout.context_before
    heard[:, first : first + n_ticks] = inputs["audio_source"] >= 0
    inputs["audio"] = np.where(heard[..., None], batch["audio"], np.float32(0))
    return inputs


def features(batch: Mapping[str, np.ndarray], manifest: manifests.Manifest) -> Arrays:
    """Returns `video`, `audio` as they were before normalisation, and `background`.

    Args:
      batch: Of `pipeline.evaluation_batches`.
      manifest: Of the records.
    """
    n_ticks = batch["valid"].shape[1]
    video = batch["video"].astype(np.float32)
    found = {"video": video[:, :n_ticks], "audio": raw_audio(batch, manifest)}
    if manifest.has_background:
        found["background"] = video[:, n_ticks:]
    return found


def raw_audio(
    batch: Mapping[str, np.ndarray], manifest: manifests.Manifest
) -> np.ndarray:
    """Returns LLDs as they were before normalisation, zeros where there was no sound.

    Args:
      batch: Of `pipeline.evaluation_batches`.
      manifest: Of the records, for its statistics.
    """
    statistics = manifest.audio_statistics
    raw = batch["audio"] * np.asarray(statistics.std) + np.asarray(statistics.mean)
    return sound_rows(raw.astype(np.float32), batch["audio_row_present"])
