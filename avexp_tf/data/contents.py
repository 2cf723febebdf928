"""Parts of a manifest: shards, recordings, splits, statistics; each with its JSON."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf import typed_json

SPLIT_NAMES = recording.SPLITS

_SHARD_NAME = re.compile(rf"({'|'.join(SPLIT_NAMES)})-\d{{5,}}-of-\d{{5,}}\.tfrecord")


def shard_name(split: str, index: int, count: int) -> str:
    """Returns the file name of a shard: `train-00000-of-00012.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def split_of_shard(name: str) -> str | None:
    """Returns the split that a shard's file name tells, None for any other name."""
    match = _SHARD_NAME.fullmatch(name)
    return match.group(1) if match else None


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file.

    Attributes:
      file: Its name in the records folder.
      sha256: Of the whole file, hexadecimal.
      record_bytes: Length of every record with its framing, in order, so that a reader
        can find any of them.
    """

    file: str
    sha256: str
    record_bytes: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        return sum(self.record_bytes)

    @property
    def n_records(self) -> int:
        """Records in the file."""
        return len(self.record_bytes)

    def to_json(self) -> dict[str, Any]:
        """Returns the shard as JSON values."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "bytes": self.n_bytes,
            "records": self.n_records,
            "record_bytes": list(self.record_bytes),
        }

    @classmethod
    def from_json(cls, values: typed_json.Reader) -> Shard:
        """The inverse of `to_json`; raises DataError where a value breaks a rule."""
        shard = cls(
            file=values.text("file"),
            sha256=values.text("sha256"),
            record_bytes=values.integers("record_bytes", minimum=1),
        )
        values.equal("bytes", shard.n_bytes)
        values.equal("records", shard.n_records)
        return shard


@dataclasses.dataclass(frozen=True)
class Entry:
    """One recording of a split; its segments are consecutive records.

    Attributes:
      recording_id: Unique in the data set.
      subject_id: Who is seen and heard.
      split_group: What is never in two splits.
      segments: Ticks of each of its records.
    """

    recording_id: str
    subject_id: str
    split_group: str
    segments: tuple[int, ...]

    @property
    def n_ticks(self) -> int:
        """Ticks of the whole recording."""
        return sum(self.segments)

    def to_json(self) -> dict[str, Any]:
        """Returns the recording as JSON values."""
        return {
            "recording_id": self.recording_id,
            "subject_id": self.subject_id,
            "split_group": self.split_group,
            "n_ticks": self.n_ticks,
            "segments": list(self.segments),
        }

    @classmethod
    def from_json(cls, values: typed_json.Reader) -> Entry:
        """The inverse of `to_json`; raises DataError where a value breaks a rule."""
        entry = cls(
            recording_id=values.text("recording_id"),
            subject_id=values.text("subject_id"),
            split_group=values.text("split_group"),
            segments=values.integers("segments", minimum=1),
        )
        values.equal("n_ticks", entry.n_ticks)
        return entry


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one split, in the order in which they lie in the shards.

    Attributes:
      shards: The files.
      recordings: The recordings.
      video_ticks: Ticks with video present.
      audio_ticks: Ticks with audio present.
      label_ticks: Ticks with a valid label, one number per target.
    """

    shards: tuple[Shard, ...]
    recordings: tuple[Entry, ...]
    video_ticks: int
    audio_ticks: int
    label_ticks: tuple[int, ...]

    @property
    def n_ticks(self) -> int:
        """Ticks of all recordings."""
        return sum(entry.n_ticks for entry in self.recordings)

    @property
    def segment_ticks(self) -> list[int]:
        """Ticks of every record, in the order of the shards."""
        return [n_ticks for entry in self.recordings for n_ticks in entry.segments]

    def to_json(self) -> dict[str, Any]:
        """Returns the split as JSON values."""
        return {
            "n_ticks": self.n_ticks,
            "video_ticks": self.video_ticks,
            "audio_ticks": self.audio_ticks,
            "label_ticks": list(self.label_ticks),
            "shards": [shard.to_json() for shard in self.shards],
            "recordings": [entry.to_json() for entry in self.recordings],
        }

    @classmethod
    def from_json(cls, values: typed_json.Reader) -> Split:
        """The inverse of `to_json`; raises DataError where a value breaks a rule."""
        split = cls(
            shards=tuple(map(Shard.from_json, values.children("shards"))),
            recordings=tuple(map(Entry.from_json, values.children("recordings"))),
            video_ticks=values.integer("video_ticks"),
            audio_ticks=values.integer("audio_ticks"),
            label_ticks=values.integers("label_ticks"),
        )
        values.equal("n_ticks", split.n_ticks)
        values.length("label_ticks", len(config.TARGETS))
        n_records = sum(shard.n_records for shard in split.shards)
        if n_records != len(split.segment_ticks):
            raise errors.DataError(
                f"{values.source}: {values.where}: the shards hold {n_records} "
                f"records, the recordings {len(split.segment_ticks)} segments"
            )
        return split


@dataclasses.dataclass(frozen=True)
class AudioStatistics:
    """Mean and deviation of every LLD, over the present ticks of the train split.

    Attributes:
      count: Ticks that they were computed from.
      mean: One number per column.
      std: One number per column, above 0.
    """

    count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the statistics as JSON values."""
        return {"count": self.count, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, values: typed_json.Reader, dim: int) -> AudioStatistics:
        """The inverse of `to_json`; raises DataError where a value breaks a rule."""
        statistics = cls(
            count=values.integer("count"),
            mean=values.numbers("mean"),
            std=values.numbers("std"),
        )
        values.length("mean", dim)
        values.length("std", dim)
        if min(statistics.std) <= 0:
            raise errors.DataError(
                f"{values.source}: {values.where}.std must be above 0, holds "
                f"{min(statistics.std)}"
            )
        return statistics
