"""The client: any length, over both APIs; what fails fails by its kind, in time."""

import contextlib
import http.server
import importlib
import json
import pathlib
import socket
import threading
import time

import array_corpus
import numpy as np
import pandas as pd
import pytest
import small_runs
from ports import free_port

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifests
from avexp_tf.features import extract
from avexp_tf.features import settings as feature_settings
from avexp_tf.features import weights
from avexp_tf.serving import check
from avexp_tf.serving import client as clients
from avexp_tf.serving import client_errors
from avexp_tf.serving import export_config
from avexp_tf.serving import guarded_job
from avexp_tf.serving import media_job
from avexp_tf.serving import model_card
from avexp_tf.serving import model_source
from avexp_tf.serving import retries
from avexp_tf.serving import saved_model
from avexp_tf.serving import shipping
from avexp_tf.serving import transport
from tests.serving import running_server
from tests.serving import small_run

ROOT = pathlib.Path(__file__).parents[2]
APIS = ("grpc", "rest")
ONCE = retries.Retries(most=0)


@pytest.fixture(scope="module", name="server")
def _server(served):
    with running_server.serving(served.export.parent) as running:
        yield running


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("n_ticks", [1, 11, 12, 13, 100])
def test_a_recording_of_any_length(n_ticks, api, server, served):
    """Cut and averaged as with the model on disk; 100 ticks are four segments."""
    block = array_corpus.ticks("a recording", n_ticks)
    local = model_source.find(served.export).predictor().predict(block)
    with clients.Client(getattr(server, api)) as client:
        found = client.predictor().predict(block)
        assert found.shape == (n_ticks, 2)
        np.testing.assert_allclose(found, local, atol=1e-5)
        other = client.predictor(eval_stride=2).predict(block)
    if n_ticks > 13:
        assert np.abs(other - found).max() > 1e-4  # other clips were averaged


def test_a_model_of_one_branch_with_a_background(tmp_path):
    small_run.make_records(tmp_path / "records", background=True)
    model = config.ModelConfig(
        d_model=8, num_heads=2, ff_dim=16, num_layers=1, variant="video_only"
    )
    run_dir = small_run.make_run(tmp_path / "run", tmp_path / "records", model)
    export = saved_model.export(tmp_path / "run", tmp_path / "base")
    block = array_corpus.ticks("a recording", 20)
    scene = np.where(block.video_present[:, None], 0, block.video[::-1])
    block = recording.Block(**{**vars(block), "background": scene})
    local = model_source.find(export).predictor().predict(block)
    with running_server.serving(tmp_path / "base") as running:
        for api in APIS:
            with clients.Client(getattr(running, api)) as client:
                found = client.predictor().predict(block)
                np.testing.assert_allclose(found, local, atol=1e-5)
        gate = export_config.GateConfig(
            conditions=("none", "both:clip_zero:1"), latency_rounds=1
        )
        found = shipping.compare(
            export,
            run_dir,
            check.source_of(run_dir, split="train"),
            gate,
            [check.server_candidate(running.grpc)],
        )
    assert found.passes(f"server {running.grpc}")


def test_a_check_of_a_server_leaves_the_report_unless_it_passes(
    server, served, tmp_path, capsys, monkeypatch
):
    """Of no server one line and 2, of another model's server the report and 1."""
    run_dir = small_run.make_run(tmp_path / "run", served.records, seed=1)
    export = saved_model.export(run_dir.path, tmp_path / "base")
    report = export / "assets.extra" / "parity.md"
    report.write_text("as it was shipped")
    gate = ("--split=train", "--conditions=none", "--latency_rounds=1")
    command = importlib.import_module("export.check")

    def checked(address):
        arguments = (f"--run_dir={run_dir.path}", f"--export={export}", *gate)
        return small_runs.call(capsys, command, *arguments, f"--server={address}")

    with monkeypatch.context() as patched:
        patched.setattr(retries.Retries, "run", lambda self, call: call(1.0))
        code, _, stderr = checked(f"localhost:{free_port()}")
    assert (code, len(stderr)) == (2, 1)
    assert "UNAVAILABLE" in stderr[0]
    code, stdout, _ = checked(server.grpc)
    assert (code, stdout[0]) == (1, "# Parity: FAILED")
    assert report.read_text() == "as it was shipped"
    with running_server.serving(export.parent) as own:
        code, stdout, _ = checked(own.grpc)
    assert (code, stdout[0]) == (0, "# Parity: passed")
    assert report.read_text().splitlines()[0] == stdout[0]
    assert f"| server {own.grpc} | passed |" in "\n".join(stdout)
    for name in ("parity.md", "parity.json"):
        assert own.grpc not in (report.parent / name).read_text()
    assert "| server | passed |" in report.read_text()


