"""One version of a model, loaded and warm."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from avexp_tf import errors
from avexp_tf.data import manifest as manifests
from avexp_tf.serving import tensor_proto
from avexp_tf.serving import version_folders
from avexp_tf.serving import warmup
from avexp_tf.serving.server import checks
from avexp_tf.serving.server import failure

_EXTRA = "assets.extra"
_TAG = "serve"
_IN_GRAPH = re.compile(r"\{\{function_node [^}]*\}\} *")
_ASSERTED = re.compile(r"assertion failed: \[(.*)\]")


class LoadedVersion:
    """A SavedModel that answers requests; safe in several threads.

    Args:
      path: Its folder, named by its number.

    Attributes:
      number: Of the version.
      signature_def: The signatures as TensorFlow Serving describes them.
      inputs: {signature: {input: checks.Input}}.

    Raises:
      Exception: of TensorFlow, if it can't be loaded, or a warm-up request fails.
    """

    def __init__(self, path: str | os.PathLike[str]):
        path = pathlib.Path(path)
        self.number = int(path.name)
        self.signature_def = _signature_def(path)
        context = {"audio": _context_rows(path / _EXTRA)}
        self.inputs = {
            name: {
                key: checks.Input(*_input(info), context.get(key, 0))
                for key, info in one.inputs.items()
            }
            for name, one in self.signature_def.items()
        }
        self._loaded = tf.saved_model.load(os.fspath(path))
        self._warm_up(path / _EXTRA / warmup.FILE_NAME)

    def check_signature(self, name: str) -> Mapping[str, checks.Input]:
        """Returns the inputs of a signature.

        Raises:
          failure.Failure: FAILED_PRECONDITION if there is none of this name.
        """
        if name not in self.inputs:
            raise failure.Failure(
                failure.FAILED_PRECONDITION,
                f'Serving signature key "{name[:80]}" not found.',
            )
        return self.inputs[name]

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Computes the outputs of a signature.

        Args:
          signature: One that there is.
          inputs: Checked by `checks.inputs`.

        Returns:
          Arrays by name.

        Raises:
          failure.Failure: INVALID_ARGUMENT if the graph refuses them.
        """
        try:
            found = self._loaded.signatures[signature](
                **{
                    name: tf.constant(value, dtype=_tensor_dtype(value))
                    for name, value in inputs.items()
                }
            )
            return {name: tensor.numpy() for name, tensor in found.items()}
        except (
            tf.errors.InvalidArgumentError,
            tf.errors.OutOfRangeError,
            tf.errors.DataLossError,
        ) as error:
            raise failure.invalid(_first_line(error)) from None
        except UnicodeDecodeError as error:
            # TensorFlow quotes the record that it can't read, and Python can't read the
            # quotation; no other error quotes what a client sent.
            said = error.object.decode("utf-8", "backslashreplace")
            raise failure.invalid(_IN_GRAPH.sub("", said.splitlines()[0])) from None
        except tf.errors.ResourceExhaustedError as error:
            raise failure.Failure(failure.UNAVAILABLE, _first_line(error)) from None

    def _warm_up(self, path: pathlib.Path) -> None:
        if not path.is_file():
            return
        from tensorflow_serving.apis import prediction_log_pb2

        for record in tf.data.TFRecordDataset(os.fspath(path)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            self.predict(
                request.model_spec.signature_name,
                {
                    name: tensor_proto.decode(value)
                    for name, value in request.inputs.items()
                },
            )


def _context_rows(extra: pathlib.Path) -> int:
    """Rows of sound beside one per tick; 0 of a model that is no export of ours."""
    try:
        return manifests.Manifest.load(extra).layout.context_ticks - 1
    except errors.AvexpError:
        return 0


def _signature_def(path: pathlib.Path) -> dict[str, Any]:
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel.FromString(
        (path / version_folders.MODEL_FILE).read_bytes()
    )
    for graph in proto.meta_graphs:
        if _TAG in graph.meta_info_def.tags:
            # The one that starts like this only restores the weights.
            return {
                name: one
                for name, one in graph.signature_def.items()
                if not name.startswith("__saved_model_")
            }
    raise ValueError(f"{path}: has no graph with the tag {_TAG!r}")


def _input(info: Any) -> tuple[np.dtype, tuple[int | None, ...]]:
    dtype = tensor_proto.dtype_of(info.dtype)
    if dtype is None:
        raise ValueError(f"an input has the dtype number {info.dtype}")
    sizes = [dim.size for dim in info.tensor_shape.dim]
    return dtype, tuple(None if size < 0 else size for size in sizes)


def _tensor_dtype(value: np.ndarray) -> tf.DType:
    return tf.string if value.dtype.hasobject else tf.as_dtype(value.dtype.name)


def _first_line(error: Exception) -> str:
    """What TensorFlow says, without where in the graph it happened."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = _IN_GRAPH.sub("", text.split(" [Op:")[0]).strip()
    asserted = _ASSERTED.fullmatch(text)
    return asserted[1] if asserted else text
