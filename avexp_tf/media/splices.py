"""Where a file that was put together from several goes on, for all its streams."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

from avexp_tf.media import container

# A step back of the stamps by less than this is a slip of the muxer; by more, the file
# was spliced from two, and the clock goes on from where it was.
SPLICE_SECS = 1.0


@dataclasses.dataclass
class _Part:
    """Stamps of one of the files, in seconds, by kind of stream."""

    first: dict[str, float] = dataclasses.field(default_factory=dict)
    end: dict[str, float] = dataclasses.field(default_factory=dict)


class Splices:
    """Tells the reader of one stream where each of the following parts starts.

    A part starts where the longest stream of the one before ends, so that pictures and
    sound stay together however many parts there are. The file's stamps are looked
    through at the first question only.

    Args:
      path: A media file.
      kind: `video` or `audio`.
      origin_secs: The stamp that is second 0 of the first part.
    """

    def __init__(self, path: pathlib.Path, kind: str, origin_secs: float):
        self._path = path
        self._kind = kind
        self._origin_secs = origin_secs
        self._origins: Iterator[float] | None = None

    def next_origin_secs(
        self, stamp_secs: float, last_secs: float, step_secs: float = 0.0
    ) -> float:
        """Returns the stamp that is second 0 after the next step back.

        Args:
          stamp_secs: The stamp that stepped back.
          last_secs: Where the stream was before, which it does not fall behind.
          step_secs: How far after that it goes on, should nothing else be known.
        """
        if self._origins is None:
            self._origins = iter(_origins(self._path, self._kind, self._origin_secs))
        origin_secs = next(self._origins, None)
        if origin_secs is None or stamp_secs - origin_secs <= last_secs:
            return stamp_secs - last_secs - step_secs
        return origin_secs


def _origins(path: pathlib.Path, kind: str, origin_secs: float) -> list[float]:
    """Returns the stamp of second 0 after each step back of a kind of stream."""
    parts, visited = _parts(path)
    origins = [origin_secs]
    for before, part in zip(parts, parts[1:], strict=False):
        end_secs = max(before.end.values()) - origins[-1]
        origins.append(min(part.first.values()) - end_secs)
    return [origins[place] for place in visited[kind][1:]]


def _parts(path: pathlib.Path) -> tuple[list[_Part], dict[str, list[int]]]:
    """Returns the parts, and through which of them each kind of stream goes."""
    parts = [_Part()]
    visited: dict[str, list[int]] = {"video": [0], "audio": [0]}
    with container.opened(path) as opened:
        streams = {
            kind: stream
            for kind in visited
            if (stream := container.stream(opened, kind)) is not None
        }
        kinds = {stream.index: kind for kind, stream in streams.items()}
        for packet in container.packets(opened, list(streams.values())):
            if packet is None or packet.pts is None or packet.time_base is None:
                continue
            kind = kinds[packet.stream_index]
            secs = float(packet.pts * packet.time_base)
            part = parts[visited[kind][-1]]
            if part.end.get(kind, secs) - secs >= SPLICE_SECS:
                if kind in parts[-1].first:
                    parts.append(_Part())
                visited[kind].append(len(parts) - 1)
                part = parts[-1]
            end_secs = secs + float((packet.duration or 0) * packet.time_base)
            part.first[kind] = min(part.first.get(kind, secs), secs)
            part.end[kind] = max(part.end.get(kind, end_secs), end_secs)
    return parts, visited
