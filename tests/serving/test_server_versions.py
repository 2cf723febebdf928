"""A new version takes over without a failed request; an end loses none."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import array_corpus
import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.serving import client as clients
from avexp_tf.serving import client_errors
from avexp_tf.serving import retries
from avexp_tf.serving import saved_model
from avexp_tf.serving import transport
from avexp_tf.training import trained_model
from tests.serving import running_server
from tests.serving import small_run

ROOT = pathlib.Path(__file__).parents[2]
ONCE = retries.Retries(most=0)


@pytest.fixture(scope="module", name="other")
def _other(served, tmp_path_factory):
    """The export of a run with other weights."""
    folder = tmp_path_factory.mktemp("other")
    run_dir = small_run.make_run(folder / "run", served.records)
    network = trained_model.load(run_dir)
    network.set_weights([weight * 0.5 for weight in network.get_weights()])
    run_dir.save_weights(network)
    return saved_model.export(folder / "run", folder / "base")


@pytest.fixture(name="base")
def _base(served, tmp_path):
    """A folder of versions that holds version 1."""
    shutil.copytree(served.export, tmp_path / "base" / "1")
    return tmp_path / "base"


def publish(export, base, number):
    """Brings a version as avexp-export does: under another name, then renamed."""
    shutil.copytree(export, base / "tmp")
    (base / "tmp").rename(base / str(number))


def numbers_of(export, request):
    loaded = tf.saved_model.load(str(export))
    found = loaded.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in request.items()}
    )
    return np.stack([found[target].numpy() for target in config.TARGETS], axis=-1)


def wait_until(done):
    for _ in range(3000):
        if done():
            return
        time.sleep(0.02)
    pytest.fail("it did not happen within a minute")


class Asking:
    """Clients that ask in a loop, by both APIs, each request once."""

    def __init__(self, running, request):
        self.answers = []
        self.failures = []
        self.ended = threading.Event()
        self._request = request
        addresses = [running.grpc, running.rest] * 2
        self._threads = [
            threading.Thread(target=self._ask, args=(address,)) for address in addresses
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, address):
        with clients.Client(address, retries=ONCE) as client:
            while not self.ended.is_set():
                try:
                    self.answers.append(
                        client.predict("serving_default", self._request)
                    )
                except Exception as error:
                    self.failures.append(error)


def test_a_new_version_takes_over_under_load(base, other):
    request = running_server.clips()
    old = numbers_of(base / "1", request)
    new = numbers_of(other, request)
    assert np.abs(old - new).max() > 1e-3
    with running_server.serving(base) as running:
        with Asking(running, request) as asking, clients.Client(running.grpc) as asker:
            wait_until(lambda: len(asking.answers) > 20)
            publish(other, base, 2)
            wait_until(
                lambda: asker.versions().items() >= {1: "END", 2: "AVAILABLE"}.items()
            )
            count = len(asking.answers)
            wait_until(lambda: len(asking.answers) > count + 20)
        assert not asking.failures
        of_old = [np.abs(one - old).max() < 1e-6 for one in asking.answers]
        of_new = [np.abs(one - new).max() < 1e-6 for one in asking.answers]
        assert all(a != b for a, b in zip(of_old, of_new, strict=True))
        # Of four clients each may have had one request on the way.
        assert all(of_old[:20]) and all(of_new[count + 4 :])
        assert running.metrics()["avexp_model_version"] == 2
        with (
            clients.Client(running.grpc, transport.ModelName(version=1), ONCE) as gone,
            pytest.raises(client_errors.NotFoundError, match="Specific.avexp, 1"),
        ):
            gone.predict("serving_default", request)


def test_a_recording_is_predicted_by_one_version(base, other):
    """A switch in its middle ends it; what begins afterwards is of the new one."""
    block = array_corpus.ticks("a recording", 70)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(running_server.serving(base))
        addresses = (running.grpc, running.rest)
        asking = [stack.enter_context(clients.Client(one)) for one in addresses]
        pinned = [client.pinned() for client in asking]
        for client in (*asking, *pinned):
            client.digest()
            client.check_unchanged()
        streams = [client.predictor().stream([block]) for client in asking]
        first = [next(stream).values for stream in streams]
        publish(other, base, 2)
        wait_until(lambda: asking[0].versions()[1] == "END")
        for client, stream, of_old in zip(asking, streams, first, strict=True):
            with pytest.raises(
                client_errors.NotFoundError, match="Specific.avexp, 1.*: begin again"
            ):
                next(stream)
            of_new = client.predictor().predict(block)[: len(of_old)]
            assert np.abs(of_new - of_old).max() > 1e-3
        for client in (*asking, *pinned):
            with pytest.raises(client_errors.NotFoundError, match="begin again"):
                client.check_unchanged()


def test_a_broken_version_changes_nothing_until_it_is_mended(base, other):
    request = running_server.clips()
    old, new = numbers_of(base / "1", request), numbers_of(other, request)
    publish(other, base, 2)
    whole = (base / "2" / "saved_model.pb").read_bytes()
    (base / "2" / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    publish(other, base, 3)
    warm_up = base / "3" / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(warm_up)) as writer:
        writer.write(b"\xff")
    with (
        running_server.serving(base) as running,
        clients.Client(running.grpc, retries=ONCE) as client,
    ):
        assert client.versions() == {1: "AVAILABLE", 2: "END", 3: "END"}
        assert running.metrics()["avexp_model_versions_failed"] == 2
        found = client.predict("serving_default", request)
        np.testing.assert_allclose(found, old, atol=1e-6)
        (base / "2" / "saved_model.pb").write_bytes(whole)
        wait_until(lambda: client.versions()[2] == "AVAILABLE")
        found = client.predict("serving_default", request)
        np.testing.assert_allclose(found, new, atol=1e-6)


def test_names_with_zeros_and_numbers_that_no_request_can_hold(base, other, caplog):
    publish(other, base, "0008")
    publish(other, base, 2**63)
    with running_server.serving(base) as running:
        for address in (running.grpc, running.rest):
            with clients.Client(address, transport.ModelName(version=8)) as client:
                assert client.versions() == {8: "AVAILABLE"}
                assert client.predict("serving_default", running_server.clips()).size
        status, body = running.get("/v1/models/avexp")
        assert (status, len(json.loads(body)["model_version_status"])) == (200, 1)
    warnings = [one.message for one in caplog.records if one.levelname == "WARNING"]
    assert warnings == [f"{base / str(2**63)}: ignored: no version has this number"]


def test_labels_and_numbers_choose_a_version(base, other):
    request = running_server.clips()
    publish(other, base, 2)
    wanted = {1: numbers_of(base / "1", request), 2: numbers_of(other, request)}
    labels = ("stable:1", "canary:2")
    with running_server.serving(base, labels=labels) as running:
        for model, number in (
            ({}, 2),
            ({"label": "stable"}, 1),
            ({"label": "canary"}, 2),
            ({"version": 1}, 1),
        ):
            for address in (running.grpc, running.rest):
                with clients.Client(address, transport.ModelName(**model)) as client:
                    found = client.predict("serving_default", request)
                    np.testing.assert_allclose(found, wanted[number], atol=1e-6)


def test_an_end_answers_what_is_running(base):
    """SIGTERM while requests run: each gets its answer, and the exit code is 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "avexp_tf.serve", f"--export={base}"]
        + ["--port=0", "--rest_port=0", "--threads=1", "--max_ticks=3000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    grpc, rest = re.search(r"gRPC (\S+), REST (\S+)", line).groups()
    request = running_server.clips(8, 1500)  # takes a while
    answers = {}

    def ask(address):
        with clients.Client(address, retries=ONCE) as client:
            answers[address] = client.predict("serving_default", request)

    # The one that takes longer to come comes first, so that both are there at once.
    threads = [threading.Thread(target=ask, args=(one,)) for one in (rest, grpc)]
    with clients.Client(rest, retries=ONCE) as asker:
        for n_waiting, thread in enumerate(threads, 1):
            thread.start()
            wait_until(lambda n=n_waiting: _waiting(asker) == n)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert {one.shape for one in answers.values()} == {(8, 1500, 2)}
    assert len(answers) == 2
    with (
        clients.Client(rest, retries=ONCE) as late,
        pytest.raises(client_errors.UnavailableError),
    ):
        late.versions()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr


def test_an_end_does_not_wait_for_who_watches_its_health(base):
    with contextlib.ExitStack() as stack:
        with running_server.serving(base, drain_secs=60) as running:
            channel = stack.enter_context(grpc.insecure_channel(running.grpc))
            stub = health_pb2_grpc.HealthStub(channel)
            told = stub.Watch(health_pb2.HealthCheckRequest())
            assert next(told).status == health_pb2.HealthCheckResponse.SERVING
            began = time.monotonic()
        assert time.monotonic() - began < 30
        assert next(told).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert list(told) == []


def _waiting(client):
    import urllib.request

    where = f"{client.address}/monitoring/prometheus/metrics"
    with urllib.request.urlopen(where, timeout=60) as page:
        return float(re.search(rb"^avexp_requests_waiting (\S+)", page.read(), re.M)[1])


def test_more_than_may_wait_is_told_to_come_later(base):
    request = running_server.clips(8, 900)
    with running_server.serving(base, workers=1, max_waiting=1) as running:
        with Asking(running, request) as asking:
            wait_until(lambda: asking.answers and len(asking.failures) > 3)
            status, body = running.get("/v1/models/avexp")  # does not wait
            assert status == 200
        assert {type(one) for one in asking.failures} == {
            client_errors.UnavailableError
        }
        assert "try again later" in str(asking.failures[0])
        assert running.metrics()["avexp_requests_rejected_total"] > 3
        patient = retries.Retries(most=1000, deadline_secs=60)
        with clients.Client(running.grpc, retries=patient) as client:
            assert client.predict("serving_default", request).shape == (8, 900, 2)


def test_a_folder_without_a_version(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(errors.DataError, match="holds no version"):
        with running_server.serving(tmp_path):
            pass
    (tmp_path / "1" / "saved_model.pb").write_bytes(os.urandom(100))
    with pytest.raises(errors.DataError, match="version 1 can't be served: "):
        with running_server.serving(tmp_path):
            pass
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "1" / "saved_model.pb").unlink()
    with pytest.raises(errors.DataError, match="is a version itself: give the folder"):
        with running_server.serving(tmp_path):
            pass
    with pytest.raises(errors.DataError, match="no such folder"):
        with running_server.serving(tmp_path / "2"):
            pass
