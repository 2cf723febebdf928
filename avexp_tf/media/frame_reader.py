"""The pictures of a media file, one after the other, with their own time stamps."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import av

from avexp_tf import errors
from avexp_tf.media import clock
from avexp_tf.media import container
from avexp_tf.media import frame
from avexp_tf.media import splices

# A larger picture than any camera makes comes from a damaged header, and decoding it
# could take all memory.
_MOST_PIXELS = 16384 * 8192


class FrameReader:
    """Decodes the video stream of a file, a few frames at a time, whatever its length.

    Damaged stretches are left out and marked at the frame that follows. A file that
    breaks off ends early.

    Args:
      path: A media file.

    Attributes:
      n_damaged: Packets that could not be decoded, so far.
      broke_off: The file ended before its container said so.
      end_secs: How long the last picture so far is shown; None if there was none.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = pathlib.Path(path)
        self.n_damaged = 0
        self.broke_off = False
        self.end_secs: float | None = None

    def __iter__(self) -> Iterator[frame.Frame]:
        """Yields the frames in the order of display, `secs` rising; none without video.

        Raises:
          errors.DataError: if the file can't be opened, or a stamp or a picture's size
            can't be true.
        """
        with container.opened(self._path) as opened:
            stream = container.stream(opened, "video")
            if stream is None:
                return
            stream.thread_type = "AUTO"
            origin_secs = container.origin_secs(opened)
            stream_clock = clock.StreamClock(
                str(self._path),
                origin_secs,
                period_secs(stream),
                splices.Splices(self._path, "video", origin_secs),
            )
            pixel_aspect = container.pixel_aspect(stream)
            reformatter = av.video.reformatter.VideoReformatter()
            index = 0
            n_seen_damaged = 0
            for decoded in self._decoded(opened, stream):
                width = frame.shown_width(decoded, pixel_aspect)
                if width * decoded.height > _MOST_PIXELS:
                    raise errors.DataError(
                        f"{self._path}: a picture of {width}x{decoded.height}; "
                        f"at most {_MOST_PIXELS} pixels are believed"
                    )
                secs = stream_clock.read(decoded.pts, decoded.time_base)
                duration_secs = self._duration_secs(decoded, stream)
                self.end_secs = secs + duration_secs
                yield frame.Frame(
                    index=index,
                    secs=secs,
                    duration_secs=duration_secs,
                    lost_before=self.n_damaged > n_seen_damaged,
                    decoded=decoded,
                    reformatter=reformatter,
                    pixel_aspect=pixel_aspect,
                )
                n_seen_damaged = self.n_damaged
                index += 1

    @staticmethod
    def _duration_secs(decoded: Any, stream: Any) -> float:
        if decoded.duration and decoded.time_base:
            secs = float(decoded.duration * decoded.time_base)
            if 0 < secs <= clock.LONGEST_STEP_SECS:
                return secs
        return period_secs(stream)

    def _decoded(self, opened: Any, stream: Any) -> Iterator[Any]:
        for packet in container.packets(opened, stream):
            if packet is None:
                self.broke_off = True
                # What the decoder still holds is whole.
                yield from self._flushed(stream)
                return
            try:
                yield from packet.decode()
            except (av.FFmpegError, OSError, ValueError):
                self.n_damaged += 1

    def _flushed(self, stream: Any) -> Iterator[Any]:
        try:
            yield from stream.codec_context.decode(None)
        except (av.FFmpegError, OSError, ValueError):
            self.n_damaged += 1


def period_secs(stream: Any) -> float:
    """Returns how long a frame of a video stream lasts on average, in seconds."""
    rate = stream.average_rate or stream.guessed_rate
    if not rate or not 0.01 <= float(rate) <= 1000:
        return 1 / 30
    return 1 / float(rate)
