"""Requests to a model server by REST; needs no TensorFlow."""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf import errors
from avexp_tf.serving import client_errors
from avexp_tf.serving import transport

_KINDS = {
    400: client_errors.InvalidRequestError,
    404: client_errors.NotFoundError,
    413: client_errors.TooLargeError,
    429: client_errors.UnavailableError,
    502: client_errors.UnavailableError,
    503: client_errors.UnavailableError,
    504: client_errors.DeadlineError,
}

_PIECE_BYTES = 1 << 16


class RestTransport:
    """Talks to TensorFlow Serving's REST API.

    Numbers travel as text: a clip takes ten times the bytes that it takes by gRPC.

    Args:
      address: `http://host:port`, maybe with a path before `/v1`.

    Attributes:
      address: Likewise.

    Raises:
      errors.MissingExtraError: if urllib3 is missing.
    """

    def __init__(self, address: str):
        try:
            import urllib3
        except ImportError:
            raise errors.MissingExtraError(
                "a server's REST address", "urllib3", "serving"
            ) from None
        self.address = address.rstrip("/")
        self._urllib3 = urllib3
        self._pool = urllib3.PoolManager(maxsize=16, retries=False)

    def predict(
        self,
        model: transport.ModelName,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        timeout_secs: float,
    ) -> dict[str, np.ndarray]:
        """See `transport.Transport`."""
        body = {
            "signature_name": signature,
            "inputs": {name: _listed(value) for name, value in inputs.items()},
        }
        answer = self._call("POST", f"{_path(model)}:predict", body, timeout_secs)
        outputs = answer.get("outputs")
        if not isinstance(outputs, dict):
            # Of a single output TensorFlow Serving leaves the name out.
            outputs = {"": outputs}
        try:
            return {name: _array(value) for name, value in outputs.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise client_errors.BrokenServerError(
                f"{self.address}: an output is no array"
            ) from None

    def versions(
        self, model: transport.ModelName, timeout_secs: float
    ) -> dict[int, str]:
        """See `transport.Transport`."""
        answer = self._call("GET", _path(model), None, timeout_secs)
        try:
            return {
                int(one["version"]): str(one["state"])
                for one in answer["model_version_status"]
            }
        except (KeyError, TypeError, ValueError):
            raise client_errors.BrokenServerError(
                f"{self.address}: answered no status of a model"
            ) from None

    def close(self) -> None:
        """See `transport.Transport`."""
        self._pool.clear()

    def _call(
        self, method: str, path: str, body: Any, timeout_secs: float
    ) -> dict[str, Any]:
        where = self.address + path
        failures = self._urllib3.exceptions
        end = time.monotonic() + timeout_secs
        try:
            answer = self._pool.request(
                method,
                where,
                body=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
                timeout=self._urllib3.Timeout(total=timeout_secs),
                preload_content=False,
            )
            content = self._read(answer, end)
        except failures.NewConnectionError as error:
            # Nobody listens. To urllib3 this is a ConnectTimeoutError, too.
            raise client_errors.UnavailableError(self._told(error)) from None
        except (failures.ReadTimeoutError, failures.ConnectTimeoutError):
            raise client_errors.DeadlineError(
                f"{self.address}: no answer within {timeout_secs:.1f} s"
            ) from None
        except failures.LocationValueError as error:
            raise errors.ConfigError(f"--server={self.address}: {error}") from None
        except failures.SSLError as error:
            # No other answer comes of trying again: a plain port, a wrong certificate.
            raise client_errors.BrokenServerError(self._told(error)) from None
        except failures.HTTPError as error:
            if _answers_no_http(error):
                raise client_errors.BrokenServerError(
                    f"{self.address}: answers no HTTP; the address of a gRPC port is "
                    "given without http://"
                ) from None
            raise client_errors.UnavailableError(self._told(error)) from None
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        if answer.status != 200:
            told = values.get("error") if isinstance(values, dict) else None
            kind = transport.kind_of(str(told)) or _KINDS.get(
                answer.status, client_errors.BrokenServerError
            )
            raise kind(
                f"{self.address}: {answer.status}: "
                f"{' '.join(str(told or answer.reason or '').split())[:500]}"
            )
        if not isinstance(values, dict):
            raise client_errors.BrokenServerError(
                f"{self.address}: answered something else than a JSON object"
            )
        return values

    def _read(self, answer: Any, end: float) -> bytes:
        # urllib3 gives each piece of an answer all the time, however many there are. An
        # answer that comes late may so take up to twice the time, and no more.
        pieces = []
        while piece := answer.read1(_PIECE_BYTES):  # without a size it may end anywhere
            pieces.append(piece)
            if time.monotonic() > end:
                answer.close()
                raise client_errors.DeadlineError(
                    f"{self.address}: the answer did not end in time"
                )
        answer.release_conn()
        return b"".join(pieces)

    def _told(self, error: Exception) -> str:
        # Without the object that urllib3 puts before its words.
        said = " ".join(str(error).split()).rpartition(">: ")[2]
        return f"{self.address}: {said[:300]}"


def _answers_no_http(error: Exception) -> bool:
    reason = error.args[-1] if error.args else None
    return isinstance(reason, http.client.BadStatusLine) and not isinstance(
        reason, http.client.RemoteDisconnected
    )


def _path(model: transport.ModelName) -> str:
    path = f"/v1/models/{urllib.parse.quote(model.name, safe='')}"
    if model.version is not None:
        return f"{path}/versions/{model.version}"
    if model.label:
        return f"{path}/labels/{urllib.parse.quote(model.label, safe='')}"
    return path


def _listed(value: np.ndarray) -> Any:
    value = np.asarray(value)
    if value.dtype.kind not in "OSU":
        return value.tolist()
    return [
        {"b64": base64.b64encode(x.encode() if isinstance(x, str) else x).decode()}
        for x in value.ravel()
    ]


def _array(value: Any) -> np.ndarray:
    """Floats as float32, as signatures give them; strings as bytes."""
    if isinstance(value, list) and value and isinstance(value[0], dict | str):
        found = np.empty(len(value), object)
        found[:] = [
            base64.b64decode(one["b64"]) if isinstance(one, dict) else one.encode()
            for one in value
        ]
        return found
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError("no numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" else array
