"""Sends a server what no client should, and sees whether it stays well.

    python benchmarks/serving_fuzz.py --export=runs/demo/export
    python benchmarks/serving_fuzz.py --export=runs/demo/export --first_seed=3

Half goes to REST: valid requests with pieces changed, other JSON, other bytes, other
paths, methods and headers, and bytes that are no HTTP. Half goes to gRPC: random
messages of the service, and valid ones with bytes changed. Every request must be
answered within --most_secs, a bad one by a code that says so, never by a failure of
the server; between them a good request must get its right answer. Exit code 1:
something was otherwise. `--append` adds the table to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import collections
import dataclasses
import http.client
import json
import socket
import urllib.parse
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import hypothesis
import numpy as np
import results
from absl import flags
from hypothesis import strategies as st

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime

Arrays = dict[str, np.ndarray]

_PATH = "/v1/models/avexp:predict"
_EVERY = 50  # requests between two good ones
# What a server may say; everything else is a failure of its own.
_HTTP = {200, 400, 404, 405, 408, 411, 413, 414, 415, 417, 431}
_GRPC = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "UNIMPLEMENTED",
    "RESOURCE_EXHAUSTED",  # of gRPC itself, for messages above the limit
}
_SERVICE = "/tensorflow.serving.PredictionService/"


def define_flags() -> None:
    """Defines the flags of this script."""
    runtime.define_flags()
    module = avexp_flags.MODULE
    flags.DEFINE_string("export", "", "Folder of the versions.", module_name=module)
    flags.DEFINE_integer("count", 10_000, "Requests.", module_name=module)
    flags.DEFINE_integer("first_seed", 0, "Of what is drawn.", module_name=module)
    flags.DEFINE_float(
        "most_secs", 20.0, "What takes longer hangs.", module_name=module
    )
    results.define_flag()


@dataclasses.dataclass
class Tally:
    """What a server said.

    Attributes:
      codes: How often, by API and code.
      failures: What it should not have said, in words.
    """

    codes: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    failures: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Target:
    """Where to send, and what is good.

    Attributes:
      grpc: `host:port`.
      rest: `http://host:port`.
      inputs: A good request to `serving_default`.
      answer: What it must be answered, float32 [B, T, 2].
      most_secs: What takes longer hangs.
    """

    grpc: str
    rest: str
    inputs: Arrays
    answer: np.ndarray
    most_secs: float


# What is sent by REST.

_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([10**400, -1, 1e39, [], {}, [[]], [[[]]], {"b64": "AA=="}, "nan"]),
)
_JSON = st.recursive(
    _ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["inputs", "instances", "signature_name", "b64"]),
                st.text(max_size=5),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def changed(whole: bytes) -> st.SearchStrategy[bytes]:
    """Draws bytes with some pieces changed, cut out or put in."""
    piece = st.tuples(
        st.integers(0, len(whole)),
        st.sampled_from([0, 1, 1, 2, 8, 40, len(whole)]),
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from([b"\0", b"\xff" * 8, b"NaN", b"-1", b"1e999", b"[" * 99]),
        ),
    )

    def apply(pieces: list[tuple[int, int, bytes]]) -> bytes:
        found = whole
        for at, length, new in pieces:
            found = found[:at] + new + found[at + length :]
        return found

    return st.lists(piece, min_size=1, max_size=4).map(apply)


@st.composite
def spoilt_request(draw: st.DrawFn, listed: dict[str, Any]) -> bytes:
    """A good request, of which one thing at any depth is another."""
    by_row = draw(st.booleans())
    whole: dict[str, Any] = {"inputs": json.loads(json.dumps(listed))}
    if by_row:
        whole = {"instances": [{name: one[0] for name, one in whole["inputs"].items()}]}
    place: Any = whole
    for _ in range(draw(st.integers(0, 5))):
        inner = place[draw(st.sampled_from(_keys(place)))]
        if not isinstance(inner, dict | list) or not inner:
            break
        place = inner
    key = draw(st.sampled_from(_keys(place)))
    if draw(st.booleans()):
        del place[key]
    else:
        place[key] = draw(_JSON)
    if draw(st.booleans()):
        whole["signature_name"] = draw(
            st.one_of(
                st.sampled_from(["serving_default", "padded", "sources", "about", ""]),
                _ODD,
            )
        )
    return json.dumps(whole).encode()


def _keys(place: Any) -> list[Any]:
    return list(place) if isinstance(place, dict) else list(range(len(place)))


@dataclasses.dataclass(frozen=True)
class Sent:
    """A REST request: `raw` bytes, or the rest."""

    method: str = "POST"
    path: str = _PATH
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    raw: bytes = b""


def rest_requests(inputs: Arrays) -> st.SearchStrategy[Sent]:
    """Draws what is sent by REST.

    Args:
      inputs: A good request.
    """
    listed = {name: value.tolist() for name, value in inputs.items()}
    whole = json.dumps({"inputs": listed}).encode()
    bodies = st.one_of(
        spoilt_request(listed),
        spoilt_request(listed),
        _JSON.map(lambda value: json.dumps(value).encode()),
        changed(whole),
        st.binary(max_size=200),
        st.sampled_from(
            [
                b"[" * 50_000,
                b'{"inputs": ' * 2000,
                b" " * 1_100_000,
                b'{"a":1' + b"0" * 9,
            ]
        ),
    )
    piece = st.one_of(
        st.sampled_from(
            ["v1", "models", "avexp", "versions", "labels", "metadata", "1", "0", ".."]
        ),
        st.integers().map(str),
        st.text(max_size=6).map(urllib.parse.quote),
        st.sampled_from(
            ["avexp:predict", "avexp:classify", "%ff", "%00", "%2f", "a" * 9000]
        ),
    )
    paths = st.one_of(
        st.just(_PATH),
        st.sampled_from(
            [_PATH.upper(), "/health", "/v1/models/avexp/versions/1:predict"]
        ),
        st.lists(piece, max_size=6).map(lambda pieces: "/" + "/".join(pieces)),
    )
    headers = st.lists(
        st.sampled_from(
            [
                ("Content-Encoding", "gzip"),
                ("Content-Encoding", "identity"),
                ("Content-Type", "text/plain; charset=utf-16"),
                ("Accept-Encoding", "br"),
                ("Expect", "200-maybe"),
                ("X", "y" * 9000),
                ("Upgrade", "h2c"),
            ]
        ),
        max_size=2,
    ).map(tuple)
    plain = st.builds(Sent, body=bodies)
    odd = st.builds(
        Sent,
        method=st.sampled_from(
            ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "X"]
        ),
        path=paths,
        headers=headers,
        body=bodies,
    )
    http_text = (
        b"POST "
        + _PATH.encode()
        + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    )
    raw = st.builds(Sent, raw=st.one_of(changed(http_text), st.binary(min_size=1)))
    return st.one_of(plain, plain, plain, odd, odd, raw)


def send_rest(target: Target, sent: Sent) -> tuple[str, str]:
    """Sends a request; returns its code and what is wrong with the answer, if so."""
    host, port = target.rest.removeprefix("http://").split(":")
    if sent.raw:
        return _send_raw((host, int(port)), sent.raw, target.most_secs)
    connection = http.client.HTTPConnection(host, int(port), timeout=target.most_secs)
    try:
        connection.request(sent.method, sent.path, sent.body, dict(sent.headers))
        answer = connection.getresponse()
        body = answer.read()
    except (BrokenPipeError, ConnectionResetError):
        # A body above the limit, of which the server does not take the end.
        return "closed", ""
    except OSError as error:
        return type(error).__name__, f"{error!r}: it hangs, or is gone"
    finally:
        connection.close()
    code = str(answer.status)
    if answer.status not in _HTTP:
        return code, f"{code}: {body[:200]!r}"
    # Of headers that are too long the HTTP framework says so in plain text.
    if sent.path == _PATH and sent.method == "POST" and not sent.headers:
        try:
            found = json.loads(body)
        except ValueError:
            return code, f"{code}: the answer is not JSON: {body[:200]!r}"
        if answer.status == 200 and not {"outputs", "predictions"} & set(found):
            return code, f"{code}: no outputs: {body[:200]!r}"
        if answer.status == 200 and b"NaN" in body:
            return code, f"{code}: answered NaN"
        if answer.status != 200 and "error" not in found:
            return code, f"{code}: without an error: {body[:200]!r}"
    return code, ""


def _send_raw(
    address: tuple[str, int], data: bytes, most_secs: float
) -> tuple[str, str]:
    try:
        with socket.create_connection(address, timeout=most_secs) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)  # nothing follows
            answer = connection.recv(4096)
    except ConnectionError:
        return "raw closed", ""
    except OSError as error:
        return "raw", f"{error!r}: it hangs, or is gone"
    if not answer:
        return "raw closed", ""
    code = answer.split(b" ", 2)[1].decode("ascii", "replace")
    wrong = "" if code.isdecimal() and int(code) in _HTTP else f"raw: {answer[:200]!r}"
    return f"raw {code}", wrong


# What is sent by gRPC.


@st.composite
def _tensor(draw: st.DrawFn) -> Any:
    from tensorflow.core.framework import tensor_pb2

    proto = tensor_pb2.TensorProto(dtype=draw(st.integers(0, 30)))
    if draw(st.booleans()):
        proto.dtype = draw(st.sampled_from([1, 3, 7, 9, 10]))
    sizes = st.one_of(
        st.integers(-2, 6), st.sampled_from([12, 100, 2**31, 2**62, -(2**63)])
    )
    for size in draw(st.lists(sizes, max_size=5)):
        proto.tensor_shape.dim.add().size = size
    proto.tensor_shape.unknown_rank = draw(st.sampled_from([False, False, False, True]))
    proto.tensor_content = draw(st.binary(max_size=40))
    proto.float_val.extend(draw(st.lists(st.floats(width=32), max_size=3)))
    proto.int_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3)))
    proto.string_val.extend(draw(st.lists(st.binary(max_size=30), max_size=3)))
    proto.bool_val.extend(draw(st.lists(st.booleans(), max_size=3)))
    proto.half_val.extend(draw(st.lists(st.integers(0, 70_000), max_size=2)))
    return proto


@st.composite
def _predict_request(draw: st.DrawFn, whole: Any) -> bytes:
    request = type(whole)()
    request.CopyFrom(whole)
    spec = request.model_spec
    if draw(st.integers(0, 3)) == 0:
        spec.name = draw(st.one_of(st.just(""), st.text(max_size=9).map(_utf8)))
    if draw(st.integers(0, 2)) == 0:
        spec.signature_name = draw(
            st.one_of(
                st.sampled_from(["padded", "sources", "examples", "about", "complete"]),
                st.text(max_size=9).map(_utf8),
            )
        )
    if draw(st.integers(0, 5)) == 0:
        spec.version.value = draw(st.integers(-(2**63), 2**63 - 1))
    if draw(st.integers(0, 5)) == 0:
        spec.version_label = draw(st.text(max_size=9).map(_utf8))
    for name in draw(st.lists(st.sampled_from(sorted(whole.inputs)), max_size=3)):
        if draw(st.booleans()):
            request.inputs[name].CopyFrom(draw(_tensor()))
        elif name in request.inputs:
            del request.inputs[name]
    if draw(st.integers(0, 3)) == 0:
        name = draw(
            st.one_of(
                st.sampled_from(["examples", "file", "n_ticks", "video_source"]),
                st.text(max_size=5).map(_utf8),
            )
        )
        request.inputs[name].CopyFrom(draw(_tensor()))
    if draw(st.integers(0, 4)) == 0:
        for name in list(request.inputs):
            del request.inputs[name]
        only = draw(st.sampled_from(["examples", "file"]))
        request.inputs[only].CopyFrom(draw(_tensor()))
    request.output_filter.extend(
        draw(st.lists(st.sampled_from(["valence", "arousal", "fear"]), max_size=2))
    )
    return request.SerializeToString()


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@dataclasses.dataclass(frozen=True)
class Call:
    """A gRPC request: which method, and the bytes of its message."""

    method: str
    message: bytes


def grpc_requests(inputs: Arrays) -> st.SearchStrategy[Call]:
    """Draws what is sent by gRPC.

    Args:
      inputs: A good request.
    """
    whole = good_request(inputs)
    predict = _SERVICE + "Predict"
    methods = st.sampled_from(
        [
            predict,
            _SERVICE + "GetModelMetadata",
            _SERVICE + "Classify",
            _SERVICE + "MultiInference",
            _SERVICE + "Nothing",
            "/tensorflow.serving.ModelService/GetModelStatus",
            "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
            "/grpc.health.v1.Health/Check",
        ]
    )
    structured = st.builds(Call, st.just(predict), _predict_request(whole))
    broken = st.builds(
        Call,
        st.one_of(st.just(predict), methods),
        st.one_of(changed(whole.SerializeToString()), st.binary(max_size=300)),
    )
    large = st.just(Call(predict, b"\x0a\x00" * 600_000))
    return st.one_of(structured, structured, structured, broken, broken, large)


def good_inputs(layout: Any, n_ticks: int = 6) -> Arrays:
    """Draws a request to `serving_default` for features of these widths."""
    rng = np.random.default_rng(0)
    rows = {"video": n_ticks, "audio": n_ticks + layout.context_ticks - 1}
    widths = {"video": layout.video_dim, "audio": layout.audio_dim}
    inputs: Arrays = {}
    for name, n_rows in rows.items():
        shape = (1, n_rows, widths[name])
        inputs[name] = rng.normal(size=shape).astype(np.float32)
        inputs[f"{name}_present"] = rng.random((1, n_ticks)) < 0.7
    return inputs


def good_request(inputs: Arrays) -> Any:
    """Returns inputs as a PredictRequest."""
    from tensorflow_serving.apis import predict_pb2

    from avexp_tf.serving import tensor_proto

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "avexp"
    for name, value in inputs.items():
        tensor_proto.encode(value, request.inputs[name])
    return request


def send_grpc(channel: Any, call: Call, most_secs: float) -> tuple[str, str]:
    """Sends a request; returns its code and what is wrong with the answer, if so."""
    import grpc
    from tensorflow_serving.apis import predict_pb2

    method = channel.unary_unary(call.method)  # bytes in, bytes out
    try:
        found = method(call.message, timeout=most_secs)
    except grpc.RpcError as error:
        code, details = error.code().name, error.details() or ""
        if code in _GRPC:
            return code, ""
        return code, f"{call.method}: {code}: {details[:300]}"
    if call.method.endswith("/Predict"):
        outputs = predict_pb2.PredictResponse.FromString(found).outputs
        if not outputs:
            return "OK", "an answer without outputs"
        from avexp_tf.serving import tensor_proto

        for name, proto in outputs.items():
            value = tensor_proto.decode(proto)
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                return "OK", f"{name} is not finite"
    return "OK", ""


# Running it.


def fuzz(
    api: str,
    target: Target,
    count: int,
    seed: int,
    tally: Tally,
) -> None:
    """Sends many requests.

    Args:
      api: `rest` or `grpc`.
      target: Where to.
      count: How many.
      seed: Of what is drawn.
      tally: Where to count.
    """
    import grpc

    from avexp_tf.serving import client as clients

    n_sent = 0
    channel = grpc.insecure_channel(
        target.grpc, options=[("grpc.max_send_message_length", -1)]
    )
    client = clients.Client(target.rest if api == "rest" else target.grpc)

    def check_good() -> None:
        try:
            found = client.predict("serving_default", target.inputs)
        except errors.AvexpError as error:
            tally.failures.append(f"{api}: after {n_sent}: a good request: {error!r}")
            return
        far = np.abs(found - target.answer).max()
        if not far <= 1e-5:
            tally.failures.append(f"{api}: after {n_sent}: an answer is off by {far}")

    strategy: st.SearchStrategy[Any]
    send: Callable[[Any], tuple[str, str]]
    if api == "rest":
        strategy = rest_requests(target.inputs)
        send = lambda sent: send_rest(target, sent)  # noqa: E731
    else:
        strategy = grpc_requests(target.inputs)
        send = lambda call: send_grpc(channel, call, target.most_secs)  # noqa: E731

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def one(drawn: Any) -> None:
        nonlocal n_sent
        if n_sent >= count:
            return
        n_sent += 1
        code, wrong = send(drawn)
        tally.codes[f"{api} {code}"] += 1
        if wrong:
            tally.failures.append(f"{api}: {wrong}: {str(drawn)[:300]}")
        if n_sent % _EVERY == 0:
            check_good()

    with channel, client:
        # Hypothesis stops early where it thinks that it has seen everything.
        while n_sent < count:
            one()
            seed += 1
        check_good()


def main(argv: Sequence[str]) -> int:
    """Sends, prints, and records if told to."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    if not values.export:
        raise errors.ConfigError("--export must be given; see --help")
    runtime.set_up()
    from avexp_tf.serving import clip_models
    from avexp_tf.serving import model_source
    from avexp_tf.serving.server import process

    source = model_source.find(values.export)
    model = clip_models.SavedModel(source.path)
    inputs = good_inputs(source.manifest.layout)
    tally = Tally()
    limits = ("--max_body_mb=1", "--max_batch=8", "--max_ticks=200", "--body_secs=5")
    with process.started(source.path.parent, *limits) as server:
        target = Target(
            server.grpc, server.rest, inputs, model.predict(inputs), values.most_secs
        )
        before = server.resident_bytes()
        for api in ("rest", "grpc"):
            fuzz(api, target, values.count // 2, values.first_seed, tally)
        after = server.resident_bytes()
    if server.exit_code != 0:
        tally.failures.append(f"the server ended with {server.exit_code}")
    lines = [
        "| API and code | answers |",
        "|---|---|",
        *(f"| {code} | {n} |" for code, n in sorted(tally.codes.items())),
        "",
        f"{sum(tally.codes.values())} requests, {len(tally.failures)} failures; memory "
        f"{before / 1e6:.0f} MB before, {after / 1e6:.0f} MB after; a good request in "
        f"every {_EVERY} got its right answer; exit code {server.exit_code} after "
        "SIGTERM.",
    ]
    for text in tally.failures[:30]:
        print(text)
    results.finish(
        "Fuzzed requests",
        f"{values.count} requests, seeds from {values.first_seed} on.",
        lines,
        {
            "failures": len(tally.failures),
            "memory_mb": [round(before / 1e6), round(after / 1e6)],
            **tally.codes,
        },
    )
    return 1 if tally.failures else 0


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
