"""Starts both APIs in one event loop, and ends them without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import grpc
from aiohttp import web
from grpc_health.v1 import health
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from avexp_tf import errors
from avexp_tf import files
from avexp_tf.serving import version_folders
from avexp_tf.serving.server import engine as engines
from avexp_tf.serving.server import grpc_api
from avexp_tf.serving.server import metrics as metrics_lib
from avexp_tf.serving.server import rest_api
from avexp_tf.serving.server import settings
from avexp_tf.serving.server import versions as versions_lib

_SERVICES = ("", "tensorflow.serving.PredictionService")
_HEALTH_SECS = 0.2
_log = logging.getLogger(__name__)


class _Health(health.aio.HealthServicer):
    """Ends the calls that watch it, which by themselves never end."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = asyncio.Event()

    async def Watch(  # noqa: N802 (its name in the API)
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> None:
        tasks = [
            asyncio.ensure_future(super().Watch(request, context)),
            asyncio.ensure_future(self._ended.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            watched, _ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(watched, Exception):
            raise watched

    async def end(self) -> None:
        """Tells all that nothing is served any more, then lets them go."""
        await self.enter_graceful_shutdown()
        await asyncio.sleep(_HEALTH_SECS)
        self._ended.set()


async def serve(
    config: settings.ServerConfig,
    on_ready: Callable[[int, int], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP, or until `stop` is set.

    Args:
      config: What and where.
      on_ready: Called with both ports when a version can be asked.
      stop: Another way to end it.

    Raises:
      errors.DataError: if no version can be loaded, or a port is taken.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _end_signals():
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
    if not files.local_path(config.export).is_dir():
        raise errors.DataError(f"--export={config.export}: no such folder")
    # Before the model is loaded, which takes its time.
    for port in (config.port, config.rest_port):
        await _free_port(config, port)
    metrics = metrics_lib.Metrics()
    versions = versions_lib.Versions(config, on_change=_counter(metrics))
    await loop.run_in_executor(None, versions.start)
    engine = engines.Engine(config, versions, metrics)
    try:
        if not versions.available:
            raise errors.DataError(f"{config.export}: {_why_none(config, versions)}")
        server, port, checker = await _start_grpc(engine)
        try:
            runner, rest_port = await _start_rest(engine)
        except BaseException:
            await server.stop(None)
            raise
        watch = asyncio.create_task(_tell_health(engine, checker))
        try:
            on_ready(port, rest_port)
            await stop.wait()
            # First say so, so that nobody sends more; then wait for what is running.
            _log.info("draining")
            engine.draining = True
            watch.cancel()
            await checker.end()
            await asyncio.gather(server.stop(config.drain_secs), runner.cleanup())
            if not await engine.drained(config.drain_secs):
                _log.warning("requests were still running at the end")
        finally:
            watch.cancel()
    finally:
        versions.stop()
        engine.close()


def _end_signals() -> list[int]:
    found: list[int] = [signal.SIGTERM, signal.SIGINT]
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    # A terminal that is closed sends it; `nohup` has it ignored, which it stays.
    if hangup and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return found


def _counter(
    metrics: metrics_lib.Metrics,
) -> Callable[[versions_lib.Versions], None]:
    def count(versions: versions_lib.Versions) -> None:
        metrics.version.set(max(versions.available, default=0))
        failed = [state for state in versions.states().values() if state.error]
        metrics.failed_loads.set(len(failed))

    return count


def _why_none(config: settings.ServerConfig, versions: versions_lib.Versions) -> str:
    for number, state in versions.states().items():
        if state.error:
            return f"version {number} can't be served: {state.error}"
    if (pathlib.Path(config.export) / version_folders.MODEL_FILE).is_file():
        return "is a version itself: give the folder above it"
    return "holds no version: a folder with a number as its name and saved_model.pb"


async def _free_port(config: settings.ServerConfig, port: int) -> int:
    """Returns a port that can be listened on, or raises DataError.

    For 0 it is one for all addresses of the host; listening on 0, each would get its
    own.
    """
    loop = asyncio.get_running_loop()
    try:
        probe = await loop.create_server(asyncio.Protocol, config.host, port)
    except OSError as error:
        raise errors.DataError(
            f"{config.address(port)}: this port can't be listened on: {_reason(error)}"
        ) from None
    number = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    return number


def _reason(error: OSError) -> str:
    # asyncio puts its own words around the system's.
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


async def _start_grpc(
    engine: engines.Engine,
) -> tuple[grpc.aio.Server, int, _Health]:
    config = engine.config
    server = grpc.aio.server(
        interceptors=[grpc_api.Unreadable()],
        options=[
            ("grpc.max_receive_message_length", config.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a port that is taken is an error
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        grpc_api.PredictionService(engine), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        grpc_api.ModelService(engine), server
    )
    checker = _Health()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    address = config.address(config.port)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        raise errors.DataError(f"{address}: this port can't be listened on") from None
    await server.start()
    return server, port, checker


async def _start_rest(engine: engines.Engine) -> tuple[web.AppRunner, int]:
    config = engine.config
    port = await _free_port(config, config.rest_port)
    runner = web.AppRunner(
        rest_api.application(engine),
        access_log=None,
        shutdown_timeout=config.drain_secs,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise errors.DataError(
            f"{config.address(port)}: this port can't be listened on: {_reason(error)}"
        ) from None
    return runner, port


async def _tell_health(engine: engines.Engine, checker: _Health) -> None:
    told = None
    while True:
        ready = engine.ready
        if ready != told:
            states = health_pb2.HealthCheckResponse.ServingStatus
            state = states.Value("SERVING" if ready else "NOT_SERVING")
            for service in _SERVICES:
                await checker.set(service, state)
            told = ready
        await asyncio.sleep(_HEALTH_SECS)
