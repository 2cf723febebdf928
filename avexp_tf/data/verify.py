"""Compares a records folder with its manifest, byte by byte and rule by rule."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np

from avexp_tf import errors
from avexp_tf.data import contents
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import schema
from avexp_tf.data import segment as segment_lib
from avexp_tf.data import shard_reader


def problems(
    records_dir: str | os.PathLike[str],
    on_bytes: Callable[[int], object] = lambda n_bytes: None,
) -> Iterator[str]:
    """Yields what is wrong with a records folder, one line each.

    It finds any changed, missing or added byte of a shard or of the manifest, and any
    record that breaks a rule of the schema or is not the one that the manifest says.

    Args:
      records_dir: The folder.
      on_bytes: Called with the number of bytes after each record.

    Yields:
      Lines that name the file, and the record where it is one.
    """
    folder = pathlib.Path(records_dir)
    try:
        manifest = manifest_lib.Manifest.load(folder)
    except errors.AvexpError as error:
        yield str(error)
        return
    listed = set()
    for name, split in manifest.splits.items():
        tally = _Tally()
        expected = _expected(split)
        for shard in split.shards:
            listed.add(shard.file)
            records = [next(expected) for _ in shard.record_bytes]
            yield from _shard_problems(
                folder / shard.file, shard, records, manifest.layout, tally, on_bytes
            )
        if tally.n_records == len(split.segment_ticks):
            yield from (
                f"{folder}: {name}: {text}" for text in tally.differences(split)
            )
    for path in sorted(folder.glob("*.tfrecord")):
        if path.name not in listed:
            yield f"{path}: is not in the manifest"


@dataclasses.dataclass(frozen=True)
class _Expected:
    """What the manifest says of one record."""

    recording_id: str
    subject_id: str
    segment_index: int
    first_tick: int
    n_ticks: int


def _expected(split: contents.Split) -> Iterator[_Expected]:
    for entry in split.recordings:
        first_tick = 0
        for index, n_ticks in enumerate(entry.segments):
            yield _Expected(
                entry.recording_id, entry.subject_id, index, first_tick, n_ticks
            )
            first_tick += n_ticks


class _Tally:
    """Adds up what the manifest says of a split as a whole."""

    def __init__(self) -> None:
        self.n_records = 0
        self._video_ticks = 0
        self._audio_ticks = 0
        self._label_ticks = np.zeros(2, int)
        self._last: segment_lib.Segment | None = None

    def add(self, segment: segment_lib.Segment) -> Iterator[str]:
        """Counts a good record; yields what does not fit to the one before."""
        self.n_records += 1
        self._video_ticks += int(segment.video_present.sum())
        self._audio_ticks += int(segment.audio_present.sum())
        self._label_ticks += segment.label_valid.sum(axis=0, dtype=int)
        last, self._last = self._last, segment
        if last is None or last.recording_id != segment.recording_id:
            return
        follows = last.first_tick + last.n_ticks == segment.first_tick
        if follows and segment.timestamps[0] <= last.timestamps[-1]:
            yield "timestamps do not rise from the record before"

    def differences(self, split: contents.Split) -> Iterator[str]:
        """Yields the counts that are not those of the manifest."""
        for name, found, said in (
            ("video_ticks", self._video_ticks, split.video_ticks),
            ("audio_ticks", self._audio_ticks, split.audio_ticks),
            ("label_ticks", tuple(self._label_ticks.tolist()), split.label_ticks),
        ):
            if found != said:
                yield f"the records have {name} {found}, the manifest says {said}"


def _shard_problems(
    path: pathlib.Path,
    shard: contents.Shard,
    records: list[_Expected],
    layout: schema.Layout,
    tally: _Tally,
    on_bytes: Callable[[int], object],
) -> Iterator[str]:
    digest = hashlib.sha256()
    n_bytes, is_clean = 0, True
    try:
        for index, (offset, framed) in enumerate(
            shard_reader.framed_records(str(path), shard)
        ):
            digest.update(framed)
            n_bytes += len(framed)
            on_bytes(len(framed))
            if index >= len(records) or not framed:
                continue
            for problem in _record_problems(framed, records[index], layout, tally):
                is_clean = False
                yield f"{path}: record {index} at byte {offset}: {problem}"
    except OSError as error:
        yield f"{path}: can't be read: {error.strerror or error}"
        return
    if n_bytes != shard.n_bytes:
        yield f"{path}: has {n_bytes} bytes, the manifest says {shard.n_bytes}"
    elif is_clean and digest.hexdigest() != shard.sha256:
        yield f"{path}: its SHA-256 is not that of the manifest"


def _record_problems(
    framed: bytes, expected: _Expected, layout: schema.Layout, tally: _Tally
) -> Iterator[str]:
    try:
        segment = example.decode(framing.unframe(framed), layout)
    except errors.DataError as error:
        yield str(error)
        return
    for field in dataclasses.fields(expected):
        found, said = getattr(segment, field.name), getattr(expected, field.name)
        if found != said:
            yield f"{field.name} is {found!r}, the manifest says {said!r}"
    yield from _broken_rules(segment, layout)
    yield from tally.add(segment)


def _broken_rules(segment: segment_lib.Segment, layout: schema.Layout) -> Iterator[str]:
    """Yields the rules of the schema that the values of a record break."""
    for field in layout.fields:
        array = getattr(segment, field.key)
        if field.dtype.kind == "f" and not np.isfinite(array).all():
            yield f"{field.key} holds a value that is not finite"
        if field.dtype.kind == "u" and array.max(initial=0) > 1:
            yield f"{field.key} holds {array.max()}, must be 0 or 1"
    if np.abs(segment.labels).max() > 1:
        yield f"labels hold {np.abs(segment.labels).max()}, must be in [-1, 1]"
    if (np.diff(segment.timestamps) <= 0).any():
        yield "timestamps do not rise"
    stream_present = segment.stream_present(layout.context_before)
    for name, array, flags in (
        ("labels", segment.labels, segment.label_valid),
        ("video", segment.video, segment.video_present),
        ("audio", segment.audio, stream_present),
    ):
        if array[flags == 0].any():
            yield f"{name} is not 0 where nothing is present"
