"""Over both APIs the server answers as TensorFlow Serving, and refuses cleanly."""

import base64
import contextlib
import json
import logging
import pathlib
import re
import signal
import socket
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import any_pb2
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis import regression_pb2

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.serving import client as clients
from avexp_tf.serving import client_errors
from avexp_tf.serving import retries
from avexp_tf.serving import signatures
from avexp_tf.serving import tensor_proto
from avexp_tf.serving import transport
from avexp_tf.serving.server import checks
from avexp_tf.serving.server import failure
from avexp_tf.serving.server import runner
from avexp_tf.serving.server import settings
from tests.serving import running_server
from tests.serving import small_run

APIS = ("grpc", "rest")
PREDICT = "/v1/models/avexp:predict"
CODES = grpc.StatusCode


@pytest.fixture(scope="module", name="server")
def _server(served):
    limits = {"max_batch": 8, "max_ticks": 64, "max_body_mb": 1.0}
    with running_server.serving(served.export.parent, **limits) as running:
        yield running


@pytest.fixture(scope="module", name="loaded")
def _loaded(served):
    return tf.saved_model.load(str(served.export))


@pytest.fixture(scope="module", name="channel")
def _channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(scope="module", name="stub")
def _stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def client_of(server, api, **model):
    address = {"grpc": server.grpc, "rest": server.rest}[api]
    once = retries.Retries(most=0)
    return clients.Client(address, transport.ModelName(**model), once)


def every_signature(served):
    """A request to each signature of the export."""
    request = running_server.clips()
    ticks = np.tile(np.arange(12, dtype=np.int32), (2, 1))
    audio = {name: request[name] for name in ("audio", "audio_present")}
    video = {name: request[name] for name in ("video", "video_present")}
    records = small_run.serialized(served.records)
    return {
        "serving_default": request,
        "padded": request | {"n_ticks": np.array([12, 5], np.int32)},
        "complete": {"video": request["video"], "audio": request["audio"]},
        "sources": {
            "video": request["video"],
            "audio": request["audio"],
            "video_source": np.maximum(ticks - 3, -1),
            "audio_source": ticks,
        },
        "without_video": audio,
        "without_audio": video,
        "examples": {"examples": np.array(records[:2], object)},
        "about": {"file": np.array([config.FILE_NAME], object)},
    }


@pytest.mark.parametrize("api", APIS)
def test_both_apis_give_the_numbers_of_the_export(api, server, served, loaded):
    requests = every_signature(served)
    assert set(requests) == set(loaded.signatures)
    with client_of(server, api) as client:
        for name, inputs in requests.items():
            wanted = loaded.signatures[name](
                **{key: tf.constant(value) for key, value in inputs.items()}
            )
            found = client.call(name, inputs)
            if len(wanted) == 1:
                assert list(found.values())[0].tolist() == [
                    *wanted["content"].numpy().tolist()
                ]
                continue
            assert set(found) == set(wanted)
            for key, value in wanted.items():
                np.testing.assert_allclose(found[key], value.numpy(), atol=1e-6)


def test_rest_takes_rows_and_gives_rows(server, loaded):
    """`instances`, and the names that a request may leave out."""
    request = running_server.clips()
    rows = [
        {name: value[index].tolist() for name, value in request.items()}
        for index in range(2)
    ]
    status, body = server.post(PREDICT, {"instances": rows})
    assert status == 200
    wanted = loaded.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in request.items()}
    )
    for index, row in enumerate(json.loads(body)["predictions"]):
        for target in config.TARGETS:
            np.testing.assert_allclose(row[target], wanted[target][index], atol=1e-6)
    for body in (
        {"inputs": [config.FILE_NAME]},
        {"inputs": {"file": [config.FILE_NAME]}},
        {"instances": [config.FILE_NAME]},
        {"instances": [{"file": config.FILE_NAME}]},
    ):
        status, answer = server.post(PREDICT, {"signature_name": "about"} | body)
        assert status == 200, answer
        ((text,),) = json.loads(answer).values()
        assert json.loads(text)["data"]["clip_ticks"] == 12


