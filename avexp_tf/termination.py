"""Ends a process that is told to, with what it has done kept.

SIGTERM is what a machine that is taken away sends. By default it kills at once; here it
is an exception, as Ctrl-C is, so that files written aside are removed, and long work
can put it off until its next safe point.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from types import TracebackType

PARENT_VARIABLE = "AVEXP_PARENT_PIPE"  # file descriptor that closes with the parent


class Terminated(BaseException):
    """SIGTERM came; like KeyboardInterrupt, `except Exception` does not stop it."""


def raised_on_sigterm() -> contextlib.AbstractContextManager[None]:
    """While the block runs, SIGTERM raises `Terminated` in the main thread."""
    return _raised_on("SIGTERM")


def raised_on_hangup() -> contextlib.AbstractContextManager[None]:
    """Likewise of SIGHUP, which a terminal that is closed sends."""
    return _raised_on("SIGHUP")


@contextlib.contextmanager
def _raised_on(name: str) -> Iterator[None]:
    number = getattr(signal, name, None)  # no SIGHUP on Windows
    # What `nohup` starts goes on when its terminal is closed.
    if number is None or not _in_main_thread() or _is_ignored(number):
        yield
        return
    before = signal.signal(number, _raise)
    try:
        yield
    finally:
        signal.signal(number, before)


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


class Deferred:
    """While the block runs, SIGTERM and Ctrl-C wait until they are asked for.

    A second Ctrl-C does not wait.
    """

    def __init__(self) -> None:
        self._came: int | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Deferred:
        if _in_main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.raise_if_asked()

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._came is not None

    def raise_if_asked(self) -> None:
        """Ends the work now if a signal came.

        Raises:
          Terminated: after SIGTERM.
          KeyboardInterrupt: after Ctrl-C.
        """
        if self._came == signal.SIGTERM:
            raise Terminated
        if self._came is not None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._came == signal.SIGINT:
            raise KeyboardInterrupt
        self._came = number


def end_with_parent() -> None:
    """Sends SIGTERM to this process when the one that started it is gone.

    The parent hands down the reading end of a pipe as `PARENT_VARIABLE` and keeps the
    other end open: it closes with the parent, whatever ends that.
    """
    text = os.environ.pop(PARENT_VARIABLE, "")
    if text:
        threading.Thread(target=_wait_for_end, args=(int(text),), daemon=True).start()


def _wait_for_end(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
