"""TensorFlow Serving's REST API."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

from aiohttp import http
from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2

from avexp_tf.serving.server import checks
from avexp_tf.serving.server import engine as engines
from avexp_tf.serving.server import failure
from avexp_tf.serving.server import grpc_api
from avexp_tf.serving.server import json_tensors
from avexp_tf.serving.server import metrics

HEALTH = "/health"
_ROOT = re.compile(r"/v1/.*", re.IGNORECASE)

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT = re.compile(_MODEL + r":(classify|regress|predict)", re.IGNORECASE)
_STATUS = re.compile(_MODEL + r"(?:/(metadata))?", re.IGNORECASE)
_LARGEST_NUMBER = 2**63
# Protobuf 5.26 gave it a new name; TensorFlow 2.17 is on 4.
_NEW_NAME = "always_print_fields_with_no_presence"
_WITH_DEFAULTS = (
    _NEW_NAME
    if _NEW_NAME in inspect.signature(json_format.MessageToDict).parameters
    else "including_default_value_fields"
)


def application(engine: engines.Engine) -> web.Application:
    """Returns the HTTP application.

    Args:
      engine: Runs the requests.
    """
    api = _Api(engine)
    logging.getLogger("aiohttp.server").addFilter(_is_fault)
    # Bodies are read here, where a limit answers in JSON, and never unpacked.
    app = web.Application(client_max_size=engine.config.max_body_bytes)
    app.router.add_get(metrics.PATH, api.metrics)
    app.router.add_get(HEALTH, api.health)
    app.router.add_route("*", r"/{path:[\s\S]*}", api.answer)  # a line break too
    return app


class _Api:
    def __init__(self, engine: engines.Engine):
        self._engine = engine

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._engine.metrics.page(),
            headers={"Content-Type": metrics.CONTENT_TYPE},
        )

    async def health(self, request: web.Request) -> web.Response:
        if self._engine.ready:
            return _json(200, b'{"status": "SERVING"}')
        return _json(503, b'{"status": "NOT_SERVING"}')

    async def answer(self, request: web.Request) -> web.Response:
        path = request.rel_url.raw_path
        try:
            if request.method == "POST":
                match = _PREDICT.fullmatch(path)
                if match:
                    return await self._predict(request, match)
            elif request.method == "GET":
                match = _STATUS.fullmatch(path)
                if match:
                    return await self._status(match)
            if not _ROOT.fullmatch(path):
                self._engine.metrics.requests.labels("rest", "unknown", "PATH").inc()
                return _json(404, b'{"error": "no such path"}')
            with self._engine.counted("rest", "unknown"):
                raise failure.invalid(f"Malformed request: {request.method} {path}")
        except failure.Failure as error:
            body = json.dumps({"error": error.message}).encode()
            response = _json(error.http_status, body)
            if error.code == failure.UNAVAILABLE:
                response.headers["Retry-After"] = "1"
            return response
        except web.HTTPRequestEntityTooLarge:
            self._engine.metrics.requests.labels("rest", "predict", "TOO_LARGE").inc()
            most = self._engine.config.max_body_mb
            text = json.dumps({"error": f"the body is larger than {most:g} MB"})
            return _json(413, text.encode())

    async def _predict(
        self, request: web.Request, match: re.Match[str]
    ) -> web.Response:
        packing = request.headers.get("Content-Encoding", "")
        if packing.strip().lower() not in ("", "identity"):
            self._engine.metrics.requests.labels("rest", "predict", "PACKED").inc()
            return _json(415, b'{"error": "a body must not be packed"}')
        kind = match[4].lower()
        try:
            with self._engine.arriving("rest", kind):
                body = await asyncio.wait_for(
                    request.read(), self._engine.config.body_secs
                )
        except asyncio.TimeoutError:  # of its own in Python 3.10
            self._engine.metrics.requests.labels("rest", "predict", "SLOW").inc()
            return _json(408, b'{"error": "the body takes too long to arrive"}')
        except (ConnectionError, http.HttpProcessingError):
            self._engine.metrics.requests.labels("rest", "predict", "GONE").inc()
            return _json(400, b'{"error": "the body ends before its end"}')
        with self._engine.counted("rest", kind):
            name, number, label = _asked(match)

            def work() -> bytes:
                version = self._engine.versions.get(name, number, label)
                if kind != "predict":
                    raise grpc_api.of_other_kind(kind)
                parsed = json_tensors.parse(body)
                if parsed.signature not in version.inputs:
                    raise failure.invalid(
                        f'Serving signature name: "{parsed.signature[:80]}" not found '
                        "in signature def"
                    )
                wanted = version.inputs[parsed.signature]
                inputs = json_tensors.arrays(parsed, wanted)
                checks.inputs(inputs, wanted, self._engine.config)
                outputs = version.predict(parsed.signature, inputs)
                return json_tensors.outputs(outputs, parsed.by_row)

            return _json(200, await self._engine.run(work))

    async def _status(self, match: re.Match[str]) -> web.Response:
        is_metadata = match[4] is not None
        with self._engine.counted("rest", "metadata" if is_metadata else "status"):
            name, number, label = _asked(match)
            make: Callable[[Any, Any], Any]
            if is_metadata:
                request = get_model_metadata_pb2.GetModelMetadataRequest()
                request.metadata_field.append("signature_def")
                make = grpc_api.metadata
            else:
                request = get_model_status_pb2.GetModelStatusRequest()
                make = grpc_api.status
            request.model_spec.name = name
            if number is not None:
                request.model_spec.version.value = number
            if label:
                request.model_spec.version_label = label
            found = make(self._engine, request)
            values = _metadata_json(found) if is_metadata else _to_json(found)
            return _json(200, json.dumps(values, indent=1).encode())


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether aiohttp may log it: not that a client breaks HTTP, which it answers."""
    return not (
        record.exc_info and isinstance(record.exc_info[1], http.HttpProcessingError)
    )


def _asked(match: re.Match[str]) -> tuple[str, int | None, str]:
    """Model, version and label that a path asks for."""
    number = None
    if match[2]:
        # Longer numbers than any version has would be slow to read.
        if len(match[2]) > 19 or int(match[2]) >= _LARGEST_NUMBER:
            raise failure.invalid(
                f"Failed to convert version: {match[2][:30]} to numeric."
            )
        number = int(match[2])
    try:
        name = urllib.parse.unquote(match[1], errors="strict")
        label = urllib.parse.unquote(match[3] or "", errors="strict")
    except UnicodeDecodeError:
        raise failure.invalid("Failed to decode model name or label") from None
    return name, number, label


def _to_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        **{_WITH_DEFAULTS: True},
    )


def _metadata_json(found: Any) -> dict[str, Any]:
    """As TensorFlow Serving writes it: the `Any` unpacked in its place."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    found.metadata["signature_def"].Unpack(signatures)
    return {
        "model_spec": _to_json(found.model_spec),
        "metadata": {"signature_def": _to_json(signatures)},
    }


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