def test_outputs_can_be_chosen_by_grpc(stub):
    request = predict_request(running_server.clips())
    request.output_filter.append("arousal")
    answer = stub.Predict(request)
    assert list(answer.outputs) == ["arousal"]
    assert answer.model_spec.version.value == 1
    for names in (["fear"], ["arousal", "arousal"]):
        del request.output_filter[:]
        request.output_filter.extend(names)
        with pytest.raises(grpc.RpcError) as error:
            stub.Predict(request)
        assert error.value.code() is CODES.INVALID_ARGUMENT


@pytest.mark.parametrize("where", ["", "/versions/1"])
def test_status_metadata_and_health_by_rest(where, server):
    status, body = server.get(f"/v1/models/avexp{where}")
    (version,) = json.loads(body)["model_version_status"]
    assert (status, version["version"], version["state"]) == (200, "1", "AVAILABLE")
    assert version["status"] == {"error_code": "OK", "error_message": ""}
    status, body = server.get(f"/v1/models/avexp{where}/metadata")
    found = json.loads(body)
    assert (status, found["model_spec"]["name"]) == (200, "avexp")
    known = found["metadata"]["signature_def"]["signature_def"]
    assert set(known) >= {signatures.DEFAULT, signatures.PADDED, signatures.ABOUT}
    video = known[signatures.DEFAULT]["inputs"]["video"]
    assert video["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in video["tensor_shape"]["dim"]] == ["-1", "-1", "3"]
    assert server.get("/health") == (200, b'{"status": "SERVING"}')


def test_status_metadata_and_health_by_grpc(channel, stub, served):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "avexp"
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    (version,) = models.GetModelStatus(request).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
    assert (version.version, version.state) == (1, available)
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "avexp"
    request.metadata_field.append("signature_def")
    packed = stub.GetModelMetadata(request).metadata["signature_def"]
    assert isinstance(packed, any_pb2.Any)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(found)
    assert set(found.signature_def) == set(every_signature(served))
    checker = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        answer = checker.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


# What is wrong with a request, and what the answer says. {name: (change, text)}
BROKEN = {
    "missing": (lambda r: r.pop("video"), "Missing but required: {video}"),
    "unknown": (lambda r: r.update(smell=r["audio"]), "smell"),
    "rank": (lambda r: r.update(video=r["video"][0]), r"'video' has shape \[12, 3\]"),
    "columns": (
        lambda r: r.update(video=r["video"][..., :2]),
        r"'video' has shape \[2, 12, 2\], must be \[\?, \?, 3\]",
    ),
    "dtype": (
        lambda r: r.update(audio_present=r["audio_present"].astype(np.float32)),
        "'audio_present' (has dtype float32|holds float), must",
    ),
    "dtype of text": (
        lambda r: r.update(video=np.array([["x"]], object)),
        "'video' has (dtype string|shape)",
    ),
    "NaN": (lambda r: r["video"].fill(np.nan), "video must be finite"),
    "infinite": (lambda r: r["audio"].fill(-np.inf), "audio must be finite"),
    "no clip": (
        lambda r: r.update({name: value[:0] for name, value in r.items()}),
        r"(is empty: shape \[0|has shape \[0\], must have)",
    ),
    "no tick": (
        lambda r: r.update(
            {k: v[:, : (4 if k == "audio" else 0)] for k, v in r.items()}
        ),
        r"(is empty: shape \[2, 0|has shape \[2, 0\], must have)",
    ),
    "other lengths": (
        lambda r: r.update(audio=r["audio"][:, 1:]),
        r"audio must be \[B, T \+ 4, columns\]",
    ),
    "other batches": (
        lambda r: r.update(video=r["video"][:1]),
        "video must be|must be .B, T",
    ),
    "batch": (
        lambda r: r.update(running_server.clips(9)),
        "holds 9 clips, at most 8 are allowed",
    ),
    "length": (
        lambda r: r.update(running_server.clips(2, 65)),
        "holds 65 ticks, at most 64 are allowed",
    ),
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_request_is_refused_by_its_rule(kind, api, server):
    change, text = BROKEN[kind]
    request = running_server.clips()
    request["video_present"][0, 0] = request["audio_present"][0, 0] = True
    change(request)
    with (
        client_of(server, api) as client,
        pytest.raises(client_errors.InvalidRequestError, match=text),
    ):
        client.call("serving_default", request)
    if api == "rest":
        body = {"inputs": running_server.listed(request)}
        status, answer = server.post(PREDICT, body)
        assert status == 400
        assert list(json.loads(answer)) == ["error"]


@pytest.mark.parametrize("api", APIS)
def test_records_that_are_none(api, server, served):
    record = small_run.serialized(served.records)[0]
    with client_of(server, api) as client:
        for records in (
            [b""],
            [b"\xff\xfe no record"],
            [record[:-7]],
            [record, b""],
            [],
            # In one array every record takes the place of the longest.
            [record] * 5 + [record + b"\0" * 250_000],
        ):
            with pytest.raises(client_errors.InvalidRequestError):
                client.call("examples", {"examples": np.array(records, object)})


@pytest.mark.parametrize("api", APIS)
def test_what_is_too_large_or_not_there(api, server):
    request = running_server.clips()
    with client_of(server, api) as client:
        with pytest.raises(client_errors.TooLargeError):
            client.call("complete", {"video": np.zeros((8, 50_000, 3), np.float32)})
        # TensorFlow Serving's codes: FAILED_PRECONDITION by gRPC, 400 by REST.
        with pytest.raises(client_errors.NotFoundError, match="nothing"):
            client.call("nothing", request)
    for model in ({"name": "other"}, {"version": 7}):
        with client_of(server, api, **model) as client:
            with pytest.raises(client_errors.NotFoundError):
                client.call("serving_default", request)
            with pytest.raises(client_errors.NotFoundError):
                client.versions()
    with client_of(server, api, label="stable") as client:
        with pytest.raises(client_errors.NotFoundError, match="label: stable"):
            client.call("serving_default", request)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON Parse error"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe", "JSON Parse error"),
        ('{"inputs": {}}'.encode("utf-16"), "JSON Parse error"),
        (b"[" * 200_000, "JSON Parse error"),
        (b"[1, 2]", "must be a JSON object"),
        (b"{}", "one of 'inputs' and 'instances'"),
        (b'{"inputs": {}, "instances": []}', "one of 'inputs' and 'instances'"),
        (b'{"inputs": {}, "smell": 1}', "unknown key 'smell'"),
        (b'{"inputs": 3}', "'inputs' must be an object"),
        (b'{"instances": 3}', "'instances' must be a list"),
        (b'{"instances": []}', "'instances' must be a list with something in it"),
        (b'{"instances": [{"video": 1}, {"audio": 1}]}', "the same names"),
        (b'{"signature_name": 3, "inputs": {}}', "must be a string"),
        (b'{"signature_name": null, "inputs": {}}', "must be a string"),
        (b'{"inputs": {"video": [[[1, 2, 3]], [[1, 2]]]}}', "is ragged"),
        (b'{"inputs": {"video": [[[[[[[[[[1]]]]]]]]]]}}', "nested too deeply"),
        (b'{"inputs": {"video": [[[1, 2, null]]]}}', "holds NoneType"),
        (b'{"inputs": {"video": [[[1, 2, "3"]]]}}', "holds str"),
        (b'{"inputs": {"video": [[[1, 2, 1e60]]]}}', "beyond float32"),
        (b'{"inputs": {"video": [[[1, 2, 20000001]]]}}', "without loss of precision"),
        (b'{"inputs": {"video": [[[1, 2, %s]]]}}' % (b"9" * 400), "(large|digits)"),
        (b'{"inputs": [%s]}' % (b"9" * 5000), "a number is too long$"),
        (
            b'{"signature_name": "about", "inputs": {"file": [{"b64": "?"}]}}',
            "can't decode base64",
        ),
        (b'{"signature_name": "about", "inputs": ["x"]}', "file must be one of"),
    ],
)
def test_bodies_that_are_no_request(body, text, server):
    status, answer = server.post(PREDICT, body)
    assert status == 400
    message = json.loads(answer)["error"]
    assert re.search(text, message), message


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/models/avexp", 404),
        ("GET", "/v1/models/avexp/secrets", 400),
        ("GET", PREDICT, 400),
        ("POST", "/v1/models/avexp", 400),
        ("HEAD", "/v1/models/avexp", 400),
        ("POST", "/v1/models/avexp:explain", 400),
        ("POST", "/v1/models/avexp:classify", 400),
        ("POST", "/v1/models/avexp:regress", 400),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v1/models/other:classify", 404),
        ("POST", "/v1/models/avexp/versions/7:regress", 404),
        ("POST", "/v1/models/avexp/versions/7:predict", 404),
        ("POST", "/v1/models/avexp/versions/99999999999999999999:predict", 400),
        ("POST", "/v1/models/avexp/labels/stable:predict", 400),
        ("GET", "/v1/models/other/metadata", 404),
        ("GET", "/v1/models/%ff", 400),
        ("GET", "/%0a", 404),
        ("GET", "/v1/models/avexp/%0a", 400),
    ],
)
def test_paths_that_are_none(method, path, status, server):
    body = {"inputs": running_server.listed(running_server.clips())}
    answer = server.get(path) if method == "GET" else server.post(path, body)
    assert answer[0] == status
    assert list(json.loads(answer[1])) == ["error"]


