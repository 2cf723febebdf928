"""One split of a folder of records, as clips are to be read from it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from avexp_tf import cluster
from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import clips
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifests
from avexp_tf.data import record_reader


def lost_lines(names: Sequence[str]) -> list[str]:
    """Returns what to tell of damaged records and shards that were skipped.

    Args:
      names: What was skipped, in any order.

    Returns:
      A line for each, in the order of names, and one with their number.
    """
    if not names:
        return []
    lines = [f"skipped, damaged: {name}" for name in sorted(names, key=_in_order)]
    return [*lines, f"skipped in all: {len(names)}"]


def _in_order(name: str) -> list[tuple[int, str]]:
    """Sorts record 9 before record 10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


@dataclasses.dataclass(frozen=True)
class RecordSource:
    """Where a pipeline reads from, and how much that is.

    Attributes:
      manifest: Of the records.
      reader: Of one split.
      split: Its name.
      data: Clips and batches.
    """

    manifest: manifests.Manifest
    reader: record_reader.RecordReader
    split: str
    data: config.DataConfig

    @classmethod
    def open(cls, data: config.DataConfig, split: str) -> RecordSource:
        """Opens a split of the records that `data` names.

        Raises:
          errors.DataError: if the records can't be used, or the split is empty.
        """
        if not data.records:
            raise errors.ConfigError("--records: must name a folder of records")
        manifest = manifests.Manifest.load(data.records)
        if split not in manifest.splits:
            raise errors.DataError(
                f"{data.records}: no recording is in the split {split!r}; there is "
                f"{', '.join(manifest.splits)}"
            )
        reader = record_reader.RecordReader(
            manifest, data.records, split, data.on_corrupt
        )
        return cls(manifest, reader, split, data)

    def report_lost(self) -> None:
        """Prints what was skipped."""
        for line in lost_lines(self.reader.lost.names):
            print(line)

    def normalised_by(self, statistics: contents.AudioStatistics) -> RecordSource:
        """Returns the same records, their sound normalised by other statistics."""
        manifest = dataclasses.replace(self.manifest, audio_statistics=statistics)
        return dataclasses.replace(self, manifest=manifest)

    def reading(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Goes through batches of this source and explains what can't be read.

        Args:
          batches: A data set over this source, distributed or not.

        Yields:
          Each batch.

        Raises:
          errors.DataError: naming the shard, and the record and its byte if that is
            damaged.
        """
        iterator = iter(batches)
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except tf.errors.ResourceExhaustedError:
                raise  # for want of memory, which is no fault of the records
            except (tf.errors.OpError, UnicodeDecodeError) as error:
                if cluster.another_ended(error):
                    raise  # likewise
                # The latter where TensorFlow's message quotes a record that is no text.
                raise self._explained(error) from error
            yield batch

    def _explained(self, error: Exception) -> errors.DataError:
        changed = self.reader.find_change()
        if changed:
            return errors.DataError(changed)
        damage = self.reader.find_damage()
        if damage:
            return errors.DataError(
                f"{damage}; prepare the records again (training and evaluation can go "
                "on without it: --on_corrupt=skip)"
            )
        reason = str(error).split("\n")[0]
        return errors.DataError(f"{self.data.records}: can't be read: {reason}")

    @property
    def clips_of_segments(self) -> list[int]:
        """Training clips of each record, one after the other."""
        return [
            clips.clips_per_segment(n_ticks, self.data.clip_ticks)
            for n_ticks in self.manifest.split(self.split).segment_ticks
        ]

    @property
    def clips_per_epoch(self) -> int:
        """Training clips in one pass over the split."""
        return sum(self.clips_of_segments)

    @property
    def steps_per_epoch(self) -> int:
        """Training batches in one pass over the split, the last one maybe smaller."""
        return -(-self.clips_per_epoch // self.data.batch_size)

    @property
    def evaluation_steps(self) -> int:
        """Batches of evaluation clips, the last one maybe smaller."""
        n_clips = sum(
            clips.evaluation_clips(n_ticks, self.data.clip_ticks, self.data.clip_stride)
            for n_ticks in self.manifest.split(self.split).segment_ticks
        )
        return -(-n_clips // self.data.batch_size)