@pytest.mark.parametrize("chosen", [{"version": 0}, {"version": 7}, {"label": "new"}])
def test_a_chosen_version_is_asked_of_nobody(chosen):
    """Nothing listens there: asked for its versions, the server would not answer."""
    name = transport.ModelName(**chosen)
    with clients.Client(f"127.0.0.1:{free_port()}", name, ONCE) as client:
        assert client.pinned() is client


@pytest.mark.parametrize("api", APIS)
def test_inputs_in_other_dtypes_and_none_at_all(api, server):
    """What NumPy makes of numbers is taken; what is none is refused by its name."""
    request = running_server.clips()
    with clients.Client(getattr(server, api), retries=ONCE) as client:
        expected = client.predict("serving_default", request)
        doubles = request | {"video": request["video"].astype(np.float64)}
        lists = request | {"audio": request["audio"].tolist()}
        for other in (doubles, lists):
            found = client.predict("serving_default", other)
            np.testing.assert_allclose(found, expected, atol=1e-6)
        for value, said in (
            (None, "holds NoneType"),
            (np.full((2, 12, 3), None), "holds NoneType"),
            (request["video"].astype(complex), "has dtype complex128"),
            ([[1.0], [1.0, 2.0]], "inhomogeneous"),
        ):
            with pytest.raises(
                client_errors.InvalidRequestError, match=f"input 'video': .*{said}"
            ):
                client.call("serving_default", request | {"video": value})


@pytest.mark.parametrize("api", APIS)
def test_what_a_server_tells_of_its_model(api, server, served, monkeypatch):
    extra = served.export / "assets.extra"
    with clients.Client(getattr(server, api)) as client:
        assert client.versions() == {1: "AVAILABLE"}
        assert client.manifest() == manifests.Manifest.load(extra)
        path = extra / config.FILE_NAME
        assert client.experiment() == config.load(config.ExperimentConfig, path)
        card = extra / model_card.MARKDOWN_NAME
        assert client.about(model_card.MARKDOWN_NAME) == card.read_bytes()
        assert len(client.digest()) == 64
        with pytest.raises(client_errors.InvalidRequestError, match="must be one of"):
            client.about("secrets.txt")
    with clients.Client(getattr(server, api)) as client:
        client.manifest()
        # The rest came with it, and so of the same version.
        monkeypatch.setattr(client, "call", None)
        assert client.experiment() and client.digest()


