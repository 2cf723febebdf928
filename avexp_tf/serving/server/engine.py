"""What both APIs do with a request, once they have read it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import TypeVar

from avexp_tf.serving.server import failure
from avexp_tf.serving.server import metrics as metrics_lib
from avexp_tf.serving.server import settings
from avexp_tf.serving.server import versions as versions_lib

_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)


class Engine:
    """Runs requests in threads, no more of them than may wait.

    Args:
      config: Limits.
      versions: What is loaded.
      metrics: Where to count.

    Attributes: likewise, and
      draining: Whether the server was told to end.
    """

    def __init__(
        self,
        config: settings.ServerConfig,
        versions: versions_lib.Versions,
        metrics: metrics_lib.Metrics,
    ):
        self.config = config
        self.versions = versions
        self.metrics = metrics
        self.draining = False
        self._waiting = 0
        self._arriving = 0
        self._pool = concurrent.futures.ThreadPoolExecutor(config.workers, "predict")

    @property
    def ready(self) -> bool:
        """Whether a request would be answered."""
        return not self.draining and bool(self.versions.available)

    async def run(self, work: Callable[[], _Answer]) -> _Answer:
        """Runs a request's work in a thread.

        Args:
          work: Reads, checks and computes; raises `failure.Failure`.

        Raises:
          failure.Failure: UNAVAILABLE if too many are waiting.
        """
        if self._waiting >= self.config.max_waiting:
            self.metrics.rejected.inc()
            raise failure.Failure(
                failure.UNAVAILABLE,
                f"{self._waiting} requests are waiting already; try again later",
            )
        self._waiting += 1
        self.metrics.waiting.set(self._waiting)
        try:
            # Shielded: a client that goes away doesn't stop the thread, which counts
            # until it is done.
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
            future.add_done_callback(self._done)
        except BaseException:
            self._done(None)
            raise
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future | None) -> None:
        self._waiting -= 1
        self.metrics.waiting.set(self._waiting)
        if future is not None and not future.cancelled():
            future.exception()  # seen, whether or not somebody still waits for it

    @contextlib.contextmanager
    def arriving(self, api: str, method: str) -> Iterator[None]:
        """Counts a request while its body arrives: as many may as may wait.

        They have places of their own, so that who sends slowly takes none from what is
        there to be computed.

        Raises:
          failure.Failure: UNAVAILABLE if too many arrive.
        """
        if self._arriving >= self.config.max_waiting:
            self.metrics.rejected.inc()
            self.metrics.requests.labels(api, method, failure.UNAVAILABLE).inc()
            raise failure.Failure(
                failure.UNAVAILABLE,
                f"{self._arriving} requests are arriving already; try again later",
            )
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1

    @contextlib.contextmanager
    def counted(self, api: str, method: str) -> Iterator[None]:
        """Counts and times an answer; turns what nobody expected into INTERNAL.

        Raises:
          failure.Failure: always instead of anything else.
        """
        began = time.perf_counter()
        code = "OK"
        try:
            yield
        except failure.Failure as error:
            code = error.code
            raise
        except asyncio.CancelledError:  # who asked does not wait any more
            code = "GONE"
            raise
        except Exception as error:
            code = failure.INTERNAL
            _log.exception("%s %s", api, method)
            raise failure.Failure(code, f"{type(error).__name__}: {error}") from error
        finally:
            self.metrics.requests.labels(api, method, code).inc()
            self.metrics.seconds.labels(api, method).observe(
                time.perf_counter() - began
            )

    async def drained(self, within_secs: float) -> bool:
        """Waits until no request runs; returns False if some still do."""
        end = time.monotonic() + within_secs
        while self._waiting and time.monotonic() < end:
            await asyncio.sleep(0.02)
        return not self._waiting

    def close(self) -> None:
        """Lets go of the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
