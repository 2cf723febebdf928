"""Requests to a model server by gRPC."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf import errors
from avexp_tf.serving import client_errors
from avexp_tf.serving import tensor_proto
from avexp_tf.serving import transport

_LARGEST_ANSWER = 256 << 20
# A proxy's answers have no gRPC status of their own: nginx says 413 as UNKNOWN.
_TOO_LARGE_HINTS = ("larger than max", "status: 413")
# What gRPC says of a port that speaks HTTP/1.
_REST_HINTS = ("http1.x server", "parsing HTTP/2")


class GrpcTransport:
    """Talks to TensorFlow Serving's PredictionService.

    Args:
      address: `host:port`.

    Attributes:
      address: Likewise.

    Raises:
      errors.MissingExtraError: if grpcio or tensorflow-serving-api is missing.
    """

    def __init__(self, address: str):
        try:
            import grpc
            from tensorflow_serving.apis import get_model_status_pb2
            from tensorflow_serving.apis import model_service_pb2_grpc
            from tensorflow_serving.apis import predict_pb2
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        except ImportError:
            raise errors.MissingExtraError(
                "a server's gRPC address", "tensorflow-serving-api", "serving"
            ) from None
        self.address = address
        self._grpc = grpc
        self._predict_request = predict_pb2.PredictRequest
        self._status_request = get_model_status_pb2.GetModelStatusRequest
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", _LARGEST_ANSWER),
                ("grpc.max_send_message_length", -1),
                ("grpc.enable_http_proxy", 0),  # REST goes by none either
                ("grpc.enable_retries", 0),  # `retries` does that, with its deadline
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ],
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self,
        model: transport.ModelName,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        timeout_secs: float,
    ) -> dict[str, np.ndarray]:
        """See `transport.Transport`."""
        request = self._predict_request()
        _fill(request.model_spec, model)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            tensor_proto.encode(value, request.inputs[name])
        answer = self._call(self._stub.Predict, request, timeout_secs)
        try:
            return {
                name: tensor_proto.decode(proto)
                for name, proto in answer.outputs.items()
            }
        except ValueError as error:
            raise client_errors.BrokenServerError(
                f"{self.address}: an output {error}"
            ) from None

    def versions(
        self, model: transport.ModelName, timeout_secs: float
    ) -> dict[int, str]:
        """See `transport.Transport`."""
        request = self._status_request()
        _fill(request.model_spec, model)
        answer = self._call(self._models.GetModelStatus, request, timeout_secs)
        return {
            one.version: one.DESCRIPTOR.fields_by_name["state"]
            .enum_type.values_by_number[one.state]
            .name
            for one in answer.model_version_status
        }

    def close(self) -> None:
        """See `transport.Transport`."""
        self._channel.close()

    def _call(
        self, method: Callable[..., Any], request: Any, timeout_secs: float
    ) -> Any:
        try:
            return method(request, timeout=timeout_secs)
        except self._grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
            if any(hint in details for hint in _REST_HINTS):
                raise client_errors.BrokenServerError(
                    f"{self.address}: answers no gRPC; the address of a REST port is "
                    "given with http://"
                ) from None
            raise self._kind(code, details)(
                f"{self.address}: {code.name}: {' '.join(details.split())[:500]}"
            ) from None
        except ValueError as error:  # a closed channel, which stays closed
            raise client_errors.InvalidRequestError(
                f"{self.address}: {error}"
            ) from None

    def _kind(self, code: Any, details: str) -> type[client_errors.ServerError]:
        codes = self._grpc.StatusCode
        if any(hint in details for hint in _TOO_LARGE_HINTS):
            return client_errors.TooLargeError
        return transport.kind_of(details) or {
            codes.UNAVAILABLE: client_errors.UnavailableError,
            codes.RESOURCE_EXHAUSTED: client_errors.UnavailableError,
            codes.DEADLINE_EXCEEDED: client_errors.DeadlineError,
            codes.INVALID_ARGUMENT: client_errors.InvalidRequestError,
            codes.OUT_OF_RANGE: client_errors.InvalidRequestError,
            codes.NOT_FOUND: client_errors.NotFoundError,
            # TensorFlow Serving's word for a signature that the model has not.
            codes.FAILED_PRECONDITION: client_errors.NotFoundError,
        }.get(code, client_errors.BrokenServerError)


def _fill(spec: Any, model: transport.ModelName) -> None:
    spec.name = model.name
    if model.version is not None:
        spec.version.value = model.version
    if model.label:
        spec.version_label = model.label