@pytest.mark.parametrize("api", APIS)
def test_proxies_are_for_other_traffic(api, server, monkeypatch):
    for name in ("http_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with clients.Client(getattr(server, api), retries=ONCE) as client:
        assert client.versions() == {1: "AVAILABLE"}


def test_a_server_that_is_starting_is_waited_for(served):
    ports = {"port": free_port(), "rest_port": free_port()}
    addresses = [
        f"127.0.0.1:{ports['port']}",
        f"http://127.0.0.1:{ports['rest_port']}",
    ]
    for address in addresses:
        with (
            clients.Client(address, retries=ONCE) as client,
            pytest.raises(client_errors.UnavailableError, match=address),
        ):
            client.versions()
    found = {}

    def ask(address):
        patient = retries.Retries(deadline_secs=120, most=1000, first_wait_secs=0.01)
        with clients.Client(address, retries=patient) as client:
            found[address] = client.versions()

    threads = [threading.Thread(target=ask, args=(one,)) for one in addresses]
    for thread in threads:
        thread.start()
    with running_server.serving(served.export.parent, **ports):
        for thread in threads:
            thread.join()
    assert found == dict.fromkeys(addresses, {1: "AVAILABLE"})


def test_only_what_may_get_better_is_tried_again():
    def failing(kind, tries):
        def call(left):
            tries.append(left)
            if len(tries) < 4:
                raise kind("x")
            return "answer"

        return call

    quick = retries.Retries(most=4, first_wait_secs=1e-4)
    tries = []
    assert quick.run(failing(client_errors.UnavailableError, tries)) == "answer"
    assert len(tries) == 4
    assert 30 > tries[0] > tries[-1] > 0  # the deadline is of all of them
    for kind in (
        client_errors.InvalidRequestError,
        client_errors.DeadlineError,
        client_errors.TooLargeError,
        client_errors.NotFoundError,
        client_errors.BrokenServerError,
    ):
        tries = []
        with pytest.raises(kind):
            quick.run(failing(kind, tries))
        assert len(tries) == 1
    for settings in (
        retries.Retries(most=2, first_wait_secs=1e-4),
        retries.Retries(deadline_secs=0.05, first_wait_secs=1e3),
    ):
        tries = []
        with pytest.raises(client_errors.UnavailableError):
            settings.run(failing(client_errors.UnavailableError, tries))
        assert len(tries) == (3 if settings.most == 2 else 1)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_server_that_never_answers(scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}127.0.0.1:{silent.getsockname()[1]}"
        short = retries.Retries(deadline_secs=0.3)
        with clients.Client(address, retries=short) as client:
            with pytest.raises(
                (client_errors.DeadlineError, client_errors.UnavailableError),
                match=address,
            ):
                client.call("serving_default", running_server.clips())


@pytest.mark.parametrize(
    ("which", "address", "rule"),
    [
        (0, "http://127.0.0.1:{}", "answers no HTTP; the address of a gRPC port is"),
        (1, "127.0.0.1:{}", "answers no gRPC; the address of a REST port is"),
    ],
)
def test_ports_that_are_swapped_are_told_at_once(server, which, address, rule):
    port = (server.port, server.rest_port)[which]
    with clients.Client(address.format(port)) as client:
        with pytest.raises(client_errors.BrokenServerError, match=rule):
            client.versions()


def test_a_plain_port_by_https_is_not_tried_again():
    with answering(200, b"{}") as address:
        with clients.Client(address.replace("http:", "https:")) as client:
            with pytest.raises(client_errors.BrokenServerError, match="SSL"):
                client.versions()


def test_an_answer_that_never_ends():
    """The deadline holds though a byte comes each time before a read gives up."""
    with answering(200, b"x" * 200, pause_secs=0.05) as address:
        short = retries.Retries(deadline_secs=0.5)
        with clients.Client(address, retries=short) as client:
            began = time.monotonic()
            with pytest.raises(client_errors.DeadlineError, match=address):
                client.call("serving_default", running_server.clips())
            assert time.monotonic() - began < 5  # of the ten that the answer takes


def test_an_answer_that_is_cut_short():
    """It is as if the server had not been there: another try may help."""
    with answering(200, b'{"outputs": {}}', announced=1000) as address:
        with clients.Client(address, retries=ONCE) as client:
            with pytest.raises(client_errors.UnavailableError, match=address):
                client.call("serving_default", running_server.clips())


@contextlib.contextmanager
def answering(status, body, pause_secs=0.0, announced=None):
    """An HTTP server that says the same to everybody, maybe a byte at a time.

    Args:
      status: Of HTTP.
      body: Likewise.
      pause_secs: After each byte.
      announced: How long it says that the body is; None says so rightly.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(announced or len(body)))
            self.end_headers()
            if not pause_secs:
                self.wfile.write(body)
                return
            with contextlib.suppress(ConnectionError):  # nobody waits any more
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(pause_secs)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": "a rule"}', client_errors.InvalidRequestError),
        (404, b"<html>", client_errors.NotFoundError),
        (413, b"<html>", client_errors.TooLargeError),
        (429, b"", client_errors.UnavailableError),
        (500, b'{"error": 3}', client_errors.BrokenServerError),
        (502, b"<html>", client_errors.UnavailableError),
        (503, b"", client_errors.UnavailableError),
        (504, b"", client_errors.DeadlineError),
        (200, b"<html>", client_errors.BrokenServerError),
        (200, b"[1]", client_errors.BrokenServerError),
        (200, b"{}", client_errors.BrokenServerError),
        (200, b"[" * 100_000, client_errors.BrokenServerError),
        (200, b'{"outputs": [{"x": 1}]}', client_errors.BrokenServerError),
        (200, b'{"outputs": ["a", 1]}', client_errors.BrokenServerError),
        (
            400,
            b'{"error": "Tensors with name \'video\' from different tasks have"}',
            client_errors.UnavailableError,
        ),
        (200, b'{"outputs": {"valence": [["x"]]}}', client_errors.BrokenServerError),
        (200, b'{"outputs": {"valence": [[1.0]]}}', client_errors.BrokenServerError),
        (
            200,
            b'{"outputs": {"valence": [[1.0]], "arousal": [[1.0], [2.0]]}}',
            client_errors.BrokenServerError,
        ),
        (
            200,
            b'{"outputs": {"valence": [[NaN]], "arousal": [[1.0]]}}',
            client_errors.BrokenServerError,
        ),
    ],
)
def test_every_answer_has_its_kind(status, body, kind):
    with answering(status, body) as address:
        with clients.Client(address, retries=ONCE) as client:
            with pytest.raises(kind, match=address):
                client.predict("serving_default", running_server.clips())


@pytest.mark.parametrize("outputs", [[], [1], [{"x": 1}], ["a", 1]])
def test_a_model_that_says_nothing_of_itself_is_of_another_program(outputs):
    body = json.dumps({"outputs": outputs}).encode()
    with answering(200, body) as address:
        with clients.Client(address, retries=ONCE) as client:
            with pytest.raises(client_errors.BrokenServerError, match=address):
                client.about("model_card.md")


def test_a_good_answer_of_any_server():
    body = json.dumps({"outputs": {"arousal": [[2, 3.5]], "valence": [[0, 1]]}})
    with answering(200, body.encode()) as address, clients.Client(address) as client:
        found = client.predict("serving_default", running_server.clips())
    np.testing.assert_array_equal(found, [[[0, 2], [1, 3.5]]])
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "localhost:",
        "localhost:x",
        ":80",
        "x:0",
        "x:70000",
        "grpc://x:1",
    ],
)
def test_addresses_that_are_none(address):
    with pytest.raises(errors.ConfigError, match=f"--server={address}: must be"):
        clients.Client(address)
    with pytest.raises(errors.ConfigError, match="give one of the two"):
        transport.ModelName(version=0, label="stable")
    for version in (-1, 2**63):
        with pytest.raises(errors.ConfigError, match=f"{version}: must be from 0 to"):
            transport.ModelName(version=version)


def test_a_media_file_through_a_server(
    media_dir, weights_dir, tmp_path, monkeypatch, capsys
):
    """`avexp-predict --server` gives what `--model` gives, for a real recording."""
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
    sface = weights_dir / "face_recognition_sface_2021dec.onnx"
    extractor = extract.Extractor(
        feature_settings.FeatureConfig(
            face_detector="yunet", visual_backbone=f"onnx:{sface}", face_every=8
        )
    )
    manifest = manifests.Manifest(
        corpus_name="media",
        corpus_config={"features": extractor.settings_json(), "clock": "30hz"},
        video=extractor.video,
        audio=extractor.audio,
        records=small_run.RECORDS,
        has_background=False,
        audio_statistics=contents.AudioStatistics(9, (0.5,) * 65, (1.0,) * 65),
        splits={"train": contents.Split((), (), 0, 0, (0, 0))},
    )
    small_run.make_run(tmp_path / "run", tmp_path / "records", manifest=manifest)
    export = saved_model.export(tmp_path / "run", tmp_path / "base")
    file = media_dir / "talk_short.mp4"
    local = media_job.Settings(str(export), str(tmp_path / "local"), plot=False)
    local.job().predict_file(file)
    with running_server.serving(tmp_path / "base") as running:
        # Here instead of in a process of its own, which takes its time to start.
        monkeypatch.setattr(
            guarded_job,
            "run",
            lambda settings, paths: len([settings.job().predict_file(*paths)]) - 1,
        )
        command = importlib.import_module("avexp_tf.predict")
        where = (f"--server={running.grpc}", f"--out={tmp_path / 'served'}")
        code, *said = small_runs.call(capsys, command, file, "--noplot", *where)
    assert code == 0, said
    tables = [
        pd.read_csv(tmp_path / name / "talk_short.csv") for name in ("local", "served")
    ]
    assert len(tables[0]) > 80 and tables[0].video_present.mean() > 0.5
    pd.testing.assert_frame_equal(*tables, atol=2e-5)


def test_a_command_says_which_server_it_misses(tmp_path, capsys):
    command = importlib.import_module("avexp_tf.predict")
    (tmp_path / "a.mp4").write_bytes(b"")
    for arguments, said in (
        ((), "--model or --server must be given"),
        (("--model=x", "--server=y:1"), "--model=x --server=y:1: give one of the two"),
        (("--server=nowhere",), "--server=nowhere: must be host:port"),
    ):
        file = tmp_path / "a.mp4"
        code, _, stderr = small_runs.call(capsys, command, file, *arguments)
        assert (code, len(stderr)) == (2, 1)
        assert said in stderr[0]
