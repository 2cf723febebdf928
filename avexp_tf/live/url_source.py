"""A call that comes over the network: RTSP cameras, HTTP and anything FFmpeg opens."""

from __future__ import annotations

import errno
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
from avexp_tf.live import arrival_clock
from avexp_tf.live import recognizer
from avexp_tf.media import audio_reader
from avexp_tf.media import container as containers
from avexp_tf.media import frame as frames
from avexp_tf.media import resampler as resamplers

_MOST_WAITING = 128
_OPEN_SECS = _READ_SECS = 10.0  # what is silent for longer is gone
_MOST_BACKLOG_SECS = 5.0  # FFmpeg looks at so much of a stream before it gives any
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
        self._open()
        # A file has an end, and its first picture is as new as any.
        self._is_file = self._container.duration is not None
        if not self._is_file:
            # Until somebody follows it, what it sends would wait and be old.
            self._container.close()
        backlog_secs = 0.0 if self._is_file else _MOST_BACKLOG_SECS
        self._clock = arrival_clock.ArrivalClock(backlog_secs)
        self._packets: queue.Queue[_Packet | None] = queue.Queue(_MOST_WAITING)
        self._stopped = threading.Event()
        self._broke_off = ""  # why it did

    def estimates(
        self, call: recognizer.Recognizer
    ) -> Iterator[list[recognizer.Estimate]]:
        """Yields what the call says until the stream ends; see `sources.Source`.

        Raises:
          errors.DataError: if it can't be opened any more, ends before there was
            anything to see or to hear, or, after the last estimate, if an error ended
            it.
        """
        if not self._is_file:
            self._open()
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        try:
            ended, now, last_secs = False, None, 0.0
            while not ended:
                try:
                    packet = self._packets.get(timeout=1 / timeline.TICK_RATE_HZ)
                    while packet is not None:
                        _push(call, packet)
                        last_secs = packet.secs
                        # All that wait: while a poll takes its time, several come.
                        packet = self._packets.get_nowait()
                    ended = True
                except queue.Empty:
                    pass
                now = self._clock.now(time.monotonic())
                if now is not None:
                    yield call.poll(now)
            if now is None:
                said = self._broke_off or "nothing in it could be decoded"
                raise errors.DataError(
                    f"{self._url}: broke off before any picture or sound: {said}"
                )
            yield call.finish()
            if self._broke_off:
                raise errors.DataError(
                    f"{self._url}: broke off at {last_secs:.1f} s: {self._broke_off}"
                )
        finally:
            self._stopped.set()
            reader.join(_READ_SECS)
            self._container.close()

    def _open(self) -> None:
        """Opens the stream; raises DataError if it can't be."""
        try:
            self._container: Any = av.open(
                self._url, options=_OPTIONS, timeout=(_OPEN_SECS, _READ_SECS)
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise errors.DataError(
                f"{self._url}: can't be opened: {_said(error)}"
            ) from None
        found = [
            containers.stream(self._container, kind) for kind in ("video", "audio")
        ]
        self._streams = [stream for stream in found if stream is not None]
        if not self._streams:
            self._container.close()
            raise errors.DataError(f"{self._url}: has neither pictures nor sound")

    def _read(self) -> None:
        """Decodes, and hands on what is due; a server gives a file faster than that."""
        clock = self._clock
        reformatter = av.video.reformatter.VideoReformatter()
        resampler = resamplers.Resampler(audio_reader.SAMPLE_RATE_HZ)
        try:
            packets = self._container.demux(self._streams)
            if self._is_file:
                packets = containers.interleaved(packets, len(self._streams))
            for packet in packets:
                for frame in _decoded(packet):
                    if self._stopped.is_set():
                        return
                    now = time.monotonic()
                    if frame.time is not None:
                        secs, due_secs = clock.arrived(float(frame.time), now)
                    else:
                        # Over RTP some codecs stamp few pictures: as old as it came.
                        place = clock.now(now)
                        if place is None:
                            continue
                        secs, due_secs = place, now
                    if self._stopped.wait(max(due_secs - now, 0.0)):
                        return
                    if isinstance(frame, av.VideoFrame):
                        aspect = containers.pixel_aspect(packet.stream)
                        image = frames.upright_bgr(frame, reformatter, aspect)
                        self._put(_Packet(secs, "video", image))
                        continue
                    for samples in resampler.take(frame):
                        self._put(_Packet(secs, "audio", samples))
                        secs += len(samples) / audio_reader.SAMPLE_RATE_HZ
        except IndexError:
            pass  # PyAV's end of a stream of which parts appeared late
        except (av.FFmpegError, OSError, ValueError) as error:
            if not self._is_end(error):
                self._broke_off = _said(error)
        finally:
            self._put(None)

    def _is_end(self, error: Exception) -> bool:
        """Returns whether an error is how FFmpeg puts the end of a stream."""
        # A web server that tells no length ends what it sends by hanging up.
        return (
            self._url.startswith(("http://", "https://"))
            and self._container.size < 0
            and getattr(error, "errno", None) == errno.EIO
        )

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


def _said(error: Exception) -> str:
    if isinstance(error, av.ExitError):  # PyAV's, when it has waited long enough
        return f"nothing came for {_READ_SECS:.0f} s"
    return containers.said(error)


def _decoded(packet: Any) -> list[Any]:
    """Returns the frames of a packet; none of a damaged one."""
    try:
        return list(packet.decode())
    except (av.FFmpegError, ValueError):
        return []
