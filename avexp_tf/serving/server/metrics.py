"""What Prometheus reads of a server."""

from __future__ import annotations

import prometheus_client
from prometheus_client import process_collector

PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Metrics:
    """Counts and times, in a registry of their own.

    Attributes:
      requests: Answers by `api` (grpc, rest), `method` and `code`.
      seconds: Time from a request to its answer by `api` and `method`.
      waiting: Requests that wait or run.
      rejected: Requests that were told to come later.
      version: The newest version that is served; 0 if there is none.
      failed_loads: Versions that could not be loaded.
    """

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        process_collector.ProcessCollector(registry=self._registry)
        self.requests = prometheus_client.Counter(
            "avexp_requests",
            "Answers to requests.",
            ["api", "method", "code"],
            registry=self._registry,
        )
        self.seconds = prometheus_client.Histogram(
            "avexp_request_seconds",
            "Seconds from a request to its answer.",
            ["api", "method"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.waiting = prometheus_client.Gauge(
            "avexp_requests_waiting",
            "Requests that wait or run.",
            registry=self._registry,
        )
        self.rejected = prometheus_client.Counter(
            "avexp_requests_rejected",
            "Requests that were told to come later.",
            registry=self._registry,
        )
        self.version = prometheus_client.Gauge(
            "avexp_model_version",
            "The newest version that is served; 0 if there is none.",
            registry=self._registry,
        )
        self.failed_loads = prometheus_client.Gauge(
            "avexp_model_versions_failed",
            "Versions that could not be loaded.",
            registry=self._registry,
        )

    def page(self) -> bytes:
        """Returns the page that Prometheus reads."""
        return prometheus_client.generate_latest(self._registry)
