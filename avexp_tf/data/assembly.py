"""From finished parts to the shards and the numbers that the manifest holds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import contents
from avexp_tf.data import parts
from avexp_tf.data import shards
from avexp_tf.data import statistics


@dataclasses.dataclass(frozen=True)
class Assembly:
    """What the parts of all recordings add up to.

    Attributes:
      splits: {split: contents.Split}, in the order of `contents.SPLIT_NAMES`.
      train_audio: Statistics over the present audio rows of `train`.
      has_background: Whether the records hold `background`.
    """

    splits: dict[str, contents.Split]
    train_audio: statistics.Statistics
    has_background: bool


def assemble(
    corpus: recording.Corpus,
    infos: Sequence[recording.RecordingInfo],
    names: Sequence[str],
    records: config.RecordsConfig,
    parts_dir: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
) -> Assembly:
    """Writes the shards of all splits, in the order of the corpus.

    Args:
      corpus: Where the recordings come from.
      infos: All recordings.
      names: The split of each.
      records: How they were cut.
      parts_dir: Where their parts lie, all finished.
      out_dir: Where the shards go.

    Returns:
      What the manifest needs.

    Raises:
      errors.DataError: if a part is missing or damaged, some recordings have a
        background and some have none, or the shards can't be written.
    """
    by_split: dict[str, list[recording.RecordingInfo]] = {}
    for info, name in zip(infos, names, strict=True):
        by_split.setdefault(name, []).append(info)
    plans = {}
    for name in contents.SPLIT_NAMES:
        if name in by_split:
            plans[name] = _Plan(corpus.audio.dim)
            for info in by_split[name]:
                part = parts.load(corpus, info, records, parts_dir)
                path, _ = parts.paths(parts_dir, info.recording_id)
                plans[name].add(info, part, path)
    has_background = _only_one_kind(plans.values())
    n_bytes = sum(sum(plan.record_bytes) for plan in plans.values())
    splits = {}
    with tqdm.tqdm(total=n_bytes, unit="B", unit_scale=True, desc="shards") as bar:
        for name, plan in plans.items():
            planned = shards.plan(plan.record_bytes, records.shard_mb * 1e6)
            written = shards.write(out_dir, name, planned, plan.sources, bar.update)
            splits[name] = plan.split(written)
    empty = statistics.Statistics.empty(corpus.audio.dim)
    train_audio = plans["train"].audio if "train" in plans else empty
    return Assembly(splits, train_audio, has_background)


class _Plan:
    """The parts of one split, added up."""

    def __init__(self, audio_dim: int):
        self.sources: list[tuple[str, str]] = []
        self.record_bytes: list[int] = []
        self.audio = statistics.Statistics.empty(audio_dim)
        self.background_of: dict[bool, str] = {}
        self._entries: list[contents.Entry] = []
        self._ticks = {"video": 0, "audio": 0}
        self._label_ticks = np.zeros(len(config.TARGETS), int)

    def add(self, info: recording.RecordingInfo, part: parts.Part, path: str) -> None:
        self.sources.append((path, part.sha256))
        self.record_bytes.extend(part.record_bytes)
        self.audio = self.audio.merge(part.audio)
        self.background_of.setdefault(part.has_background, info.recording_id)
        self._entries.append(
            contents.Entry(
                recording_id=info.recording_id,
                subject_id=info.subject_id,
                split_group=info.split_group,
                segments=part.segments,
            )
        )
        self._ticks["video"] += part.video_ticks
        self._ticks["audio"] += part.audio_ticks
        self._label_ticks += part.label_ticks

    def split(self, written: tuple[contents.Shard, ...]) -> contents.Split:
        return contents.Split(
            shards=written,
            recordings=tuple(self._entries),
            video_ticks=self._ticks["video"],
            audio_ticks=self._ticks["audio"],
            label_ticks=tuple(self._label_ticks.tolist()),
        )


def _only_one_kind(plans: Iterable[_Plan]) -> bool:
    """Returns whether there is a background; raises DataError if only sometimes."""
    kinds: dict[bool, str] = {}
    for plan in plans:
        kinds |= plan.background_of
    if len(kinds) == 2:
        raise errors.DataError(
            f"the recording {kinds[True]!r} has a background, {kinds[False]!r} has "
            "none: it must be there in all recordings of a corpus, or in none"
        )
    return True in kinds
