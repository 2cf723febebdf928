"""openSMILE's IS13 low-level descriptors of a waveform that comes piece by piece.

`opensmile.Smile` takes a whole signal at once and keeps all of it. Here the same
extractor runs on ring buffers: the same numbers to the bit (its pitch smoother and its
RASTA filters have memory, so that cutting the sound into overlapping pieces would only
come close), and the same memory for a minute and for ten hours.

It runs in a process of its own, because it can't share one with TensorFlow. Both bring
a function `rdft`; where TensorFlow was imported first, openSMILE calls TensorFlow's,
which takes doubles, and writes over the heap (opensmile 2.6.0, tensorflow 2.21).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
from typing import Any

import numpy as np

import avexp_tf
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.features import lld_worker

SAMPLE_RATE_HZ = lld_worker.SAMPLE_RATE_HZ
# Row i stands at 0.010 * i seconds; openSMILE's own time columns are overwritten at
# both ends and irregular.
ROWS_PER_SEC = 100
N_COLUMNS = 65

_ROW_BYTES = N_COLUMNS * 4
_STUCK_SECS = 120.0


def feature_set() -> recording.FeatureSet:
    """Returns what the columns are: the feature set and openSMILE's version."""
    version = importlib.metadata.version("opensmile")
    return recording.FeatureSet("IS13_lld", version, N_COLUMNS)


def pcm(samples: np.ndarray) -> np.ndarray:
    """Returns the 16 bit samples that openSMILE works on.

    Args:
      samples: float [n].

    Returns:
      int16 [n]; +1.0 and above become 32767 instead of turning over to -32768.
    """
    return (np.clip(samples, -1.0, 32767 / 32768) * 32768).astype(np.int16)


class LldStream:
    """Runs openSMILE beside the caller.

    Use as a context manager. `feed` any number of times, then `finish` once; rows come
    when openSMILE has them, some tenths of a second behind the sound.
    """

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", lld_worker.__name__, str(_opensmile_folder())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(),
        )
        self._rows: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
        # Reads beside the caller, so that neither process waits for the other's pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> LldStream:
        return self

    def __exit__(self, *unused: Any) -> None:
        self.close()

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Takes the next samples.

        Args:
          samples: int16 [n] from `pcm`.

        Returns:
          The rows that became ready, float32 [m, 65], m >= 0.

        Raises:
          errors.RunError: if openSMILE failed.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(samples.astype("<i2", copy=False).tobytes())
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            self._fail()
        return self._ready()

    def wait(self, secs: float) -> np.ndarray:
        """Waits for the next row, at most so long; returns the rows that are ready."""
        try:
            first = self._rows.get(timeout=secs)
        except queue.Empty:
            if self._process.poll() is not None:
                self._fail()
            return self._ready()
        return np.concatenate([first, self._ready()])

    def finish(self) -> np.ndarray:
        """Ends the sound.

        Returns:
          The remaining rows, float32 [m, 65].

        Raises:
          errors.RunError: if openSMILE failed or doesn't come to an end.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            self._fail()
        self._reader.join(_STUCK_SECS)
        if self._reader.is_alive() or self._process.wait(_STUCK_SECS) != 0:
            self._fail()
        return self._ready()

    def close(self) -> None:
        """Stops openSMILE, whether it is done or not."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def _ready(self) -> np.ndarray:
        rows = [np.zeros((0, N_COLUMNS), np.float32)]
        while not self._rows.empty():
            rows.append(self._rows.get())
        return np.concatenate(rows)

    def _read(self) -> None:
        assert self._process.stdout is not None
        while len(data := self._process.stdout.read(_ROW_BYTES)) == _ROW_BYTES:
            self._rows.put(np.frombuffer(data, "<f4")[None])

    def _fail(self) -> None:
        """Raises, with the last line that the process said."""
        self._process.kill()
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "")
        raise errors.RunError(f"openSMILE failed (exit code {code}): {said.strip()}")


def _opensmile_folder() -> pathlib.Path:
    spec = importlib.util.find_spec("opensmile")
    if spec is None or not spec.submodule_search_locations:
        raise errors.RunError("the package opensmile is not installed")
    return pathlib.Path(spec.submodule_search_locations[0])


def _environment() -> dict[str, str]:
    """Returns an environment in which this very package is found."""
    here = str(pathlib.Path(avexp_tf.__file__).parent.parent)
    rest = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{rest}" if rest else here}
