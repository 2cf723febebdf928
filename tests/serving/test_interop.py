"""Other programs read the export, and get the numbers of the Keras model.

TensorFlow Serving's own way to load (the C++ loader, by sessions and by
saved_model_cli), OpenVINO, and ONNX by tf2onnx.
"""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import record_source
from avexp_tf.serving import check
from avexp_tf.serving import export_config
from avexp_tf.serving import parity
from avexp_tf.serving import parity_result
from avexp_tf.serving import signatures
from avexp_tf.serving import warmup
from avexp_tf.training import trained_model
from tests.serving import running_server
from tests.serving import small_run

OTHER_READER = parity_result.Allowance(output=1e-4)


@pytest.fixture(scope="module", name="session")
def _session(served):
    """A session as TensorFlow Serving starts it, and its signatures."""
    session = tf.compat.v1.Session(graph=tf.Graph())  # entered, it would end eagerness
    graph = tf.compat.v1.saved_model.load(session, ["serve"], str(served.export))
    yield session, graph.signature_def
    session.close()


def run_in(session, signature, inputs):
    session, known = session
    definition = known[signature]
    assert set(inputs) == set(definition.inputs)
    return session.run(
        {name: info.name for name, info in definition.outputs.items()},
        {definition.inputs[name].name: value for name, value in inputs.items()},
    )


def stacked(outputs):
    return np.stack([outputs[target] for target in config.TARGETS], axis=-1)


def in_openvino(export):
    openvino = pytest.importorskip("openvino")
    model = openvino.convert_model(str(export))
    # On processors with bfloat16 it would take that by itself.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", exact)

    def call(_, inputs):
        found = compiled(inputs)
        return stacked({target: found[target] for target in config.TARGETS})

    return call


def converting_to_onnx(export, path):
    """Starts tf2onnx; it takes its time."""
    pytest.importorskip("tf2onnx")
    return subprocess.Popen(
        [sys.executable, "-m", "tf2onnx.convert", "--opset=18", "--tag=serve"]
        + ["--saved-model", str(export), "--signature_def", signatures.DEFAULT]
        + ["--output", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def in_onnx_runtime(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def call(_, inputs):
        return np.stack(session.run(list(config.TARGETS), inputs), axis=-1)

    return call


@pytest.fixture(scope="module", name="found")
def _found(session, served, tmp_path_factory):
    """All readers against Keras: every record, every loss."""
    both = (signatures.DEFAULT, signatures.SOURCES)
    default = (signatures.DEFAULT,)

    def in_session(name, inputs):
        return stacked(run_in(session, name, inputs))

    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    process = converting_to_onnx(served.export, path)
    in_ov = in_openvino(served.export)
    _, said = process.communicate()
    assert process.returncode == 0, said
    in_onnx = in_onnx_runtime(path)
    return parity.measure(
        trained_model.load(served.run_dir),
        [
            parity_result.Candidate("session", parity_result.FLOAT32, in_session, both),
            parity_result.Candidate("openvino", OTHER_READER, in_ov, default),
            parity_result.Candidate("onnx", OTHER_READER, in_onnx, default),
        ],
        record_source.RecordSource.open(small_run.data_of(served.records), "train"),
        export_config.CONDITIONS,
        latency_rounds=1,
    )


@pytest.mark.parametrize("reader", ["session", "openvino", "onnx"])
def test_a_reader_gives_keras_numbers(reader, found):
    assert found.passes(reader), (
        found.broken,
        [row for row in found.rows if row.candidate == reader and not row.passed],
    )
    tested = {row.condition for row in found.rows if row.candidate == reader}
    repeats = {text for text in export_config.CONDITIONS if "repeat" in text}
    # `serving_default` has no word for repeats.
    untested = set() if reader == "session" else repeats
    assert tested == set(export_config.CONDITIONS) - untested


def test_the_warm_up_requests_replay(session, served):
    """One for every signature; if one fails, TensorFlow Serving refuses the version."""
    pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = served.export / "assets.extra" / warmup.FILE_NAME
    seen = set()
    for record in tf.compat.v1.io.tf_record_iterator(str(path)):
        log = pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == warmup.MODEL_NAME
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(one) for key, one in request.inputs.items()}
        found = run_in(session, name, inputs)
        if name != signatures.ABOUT:
            assert np.isfinite(stacked(found)).all()
        seen.add(name)
    assert seen == {name for name in session[1] if not name.startswith("__")}


def test_saved_model_cli_shows_and_runs_it(served, tmp_path):
    def cli(command, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", command]
            + [f"--dir={served.export}", "--tag_set=serve"]
            + ["--signature_def=serving_default", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    request = running_server.clips()
    for name, value in request.items():
        np.save(tmp_path / f"{name}.npy", value)
    inputs = ";".join(f"{name}={tmp_path / name}.npy" for name in request)
    showing = cli("show")
    running = cli("run", f"--inputs={inputs}", f"--outdir={tmp_path / 'out'}")
    for process in (showing, running):
        shown, said = process.communicate()
        assert process.returncode == 0, said
        if process is showing:
            for text in ("inputs['video'] tensor_info", "(-1, -1, 3)", "DT_BOOL"):
                assert text in shown
    found = {
        target: np.load(tmp_path / "out" / f"{target}.npy") for target in config.TARGETS
    }
    wanted = check.saved_model_candidate(served.export).call("serving_default", request)
    np.testing.assert_allclose(stacked(found), wanted, atol=1e-5)