def test_a_body_that_is_too_large_or_packed(server):
    assert server.post(PREDICT, b" " * 1_000_001)[0] == 413
    packed = {"Content-Encoding": "gzip"}
    assert server.post(PREDICT, b"\x1f\x8b", packed)[0] == 415
    body = {"inputs": running_server.listed(running_server.clips())}
    for name in ("", "identity", "Identity"):
        assert server.post(PREDICT, body, {"Content-Encoding": name})[0] == 200


def test_a_client_that_goes_away_is_counted_and_told_to_nobody(server, caplog):
    gone = 'avexp_requests_total{api="rest",code="GONE",method="predict"}'
    before = server.metrics().get(gone, 0)
    started = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n".encode()
    chunked = started + b"Transfer-Encoding: chunked\r\n\r\n"
    with caplog.at_level(logging.DEBUG):
        for sent in (
            started + b"Content-Length: 9\r\n\r\n{",
            chunked + b"1\r\n{\r\n",
            chunked + b"no size\r\n",  # refused before anything is counted
        ):
            with socket.create_connection(("127.0.0.1", server.rest_port)) as client:
                client.sendall(sent)
                time.sleep(0.2)
        for _ in range(100):
            if server.metrics().get(gone, 0) == before + 2:
                break
            time.sleep(0.05)
    assert server.metrics()[gone] == before + 2
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_bodies_that_do_not_arrive_are_no_more_than_may_wait(server):
    """What is on top is told to come later, before a byte of it is kept."""
    request = running_server.clips()
    body = {"inputs": running_server.listed(request)}
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
    with contextlib.ExitStack() as stack:
        for _ in range(settings.ServerConfig().max_waiting):
            where = ("127.0.0.1", server.rest_port)
            slow = stack.enter_context(socket.create_connection(where))
            slow.sendall(head.encode())
        for _ in range(100):
            status, said = server.post(PREDICT, body)
            if status == 503:
                break
            time.sleep(0.05)
        assert status == 503 and b"requests are arriving already" in said
        with client_of(server, "grpc") as client:
            assert client.predict("serving_default", request).shape == (2, 12, 2)
    for _ in range(100):
        status, _ = server.post(PREDICT, body)
        if status == 200:
            break
        time.sleep(0.05)
    assert status == 200


