"""The `ClipModel`s that run with TensorFlow: an export, and a run directory."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.serving import saved_model
from avexp_tf.serving import signatures
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model


class SavedModel:
    """Runs the signature `serving_default` of an export.

    Args:
      path: The folder of one version.

    Raises:
      errors.DataError: if it can't be loaded, or has no such signature.
    """

    def __init__(self, path: str | os.PathLike[str]):
        try:
            # Kept alive here: signatures don't hold the variables.
            self._loaded = tf.saved_model.load(os.fspath(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = (str(error).split("\n") or [""])[0]
            raise errors.DataError(f"{path}: can't be loaded: {reason}") from None
        if signatures.DEFAULT not in self._loaded.signatures:
            raise errors.DataError(f"{path}: has no signature {signatures.DEFAULT}")
        self._function = self._loaded.signatures[signatures.DEFAULT]
        self._names = list(self._function.structured_input_signature[1])

    def predict(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips; see `predictor.ClipModel`."""
        return _run(self._function, self._names, clips)

    def predict_sources(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips with source maps; see `ServingModule.predict_sources`."""
        function = self._loaded.signatures[signatures.SOURCES]
        names = list(function.structured_input_signature[1])
        return _run(function, names, clips)


class RunDir:
    """Runs the best weights of a run directory, with what an export puts before them.

    Args:
      path: The run directory.

    Raises:
      errors.RunError: if it has no weights, or not those of its config.
    """

    def __init__(self, path: str | os.PathLike[str]):
        run_dir = run_dirs.RunDir(pathlib.Path(path))
        module = saved_model.ServingModule(
            trained_model.load(run_dir), run_dir.manifest()
        )
        self._names = list(module.signature)
        signature = module.signature
        self._function = tf.function(
            lambda inputs: module.predict(**inputs),
            input_signature=[signature],
            autograph=False,
        )
        predict_sources, specs = module.signatures()[signatures.SOURCES]
        self._source_names = list(specs)
        # Traced at its first call only.
        self._sources = tf.function(
            lambda inputs: predict_sources(**inputs),
            input_signature=[specs],
            autograph=False,
        )

    def predict(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips; see `predictor.ClipModel`."""
        return _run(lambda **inputs: self._function(inputs), self._names, clips)

    def predict_sources(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips with source maps; see `ServingModule.predict_sources`."""
        return _run(lambda **inputs: self._sources(inputs), self._source_names, clips)


def _run(
    function: Callable[..., Any], names: list[str], clips: Mapping[str, np.ndarray]
) -> np.ndarray:
    return outputs.stacked(
        function(**{name: tf.constant(clips[name]) for name in names})
    )
