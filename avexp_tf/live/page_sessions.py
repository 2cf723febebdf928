"""Who uses the page: each visitor has a call of their own."""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import secrets
import tempfile
import threading
from collections.abc import Callable
from collections.abc import Iterator

from avexp_tf import errors
from avexp_tf.live import call_losses
from avexp_tf.live import comparison
from avexp_tf.live import drawn_call
from avexp_tf.live import feature_stream
from avexp_tf.live import page_call
from avexp_tf.live import page_config
from avexp_tf.live import page_sources

# Every third tick is predicted: ten points a second look the same in a trace.
EVERY_TICKS = 3
# A browser's sound comes in pieces of 0.1 s, and openSMILE needs as long.
_BROWSER_DELAY_SECS = 0.5
_MOST_VISITORS = 8
_REMEMBERED = 1000  # sessions that are over


class Visitor:
    """One visitor's call and controls, of any thread.

    Args:
      page: What it shows.
      drawn: Returns the drawn example, and draws it first where it must.

    Attributes:
      token: What the visitor's browser sends its pictures under; empty while it sends
        none.
    """

    def __init__(self, page: page_config.PageConfig, drawn: Callable[[], pathlib.Path]):
        self.token = ""
        self._page = page
        self._drawn = drawn
        self._lock = threading.Lock()  # of what is played
        self._n_asked = 0  # what is asked for, or to stop, ends what was before
        self._n_starting = 0
        self._is_gone = False
        self._losses = call_losses.LossSettings()
        self._call: page_call.PageCall | None = None
        self._source: page_call.Source | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def set_losses(self, losses: call_losses.LossSettings) -> None:
        """Sets what is lost from now on."""
        self._losses = losses
        if self._call is not None:
            self._call.models.losses = losses

    def view(self) -> page_call.View | None:
        """Returns what the call shows; None before there is one."""
        return None if self._call is None else self._call.view()

    @property
    def is_playing(self) -> bool:
        """Whether a call goes on, or is about to."""
        thread = self._thread
        return self._n_starting > 0 or (thread is not None and thread.is_alive())

    def play_example(self) -> None:
        """Plays the example.

        Raises:
          errors.AvexpError: if it can't be played.
        """
        example = self._page.example
        with self._starting() as asked:
            if example is None:
                self._play_file(asked, self._drawn(), "Example: a drawn face")
            elif os.path.isdir(example):
                records = page_sources.Records(example)
                title = "Example: a recording from the records"
                self._play(asked, records, None, title)
            else:
                self._play_file(asked, example, f"Example: {os.path.basename(example)}")

    def play_file(self, path: str | os.PathLike[str]) -> None:
        """Plays a media file.

        Raises:
          errors.AvexpError: if it can't be played.
        """
        with self._starting() as asked:
            self._play_file(asked, path, f"Your file: {os.path.basename(path)}")

    def play_browser(self) -> str:
        """Plays what the visitor's browser sends.

        Returns:
          The token to send it under; empty where it was stopped meanwhile.

        Raises:
          errors.AvexpError: if pictures can't be used.
        """
        token, title = secrets.token_urlsafe(16), "Your camera and microphone"
        with self._starting() as asked:
            stream = self._page.features(_BROWSER_DELAY_SECS)
            source = page_sources.Browser()
            started = self._play(asked, source, stream, title, token)
        return token if started else ""

    def receive(self, kind: str, secs: float, content: bytes, rate_hz: int) -> bool:
        """Takes what the browser sent; returns False where no call wants it."""
        thread, source = self._thread, self._source
        if not isinstance(source, page_sources.Browser):
            return False
        if thread is None or not thread.is_alive():
            return False
        source.put(kind, secs, content, rate_hz)
        return True

    def stop(self) -> None:
        """Ends the call, and what is about to be played; what it showed stays."""
        with self._lock:
            self._n_asked += 1
            self._end()

    def leave(self) -> None:
        """Ends the call; nothing can be played any more."""
        self._is_gone = True
        self.stop()

    @contextlib.contextmanager
    def _starting(self) -> Iterator[int]:
        """Notes that something is to be played; gives the number of the request."""
        with self._lock:
            self._n_asked += 1
            self._n_starting += 1
            asked = self._n_asked
        try:
            yield asked
        finally:
            with self._lock:
                self._n_starting -= 1

    def _end(self) -> None:
        self.token = ""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._source = None

    def _play_file(self, asked: int, path: str | os.PathLike[str], title: str) -> None:
        source = page_sources.File(path)
        self._play(asked, source, self._page.features(), title)

    def _play(
        self,
        asked: int,
        source: page_call.Source,
        stream: feature_stream.FeatureStream | None,
        title: str,
        token: str = "",
    ) -> bool:
        """Starts a call, unless it was stopped meanwhile; returns whether it did."""
        with self._lock:
            if asked != self._n_asked or self._is_gone:
                if stream is not None:
                    stream.close()
                return False
            self._end()
            models = comparison.Comparison(self._page.models, EVERY_TICKS)
            models.losses = self._losses
            self._stopped = threading.Event()
            self._source = source
            self._call = page_call.PageCall(models, stream, title)
            self._thread = threading.Thread(
                target=self._call.run, args=(source, self._stopped), daemon=True
            )
            self._thread.start()
            self.token = token
            return True