def test_no_name_of_a_signature_is_the_default(server):
    body = {"inputs": running_server.listed(running_server.clips())}
    answer = server.post(PREDICT, body)
    assert answer[0] == 200
    assert server.post(PREDICT, body | {"signature_name": ""}) == answer


def test_a_refusal_says_the_rule_and_nothing_of_the_graph(server):
    request = running_server.clips()
    for name, value, said in (
        (
            "audio",
            request["audio"][:, 1:],
            "audio must be [B, T + 4, columns], where presences or sources are [B, T]",
        ),
        (
            "audio",
            np.full_like(request["audio"], np.nan),
            "audio must be finite : Tensor had NaN values",
        ),
    ):
        body = {"inputs": running_server.listed(request | {name: value})}
        assert json.loads(server.post(PREDICT, body)[1]) == {"error": said}


def predict_request(inputs, signature=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "avexp"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def no_dtype(request):
    request.inputs["video"].dtype = 0


def other_dtype(request):
    request.inputs["video"].dtype = 2


def negative_size(request):
    request.inputs["video"].tensor_shape.dim[0].size = -2


def no_rank(request):
    request.inputs["video"].tensor_shape.unknown_rank = True


def too_many_bytes(request):
    request.inputs["video"].tensor_content += b"\0"


def a_few_bytes_for_gigabytes(request):
    request.inputs["video"].tensor_content = b""
    request.inputs["video"].float_val.append(1.0)
    for dim in request.inputs["video"].tensor_shape.dim:
        dim.size = 1 << 20


def no_name(request):
    request.model_spec.name = ""


def many_inputs(request):
    for index in range(1000):
        request.inputs[f"{index}"].dtype = 1


@pytest.mark.parametrize(
    "change",
    [
        no_dtype,
        other_dtype,
        negative_size,
        no_rank,
        too_many_bytes,
        a_few_bytes_for_gigabytes,
        no_name,
        many_inputs,
    ],
)
def test_protos_that_are_none(change, stub):
    request = predict_request(running_server.clips())
    change(request)
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(request)
    assert error.value.code() is CODES.INVALID_ARGUMENT
    assert error.value.details()


@pytest.mark.parametrize("name", ["video", "video_present"])
def test_a_tensor_without_values_is_zeros(name, stub):
    """As in TensorFlow Serving: a shape is enough."""
    zeros = running_server.clips()
    zeros[name] = np.zeros_like(zeros[name])
    request = predict_request(zeros)
    whole = stub.Predict(request)
    request.inputs[name].tensor_content = b""
    request.inputs[name].ClearField("bool_val")
    assert stub.Predict(request) == whole
    request.inputs[name].tensor_shape.dim[1].size = 1 << 40
    with pytest.raises(grpc.RpcError, match="which is more than .* bytes"):
        stub.Predict(request)


def test_shapes_that_are_too_large_together(stub):
    request = predict_request(running_server.clips())
    for name in ("video", "audio"):
        request.inputs[name].tensor_content = b""
        for dim in request.inputs[name].tensor_shape.dim[:2]:
            dim.size = 250  # alone within 1 MB
    with pytest.raises(grpc.RpcError, match="which is more than .* bytes"):
        stub.Predict(request)


def test_strings_without_values_are_empty():
    proto = tf.make_tensor_proto(np.array([b"a"], object))
    del proto.string_val[:]
    assert tensor_proto.decode(proto).tolist() == [b""]


def test_another_kind_of_request_to_a_model_that_is_not_there(stub):
    task = inference_pb2.MultiInferenceRequest()
    task.tasks.add().model_spec.name = "avexp"
    with pytest.raises(grpc.RpcError, match="Unsupported signature method") as error:
        stub.MultiInference(task)
    assert error.value.code() is CODES.UNIMPLEMENTED
    task.tasks[0].method_name = "tensorflow/serving/classify"
    with pytest.raises(grpc.RpcError, match="MultiInference is for signatures with"):
        stub.MultiInference(task)
    task.tasks.add().model_spec.name = "other"
    spec = {"model_spec": {"name": "other"}}
    for method, request in (
        (stub.Classify, classification_pb2.ClassificationRequest(**spec)),
        (stub.Regress, regression_pb2.RegressionRequest(**spec)),
        (stub.MultiInference, task),
    ):
        with pytest.raises(grpc.RpcError, match="Servable not found") as error:
            method(request)
        assert error.value.code() is CODES.NOT_FOUND


def test_context_is_no_part_of_a_clips_length():
    limits = settings.ServerConfig(export="x", max_ticks=40)
    rule = checks.Input(np.dtype(np.float32), (None, None, 3), context_rows=59)
    for n_rows in (60, 99):
        sound = np.zeros((1, n_rows, 3), np.float32)
        checks.inputs({"audio": sound}, {"audio": rule}, limits)
    with pytest.raises(failure.Failure, match="'audio' holds 41 ticks, at most 40 are"):
        sound = np.zeros((1, 100, 3), np.float32)
        checks.inputs({"audio": sound}, {"audio": rule}, limits)


def test_sound_that_is_too_long_is_refused(server):
    request = running_server.clips(1, 65)
    request = {name: request[name] for name in ("audio", "audio_present")}
    request["audio_present"] = request["audio_present"][:, :64]
    with (
        client_of(server, "grpc") as client,
        pytest.raises(client_errors.InvalidRequestError, match="'audio' holds 65 tick"),
    ):
        client.call("without_video", request)


def test_base64_without_its_padding(server):
    name = base64.b64encode(config.FILE_NAME.encode()).decode()
    assert name.endswith("=")
    for text in (name, name.rstrip("="), f"{name[:5]}\n {name[5:]}"):
        body = {"signature_name": "about", "inputs": {"file": [{"b64": text}]}}
        status, _ = server.post(PREDICT, body)
        assert status == 200


def test_a_record_that_is_no_text_is_refused_in_plain_words(server):
    with (
        client_of(server, "grpc") as client,
        pytest.raises(client_errors.InvalidRequestError) as error,
    ):
        client.call("examples", {"examples": np.array([b"\xff\xfe\xfd" * 9], object)})
    assert "function_node" not in str(error.value)


@pytest.mark.parametrize("api", APIS)
def test_whole_numbers_of_lists_are_those_of_the_signature(api, server):
    request = running_server.clips(1, 3)
    lists = {name: value.tolist() for name, value in request.items()}
    for name in ("video", "audio"):
        lists[name] = np.round(request[name]).astype(int).tolist()
    with client_of(server, api) as client:
        assert client.predict("padded", lists | {"n_ticks": [3]}).shape == (1, 3, 2)
    with (
        client_of(server, api) as client,
        pytest.raises(client_errors.InvalidRequestError, match="beyond int32"),
    ):
        client.predict("padded", lists | {"n_ticks": [2**40]})


def test_a_closed_client_says_so_at_once(server):
    client = clients.Client(server.grpc)
    client.close()
    with pytest.raises(client_errors.InvalidRequestError, match="closed"):
        client.predict("serving_default", running_server.clips())


def test_services_that_are_for_other_models(channel, stub):
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    for method, request, code in (
        (stub.Classify, classification_pb2.ClassificationRequest(), "INVALID_ARGUMENT"),
        (stub.Regress, regression_pb2.RegressionRequest(), "INVALID_ARGUMENT"),
        (
            stub.MultiInference,
            inference_pb2.MultiInferenceRequest(),
            "INVALID_ARGUMENT",
        ),
        (
            models.GetModelStatus,
            get_model_status_pb2.GetModelStatusRequest(),
            "INVALID_ARGUMENT",
        ),
        (
            models.HandleReloadConfigRequest,
            model_management_pb2.ReloadConfigRequest(),
            "UNIMPLEMENTED",
        ),
    ):
        with pytest.raises(grpc.RpcError) as error:
            method(request)
        assert error.value.code().name == code


def test_the_metrics_count_what_happened(server):
    name = 'avexp_requests_total{api="rest",code="%s",method="predict"}'
    before = server.metrics()
    body = {"inputs": running_server.listed(running_server.clips())}
    for sent in (body, body, {"inputs": {}}):
        server.post(PREDICT, sent)
    after = server.metrics()

    def more(key):
        return after[key] - before.get(key, 0)

    assert more(name % "OK") == 2
    assert more(name % "INVALID_ARGUMENT") == 1
    assert more('avexp_request_seconds_count{api="rest",method="predict"}') == 3
    assert after["avexp_model_version"] == 1
    assert after["avexp_model_versions_failed"] == 0
    assert after["avexp_requests_waiting"] == 0


def test_an_ipv6_address(served):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running_server.serving(served.export.parent, host="::1") as running:
        for address in (f"[::1]:{running.port}", f"http://[::1]:{running.rest_port}"):
            with clients.Client(address) as client:
                assert client.versions() == {1: "AVAILABLE"}


def test_a_host_of_two_addresses_has_one_free_port(served, monkeypatch):
    """As `localhost` is 127.0.0.1 and ::1 on many machines."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **options: [
            one
            for address in (["127.0.0.1", "::1"] if host == "localhost" else [host])
            for one in real(address, *rest, **options)
        ],
    )
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running_server.serving(served.export.parent, host="localhost") as running:
        for host in ("127.0.0.1", "[::1]"):
            address = f"http://{host}:{running.rest_port}"
            with clients.Client(address, retries=retries.Retries(most=0)) as client:
                assert client.versions() == {1: "AVAILABLE"}


def test_a_closed_terminal_ends_the_server_but_under_nohup(monkeypatch):
    handlers = {signal.SIGHUP: signal.SIG_DFL}
    monkeypatch.setattr(signal, "getsignal", handlers.get)
    assert signal.SIGHUP in runner._end_signals()
    handlers[signal.SIGHUP] = signal.SIG_IGN
    assert runner._end_signals() == [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"host": ""}, "--host=: must be an address"),
        ({"port": 8501}, "--port=8501 --rest_port=8501: must be two ports"),
    ],
)
def test_where_no_server_can_listen(options, text):
    with pytest.raises(errors.ConfigError, match=text):
        settings.ServerConfig(**options)
    settings.ServerConfig(port=0, rest_port=0)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (["stable:1", "stable:9"], "'stable' must stand for one version"),
        (["a/b:1"], "'a/b:1' must read LABEL:VERSION"),
        (["stable:x"], "'stable:x' must read LABEL:VERSION"),
        ([f"stable:{2**63}"], "must read LABEL:VERSION"),
    ],
)
def test_labels_that_are_none(labels, text):
    with pytest.raises(errors.ConfigError, match=f"--labels=.*: .*{text}"):
        settings.ServerConfig(labels=tuple(labels))


def test_as_many_clips_as_tensorflow_serving_is_told_to_take():
    path = pathlib.Path(__file__).parents[2] / "export" / "serving" / "batching.config"
    most = re.search(r"max_batch_size { value: (\d+) }", path.read_text())
    assert int(most[1]) == settings.ServerConfig().max_batch


def test_a_port_that_is_taken(server, served):
    for option, port in (("port", server.port), ("rest_port", server.rest_port)):
        with pytest.raises(errors.DataError, match=f":{port}: this port can't be"):
            with running_server.serving(served.export.parent, **{option: port}):
                pass
