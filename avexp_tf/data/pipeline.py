"""tf.data pipelines: short lists of named steps from records to batches of clips.

The order of training data and all losses are functions of (seed, epoch) alone: neither
the number of workers, threads or replicas changes them, and a resumed run skips to its
step exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import clips
from avexp_tf.data import condition as conditions
from avexp_tf.data import manifest as manifests
from avexp_tf.data import record_reader
from avexp_tf.data import schema
from avexp_tf.data import simulator as simulators

# Salts that keep apart what one key draws for a recording.
_STARTS_SALT = 11
_LOSSES_SALT = 12


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a pipeline reads from.

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
    def open(cls, data: config.DataConfig, split: str) -> Source:
        """Opens a split of the records that `data` names.

        Raises:
          errors.DataError: if the records can't be used, or the split is empty.
        """
        if not data.records:
            raise errors.ConfigError("--records: must name a folder of records")
        manifest = manifests.Manifest.load(data.records)
        reader = record_reader.RecordReader(
            manifest, data.records, split, data.on_corrupt
        )
        return cls(manifest, reader, split, data)

    @property
    def clips_per_epoch(self) -> int:
        """Training clips in one pass over the split."""
        return sum(
            clips.clips_per_segment(n_ticks, self.data.clip_ticks)
            for n_ticks in self.manifest.split(self.split).segment_ticks
        )

    @property
    def steps_per_epoch(self) -> int:
        """Training batches in one pass over the split, the last one maybe smaller."""
        return -(-self.clips_per_epoch // self.data.batch_size)


def training_batches(
    source: Source,
    ablation: conditions.Ablation,
    seed: int,
    epoch: int,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Returns one epoch of training batches.

    Args:
      source: The train split.
      ablation: Losses to draw, see `condition.parse_ablation`.
      seed: Of the run.
      epoch: Counted from 0.
      first_step: Batches to skip, to resume in the middle of an epoch.

    Returns:
      Batches of (inputs, labels), see `clips.training_example`.
    """
    data = source.data
    parallel = tf.data.AUTOTUNE
    prepare = clips.cutter(source.manifest, data.clip_ticks)
    simulate = simulators.simulator(ablation)

    def cut(serialized: tf.Tensor) -> tf.data.Dataset:
        record = schema.parse(serialized, source.manifest.layout)
        key = _segment_key(record, seed, epoch, _STARTS_SALT)
        n_ticks = tf.cast(record[schema.N_TICKS], tf.int32)
        starts = clips.training_starts(n_ticks, data.clip_ticks, key)
        cut_at = prepare(record)
        return tf.data.Dataset.from_tensor_slices(starts).map(cut_at)

    def lose(clip: clips.Tensors) -> clips.Tensors:
        return _with_sources(clip, simulate, seed, epoch)

    order = tf.data.Dataset.range(source.reader.n_records).shuffle(
        source.reader.n_records, seed=_order_seed(seed, epoch)
    )
    # Clips of `mix_records` records alternate, so that no batch is of one recording.
    examples = order.interleave(
        lambda index: _intact(source.reader.read(index)).flat_map(cut),
        cycle_length=data.mix_records,
        num_parallel_calls=parallel,
        deterministic=True,
    )
    examples = examples.map(lose, parallel, deterministic=True)
    examples = examples.map(clips.training_example, parallel, deterministic=True)
    return examples.batch(data.batch_size).skip(first_step).prefetch(parallel)


def evaluation_batches(
    source: Source,
    sweep: Sequence[tuple[conditions.Ablation, int]],
    max_recordings: int = 0,
) -> tf.data.Dataset:
    """Returns batches of evaluation clips, with the source maps of many conditions.

    Args:
      source: The split to evaluate.
      sweep: Pairs of ablation and loss seed, K of them.
      max_recordings: Stop after so many recordings; 0 reads all.

    Returns:
      Batches of clips, see `clips.cutter`, in the order of the manifest; `video_source`
      and `audio_source` are int32 [B, K, T], with real gaps composed.
    """
    data = source.data
    parallel = tf.data.AUTOTUNE
    prepare = clips.cutter(source.manifest, data.clip_ticks)
    draws = [(simulators.simulator(ablation), seed) for ablation, seed in sweep]

    def cut(serialized: tf.Tensor) -> tf.data.Dataset:
        record = schema.parse(serialized, source.manifest.layout)
        n_ticks = tf.cast(record[schema.N_TICKS], tf.int32)
        starts = clips.evaluation_starts(n_ticks, data.clip_ticks, data.eval_stride)
        cut_at = prepare(record)
        return tf.data.Dataset.from_tensor_slices(starts).map(cut_at)

    def lose(clip: clips.Tensors) -> clips.Tensors:
        each = [_with_sources(clip, simulate, seed, 0) for simulate, seed in draws]
        names = ("video_source", "audio_source")
        return clip | {name: tf.stack([one[name] for one in each]) for name in names}

    n_records = source.reader.n_records
    if max_recordings:
        entries = source.manifest.split(source.split).recordings[:max_recordings]
        n_records = sum(len(entry.segments) for entry in entries)
    examples = tf.data.Dataset.range(n_records).interleave(
        lambda index: _intact(source.reader.read(index)).flat_map(cut),
        cycle_length=1,
        num_parallel_calls=1,
        deterministic=True,
    )
    examples = examples.map(lose, parallel, deterministic=True)
    return examples.batch(data.batch_size).prefetch(parallel)


def _intact(records: tf.data.Dataset) -> tf.data.Dataset:
    """Drops the empty strings that stand for damaged records."""
    return records.filter(lambda record: tf.strings.length(record) > 0)


def _with_sources(
    clip: clips.Tensors,
    simulate: simulators.Simulator,
    seed: int,
    epoch: int,
) -> clips.Tensors:
    key = simulators.clip_key(seed, epoch, clip["recording_id"])
    key = tf.random.experimental.stateless_fold_in(key, _LOSSES_SALT)
    n_ticks = tf.shape(clip["valid"])[0]
    sources = simulate(key, clip["first_tick"], n_ticks)
    composed = {
        f"{name}_source": simulators.compose_gaps(drawn, clip[f"{name}_present"])
        for name, drawn in zip(config.MODALITIES, sources, strict=True)
    }
    return clip | composed


def _segment_key(record: clips.Tensors, seed: int, epoch: int, salt: int) -> tf.Tensor:
    key = simulators.clip_key(seed, epoch, record[schema.RECORDING_ID])
    key = tf.random.experimental.stateless_fold_in(key, salt)
    return tf.random.experimental.stateless_fold_in(key, record[schema.SEGMENT_INDEX])


def _order_seed(seed: int, epoch: int) -> int:
    """One number of both; `shuffle` takes no pair."""
    return (seed * 1_000_003 + epoch * 7919 + 1) % (2**31 - 1)
