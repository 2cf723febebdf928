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
from typing import Any

PARENT_VARIABLE = "AVEXP_PARENT_PIPE"  # file descriptor that closes with the parent


class Terminated(BaseException):
    """SIGTERM or SIGHUP came; like KeyboardInterrupt, `except Exception` misses it."""


@contextlib.contextmanager
def raised_on_sigterm() -> Iterator[None]:
    """While the block runs, SIGTERM raises `Terminated` in the main thread."""
    if not _in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def ended_once() -> Iterator[None]:
    """Lets the first of Ctrl-C, SIGTERM and SIGHUP end the block, undisturbed.

    SIGHUP, which a terminal that is closed sends, raises `Terminated` as SIGTERM does.
    Once one has come the others are ignored until the block has ended. What is ignored
    already stays so, as under `nohup`.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not on Windows
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before: dict[int, Any] = {}

    def end(number: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    try:
        if _in_main_thread():
            for number in numbers:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
