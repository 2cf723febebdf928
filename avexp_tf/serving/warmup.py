"""Requests that TensorFlow Serving replays when it loads a version.

The first request to a signature costs many times what the others cost; replayed before
the version takes over, no client waits for it.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import example
from avexp_tf.data import manifest as manifests
from avexp_tf.data import segment
from avexp_tf.serving import signatures

FILE_NAME = "tf_serving_warmup_requests"
MODEL_NAME = "avexp"  # as in export/serving/models.config


def write(
    folder: str | os.PathLike[str],
    manifest: manifests.Manifest,
    data: config.DataConfig,
    specs: Mapping[str, signatures.Specs],
) -> None:
    """Writes one request per signature: one clip with a face and a voice.

    Args:
      folder: `assets.extra` of the export.
      manifest: Of the records that the model was trained on.
      data: For the length of a clip.
      specs: Inputs of each signature.

    Raises:
      errors.MissingExtraError: if tensorflow-serving-api is not installed.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        raise errors.MissingExtraError(
            "writing warm-up requests", "tensorflow-serving-api", "serving"
        ) from None
    import tensorflow as tf

    with tf.io.TFRecordWriter(os.fspath(pathlib.Path(folder) / FILE_NAME)) as writer:
        for name, inputs in specs.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = MODEL_NAME
            request.model_spec.signature_name = name
            for key, values in clip(manifest, data.clip_ticks, inputs).items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString())


def clip(
    manifest: manifests.Manifest, clip_ticks: int, specs: signatures.Specs
) -> dict[str, Any]:
    """Returns one clip as a signature takes it.

    Args:
      manifest: Of the records that the model was trained on.
      clip_ticks: T.
      specs: The signature's inputs.

    Returns:
      {input: array}; of `faces`, one picture counts, since each takes its time.
    """
    layout = manifest.layout
    audio = np.zeros((1, clip_ticks + layout.context_ticks - 1, layout.audio_dim))
    ticks = np.arange(clip_ticks, dtype=np.int32)[None]
    video_present = ticks >= (clip_ticks - 1 if "faces" in specs else 0)
    values = {
        "video": np.zeros((1, clip_ticks, layout.video_dim), np.float32),
        "background": np.zeros((1, clip_ticks, layout.video_dim), np.float32),
        "faces": np.zeros((1, clip_ticks, 96, 96, 3), np.uint8),
        "audio": (audio + manifest.audio_statistics.mean).astype(np.float32),
        "video_present": video_present,
        "audio_present": ticks >= 0,
        "video_source": ticks,
        "audio_source": ticks,
        "n_ticks": np.array([clip_ticks], np.int32),
    }
    if "examples" in specs:
        return {"examples": np.array([_record(manifest, clip_ticks)], object)}
    if "file" in specs:
        return {"file": np.array([config.FILE_NAME], object)}
    return {name: values[name] for name in specs}


def _record(manifest: manifests.Manifest, n_ticks: int) -> bytes:
    layout = manifest.layout
    arrays: dict[str, Any] = {
        field.key: np.zeros(layout.shape(field, n_ticks), field.dtype)
        for field in layout.fields
    }
    for name in ("video_present", "audio_present"):
        arrays[name][:] = 1
    nobody: dict[str, Any] = {
        "recording_id": "warm-up",
        "subject_id": "nobody",
        "segment_index": 0,
        "first_tick": 0,
    }
    return example.encode(segment.Segment(**nobody, **arrays), layout)
