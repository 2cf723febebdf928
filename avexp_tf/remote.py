"""Folders on s3://: read in place, or worked on in a copy that is kept up to date.

TensorFlow reads and writes them where tensorflow-io is installed. Records are read in
place. What is written, and runs and exports that are read, goes through a folder on
this machine, which lasts as long as the process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from avexp_tf import errors
from avexp_tf import files

_SCHEME = re.compile(r"([a-z][a-z0-9]*)://", re.IGNORECASE)
_copies: dict[str, Copy] = {}


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is one of another file system, such as s3://bucket/folder."""
    return _SCHEME.match(os.fspath(path)) is not None


def join(folder: str | os.PathLike[str], name: str) -> str:
    """Returns the path of a file in a folder on any file system."""
    if is_remote(folder):
        return f"{os.fspath(folder).rstrip('/')}/{name}"
    return str(pathlib.Path(folder) / name)


def leave(code: int) -> None:
    """Ends the process if it has loaded tensorflow-io; to be called last.

    Its client of S3 takes its threads down in the wrong order at the interpreter's end,
    and the process would abort after all is done.

    Args:
      code: What to exit with.
    """
    if "tensorflow_io" not in sys.modules:
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def check(path: str | os.PathLike[str]) -> None:
    """Makes sure that TensorFlow can use a remote path.

    Raises:
      errors.ConfigError: if it is on no s3://, or saying what to install.
    """
    text = os.fspath(path)
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[1].lower() != "s3":
        raise errors.ConfigError(f"{text}: must be a path of this machine, or s3://")
    import tensorflow as tf

    try:
        import tensorflow_io
    except ImportError:
        tensorflow_io = None
    try:
        tf.io.gfile.exists(text)
    except tf.errors.UnimplementedError:
        why = "is not installed" if tensorflow_io is None else "does not load"
        raise errors.ConfigError(
            f"{text}: needs tensorflow-io, which {why} beside TensorFlow "
            f"{tf.__version__}; its last release is for TensorFlow 2.17: make an "
            "environment with `pip install 'avexp-tf[io]'`"
        ) from None
    except tf.errors.OpError as error:
        raise _unusable(text, error) from None


@contextlib.contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what TensorFlow raises of a remote path into one line.

    Raises:
      errors.DataError: naming the path.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise _unusable(os.fspath(path), error) from None


def read(path: str) -> bytes:
    """Returns what a remote file holds.

    Raises:
      FileNotFoundError: if there is none.
      errors.ConfigError: as `check`.
      errors.DataError: if it can't be read.
    """
    check(path)
    import tensorflow as tf

    with explained(path):
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                return file.read()
        except tf.errors.NotFoundError:
            raise FileNotFoundError(path) from None


def upload(source: pathlib.Path, target: str) -> None:
    """Copies a file of this machine to a remote path.

    Raises:
      errors.DataError: if it can't be written.
    """
    import tensorflow as tf

    with explained(target):
        tf.io.gfile.copy(str(source), target, overwrite=True)


def children(folder: str) -> list[str]:
    """Returns the names in a remote folder; none if it is not there."""
    import tensorflow as tf

    with explained(folder):
        try:
            found = tf.io.gfile.listdir(folder)
        except tf.errors.NotFoundError:
            return []
    return [name.rstrip("/") for name in found]


class Copy:
    """A remote folder as a folder of this machine.

    Args:
      address: The remote folder; it need not be there.

    Attributes:
      path: What was there when the copy was made, and what was written since.

    Raises:
      errors.ConfigError: as `check`.
      errors.DataError: if it can't be read.
    """

    def __init__(self, address: str):
        check(address)
        self._address = address.rstrip("/")
        root = tempfile.mkdtemp(prefix="avexp-")
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        self.path = pathlib.Path(root, *self._address.split("://")[1].split("/"))
        self.path.mkdir(parents=True)
        self._fetch()
        self._known = self._state()

    @classmethod
    def of(cls, address: str | os.PathLike[str]) -> Copy:
        """Returns the copy of this process, made when it is first asked for."""
        key = os.fspath(address).rstrip("/")
        if key not in _copies:
            _copies[key] = cls(key)
        return _copies[key]

    def publish(self) -> None:
        """Uploads what has changed, what says that something is complete last.

        Raises:
          errors.DataError: if it can't be written.
        """
        import tensorflow as tf

        state = self._state()
        changed = [name for name in state if state[name] != self._known.get(name)]
        for name in sorted(changed, key=_order):
            upload(self.path / name, f"{self._address}/{name}")
            self._known[name] = state[name]
        for name in self._known.keys() - state.keys():
            with explained(self._address):
                with contextlib.suppress(tf.errors.NotFoundError):
                    tf.io.gfile.remove(f"{self._address}/{name}")
            del self._known[name]

    def _fetch(self) -> None:
        import tensorflow as tf

        with explained(self._address):
            for folder, _, names in tf.io.gfile.walk(self._address):
                inner = folder.rstrip("/")[len(self._address) :].strip("/")
                (self.path / inner).mkdir(parents=True, exist_ok=True)
                for name in filter(None, names):
                    source = f"{folder.rstrip('/')}/{name}"
                    tf.io.gfile.copy(source, str(self.path / inner / name))

    def _state(self) -> dict[str, Any]:
        """What every file was when it was written last."""
        found = {}
        for path in self.path.rglob("*"):
            if path.is_file() and not path.name.startswith((files.TEMPORARY, ".lock")):
                status = path.stat()
                name = path.relative_to(self.path).as_posix()
                found[name] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found


def _order(name: str) -> tuple[bool, bool, str]:
    # Readers look for these: manifest.json and result.json, checkpoints' own .json.
    last = name in ("manifest.json", "result.json") or name.endswith("saved_model.pb")
    return last, name.endswith(".json"), name


def _unusable(path: str, error: Exception) -> errors.DataError:
    reason = " ".join((str(error) or type(error).__name__).split())[:300]
    return errors.DataError(f"{path}: can't be used: {reason}")
