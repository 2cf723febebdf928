"""Fetches published networks: goes on where it was, keeps only what is right."""

from __future__ import annotations

import http.client
import os
import pathlib
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO
from typing import Any

import tqdm

from avexp_tf import errors
from avexp_tf import files
from avexp_tf.features import weights

_TIMEOUT_SECS = 30.0
_TRIES = 4
_PIECE = 1 << 16
_BROKEN = (OSError, http.client.HTTPException)


def download(
    network: weights.Network,
    folder: str | os.PathLike[str],
    *,
    mirror: str = "",
    local: str = "",
    pause_secs: float = 2.0,
) -> pathlib.Path:
    """Brings a network into a folder, unless it is there and right.

    Args:
      network: What to fetch.
      folder: Where to; made if it is not there.
      mirror: An address that has the file under the same name, in place of the
        publisher's.
      local: A file on this machine, in place of any address.
      pause_secs: Between tries after a broken connection.

    Returns:
      The file.

    Raises:
      errors.DataError: if it can't be fetched or is not what was published. What was
        fetched of it stays for the next try, unless it is wrong.
    """
    folder = pathlib.Path(folder)
    files.make_folder(folder)
    path = folder / network.file
    with files.only_one(folder / f".{network.file}.lock"):
        if path.is_file() and _is_right(network, path):
            return path
        part = folder / f".{network.file}.part"
        if local:
            _copy(local, part)
        else:
            _fetch(network, _address(network, mirror), part, pause_secs)
        try:
            weights.check(network, part)
        except errors.DataError as error:
            part.unlink()
            source = local or _address(network, mirror)
            rule = str(error).replace(f"{part}: ", "")
            raise errors.DataError(f"{source}: is not the right file: {rule}") from None
        os.replace(part, path)
    return path


def _is_right(network: weights.Network, path: pathlib.Path) -> bool:
    try:
        weights.check(network, path)
    except errors.DataError:
        return False
    return True


def _address(network: weights.Network, mirror: str) -> str:
    if not mirror:
        return network.address
    return f"{mirror.rstrip('/')}/{urllib.parse.quote(network.file)}"


def _copy(local: str, part: pathlib.Path) -> None:
    try:
        shutil.copyfile(local, part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise errors.DataError(
            f"{local}: can't be copied: {error.strerror or error}"
        ) from None


def _fetch(
    network: weights.Network, address: str, part: pathlib.Path, pause_secs: float
) -> None:
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise errors.DataError(f"{address}: must start with http:// or https://")
    for n_tries in range(1, _TRIES + 1):
        try:
            _continue(network, address, part)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 or n_tries == _TRIES:
                raise _failed(network, address, f"HTTP status {error.code}") from None
        except _BROKEN as error:
            if n_tries == _TRIES:
                reason = getattr(error, "reason", None) or error
                raise _failed(network, address, str(reason)) from None
        time.sleep(pause_secs)


def _failed(network: weights.Network, address: str, reason: str) -> errors.DataError:
    return errors.DataError(
        f"{address}: can't be fetched: {reason}. The same command goes on where this "
        "one stopped; where there is no network, bring the file here by another way "
        f"and run `avexp-weights download {network.name} --from=FILE`, or name a copy "
        "of it with --mirror=ADDRESS"
    )


def _continue(network: weights.Network, address: str, part: pathlib.Path) -> None:
    """Fetches what is missing of a part; raises what the connection raises."""
    n_have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address)
    if n_have:
        request.add_header("Range", f"bytes={n_have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_SECS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # There is nothing after what we have: it is whole, or it is something else.
        if error.headers.get("Content-Range") == f"bytes */{n_have}":
            return
        part.unlink()
        return _continue(network, address, part)
    with answer:
        resumes = answer.status == 206 and _first_byte(answer) == n_have
        if not resumes:
            n_have = 0
        length = answer.headers.get("Content-Length")
        n_total = n_have + int(length) if length and length.isdecimal() else None
        with open(part, "ab" if resumes else "wb") as file:
            n_got = _pour(answer, file, network, n_have, n_total)
    if n_total is not None and n_got != n_total:
        raise ConnectionError(f"the connection ended at {n_got} of {n_total} bytes")


def _first_byte(answer: Any) -> int | None:
    span = answer.headers.get("Content-Range", "").removeprefix("bytes ")
    first = span.partition("-")[0]
    return int(first) if first.isdecimal() else None


def _pour(
    answer: Any,
    file: IO[bytes],
    network: weights.Network,
    n_have: int,
    n_total: int | None,
) -> int:
    with tqdm.tqdm(
        total=n_total,
        initial=n_have,
        unit="B",
        unit_scale=True,
        desc=network.file,
    ) as bar:
        while data := answer.read(_PIECE):
            file.write(data)
            n_have += len(data)
            bar.update(len(data))
    return n_have
