"""Serves an export on a laptop or in a test, the way TensorFlow Serving does.

    avexp-serve --export=runs/my/export
    avexp-serve --export=runs/my/export --port=0 --rest_port=0

gRPC and REST with TensorFlow Serving's paths, bodies and error codes, which is what
production runs: what works against this server works there. A new version in the
folder takes over without a failed request; SIGTERM ends the server after the last
request. Metrics for Prometheus are at /monitoring/prometheus/metrics, health at
/health and by gRPC's health protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime
from avexp_tf.serving.server import settings


def define_flags() -> None:
    """Defines the flags of this command."""
    runtime.define_flags()
    avexp_flags.define(settings.ServerConfig)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and serves."""
    cli.no_positionals(argv)
    config = avexp_flags.parsed(settings.ServerConfig)
    cli.require("export")
    runtime.set_up()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("avexp_tf").setLevel(logging.INFO)
    try:
        from avexp_tf.serving.server import runner
    except ImportError as error:
        raise errors.MissingExtraError(
            "avexp-serve", error.name or "aiohttp", "serving"
        ) from None

    def tell(port: int, rest_port: int) -> None:
        print(
            f"serving {config.export} as {config.model_name}: gRPC "
            f"{config.address(port)}, REST http://{config.address(rest_port)}",
            flush=True,
        )

    asyncio.run(runner.serve(config, tell))
    return 0


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
