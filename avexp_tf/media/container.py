"""Opens media files, and turns what FFmpeg says about them into one line."""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import pathlib
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import av

from avexp_tf import errors

# A recording is one local file. Play lists and session descriptions name further files
# or hosts, and FFmpeg might go and read those.
_REFUSED_FORMATS = frozenset({"concat", "dash", "hls", "rtsp", "sdp", "tty"})
_LONGEST_CHUNK_SECS = 10.0  # of one stream, before the other's of that time
# Pixels that are wider or narrower still come from a damaged header.
_PIXEL_ASPECTS = (1 / 8, 8)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Opens a media file for reading, and closes it.

    Args:
      path: A local file.

    Yields:
      The `av.container.InputContainer`.

    Raises:
      errors.DataError: if the file is missing, empty, not a file, or holds no media
        that FFmpeg knows.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise errors.DataError(f"{path}: no such file")
    if not path.is_file():
        raise errors.DataError(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise errors.DataError(f"{path}: is empty (0 bytes)")
    try:
        # With its protocol before it, a name such as `10:30.mp4` is still a name.
        container = av.open(f"file:{path}")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise errors.DataError(f"{path}: is no media file: {said(error)}") from None
    with container:
        names = set(container.format.name.split(","))
        if names & _REFUSED_FORMATS:
            kind = "text" if "tty" in names else container.format.name
            raise errors.DataError(f"{path}: is a {kind} file, not a recording")
        yield container


def stream(container: Any, kind: str) -> Any | None:
    """Returns the stream of a kind that a player would choose.

    Args:
      container: An open container.
      kind: `video` or `audio`.

    Returns:
      The stream, or None. A cover picture is no video. A stream for which FFmpeg has no
      decoder counts as absent.
    """
    candidates = []
    for candidate in getattr(container.streams, kind):
        is_cover = bool(candidate.disposition & av.stream.Disposition.attached_pic)
        if candidate.codec_context is not None and not is_cover:
            candidates.append(candidate)
    if not candidates:
        return None
    best = container.streams.best(kind)
    return best if best in candidates else candidates[0]


def packets(container: Any, streams: Any) -> Iterator[Any]:
    """Yields the packets of streams, and None last where the file breaks off."""
    left = container.demux(streams)
    while True:
        try:
            packet = next(left, None)
        except IndexError:
            # PyAV at the end of a file in which streams appeared late: it flushes them
            # after ours, and does not know them.
            return
        except (av.FFmpegError, OSError, ValueError):
            yield None
            return
        if packet is None:
            return
        yield packet


def interleaved(packets: Iterable[Any], n_streams: int) -> Iterator[Any]:
    """Yields packets in the order of their times, whatever the file's own order is.

    A file may hold a second of pictures before the sound of that second.

    Args:
      packets: Of all the streams; if they raise, what came before that comes first.
      n_streams: How many there are.
    """
    waiting: list[tuple[float, int, Any]] = []
    newest: dict[int, float] = {}  # by stream
    broke_off: Exception | None = None
    left = enumerate(packets)
    while True:
        try:
            count, packet = next(left)
        except StopIteration:
            break
        except Exception as error:
            broke_off = error
            break
        secs = newest.get(packet.stream_index, -math.inf)
        if packet.dts is not None and packet.time_base is not None:
            secs = max(secs, float(packet.dts * packet.time_base))
        newest[packet.stream_index] = secs
        heapq.heappush(waiting, (secs, count, packet))
        # Nothing older comes of any stream; or one of them has nothing here.
        until = min(newest.values()) if len(newest) == n_streams else -math.inf
        until = max(until, max(newest.values()) - _LONGEST_CHUNK_SECS)
        while waiting and waiting[0][0] <= until:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]
    if broke_off is not None:
        raise broke_off


def pixel_aspect(stream: Any) -> float:
    """Returns the width of a video stream's pixels over their height.

    Args:
      stream: The stream; one that says nothing, or nothing that can be true, has square
        pixels.
    """
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if _PIXEL_ASPECTS[0] <= aspect <= _PIXEL_ASPECTS[1] else 1.0


def origin_secs(container: Any) -> float:
    """Returns the time stamp that is second 0 of the recording.

    It is the container's own start: that of the stream which starts first, so that
    a late sound track stays late.
    """
    if container.start_time is not None:
        return container.start_time / av.time_base
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=0.0)


def said(error: Exception) -> str:
    """Returns what FFmpeg said, without the numbers and names around it."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())
