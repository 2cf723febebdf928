"""A call that comes over the network: RTSP cameras, HTTP and anything FFmpeg opens."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import av
import numpy as np

from avexp_tf import errors
from avexp_tf.features import timeline
from avexp_tf.live import recognizer
from avexp_tf.media import audio_reader
from avexp_tf.media import container as containers
from avexp_tf.media import frame as frames
from avexp_tf.media import resampler as resamplers

_MOST_WAITING = 128
_OPEN_SECS, _READ_SECS = 10.0, 10.0
# RTSP over TCP: no packet is half there. Other protocols don't know the option.
_OPTIONS = {"rtsp_transport": "tcp"}


class _Packet(NamedTuple):
    secs: float
    modality: str
    content: np.ndarray  # a picture, or samples


def is_url(text: str) -> bool:
    """Returns whether a word names a stream, and no file."""
    scheme, separator, rest = text.partition("://")
    return bool(separator and rest) and scheme.isalnum()


class UrlSource:
    """Plays a stream by its own time stamps, as it comes; a file on a server, too.

    Args:
      url: Such as `rtsp://camera/stream` or `http://server/talk.mp4`.

    Raises:
      errors.DataError: if it can't be opened, or has neither pictures nor sound.
    """

    def __init__(self, url: str):
        self._url = url
        try:
            self._container: Any = av.open(
                url, options=_OPTIONS, timeout=(_OPEN_SECS, _READ_SECS)
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            said = containers.said(error)
            raise errors.DataError(f"{url}: can't be opened: {said}") from None
        found = [
            containers.stream(self._container, kind) for kind in ("video", "audio")
        ]
        self._streams = [stream for stream in found if stream is not None]
        if not self._streams:
            self._container.close()
            raise errors.DataError(f"{url}: has neither pictures nor sound")
        self._packets: queue.Queue[_Packet | None] = queue.Queue(_MOST_WAITING)
        self._stopped = threading.Event()
        self._broke_off: Exception | None = None

    def estimates(
        self, call: recognizer.Recognizer
    ) -> Iterator[list[recognizer.Estimate]]:
        """Yields what the call says until the stream ends; see `sources.Source`.

        Raises:
          errors.DataError: if it ends before there was anything to see or to hear.
        """
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        start = math.inf  # of the stream's clock, on this machine's
        try:
            ended = False
            while not ended:
                try:
                    packet = self._packets.get(timeout=1 / timeline.TICK_RATE_HZ)
                    while packet is not None:
                        # The packet that was least late says how the clocks lie.
                        start = min(start, time.monotonic() - packet.secs)
                        _push(call, packet)
                        # All that wait: while a poll takes its time, several come.
                        packet = self._packets.get_nowait()
                    ended = True
                except queue.Empty:
                    pass
                if start < math.inf:
                    yield call.poll(time.monotonic() - start)
            if start == math.inf:
                said = "nothing in it could be decoded"
                if self._broke_off is not None:
                    said = containers.said(self._broke_off)
                raise errors.DataError(
                    f"{self._url}: broke off before any picture or sound: {said}"
                )
            yield call.finish()
        finally:
            self._stopped.set()
            reader.join(_READ_SECS)
            self._container.close()

    def _read(self) -> None:
        """Decodes, and hands on what is due; a server gives a file faster than that."""
        start = math.inf
        reformatter = av.video.reformatter.VideoReformatter()
        resampler = resamplers.Resampler(audio_reader.SAMPLE_RATE_HZ)
        try:
            for packet in self._container.demux(self._streams):
                for frame in _decoded(packet):
                    if self._stopped.is_set():
                        return
                    now = time.monotonic()
                    if frame.time is not None:
                        secs = float(frame.time)
                    elif start < math.inf:
                        # Over RTP some codecs stamp few pictures: as old as it came.
                        secs = now - start
                    else:
                        continue
                    start = min(start, now - secs)
                    early_secs = start + secs - time.monotonic()
                    if self._stopped.wait(max(early_secs, 0.0)):
                        return
                    if isinstance(frame, av.VideoFrame):
                        image = frames.upright_bgr(frame, reformatter)
                        self._put(_Packet(secs, "video", image))
                        continue
                    for samples in resampler.take(frame):
                        self._put(_Packet(secs, "audio", samples))
                        secs += len(samples) / audio_reader.SAMPLE_RATE_HZ
        except (av.FFmpegError, IndexError, OSError, ValueError) as error:
            # The call ends. IndexError is PyAV's end of a stream of which parts
            # appeared late.
            self._broke_off = error
        finally:
            self._put(None)

    def _put(self, packet: _Packet | None) -> None:
        """Hands a packet on, and waits where nobody fetches it."""
        while not self._stopped.is_set():
            try:
                self._packets.put(packet, timeout=0.1)
                return
            except queue.Full:
                continue


def _push(call: recognizer.Recognizer, packet: _Packet) -> None:
    push = call.push_video if packet.modality == "video" else call.push_audio
    push(packet.content, packet.secs)


def _decoded(packet: Any) -> list[Any]:
    """Returns the frames of a packet; none of a damaged one."""
    try:
        return list(packet.decode())
    except (av.FFmpegError, ValueError):
        return []
