"""Runs `avexp-serve` in a process of its own, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from avexp_tf import errors

_ROOT = pathlib.Path(__file__).parents[3]
_TOLD = re.compile(r"gRPC (\S+), REST (\S+)")
_END_SECS = 60.0


@dataclasses.dataclass
class Process:
    """A server that runs.

    Attributes:
      pid: Of the process.
      grpc: `host:port`.
      rest: `http://host:port`.
      exit_code: None while it runs.
    """

    pid: int
    grpc: str
    rest: str
    exit_code: int | None = None

    def resident_bytes(self) -> int:
        """Returns its memory, as Linux tells it; 0 where nobody does."""
        try:
            text = pathlib.Path(f"/proc/{self.pid}/statm").read_text()
        except OSError:
            return 0
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def started(export: str | os.PathLike[str], *flags: str) -> Iterator[Process]:
    """Starts a server on free ports, and ends it by SIGTERM.

    Args:
      export: The folder of the versions.
      *flags: More flags of `avexp-serve`.

    Yields:
      The server; `exit_code` is set after the end.

    Raises:
      errors.RunError: if it does not start.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "avexp_tf.serve", f"--export={export}"]
            + ["--port=0", "--rest_port=0", *flags],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path)])},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout:
            found = _TOLD.search(process.stdout.readline())
            if not found:
                process.wait()
                said.seek(0)
                lines = said.read().splitlines() or ["it said nothing"]
                raise errors.RunError(f"avexp-serve did not start: {lines[-1]}")
            running = Process(process.pid, grpc=found[1], rest=found[2])
            try:
                yield running
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    running.exit_code = process.wait(_END_SECS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    running.exit_code = process.wait()