class Visitors:
    """All visitors; use as a context manager, which ends all calls.

    Args:
      page: What it shows.

    Attributes:
      page: Likewise.
    """

    def __init__(self, page: page_config.PageConfig):
        self.page = page
        self._folder = tempfile.TemporaryDirectory(prefix="avexp-page-")
        self._visitors: dict[str, Visitor] = {}
        self._left: collections.deque[str] = collections.deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Visitors:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def of(self, session: str) -> Visitor:
        """Returns the visitor of a browser's session, who comes to play something.

        Raises:
          errors.DataError: if too many others play, or the session is over.
        """
        with self._lock:
            if session in self._left or self._is_closed:
                raise errors.DataError("the page lost its connection: load it again")
            sent_away = []
            if session not in self._visitors:
                sent_away = self._make_room()
                self._visitors[session] = Visitor(self.page, self.drawn)
            visitor = self._visitors[session]
        for one in sent_away:
            one.leave()
        return visitor

    def find(self, session: str) -> Visitor | None:
        """Returns the visitor of a browser's session; None who played nothing yet."""
        with self._lock:
            return self._visitors.get(session)

    def _make_room(self) -> list[Visitor]:
        """Lets go of who plays nothing, the oldest first; returns them."""
        sent_away = []
        while len(self._visitors) >= _MOST_VISITORS:
            idle = [name for name, one in self._visitors.items() if not one.is_playing]
            if not idle:
                raise errors.DataError(
                    f"{_MOST_VISITORS} others play something here: stop one of them, "
                    "or close its page"
                )
            sent_away.append(self._visitors.pop(idle[0]))
        return sent_away

    def drawn(self) -> pathlib.Path:
        """Returns the drawn example; the first who asks waits until it is drawn."""
        with self._drawing:
            if not self._drawn_path.exists():
                drawn_call.write(self._drawn_path)
            return self._drawn_path

    @property
    def must_draw(self) -> bool:
        """Whether the example has yet to be drawn, which takes seconds."""
        return self.page.example is None and not self._drawn_path.exists()

    @property
    def _drawn_path(self) -> pathlib.Path:
        return pathlib.Path(self._folder.name) / "drawn.mp4"

    def sender(self, token: str) -> Visitor | None:
        """Returns the visitor whose browser sends under a token."""
        with self._lock:
            for visitor in self._visitors.values():
                mine = visitor.token.encode()
                if mine and secrets.compare_digest(mine, token.encode()):
                    return visitor
        return None

    def leave(self, session: str) -> None:
        """Ends a visitor's call."""
        with self._lock:
            self._left.append(session)
            visitor = self._visitors.pop(session, None)
        if visitor is not None:
            visitor.leave()

    def close(self) -> None:
        """Ends all calls; there can be no others."""
        with self._lock:
            self._is_closed = True
        for session in list(self._visitors):
            self.leave(session)
        with contextlib.suppress(OSError):
            self._folder.cleanup()
