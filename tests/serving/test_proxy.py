"""The proxy that stands before TensorFlow Serving, in front of our server."""

import gzip
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import ports
import pytest

from avexp_tf.serving import client as clients
from avexp_tf.serving import client_errors
from avexp_tf.serving import retries
from tests.docs import documented
from tests.serving import running_server

NGINX = shutil.which("nginx")
pytestmark = pytest.mark.skipif(
    NGINX is None, reason="there is no nginx (apt-get install nginx-light)"
)
PATH = "/v1/models/avexp/versions/1:predict"


@pytest.fixture(scope="module", name="proxy")
def _proxy(served, tmp_path_factory):
    """Addresses of gRPC and REST, by way of nginx."""
    folder = tmp_path_factory.mktemp("proxy")
    text = (documented.ROOT / "export" / "serving" / "proxy.conf").read_text()
    text = re.sub(r" /tmp/", f" {folder}/", text)
    port, rest_port = ports.free_port(), ports.free_port()
    text = text.replace("listen 8500", f"listen 127.0.0.1:{port}")
    text = text.replace("listen 8501", f"listen 127.0.0.1:{rest_port}")
    with running_server.serving(served.export.parent) as server:
        text = text.replace("serving:8500", server.grpc)
        text = text.replace("http://serving:8501", server.rest)
        assert "serving:" not in text
        (folder / "proxy.conf").write_text(text)
        command = [NGINX, "-c", folder / "proxy.conf", "-g", "daemon off;"]
        process = subprocess.Popen(command)
        try:
            address = f"http://127.0.0.1:{rest_port}"
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"{address}/health").close()
                    break
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.1)
            yield f"127.0.0.1:{port}", address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


@pytest.mark.parametrize("api", [0, 1])
def test_what_is_right_goes_through(proxy, api):
    with clients.Client(proxy[api]) as client:
        assert client.versions() == {1: "AVAILABLE"}
        found = client.predict("serving_default", running_server.clips())
    assert found.shape == (2, 12, 2) and np.isfinite(found).all()


def test_what_is_too_large_is_refused(proxy):
    with clients.Client(proxy[0], retries=retries.Retries(most=0)) as client:
        with pytest.raises(client_errors.TooLargeError):
            client.call("serving_default", running_server.clips(1, 4_000_000))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(proxy[1] + PATH, bytes(65 << 20))
    assert refused.value.code == 413


def test_what_is_packed_is_refused(proxy):
    body = gzip.compress(b'{"inputs": {}}')
    request = urllib.request.Request(
        proxy[1] + PATH, body, {"Content-Encoding": "gzip"}, method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 415
    packed = grpc.insecure_channel(proxy[0], compression=grpc.Compression.Gzip)
    with packed, pytest.raises(grpc.RpcError) as refused:
        call = packed.unary_unary("/tensorflow.serving.PredictionService/Predict")
        call(bytes(1000), timeout=30)
    assert "415" in refused.value.details()


def test_what_reconfigures_and_watches_stays_inside(proxy):
    for path in ("/monitoring/prometheus/metrics", "/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(proxy[1] + path)
        assert refused.value.code == 404
    with grpc.insecure_channel(proxy[0]) as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
        )
        with pytest.raises(grpc.RpcError, match="404"):
            call(b"", timeout=30)
