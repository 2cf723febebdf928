"""PredictionService and ModelService of TensorFlow Serving over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf import message
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from avexp_tf.serving import tensor_proto
from avexp_tf.serving.server import checks
from avexp_tf.serving.server import engine as engines
from avexp_tf.serving.server import failure
from avexp_tf.serving.server import loaded_version

_INFERENCES = ("tensorflow/serving/classify", "tensorflow/serving/regress")
_SIGNATURE_DEF = "signature_def"


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata.

    Args:
      engine: Runs the requests.
    """

    def __init__(self, engine: engines.Engine):
        self._engine = engine

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers a PredictRequest."""

        async def work() -> Any:
            return await self._engine.run(lambda: predict(self._engine, request))

        return await _answered(self._engine, "predict", context, work)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers with the signatures of a version."""
        return await _answered(
            self._engine,
            "metadata",
            context,
            _at_once(lambda: metadata(self._engine, request)),
        )

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses: no signature is for classification."""
        return await self._refused("classify", [request.model_spec], context)

    async def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses: no signature is for regression."""
        return await self._refused("regress", [request.model_spec], context)

    async def MultiInference(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses: it is for classification and regression."""
        specs = [task.model_spec for task in request.tasks]
        methods = [task.method_name for task in request.tasks]
        return await self._refused("multi_inference", specs, context, methods)

    async def _refused(
        self,
        kind: str,
        specs: Sequence[Any],
        context: Any,
        methods: Sequence[str] = (),
    ) -> Any:
        def refuse() -> None:
            for spec in specs:
                _version(self._engine, spec)
            raise of_other_kind(kind, methods)

        return await _answered(self._engine, kind, context, _at_once(refuse))


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus.

    Args:
      engine: Knows the versions.
    """

    def __init__(self, engine: engines.Engine):
        self._engine = engine

    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Answers with the state of one version, or of all."""
        return await _answered(
            self._engine,
            "status",
            context,
            _at_once(lambda: status(self._engine, request)),
        )

    async def HandleReloadConfigRequest(  # noqa: N802
        self, request: Any, context: Any
    ) -> Any:
        """Refuses: settings are flags here."""

        def refuse() -> None:
            raise failure.Failure(
                failure.UNIMPLEMENTED, "settings of avexp-serve are its flags"
            )

        return await _answered(self._engine, "reload", context, _at_once(refuse))


class Unreadable(grpc.aio.ServerInterceptor):
    """Answers bytes that are no message as what they are: a bad request."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any):
        """Returns the handler of a call, with a reader that does not fail."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        def read(data: bytes) -> Any:
            try:
                return handler.request_deserializer(data)
            except message.DecodeError:
                return None

        async def answer(request: Any, context: Any) -> Any:
            if request is None:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT, "the message can't be parsed"
                )
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, read, handler.response_serializer
        )


def predict(engine: engines.Engine, request: Any) -> Any:
    """Returns the PredictResponse to a PredictRequest.

    Raises:
      failure.Failure: if it can't be answered.
    """
    spec = request.model_spec
    version = _version(engine, spec)
    signature = spec.signature_name or checks.DEFAULT_SIGNATURE
    wanted = version.check_signature(signature)
    if len(request.inputs) > len(wanted) + 20:  # before anything is unpacked
        raise failure.invalid(
            f"input size does not match signature: {len(request.inputs)}!={len(wanted)}"
        )
    inputs = {}
    left = engine.config.max_body_bytes  # for all of them, which bytes don't tell
    for name, proto in request.inputs.items():
        try:
            inputs[name] = tensor_proto.decode(proto, left)
            left -= inputs[name].nbytes
        except ValueError as error:
            raise failure.invalid(
                f"tensor parsing error: {name[:80]}: {error}"
            ) from None
    checks.inputs(inputs, wanted, engine.config)
    chosen = list(request.output_filter)
    known = version.signature_def[signature].outputs
    for name in chosen:
        if name not in known:
            raise failure.invalid(
                f"output tensor alias not found in signature: {name[:80]} Outputs "
                f"expected to be in the set {{{','.join(sorted(known))}}}."
            )
    if len(set(chosen)) < len(chosen):
        raise failure.invalid("duplicate output tensor alias")
    outputs = version.predict(signature, inputs)
    response = predict_pb2.PredictResponse()
    _fill(response.model_spec, engine, version, signature)
    for name in chosen or outputs:
        tensor_proto.encode(outputs[name], response.outputs[name])
    return response


def metadata(engine: engines.Engine, request: Any) -> Any:
    """Returns the GetModelMetadataResponse to a GetModelMetadataRequest.

    Raises:
      failure.Failure: if it can't be answered.
    """
    fields = list(request.metadata_field)
    if not fields:
        raise failure.invalid("GetModelMetadataRequest must specify a metadata_field")
    for field in fields:
        if field != _SIGNATURE_DEF:
            raise failure.invalid(f"Metadata field {field[:80]} is not supported")
    version = _version(engine, request.model_spec)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    _fill(response.model_spec, engine, version)
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, one in version.signature_def.items():
        found.signature_def[name].CopyFrom(one)
    packed = any_pb2.Any()
    packed.Pack(found)
    response.metadata[_SIGNATURE_DEF].CopyFrom(packed)
    return response


def status(engine: engines.Engine, request: Any) -> Any:
    """Returns the GetModelStatusResponse to a GetModelStatusRequest.

    Raises:
      failure.Failure: if it can't be answered.
    """
    if not request.HasField("model_spec"):
        raise failure.invalid("Missing ModelSpec")
    spec = request.model_spec
    states = engine.versions.states()
    if spec.name != engine.config.model_name or not states:
        raise failure.Failure(
            failure.NOT_FOUND,
            f"Could not find any versions of model {spec.name[:80]}",
        )
    number = _number(spec)
    if spec.version_label:
        number = _version(engine, spec).number
    if number is not None:
        if number not in states:
            raise failure.Failure(
                failure.NOT_FOUND,
                f"Could not find version {number} of model {spec.name[:80]}",
            )
        states = {number: states[number]}
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state in states.items():
        one = response.model_version_status.add()
        one.version = number
        one.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.state)
        # UNKNOWN, in the numbers of google.rpc.Code, is what a failed load gets.
        one.status.error_code = 2 if state.error else 0
        one.status.error_message = state.error
    return response


def of_other_kind(kind: str, methods: Sequence[str] = ()) -> failure.Failure:
    """Returns the refusal of what is not a Predict, by TensorFlow Serving's codes.

    Args:
      kind: classify, regress or multi_inference.
      methods: Of the last, its tasks' method names.
    """
    for method in methods:
        if method not in _INFERENCES:
            return failure.Failure(
                failure.UNIMPLEMENTED,
                f"Unsupported signature method_name: {method[:80]}",
            )
    if kind == "multi_inference":
        return failure.invalid(
            "MultiInference is for signatures with the method_name "
            "tensorflow/serving/classify or tensorflow/serving/regress. Was: "
            "tensorflow/serving/predict"
        )
    return failure.invalid(
        f"Expected {kind} signature method_name to be tensorflow/serving/{kind}. "
        "Was: tensorflow/serving/predict"
    )


def _number(spec: Any) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _version(engine: engines.Engine, spec: Any) -> loaded_version.LoadedVersion:
    if not spec.name:
        raise failure.invalid("Missing ModelSpec")
    return engine.versions.get(spec.name, _number(spec), spec.version_label)


def _fill(
    spec: Any,
    engine: engines.Engine,
    version: loaded_version.LoadedVersion,
    signature: str = "",
) -> None:
    spec.name = engine.config.model_name
    spec.version.value = version.number
    spec.signature_name = signature


def _at_once(work: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    """What takes no time doesn't wait behind predictions, nor for a place."""

    async def done() -> Any:
        return work()

    return done


async def _answered(
    engine: engines.Engine,
    method: str,
    context: Any,
    work: Callable[[], Awaitable[Any]],
) -> Any:
    try:
        with engine.counted("grpc", method):
            return await work()
    except failure.Failure as error:
        code = getattr(grpc.StatusCode, error.code)
        await context.abort(code, error.message)
