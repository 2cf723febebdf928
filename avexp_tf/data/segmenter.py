"""Cuts a recording into segments with their context margin, in bounded memory.

Where the cuts lie depends on the recording's length alone, never on its blocks: whole
segments as long as twice their length is left, then the rest in one piece or, if that
is more than a segment, in two nearly equal ones, so that no segment is tiny.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from avexp_tf import recording
from avexp_tf.data import blocks as blocks_lib
from avexp_tf.data import schema
from avexp_tf.data import segment as segment_lib


def cut(
    blocks: Iterable[recording.Block],
    info: recording.RecordingInfo,
    layout: schema.Layout,
    segment_ticks: int,
) -> Iterator[segment_lib.Segment]:
    """Yields the segments of one recording.

    At any time it holds about three segments, the context and one block.

    Args:
      blocks: The recording's ticks in order; their lengths don't matter.
      info: The recording.
      layout: The sizes of the data set.
      segment_ticks: Ticks of a segment.

    Yields:
      Segments in order. Together they hold every tick once.

    Raises:
      errors.DataError: if a block breaks a rule.
    """
    buffer = _Buffer(info, layout)
    held = max(2 * segment_ticks, segment_ticks + layout.context_after)
    for block in blocks:
        blocks_lib.check_lengths(block, info.recording_id, buffer.n_read)
        # In small pieces, since what stays behind is copied with each segment.
        for start in range(0, len(block), segment_ticks):
            buffer.add(_rows(block, start, start + segment_ticks))
            while buffer.n_ticks >= held:
                yield buffer.take(segment_ticks)
    while buffer.n_ticks >= 2 * segment_ticks:
        yield buffer.take(segment_ticks)
    if buffer.n_ticks > segment_ticks:
        yield buffer.take((buffer.n_ticks + 1) // 2)
    if buffer.n_ticks:
        yield buffer.take(buffer.n_ticks)


class _Buffer:
    """The ticks that were read and not yet cut, and the audio right before them."""

    def __init__(self, info: recording.RecordingInfo, layout: schema.Layout):
        self._info = info
        self._layout = layout
        self._pieces: list[recording.Block] = []
        self._next_tick = 0  # of the recording: the first one that isn't cut
        self.n_read = 0
        self._last_secs = -np.inf
        self._n_segments = 0
        # Before the recording there is no sound.
        self._past = np.zeros((layout.context_before, layout.audio_dim), np.float32)
        self._past_present = np.zeros(layout.context_before, np.uint8)

    @property
    def n_ticks(self) -> int:
        return self.n_read - self._next_tick

    def add(self, block: recording.Block) -> None:
        block = blocks_lib.checked(
            block,
            self._info.recording_id,
            self.n_read,
            self._last_secs,
            self._layout,
        )
        self._pieces.append(block)
        self.n_read += len(block)
        self._last_secs = float(block.timestamps[-1])

    def take(self, n_ticks: int) -> segment_lib.Segment:
        """Removes the first `n_ticks` and returns them as a segment."""
        whole = _joined(self._pieces)
        n_before, n_after = self._layout.context_before, self._layout.context_after
        audio = np.concatenate([self._past, whole.audio])
        present = np.concatenate([self._past_present, whole.audio_present])
        # After the recording there is no sound either.
        stop = n_before + n_ticks + n_after
        missing = max(0, stop - len(audio))
        stream = np.concatenate(
            [audio[:stop], np.zeros((missing, audio.shape[1]), audio.dtype)]
        )
        stream_present = np.concatenate([present[:stop], np.zeros(missing, np.uint8)])
        segment = segment_lib.Segment(
            recording_id=self._info.recording_id,
            subject_id=self._info.subject_id,
            segment_index=self._n_segments,
            first_tick=self._next_tick,
            video=whole.video[:n_ticks],
            audio=stream,
            labels=whole.labels[:n_ticks],
            label_valid=whole.label_valid[:n_ticks],
            video_present=whole.video_present[:n_ticks],
            audio_present=whole.audio_present[:n_ticks],
            margin_present=np.concatenate(
                [stream_present[:n_before], stream_present[n_before + n_ticks :]]
            ),
            timestamps=whole.timestamps[:n_ticks],
            background=(
                None if whole.background is None else whole.background[:n_ticks]
            ),
        )
        self._past = audio[n_ticks : n_ticks + n_before].copy()
        self._past_present = present[n_ticks : n_ticks + n_before].copy()
        self._pieces = [_rows(whole, n_ticks, None)] if len(whole) > n_ticks else []
        self._next_tick += n_ticks
        self._n_segments += 1
        return segment


def _joined(pieces: list[recording.Block]) -> recording.Block:
    if len(pieces) == 1:
        return pieces[0]
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(recording.Block):
        arrays = [getattr(piece, field.name) for piece in pieces]
        columns[field.name] = None if arrays[0] is None else np.concatenate(arrays)
    return recording.Block(**columns)


def _rows(block: recording.Block, start: int, stop: int | None) -> recording.Block:
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(block):
        array = getattr(block, field.name)
        columns[field.name] = None if array is None else array[start:stop]
    return recording.Block(**columns)
