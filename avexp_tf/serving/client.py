"""Predicts with a model that a server runs: TensorFlow Serving, or avexp-serve.

    from avexp_tf.serving import client

    with client.Client("localhost:8500") as server:
        values = server.predictor().predict(block)   # a recording of any length

gRPC at `host:port`, REST at `http://host:port`. What a recording needs to be cut into
clips and averaged where they overlap is asked of the server itself.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf import typed_json
from avexp_tf.data import manifest as manifests
from avexp_tf.serving import client_errors
from avexp_tf.serving import predictor as predictors
from avexp_tf.serving import retries as retry_lib
from avexp_tf.serving import tensor_proto
from avexp_tf.serving import transport as transports

_DEFAULT = "serving_default"
_PADDED = "padded"
_ABOUT = "about"
_CARD = "model_card.json"
_STREAMS = ("video", "audio", "background")  # float32 in every signature
# Asked for together, so that all are of one version.
_TOGETHER = (manifests.FILE_NAME, config.FILE_NAME, _CARD)
_GONE = "the model that this began with was replaced: begin again"


class Client:
    """One model of a server; safe in several threads.

    Args:
      address: `host:port` for gRPC, `http://host:port` for REST.
      model: Which model, and which version or label of it.
      retries: Deadline of a call, and how often to try.

    Attributes:
      address: Likewise.

    Raises:
      errors.ConfigError: if the address is none.
      errors.MissingExtraError: if a package is missing.
    """

    def __init__(
        self,
        address: str,
        model: transports.ModelName = transports.ModelName(),  # noqa: B008 (frozen)
        retries: retry_lib.Retries = retry_lib.Retries(),  # noqa: B008
    ):
        self.address = address
        self._transport = transports.of(address)
        self._model = model
        self._retries = retries
        self._about: dict[str, bytes] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    def call(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Calls a signature of the model.

        Args:
          signature: Its name.
          inputs: All of its inputs by name.

        Returns:
          Its outputs by name; by REST an output that is the only one has none, "".

        Raises:
          client_errors.ServerError: one of its kinds.
        """
        arrays = {name: self._array(name, value) for name, value in inputs.items()}
        return self._retries.run(
            lambda left: self._transport.predict(self._model, signature, arrays, left)
        )

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Calls a signature that predicts.

        Args: those of `call`.

        Returns:
          The model's outputs, float32 [B, T, 2 or 6]; see `avexp_tf.outputs`.

        Raises:
          client_errors.ServerError: one of its kinds.
        """
        answer = self.call(signature, inputs)
        names = outputs.names_in(answer)
        shapes = [np.shape(answer[name]) for name in names if name in answer]
        if len(shapes) < len(names) or len(shapes[0]) != 2 or len(set(shapes)) > 1:
            raise client_errors.BrokenServerError(
                f"{self.address}: answered {', '.join(answer) or 'nothing'}, not "
                f"{', '.join(names)} [B, T]"
            )
        values = outputs.stacked(answer).astype(np.float32)
        if not np.isfinite(values).all():
            raise client_errors.BrokenServerError(
                f"{self.address}: answered numbers that are not finite"
            )
        return values

    def versions(self) -> dict[int, str]:
        """Returns {version: state}, such as {2: "AVAILABLE"}.

        Raises:
          client_errors.ServerError: one of its kinds.
        """
        return self._retries.run(
            lambda left: self._transport.versions(self._model, left)
        )

    def pinned(self) -> Client:
        """Returns a client of the version that is the newest now.

        When a newer one takes its place on the server, requests fail instead of being
        answered by another model. A label stays a label, and who moves it changes the
        model. Both clients share their connections.

        Raises:
          client_errors.ServerError: one of its kinds; NotFoundError if no version is
            available.
        """
        if self._model.version is not None or self._model.label:
            return self
        states = self.versions()
        ready = [one for one, state in states.items() if state == "AVAILABLE"]
        if not ready:
            raise client_errors.NotFoundError(
                f"{self.address}: no version of {self._model.name} is available, of "
                f"{states}"
            )
        found = copy.copy(self)
        found._model = dataclasses.replace(self._model, version=max(ready))
        found._about = {}
        return found

    def about(self, file: str) -> bytes:
        """Returns a file of the export, such as `model_card.md`.

        Raises:
          client_errors.ServerError: one of its kinds.
        """
        if file not in self._about:
            self._about |= self._files(*_TOGETHER if file in _TOGETHER else [file])
        return self._about[file]

    def manifest(self) -> manifests.Manifest:
        """Returns the manifest of the records that the model was trained on."""
        source = f"{self.address}: {manifests.FILE_NAME}"
        return manifests.Manifest.from_json(
            typed_json.Reader(self._json(manifests.FILE_NAME), source)
        )

    def experiment(self) -> config.ExperimentConfig:
        """Returns the settings that the model was trained with."""
        return config.from_dict(
            config.ExperimentConfig,
            self._json(config.FILE_NAME),
            f"{self.address}: {config.FILE_NAME}",
        )

    def digest(self) -> str:
        """Returns what identifies the model: the SHA-256 of its card."""
        return hashlib.sha256(self.about(_CARD)).hexdigest()

    def check_unchanged(self) -> None:
        """Checks that the model is still the one that told of itself.

        Raises:
          client_errors.ServerError: one of its kinds; NotFoundError if it is another
            one, as of a server that was started again.
        """
        try:
            is_same = self._files(_CARD)[_CARD] == self.about(_CARD)
        except client_errors.NotFoundError:
            is_same = False
        if not is_same:
            raise client_errors.NotFoundError(f"{self.address}: {_GONE}")

    def predictor(self, eval_stride: int = 0) -> predictors.Predictor:
        """Returns what predicts recordings of any length, in overlapping clips.

        All of them by one version, see `pinned`.

        Args:
          eval_stride: Ticks between clips; 0 as in training.

        Raises:
          errors.AvexpError: if the server can't be reached, or its model is not of
            this program.
        """
        pinned = self.pinned()
        manifest, experiment = pinned.manifest(), pinned.experiment()
        return predictors.for_experiment(
            ClipModel(pinned, manifest, experiment.data.clip_ticks),
            manifest,
            experiment,
            eval_stride,
        )

    def _files(self, *names: str) -> dict[str, bytes]:
        answer = self.call(_ABOUT, {"file": np.array(names, object)})
        contents = [one for value in answer.values() for one in np.ravel(value)]
        are_bytes = all(isinstance(one, bytes) for one in contents)
        if len(contents) != len(names) or not are_bytes:
            raise client_errors.BrokenServerError(
                f"{self.address}: its model is not of this program"
            )
        return dict(zip(names, contents, strict=True))

    def _array(self, name: str, value: Any) -> np.ndarray:
        """An input in a dtype that signatures use: float32, int32 for int64."""
        try:
            array = np.asarray(value)
        except ValueError as error:  # lists of several lengths
            raise self._refused(name, str(error)) from None
        kind = array.dtype.kind
        if kind == "f" or (kind in "iu" and name in _STREAMS):
            with np.errstate(over="ignore"):  # the server refuses what is not finite
                return array.astype(np.float32, copy=False)
        if array.dtype == np.int64:  # of lists
            limits = np.iinfo(np.int32)
            if (
                array.size
                and not limits.min <= array.min() <= array.max() <= limits.max
            ):
                raise self._refused(name, "holds a number beyond int32")
            return array.astype(np.int32)
        if kind not in "SU" and not tensor_proto.can_hold(array.dtype):
            raise self._refused(
                name, f"has dtype {array.dtype}, which no signature takes"
            )
        for item in array.ravel() if kind == "O" else ():
            if not isinstance(item, bytes | str):
                raise self._refused(
                    name, f"holds {type(item).__name__}, must hold bytes or str"
                )
        return array

    def _refused(self, name: str, what: str) -> client_errors.InvalidRequestError:
        return client_errors.InvalidRequestError(
            f"{self.address}: input {name!r}: {what}"
        )

    def _json(self, file: str) -> Any:
        try:
            return json.loads(self.about(file))
        except ValueError as error:
            raise errors.DataError(
                f"{self.address}: {file} is not JSON: {error}"
            ) from None


class ClipModel:
    """A `predictor.ClipModel` over a client.

    Clips that are shorter than the model's go as `padded`, filled up: a server that
    batches requests of all clients needs them to be of one length.

    Args:
      client: Of the server.
      manifest: Of the model.
      clip_ticks: T of the model.
    """

    def __init__(self, client: Client, manifest: manifests.Manifest, clip_ticks: int):
        self._client = client
        self._clip_ticks = clip_ticks
        variant = client.experiment().model.variant
        self._names = ["video", "video_present", "audio", "audio_present"]
        if variant != "audio_visual":
            branch = variant.removesuffix("_only")
            self._names = [branch, f"{branch}_present"]
        if manifest.has_background and variant != "audio_only":
            self._names.append("background")

    def predict(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips; see `predictor.ClipModel`."""
        inputs = {name: np.asarray(clips[name]) for name in self._names}
        present = inputs[self._names[1]]
        n_clips, n_ticks = present.shape
        missing = self._clip_ticks - n_ticks
        if missing <= 0:
            return self._predict(_DEFAULT, inputs)
        filled = {
            name: np.pad(value, [(0, 0), (0, missing), *[(0, 0)] * (value.ndim - 2)])
            for name, value in inputs.items()
        }
        filled["n_ticks"] = np.full(n_clips, n_ticks, np.int32)
        return self._predict(_PADDED, filled)[:, :n_ticks]

    def _predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        try:
            return self._client.predict(signature, inputs)
        except client_errors.NotFoundError as error:
            raise client_errors.NotFoundError(f"{error}; {_GONE}") from None
