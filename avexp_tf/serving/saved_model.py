"""From a run directory to a SavedModel that takes raw LLDs and presence flags."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf.data import manifest as manifests
from avexp_tf.training import run_dir as run_dirs


class ServingModule(tf.Module):
    """The model with what training's pipeline does before it: normalisation and gaps.

    Args:
      model: With its weights.
      manifest: Of the records it was trained on.
    """

    def __init__(self, model: keras.Model, manifest: manifests.Manifest):
        super().__init__()
        self._model = model
        self._names = list(model.input)
        self._layout = manifest.layout
        statistics = manifest.audio_statistics
        self._mean = tf.constant(np.asarray(statistics.mean, np.float32))
        self._scale = tf.constant(1 / np.asarray(statistics.std, np.float32))

    @property
    def signature(self) -> dict[str, tf.TensorSpec]:
        """Named inputs; a one-branch model has only its own."""
        specs = {
            "video": tf.TensorSpec(
                [None, None, self._layout.video_dim], tf.float32, "video"
            ),
            "audio": tf.TensorSpec(
                [None, None, self._layout.audio_dim], tf.float32, "audio"
            ),
        }
        chosen = {}
        for name, spec in specs.items():
            if name in self._names:
                chosen[name] = spec
                present = f"{name}_present"
                chosen[present] = tf.TensorSpec([None, None], tf.bool, present)
        return chosen

    def predict(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predicts valence and arousal.

        Args:
          **inputs: `video` float32 [B, T, video_dim]; `audio` float32 [B, T + C - 1,
            audio_dim], not normalised; `video_present`, `audio_present` bool [B, T].
            A clip without a camera or microphone has zeros and False.

        Returns:
          `valence`, `arousal` float32 [B, T].
        """
        features: dict[str, Any] = {}
        for name in config.MODALITIES:
            if name not in self._names:
                continue
            present = inputs[f"{name}_present"]
            ticks = tf.range(tf.shape(present)[1])[None]
            features[f"{name}_source"] = tf.where(present, ticks, -1)
            features["valid"] = tf.ones_like(present)
            features[name] = inputs[name]
        if "audio" in features:
            features["audio"] = self._normalised(
                features["audio"], inputs["audio_present"]
            )
        predicted = self._model(features, training=False)
        return {name: tf.identity(predicted[name], name) for name in config.TARGETS}

    def _normalised(self, audio: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """Z-normalised LLDs, zero in rows of ticks without sound.

        Of the margin nothing is known but its values: rows of zeros, as a recording's
        start has them, are no LLDs and stay zeros.
        """
        before = self._layout.context_before
        after = self._layout.context_after
        in_margin = tf.pad(
            tf.zeros_like(present), [[0, 0], [before, after]], constant_values=True
        )
        heard = tf.pad(present, [[0, 0], [before, after]])
        heard |= in_margin & tf.reduce_any(audio != 0, axis=-1)
        normalised = (audio - self._mean) * self._scale
        return tf.where(heard[..., None], normalised, 0.0)


def export(
    run_path: str | os.PathLike[str], base_dir: str | os.PathLike[str]
) -> pathlib.Path:
    """Writes the next version of a model: `<base>/<int>/`, whole or not at all.

    Args:
      run_path: A run directory with best weights.
      base_dir: Where the versions lie.

    Returns:
      The folder of the new version.

    Raises:
      errors.RunError: if the run has no weights.
      errors.DataError: if the folder can't be written.
    """
    run_dir = run_dirs.RunDir(run_path)
    model = run_dir.load_model()
    module = ServingModule(model, run_dir.manifest())
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        name="serving_default",
        fn=lambda inputs: module.predict(**inputs),
        input_signature=[module.signature],
    )
    base = pathlib.Path(base_dir)
    files.make_folder(base)
    target = base / str(_next_version(base))
    try:
        with tempfile.TemporaryDirectory(dir=base, prefix=files.TEMPORARY) as folder:
            aside = pathlib.Path(folder) / "export"
            archive.write_out(str(aside), verbose=False)
            extra = aside / "assets.extra"
            extra.mkdir()
            shutil.copy(run_dir.path / manifests.FILE_NAME, extra)
            os.replace(aside, target)
    except OSError as error:
        raise errors.DataError(f"{target}: can't be written: {error}") from None
    return target


def _next_version(base: pathlib.Path) -> int:
    found = [int(path.name) for path in base.iterdir() if path.name.isdigit()]
    return max(found, default=0) + 1
