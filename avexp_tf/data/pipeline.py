"""tf.data pipelines: short lists of named steps from records to batches of clips.

The order of training data and all losses are functions of (seed, epoch) alone, the
order where TensorFlow's global seed is the same: neither the number of workers, threads
or replicas changes them, and a resumed run skips to its step exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from collections.abc import Sequence

import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import clips
from avexp_tf.data import condition as conditions
from avexp_tf.data import record_source
from avexp_tf.data import schema
from avexp_tf.data import simulator as simulators

# Salts that keep apart what one key draws for a recording.
_STARTS_SALT = 11
_LOSSES_SALT = 12
_BATCH_SALT = 13

_PARALLEL_READS = 4
_BATCHES_AHEAD = 2  # a fixed number: memory is known, and fits or not from the start


@tf.autograph.experimental.do_not_convert
def training_batches(
    source: record_source.RecordSource,
    ablations: Sequence[conditions.Ablation],
    seed: int,
    epoch: int | tf.Tensor,
    first_step: int = 0,
    data_service: str = "",
) -> tf.data.Dataset:
    """Returns one epoch of training batches.

    Args:
      source: The train split.
      ablations: Losses, see `condition.parse_ablations`; of several, one is drawn per
        batch, and so a CCC over the batch is of that one alone.
      seed: Of the run. The order follows tf.random's global seed too, which a training
        sets and `load_records` does not see.
      epoch: Counted from 0; a tensor inside another pipeline.
      first_step: Batches to skip, to resume in the middle of an epoch.
      data_service: Address of a tf.data service's dispatcher, `grpc://host:port`, whose
        workers read and cut; empty does it here. They share out the records as they
        come to them: every clip comes once, but not in the same order each time.

    Returns:
      Batches of (inputs, labels), see `clips.training_example`.

    Raises:
      errors.ConfigError: if a loss shows a background that the records lack, or for a
        data service: if damaged records are to be skipped, which its workers can't
        report, or a loss is drawn per batch, which they don't see.
    """
    check_training(source, ablations, data_service)
    data = source.data
    parallel = tf.data.AUTOTUNE
    check_background(source, ablations)
    cut_at = clips.cutter(source.manifest, data.clip_ticks)
    simulates = [simulators.simulator(ablation) for ablation in ablations]

    def cut(serialized: tf.Tensor) -> clips.Tensors:
        record = schema.parse(serialized, source.manifest.layout)
        key = _segment_key(record, seed, epoch, _STARTS_SALT)
        n_ticks = tf.cast(record[schema.N_TICKS], tf.int32)
        return cut_at(record, clips.training_starts(n_ticks, data.clip_ticks, key))

    def lose(
        position: tf.Tensor, clip: clips.Tensors
    ) -> tuple[clips.Tensors, clips.Tensors]:
        draws = [
            functools.partial(_with_sources, clip, simulate, seed, epoch)
            for simulate in simulates
        ]
        clip = _one_of(draws, seed, epoch, position // data.batch_size)
        return clips.training_example(clip)

    n_records = source.reader.n_records
    order_seed = _order_seed(seed, epoch)
    order = tf.data.Dataset.range(n_records).shuffle(
        n_records, order_seed, reshuffle_each_iteration=False
    )
    examples = _read(source, order).map(cut, parallel, deterministic=True).unbatch()
    # Clips of `mix_records` records wait to be mixed, so that no batch is of one.
    waiting = min(data.mix_records, n_records) * max(source.clips_of_segments)
    examples = examples.shuffle(waiting, order_seed, reshuffle_each_iteration=False)
    examples = examples.enumerate().map(lose, parallel, deterministic=True)
    if data_service:
        examples = examples.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC,
                data_service,
            )
        )
    return _ahead(examples.batch(data.batch_size).skip(first_step))


@tf.autograph.experimental.do_not_convert
def evaluation_batches(
    source: record_source.RecordSource,
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
    check_background(source, [ablation for ablation, _ in sweep])
    cut_at = clips.cutter(source.manifest, data.clip_ticks)
    draws = [(simulators.simulator(ablation), seed) for ablation, seed in sweep]

    def cut(serialized: tf.Tensor) -> clips.Tensors:
        record = schema.parse(serialized, source.manifest.layout)
        n_ticks = tf.cast(record[schema.N_TICKS], tf.int32)
        return cut_at(
            record,
            clips.evaluation_starts(n_ticks, data.clip_ticks, data.clip_stride),
        )

    def lose(clip: clips.Tensors) -> clips.Tensors:
        each = [_with_sources(clip, simulate, seed, 0) for simulate, seed in draws]
        names = ("video_source", "audio_source")
        maps = {name: tf.stack([one[name] for one in each]) for name in names}
        return clip | maps

    n_records = source.reader.n_records
    if max_recordings:
        entries = source.manifest.split(source.split).recordings[:max_recordings]
        n_records = sum(len(entry.segments) for entry in entries)
    order = tf.data.Dataset.range(n_records)
    examples = _read(source, order).map(cut, parallel, deterministic=True).unbatch()
    examples = examples.map(lose, parallel, deterministic=True)
    return _ahead(examples.batch(data.batch_size))


def check_training(
    source: record_source.RecordSource,
    ablations: Sequence[conditions.Ablation],
    data_service: str = "",
) -> None:
    """Checks what `training_batches` can't do, before anything is made for it.

    Raises:
      errors.ConfigError: see there.
    """
    if data_service and source.data.on_corrupt == "skip":
        raise errors.ConfigError(
            "--on_corrupt=skip: does not work through a data service, whose workers "
            "can't report what they skipped"
        )
    if data_service and len(ablations) > 1:
        raise errors.ConfigError(
            "--ablation: losses separated by / are drawn per batch, and the workers of "
            "a data service see no batches"
        )
    check_background(source, ablations)


def check_background(
    source: record_source.RecordSource, ablations: Sequence[conditions.Ablation]
) -> None:
    """Checks that records have the background that a loss shows.

    Raises:
      errors.ConfigError: naming a condition for which they lack it.
    """
    if source.manifest.has_background:
        return
    for ablation in ablations:
        for mixture in ablation:
            for condition in mixture:
                if condition.pattern == conditions.FACE_ZERO:
                    raise errors.ConfigError(
                        f"condition {str(condition)!r}: the records in "
                        f"{source.data.records} have no background: prepare them with "
                        "--background"
                    )


def _read(
    source: record_source.RecordSource, order: tf.data.Dataset
) -> tf.data.Dataset:
    """Serialized records in the given order, several being read at a time."""
    records = order.interleave(
        source.reader.read,
        cycle_length=_PARALLEL_READS,
        num_parallel_calls=_PARALLEL_READS,
        deterministic=True,
    )
    # Empty strings stand for damaged records.
    return records.filter(lambda record: tf.strings.length(record) > 0)


def _ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches, the next ones made while one is used."""
    options = tf.data.Options()
    # The maps take every core from the start. A tuner would come to the same, and an
    # epoch would end up to a quarter of a second late, when its thread next wakes.
    options.autotune.enabled = False
    return batches.prefetch(_BATCHES_AHEAD).with_options(options)


