"""One call of the page: what is played, what the models say of it, what is shown."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np

from avexp_tf import errors
from avexp_tf.features import timeline
from avexp_tf.live import comparison
from avexp_tf.live import feature_stream

WINDOW_SECS = 20.0
_PICTURE_WIDTH = 320
_MOST_PICTURES = 90
_RECENT = 30


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture as the page shows it.

    Attributes:
      image: uint8 [height, width, 3], BGR, at most 320 wide.
      scale: Its size as a share of the camera's.
    """

    image: np.ndarray
    scale: float


@dataclasses.dataclass(frozen=True)
class View:
    """What the page shows.

    Attributes:
      moments: Of the last 20 seconds, oldest first.
      picture: What the other side sees at the last of them; None if nothing.
      has_pictures: Whether there are any, as a table of features has none.
      title: What is played.
      playing: Whether it goes on.
      error: Why it stopped, or empty.
      behind_secs: From when something happens to when it is shown.
      work_secs: Computing per tick.
    """

    moments: list[comparison.Moment]
    picture: Picture | None
    has_pictures: bool
    title: str
    playing: bool
    error: str
    behind_secs: float
    work_secs: float


class Source(Protocol):
    """What is played; see `play`."""

    def play(self, call: PageCall) -> Iterator[None]:
        """Gives packets or ticks to a call; yields at least at every tick."""
        ...


class PageCall:
    """Takes packets as a `Recognizer` does, and keeps what the page shows.

    A modality that is switched off is not even looked at.

    Args:
      models: Their estimates.
      stream: Makes their features; None where ticks come ready.
      title: What is played.
    """

    def __init__(
        self,
        models: comparison.Comparison,
        stream: feature_stream.FeatureStream | None,
        title: str,
    ):
        self.models = models
        self._stream = stream
        self._title = title
        self._lock = threading.Lock()  # of all below
        self._moments: collections.deque[comparison.Moment] = collections.deque()
        self._pictures: collections.OrderedDict[int, Picture] = (
            collections.OrderedDict()
        )
        self._n_pushed = 0
        self._behind: collections.deque[float] = collections.deque(maxlen=_RECENT)
        self._work: collections.deque[float] = collections.deque(maxlen=_RECENT)
        self._playing = True
        self._error = ""

    def push_video(
        self,
        image: np.ndarray,
        secs: float,
        duration_secs: float = 1 / timeline.TICK_RATE_HZ,
        lost_before: bool = False,
    ) -> None:
        """Adds a picture; see `FeatureStream.push_video`."""
        assert self._stream is not None
        if "video" in self.models.losses.off:
            self._stream.end("video")
            return
        self._stream.push_video(image, secs, duration_secs, lost_before)
        scale = min(1.0, _PICTURE_WIDTH / image.shape[1])
        size = (round(image.shape[1] * scale), max(1, round(image.shape[0] * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        with self._lock:
            # The stream counts the pictures that it gets, too.
            self._pictures[self._n_pushed] = Picture(small, scale)
            self._n_pushed += 1
            if len(self._pictures) > _MOST_PICTURES:
                self._pictures.popitem(last=False)

    def push_audio(self, samples: np.ndarray, secs: float) -> None:
        """Adds a block of sound at 16 kHz; see `FeatureStream.push_audio`."""
        assert self._stream is not None
        if "audio" in self.models.losses.off:
            self._stream.end("audio")
            return
        self._stream.push_audio(samples, secs)

    def end(self, modality: str) -> None:
        """Says that the camera (`video`) or microphone (`audio`) is off."""
        assert self._stream is not None
        self._stream.end(modality)

    def poll(self, now_secs: float | None = None) -> None:
        """Goes on to a time; see `Recognizer.poll`."""
        assert self._stream is not None
        start = time.perf_counter()
        self.take(self._stream.poll(now_secs), None, now_secs, start)

    def finish(self) -> None:
        """Ends the call."""
        assert self._stream is not None
        self.take(self._stream.finish(), None, None, time.perf_counter())

    def take(
        self,
        ticks: list[feature_stream.TickFeatures],
        truths: list[np.ndarray | None] | None,
        now_secs: float | None,
        start: float,
    ) -> None:
        """Takes ticks whose features are made.

        Args:
          ticks: In order.
          truths: What is known of valence and arousal at each of them.
          now_secs: The time, on the clock of the ticks; None if it does not matter.
          start: When work on them began, by `time.perf_counter`.
        """
        if not ticks:
            return
        found = self.models.estimate(ticks, truths)
        took_secs = time.perf_counter() - start
        with self._lock:
            self._work.append(took_secs / len(ticks))
            if ticks[0].restarted:
                self._moments.clear()
            self._moments.extend(found)
            if found and now_secs is not None:
                self._behind.append(now_secs + took_secs - found[-1].secs)
            while (
                self._moments
                and self._moments[0].secs < self._moments[-1].secs - WINDOW_SECS
            ):
                self._moments.popleft()

    def view(self) -> View:
        """Returns what the page shows now."""
        with self._lock:
            moments = list(self._moments)
            picture = None
            if moments:
                picture = self._pictures.get(moments[-1].picture)
            return View(
                moments=moments,
                picture=picture,
                has_pictures=self._stream is not None,
                title=self._title,
                playing=self._playing,
                error=self._error,
                behind_secs=float(np.median(self._behind)) if self._behind else 0.0,
                work_secs=float(np.mean(self._work)) if self._work else 0.0,
            )

    def run(self, source: Source, stopped: threading.Event) -> None:
        """Plays a source until it ends or somebody stops it.

        Args:
          source: What is played.
          stopped: Set by whoever wants it to end.
        """
        steps = source.play(self)
        try:
            for _ in steps:
                if stopped.is_set():
                    break
        except errors.AvexpError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"this should not have happened: {error!r}")
            raise
        finally:
            close = getattr(steps, "close", None)
            if close is not None:
                close()
            if self._stream is not None:
                self._stream.close()
            with self._lock:
                self._playing = False

    def _fail(self, why: str) -> None:
        with self._lock:
            self._error = why
