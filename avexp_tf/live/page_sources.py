"""What the page plays: a file, recorded features, or what a browser sends."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import time
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import av
import cv2
import numpy as np

from avexp_tf import errors
from avexp_tf.data import manifest as manifests
from avexp_tf.data import segment as segment_lib
from avexp_tf.data import shard_reader
from avexp_tf.features import timeline
from avexp_tf.live import arrival_clock
from avexp_tf.live import feature_stream
from avexp_tf.live import page_call
from avexp_tf.live import sources
from avexp_tf.media import audio_reader

_TICK_SECS = 1 / timeline.TICK_RATE_HZ
_MOST_WAITING = 256
_QUIET_SECS = 20.0  # a browser that sends nothing for so long is gone


class File:
    """Plays a media file at its own speed.

    Args:
      path: The file.

    Raises:
      errors.DataError: if it can't be used.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = os.fspath(path)
        with self._named():
            self._source = sources.FileSource(path)

    def play(self, call: page_call.PageCall) -> Iterator[None]:
        """Gives packets to a call; see `page_call.Source`."""
        listener: Any = call  # takes packets, and gives nothing back
        with self._named():
            for _ in self._source.estimates(listener):
                yield None

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Names the file in errors as the user knows it, not where it was uploaded."""
        try:
            yield
        except errors.DataError as error:
            name = os.path.basename(self._path)
            raise errors.DataError(str(error).replace(self._path, name)) from None


class Records:
    """Plays recordings whose features are made, with their labels, over and over.

    Args:
      path: A records folder.

    Attributes:
      manifest: Of the records.

    Raises:
      errors.DataError: if there are none.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = path
        self.manifest = manifests.Manifest.load(path)
        counts = {
            name: sum(shard.n_records for shard in split.shards)
            for name, split in self.manifest.splits.items()
        }
        # What no model has learned from, if there is any.
        order = sorted(counts, key=lambda name: (name != "validation", name))
        filled = [name for name in order if counts[name]]
        if not filled:
            raise errors.DataError(f"{path}: there are no records in it")
        self._split, self._n_records = filled[0], counts[filled[0]]

    def play(self, call: page_call.PageCall) -> Iterator[None]:
        """Gives ticks to a call; see `page_call.Source`."""
        start = time.monotonic()
        n_ticks = 0
        while True:
            for index in range(self._n_records):
                segment = shard_reader.read(
                    self._path, self.manifest, self._split, index
                )
                for k in range(segment.n_ticks):
                    secs = n_ticks * _TICK_SECS
                    now = time.monotonic() - start
                    if now < secs:
                        time.sleep(secs - now)
                    tick = self._tick(segment, k, n_ticks, secs)
                    label, valid = segment.labels[k], segment.label_valid[k]
                    truth = np.where(valid > 0, label, math.nan)
                    work_start = time.perf_counter()
                    now = time.monotonic() - start
                    call.take([tick], [truth], now, work_start)
                    n_ticks += 1
                    yield None

    def _tick(
        self, segment: segment_lib.Segment, k: int, index: int, secs: float
    ) -> feature_stream.TickFeatures:
        seen, heard = bool(segment.video_present[k]), bool(segment.audio_present[k])
        background = segment.background
        return feature_stream.TickFeatures(
            index=index,
            secs=secs,
            video=segment.video[k].astype(np.float32),
            audio=segment.audio[self.manifest.layout.context_before + k],
            background=None if background is None else background[k].astype(np.float32),
            video_present=seen,
            video_arrived=seen,
            audio_present=heard,
            box=None,
            score=float(seen),
            picture=-1,
            looked=True,
            restarted=k == 0 and segment.segment_index == 0,
        )


class _Sent(NamedTuple):
    kind: str
    secs: float  # of the browser's clock
    content: bytes
    rate_hz: int


class Browser:
    """Plays what a browser's camera and microphone send.

    The browser stamps what it sends by one clock for both.
    """

    def __init__(self) -> None:
        self._sent: queue.Queue[_Sent] = queue.Queue(_MOST_WAITING)
        self._clock = arrival_clock.ArrivalClock()
        self._resampler: Any = None
        self._rate_hz = 0

    def put(self, kind: str, secs: float, content: bytes, rate_hz: int = 0) -> None:
        """Takes what came; what is not fetched in time is dropped. Of any thread.

        Args:
          kind: `video`, a JPEG picture; or `audio`, little-endian float32 samples.
          secs: When it was taken, or its first sample was heard.
          content: It.
          rate_hz: Of the samples.
        """
        secs, _ = self._clock.arrived(secs, time.monotonic())
        try:
            self._sent.put_nowait(_Sent(kind, secs, content, rate_hz))
        except queue.Full:
            pass

    def play(self, call: page_call.PageCall) -> Iterator[None]:
        """Gives packets to a call; see `page_call.Source`."""
        heard_of = time.monotonic()
        while time.monotonic() - heard_of < _QUIET_SECS:
            try:
                sent = self._sent.get(timeout=_TICK_SECS)
                heard_of = time.monotonic()
                while True:
                    self._push(call, sent)
                    sent = self._sent.get_nowait()
            except queue.Empty:
                pass
            now = self._clock.now(time.monotonic())
            if now is not None:
                call.poll(now)
            yield None
        call.finish()

    def _push(self, call: page_call.PageCall, sent: _Sent) -> None:
        if sent.kind == "video":
            encoded = np.frombuffer(sent.content, np.uint8)
            image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
            if image is not None:
                call.push_video(image, sent.secs)
            return
        whole = len(sent.content) // 4 * 4
        samples = np.frombuffer(sent.content[:whole], "<f4")
        if not len(samples):
            return
        call.push_audio(self._resampled(samples, sent.rate_hz), sent.secs)

    def _resampled(self, samples: np.ndarray, rate_hz: int) -> np.ndarray:
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        if rate_hz == audio_reader.SAMPLE_RATE_HZ:
            return samples.astype(np.float32)
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            self._resampler = av.AudioResampler(
                format="flt", layout="mono", rate=audio_reader.SAMPLE_RATE_HZ
            )
        frame = av.AudioFrame.from_ndarray(
            samples.astype(np.float32)[None], format="flt", layout="mono"
        )
        frame.sample_rate = rate_hz
        pieces = [one.to_ndarray()[0] for one in self._resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *pieces])
