"""Functions over Keras models as a SavedModel, whose signatures they become.

Plain TensorFlow rather than Keras's `ExportArchive`, which stores each weight twice,
its wrapper and TensorFlow's variable in it, and takes twice the time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import keras
import tensorflow as tf

from avexp_tf.serving import signatures

Functions = Mapping[str, tuple[Callable[..., signatures.Tensors], signatures.Specs]]


def write(
    path: str | os.PathLike[str], models: Sequence[keras.Model], functions: Functions
) -> None:
    """Writes `saved_model.pb` and `variables/`.

    Args:
      path: The folder; it need not be there.
      models: Those that the functions call.
      functions: {signature: (function, specs of its inputs)}. Each takes its inputs by
        name and returns a dict.

    Raises:
      tf.errors.OpError: if it can't be written.
      OSError: likewise.
    """
    exported = tf.Module()
    exported.kept = [variable.value for model in models for variable in model.variables]
    endpoints = {name: _endpoint(*pair) for name, pair in functions.items()}
    for name, endpoint in endpoints.items():
        setattr(exported, name, endpoint)
    tf.saved_model.save(exported, os.fspath(path), endpoints)


def _endpoint(
    function: Callable[..., signatures.Tensors], specs: signatures.Specs
) -> tf.types.experimental.GenericFunction:
    return tf.function(
        lambda inputs: function(**inputs), input_signature=[specs], autograph=False
    )
