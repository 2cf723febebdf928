"""Files that are whole or absent: written aside, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import pathlib
import secrets
import shutil
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import IO
from typing import Any

from avexp_tf import errors

# Of a fingerprint.
_WHOLE_BYTES, _BLOCK_BYTES, _N_BLOCKS = 4 << 20, 1 << 18, 16

TEMPORARY = ".tmp-"  # the start of the name of a file that is still being written


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Opens a file that takes its name only when the block ends well.

    Args:
      path: The final name; its folder must exist. A file there is replaced at once.

    Yields:
      A binary file to write to. After an exception, nothing of it is left.

    Raises:
      errors.DataError: if the disk is full, or the folder can't be written to.
    """
    path = pathlib.Path(path)
    # Not the process's number: two machines may write to one file system. Nor the final
    # name, which may be as long as names can be.
    aside = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix[:8]}")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        if not isinstance(error, OSError) or error.filename not in (None, str(aside)):
            raise  # what the block read may break too, and says so itself
        reason = _reason(error)
        raise errors.DataError(f"{path}: can't be written: {reason}") from error


@contextlib.contextmanager
def replacing_table(
    path: str | os.PathLike[str], columns: Sequence[str]
) -> Iterator[Callable[[Iterable[Sequence[Any]]], None]]:
    """Opens a CSV file that takes its name only when the block ends well.

    Args:
      path: The final name; see `replacing`.
      columns: The first line.

    Yields:
      Takes the next lines.

    Raises:
      errors.DataError: as `replacing`.
    """
    with replacing(path) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        yield writer.writerows
        text.flush()
        text.detach()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Checks that a file can be written, before the work whose result goes there.

    Raises:
      errors.DataError: if it can't, or a folder has this name.
    """
    if os.path.isdir(path):
        raise errors.DataError(f"{path}: is a folder, must be a file")
    aside = pathlib.Path(path).with_name(f"{TEMPORARY}{secrets.token_hex(4)}")
    try:
        aside.touch()
        aside.unlink()
    except OSError as error:
        raise errors.DataError(f"{path}: can't be written: {_reason(error)}") from error


def check_own(path: str | os.PathLike[str], start: bytes, what: str) -> None:
    """Checks that a file can be written, and that one that is there may be replaced.

    Args:
      path: The file.
      start: What files of this kind start with.
      what: They are, for the message.

    Raises:
      errors.DataError: if it can't, or it would replace a file that starts otherwise.
    """
    check_writable(path)
    try:
        with open(path, "rb") as file:
            found = file.read(len(start))
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {_reason(error)}") from error
    if found and found != start:
        raise errors.DataError(f"{path}: is there already, and is no {what}")


def check_apart(
    path: str | os.PathLike[str], flag: str, **inputs: str | os.PathLike[str]
) -> None:
    """Checks that what will be written replaces nothing that is read.

    Args:
      path: What will be written.
      flag: Which says so, for the message.
      **inputs: What is read, by its flag; what isn't there may be empty.

    Raises:
      errors.ConfigError: if one of them is the same file.
    """
    for name, other in inputs.items():
        if os.path.exists(path) and os.path.exists(other):
            if os.path.samefile(path, other):
                raise errors.ConfigError(f"--{flag}={path}: is the input --{name}")


def local_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns a path of this machine, as it was typed.

    Raises:
      errors.DataError: if it is an address: a folder of its name would be made here.
    """
    if "://" in os.fspath(path):
        raise errors.DataError(
            f"{path}: must be a folder of this machine; what can lie elsewhere are "
            "records, runs and exports, but for those that are served or checked"
        )
    return pathlib.Path(path)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Makes a folder and those above it, unless they are there.

    Raises:
      errors.DataError: if it can't be made.
    """
    local_path(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise errors.DataError(
            f"{path}: this folder can't be made: {_reason(error)}"
        ) from error


def remove_temporaries(folder: str | os.PathLike[str]) -> None:
    """Removes what a killed process was writing in a folder."""
    for path in pathlib.Path(folder).glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Waits until the names in a folder are on the disk; where it can't be, goes on."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file.

    Raises:
      errors.DataError: if it can't be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {_reason(error)}") from None
    return digest.hexdigest()


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Returns a digest that tells files apart without reading large ones to their end.

    Of up to 4 MiB it is of everything; beyond that of the size and of blocks from the
    start to the end, since hours of video would take minutes to read.

    Raises:
      errors.DataError: if it can't be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            if size <= _WHOLE_BYTES:
                digest.update(file.read())
            else:
                for k in range(_N_BLOCKS):
                    file.seek((size - _BLOCK_BYTES) * k // (_N_BLOCKS - 1))
                    digest.update(file.read(_BLOCK_BYTES))
    except OSError as error:
        raise errors.DataError(f"{path}: can't be read: {_reason(error)}") from None
    return digest.hexdigest()


def below(
    folder: str | os.PathLike[str], suffixes: Collection[str]
) -> list[pathlib.Path]:
    """Returns the files at any depth of a folder, sorted; folder links are followed.

    Args:
      folder: Where to look.
      suffixes: Of the names, in lower case, such as `.mp4`.

    Raises:
      errors.DataError: if a folder can't be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found, visited = [], set()
    try:
        for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
            status = os.stat(place)
            key = status.st_dev, status.st_ino
            if key in visited:  # a link that leads back
                folders.clear()
                continue
            visited.add(key)
            folders.sort()
            paths = [pathlib.Path(place, name) for name in names]
            found += [
                path
                for path in paths
                if path.suffix.lower() in suffixes and path.is_file()
            ]
    except OSError as error:
        raise errors.DataError(
            f"{error.filename}: can't be read: {_reason(error)}"
        ) from None
    return sorted(found)


@contextlib.contextmanager
def only_one(path: str | os.PathLike[str], wait_secs: float = 0.0) -> Iterator[None]:
    """Keeps a second process out while the block runs; a killed one keeps nobody out.

    Args:
      path: A file to lock; it is made if it is not there.
      wait_secs: How long to wait for the other process to end.

    Raises:
      errors.DataError: if another process is inside, or the file can't be made.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    try:
        file = open(path, "wb")
    except OSError as error:
        raise errors.DataError(f"{path}: can't be written: {_reason(error)}") from error
    with file:
        until = time.monotonic() + wait_secs
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.1)
                    continue
                raise errors.DataError(
                    f"{os.path.dirname(path)}: another process is writing here"
                ) from None
            except OSError:
                pass  # a file system without locks
            break
        yield


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
