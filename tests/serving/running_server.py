"""A server in a thread of the test's own process."""

import asyncio
import contextlib
import dataclasses
import json
import threading
import urllib.error
import urllib.request

import numpy as np

from avexp_tf.serving.server import runner
from avexp_tf.serving.server import settings


@dataclasses.dataclass(frozen=True)
class Running:
    """Where a server listens.

    Attributes:
      port: Of gRPC.
      rest_port: Of REST.
      stop: Tells it to end, without waiting for that.
    """

    port: int
    rest_port: int
    stop: object

    @property
    def grpc(self):
        return f"127.0.0.1:{self.port}"

    @property
    def rest(self):
        return f"http://127.0.0.1:{self.rest_port}"

    def get(self, path):
        """Status and body of a GET."""
        return self._open(urllib.request.Request(self.rest + path))

    def post(self, path, body, headers=None):
        """Status and body of a POST; the body may be anything."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self._open(
            urllib.request.Request(self.rest + path, body, headers or {}, method="POST")
        )

    def metrics(self):
        """{name with labels: number} of what Prometheus reads."""
        page = self.get("/monitoring/prometheus/metrics")[1].decode()
        lines = [line for line in page.splitlines() if line and line[0] != "#"]
        pairs = [line.rsplit(" ", 1) for line in lines]
        return {name: float(value) for name, value in pairs}

    def _open(self, request):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@contextlib.contextmanager
def serving(export, **options):
    """Serves a folder of versions; yields where, and ends it."""
    chosen = {"port": 0, "rest_port": 0, "poll_secs": 0.05, **options}
    config = settings.ServerConfig(export=str(export), **chosen)
    ready = threading.Event()
    found = {}

    async def main():
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_ready(port, rest_port):
            stopper = lambda: loop.call_soon_threadsafe(stop.set)  # noqa: E731
            found["running"] = Running(port, rest_port, stopper)
            ready.set()

        await runner.serve(config, on_ready, stop)

    def work():
        try:
            asyncio.run(main())
        except Exception as error:
            found["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    if "running" not in found:
        thread.join()
        raise found["error"]
    try:
        yield found["running"]
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended already
            found["running"].stop()
        thread.join()
    if "error" in found:
        raise found["error"]


def clips(n_clips=2, n_ticks=12, seed=0):
    """A request to `serving_default` of the small run, with gaps."""
    rng = np.random.default_rng(seed)
    return {
        "video": rng.normal(size=(n_clips, n_ticks, 3)).astype(np.float32),
        "audio": rng.normal(3, 2, size=(n_clips, n_ticks + 4, 2)).astype(np.float32),
        "video_present": rng.random((n_clips, n_ticks)) < 0.7,
        "audio_present": rng.random((n_clips, n_ticks)) < 0.7,
    }


def listed(request):
    """A request as JSON has it."""
    return {name: value.tolist() for name, value in request.items()}
