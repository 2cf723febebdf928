"""Compares an export with the Keras model that it came from, on records with losses."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import condition as conditions
from avexp_tf.data import manifest as manifests
from avexp_tf.data import pipeline
from avexp_tf.models import sweep_predictor
from avexp_tf.training import run_dir as run_dirs

# Whole and partial losses of either modality, and of both.
CONDITIONS = (
    "none",
    "video:clip_zero:1",
    "audio:clip_zero:1",
    "video:frame_zero:0.9",
    "audio:frame_zero:0.5",
    "both:clip_zero:1",
)


def largest_difference(
    export_dir: str | os.PathLike[str],
    run_path: str | os.PathLike[str],
    data: config.DataConfig,
    tested: Sequence[str] = CONDITIONS,
    split: str = "validation",
) -> float:
    """Returns the largest difference of any output between export and Keras.

    Args:
      export_dir: Of `saved_model.export`.
      run_path: The run directory that it came from.
      data: Whose records to compare on; the first batch of the split is taken.
      tested: Conditions; only those that conceal with zeros, since presence flags
        express no repetition.
      split: Of the records.

    Returns:
      The largest absolute difference of valence and arousal at valid ticks.
    """
    signature = tf.saved_model.load(os.fspath(export_dir)).signatures["serving_default"]
    run_dir = run_dirs.RunDir(pathlib.Path(run_path))
    predictor = sweep_predictor.SweepPredictor(run_dir.load_model())
    source = pipeline.Source.open(data, split)
    sweep = [(((conditions.parse(text),),), 1) for text in tested]
    batch = next(iter(pipeline.evaluation_batches(source, sweep)))
    batch = {name: tensor.numpy() for name, tensor in batch.items()}
    expected = predictor.predict(batch)
    manifest = run_dir.manifest()
    valid = batch["valid"]
    largest = 0.0
    for k in range(len(sweep)):
        request = serving_request(batch, k, manifest)
        names = signature.structured_input_signature[1]
        served = signature(**{name: tf.constant(request[name]) for name in names})
        for column, target in enumerate(config.TARGETS):
            gap = np.abs(served[target].numpy() - expected[:, k, :, column])
            largest = max(largest, float(gap[valid].max()))
    return largest


def serving_request(
    batch: dict[str, np.ndarray], k: int, manifest: manifests.Manifest
) -> dict[str, Any]:
    """Returns what a client would send for a batch under its k-th source map.

    Args:
      batch: Of `pipeline.evaluation_batches`.
      k: Which source map.
      manifest: Of the records, for its statistics.

    Returns:
      `video`, `audio` (raw LLDs, zeros where there is no sound), `video_present`,
      `audio_present`.
    """
    statistics = manifest.audio_statistics
    raw = batch["audio"] * np.asarray(statistics.std) + np.asarray(statistics.mean)
    raw = np.where(batch["audio_row_present"][..., None], raw, 0.0)
    return {
        "video": batch["video"],
        "audio": raw.astype(np.float32),
        "video_present": batch["video_source"][:, k] >= 0,
        "audio_present": batch["audio_source"][:, k] >= 0,
    }
