"""Predicts files in another process: what crashes a decoder costs one file."""

from __future__ import annotations

import io
import multiprocessing
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing import connection
from typing import Any

from avexp_tf import errors
from avexp_tf import termination
from avexp_tf.data import workers
from avexp_tf.serving import client_errors
from avexp_tf.serving import media_job

# What the other process says: the file that it begins, or why it can't begin at all.
_BEGINS, _FAILED, _REFUSED = "begins", "failed", "refused"
_END_SECS = 10.0


def run(settings: media_job.Settings, paths: Sequence[pathlib.Path]) -> int:
    """Predicts files one after the other, and shows how it goes.

    A file that can't be predicted is told in one line, and the next one follows. That
    holds, too, for a file on which the process dies: decoders are large programs in C.

    Args:
      settings: Of the job.
      paths: The files; no two may have the same name before the suffix.

    Returns:
      How many could not be predicted.

    Raises:
      errors.AvexpError: if nothing can be predicted: the model is not there, say.
    """
    media_job.check_names(paths)
    rest = list(paths)
    n_failed = 0
    while rest:
        begun, n_lines, code = _run_one_process(settings, rest)
        n_failed += n_lines
        if code == 0:
            break
        if begun < 0:
            raise errors.RunError(f"the process that loads the model {_end(code)}")
        # Any other end is an exception of Python, which has said what is wrong.
        why = (
            ": the file is damaged in a way that the decoder does not survive, or "
            "memory ran out"
        )
        _tell(
            f"{rest[begun]}: the process that decoded it {_end(code)}"
            f"{why if code < 0 else ''}"
        )
        n_failed += 1
        rest = rest[begun + 1 :]
    return n_failed


def _run_one_process(
    settings: media_job.Settings, paths: list[pathlib.Path]
) -> tuple[int, int, int]:
    """Returns the last file that was begun, how many failed, and the exit code."""
    # TensorFlow's threads don't survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    their_lifeline, lifeline = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(settings, paths, theirs, their_lifeline)
    )
    process.start()
    theirs.close()
    their_lifeline.close()
    begun, n_failed = -1, 0
    try:
        while True:
            try:
                kind, value = ours.recv()
            except EOFError:
                break
            if kind == _REFUSED:
                raise value
            if kind == _BEGINS:
                begun = value
            else:
                n_failed += 1
        process.join()
        assert process.exitcode is not None
        return begun, n_failed, process.exitcode
    finally:
        _end_process(process)
        lifeline.close()


def _end_process(process: Any) -> None:
    """Ends the process if it still runs; it removes what is half-written."""
    if process.is_alive() and process.pid is not None:
        process.join(0.2)  # Ctrl-C has reached it too
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
        process.join(_END_SECS)
        process.kill()
    process.join()


def _work(
    settings: media_job.Settings,
    paths: list[pathlib.Path],
    say: connection.Connection,
    lifeline: connection.Connection,
) -> None:
    threading.Thread(target=workers.exit_with, args=(lifeline,), daemon=True).start()
    # A name of other bytes than UTF-8 is shown as it is.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    # A shell starts what runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _predict(settings, paths, say)
    except (KeyboardInterrupt, termination.Terminated):
        sys.exit(130)  # the parent says the rest


def _predict(
    settings: media_job.Settings,
    paths: list[pathlib.Path],
    say: connection.Connection,
) -> None:
    try:
        settings.start()
        job = settings.job()
    except errors.AvexpError as error:
        say.send((_REFUSED, error))
        return
    for index, path in enumerate(paths):
        say.send((_BEGINS, index))
        try:
            print(job.predict_file(path), flush=True)
        except client_errors.NotFoundError as error:
            say.send((_REFUSED, error))  # the server has another model now
            return
        except (errors.AvexpError, OSError) as error:
            _tell(str(error))
            say.send((_FAILED, index))


def _end(code: int) -> str:
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended with code {code}"


def _tell(text: str) -> None:
    print(f"error: {' '.join(text.split())}", file=sys.stderr, flush=True)