def _with_sources(
    clip: clips.Tensors,
    simulate: simulators.Simulator,
    seed: int,
    epoch: int | tf.Tensor,
) -> clips.Tensors:
    key = simulators.clip_key(seed, epoch, clip["recording_id"])
    key = tf.random.experimental.stateless_fold_in(key, _LOSSES_SALT)
    sources = simulate(key, clip["first_tick"], clip["valid"].shape[0])
    backgrounds = {"video": clip.get("background_present"), "audio": None}
    composed = {
        f"{name}_source": simulators.compose_gaps(
            drawn, clip[f"{name}_present"], backgrounds[name]
        )
        for name, drawn in zip(config.MODALITIES, sources, strict=True)
    }
    return clip | composed


def _one_of(
    draws: Sequence[Callable[[], clips.Tensors]],
    seed: int,
    epoch: int | tf.Tensor,
    batch: tf.Tensor,
) -> clips.Tensors:
    """Returns what one of the draws gives, the same one for a whole batch."""
    if len(draws) == 1:
        return draws[0]()
    key = tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)])
    for number in (_BATCH_SALT, batch):
        key = tf.random.experimental.stateless_fold_in(key, number)
    choice = tf.random.stateless_uniform([], key, 0, len(draws), tf.int32)
    return tf.switch_case(choice, draws)


def _segment_key(
    record: clips.Tensors, seed: int, epoch: int | tf.Tensor, salt: int
) -> tf.Tensor:
    key = simulators.clip_key(seed, epoch, record[schema.RECORDING_ID])
    key = tf.random.experimental.stateless_fold_in(key, salt)
    return tf.random.experimental.stateless_fold_in(key, record[schema.SEGMENT_INDEX])


def _order_seed(seed: int, epoch: int | tf.Tensor) -> int | tf.Tensor:
    """One number of both; `shuffle` takes no pair."""
    return (seed * 1_000_003 + epoch * 7919 + 1) % (2**31 - 1)
