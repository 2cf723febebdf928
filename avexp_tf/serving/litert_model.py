"""Runs a LiteRT file that `avexp-export` wrote; needs no TensorFlow."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf import typed_json
from avexp_tf.data import manifest as manifests
from avexp_tf.serving import litert_metadata
from avexp_tf.serving import predictor

SUFFIX = ".tflite"
_SIGNATURE = "serving_default"
_SOURCES = "sources"


class LiteRt:
    """A `ClipModel` over one LiteRT file; threads may share it, one at a time.

    Args:
      path: The file.
      threads: CPU threads to compute with.

    Attributes:
      manifest: Of the records that the model was trained on; names no recording.
      experiment: The settings that it was trained with.
      card: The model card, as JSON values.

    Raises:
      errors.DataError: if it can't be loaded, or holds no metadata of this program.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1):
        from ai_edge_litert import interpreter

        self.manifest, self.experiment, self.card = metadata(path)
        try:
            self._interpreter = interpreter.Interpreter(
                model_path=os.fspath(path), num_threads=threads
            )
            self._runners = {
                name: self._interpreter.get_signature_runner(name)
                for name in self._interpreter.get_signature_list()
            }
        except (ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise errors.DataError(f"{path}: can't be loaded: {reason}") from None
        if _SIGNATURE not in self._runners:
            raise errors.DataError(f"{path}: has no signature {_SIGNATURE}")
        self._lock = threading.Lock()

    def predict(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips; see `predictor.ClipModel`."""
        return self.call(_SIGNATURE, clips)

    def predict_sources(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips with source maps; see `ServingModule.predict_sources`."""
        return self.call(_SOURCES, clips)

    def call(self, signature: str, inputs: Mapping[str, Any]) -> np.ndarray:
        """Predicts by a signature of the file.

        Args:
          signature: `serving_default` or `sources`.
          inputs: Its inputs; what it does not take is left out.

        Returns:
          The outputs, float32 [B, T, 2 or 6]; see `avexp_tf.outputs`.
        """
        runner = self._runners[signature]
        with self._lock:
            # The runner resizes its tensors to the inputs where they changed.
            found = runner(
                **{name: inputs[name] for name in runner.get_input_details()}
            )
            return outputs.stacked(found)

    def predictor(self, eval_stride: int = 0) -> predictor.Predictor:
        """Returns what predicts whole recordings with it.

        Args:
          eval_stride: Ticks between clips; 0 as in training.
        """
        return predictor.for_experiment(
            self, self.manifest, self.experiment, eval_stride
        )


def metadata(
    path: str | os.PathLike[str],
) -> tuple[manifests.Manifest, config.ExperimentConfig, dict[str, Any]]:
    """Returns manifest, settings and model card that a file holds.

    Raises:
      errors.DataError: if it is not there, or holds none.
      errors.ConfigError: if its settings are damaged.
    """
    found = litert_metadata.read(path)
    values = {}
    for name in (manifests.FILE_NAME, config.FILE_NAME, "model_card.json"):
        if name not in found:
            raise errors.DataError(f"{path}: holds no {name}")
        try:
            values[name] = json.loads(found[name])
        except ValueError as error:
            raise errors.DataError(f"{path}: {name} is not JSON: {error}") from None
    source = f"{path}: {manifests.FILE_NAME}"
    return (
        manifests.Manifest.from_json(
            typed_json.Reader(values[manifests.FILE_NAME], source)
        ),
        config.from_dict(
            config.ExperimentConfig,
            values[config.FILE_NAME],
            f"{path}: {config.FILE_NAME}",
        ),
        values["model_card.json"],
    )
