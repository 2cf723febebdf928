"""Writes a corpus as records, opens them as batches, and draws losses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from absl import flags

from avexp_tf import arguments
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import quiet

if TYPE_CHECKING:  # heavy, or needing TensorFlow
    import pandas as pd
    import tensorflow as tf

    from avexp_tf.data import condition
    from avexp_tf.data import manifest as manifests
    from avexp_tf.data import record_source

_GRAPH_SEED = 87_654_321  # TensorFlow's own, where none is set


def prepare(
    corpus: str,
    out: arguments.Path,
    *,
    workers: int = 1,
    overwrite: bool = False,
    statistics_from: arguments.Path | None = None,
    **settings: Any,
) -> manifests.Manifest:
    """Writes a corpus as records, as `avexp-prepare` does.

    Args:
      corpus: synthetic, table, affwild2 or media.
      out: The records folder.
      workers: Processes that read recordings.
      overwrite: Replace finished records that have other settings.
      statistics_from: Records whose audio statistics to take, for recordings that a
        model is only evaluated on; None computes those of the train split.
      **settings: Of the records and of the corpus, by the names of the flags, such as
        `tables="my/features", mapping="my/mapping.json", segment_ticks=500`.

    Returns:
      The manifest: what the folder holds.

    Raises:
      errors.ConfigError: if a setting is unknown or breaks its rule.
      errors.DataError: if the corpus can't be used.
    """
    from avexp_tf import flags as avexp_flags
    from avexp_tf.corpora import registry
    from avexp_tf.data import prepare as prepare_lib

    corpus = arguments.text("corpus", corpus)
    overwrite = arguments.boolean("overwrite", overwrite)
    values = flags.FlagValues()
    avexp_flags.define(config.RecordsConfig, flag_values=values)
    registry.define_flags(values)
    for name, value in settings.items():
        if name not in values:
            raise arguments.unknown(name, list(values))
        value = arguments.plain(value)
        # Flags take lists and the plain values of a config; paths are text there.
        if values[name].flag_type() == "string" and not isinstance(value, str):
            value = arguments.path(name, value)
        values[name].value = value
        values[name].present = 1
    values.mark_as_parsed()
    return prepare_lib.prepare(
        registry.from_flags(corpus, values),
        arguments.path("out", out),
        avexp_flags.parsed(config.RecordsConfig, values),
        n_workers=arguments.whole("workers", workers, minimum=1),
        overwrite=overwrite,
        statistics_from=arguments.path_or_none("statistics_from", statistics_from),
    )


def load_records(
    records: arguments.Path,
    split: str = "train",
    *,
    ablation: str | Sequence[str] = (),
    seed: int = 0,
    epoch: int = 0,
    **settings: Any,
) -> tf.data.Dataset:
    """Opens records as batches that a Keras model takes.

    Args:
      records: A folder that `prepare` wrote.
      split: train is shuffled and cut at random offsets, each time that one goes
        through it anew; dev, validation and test come in order. Where the last clip of
        a segment overlaps the one before, its ticks come twice (`evaluate` averages
        them).
      ablation: Losses to draw, such as `"video:frame_repeat:0.5"`; several are applied
        together. Of `"a|b"` one is drawn per clip, of `"a/b"` one per train batch.
      seed: Of order and losses.
      epoch: Of the first time through train, counted from 0. Each has an order,
        offsets and losses of its own, which are the same wherever it is opened again.
      **settings: Of `config.DataConfig`, such as `batch_size=8, clip_ticks=50`.

    Returns:
      Batches of (inputs, labels): `video` float16 [B, T, 4096], as it is stored,
      `audio` float32 [B, T + C - 1, 65], normalised, `video_source`, `audio_source`
      int32 [B, T], `valid` bool [B, T]; and `valence`, `arousal` float32 [B, T], NaN
      where there is no valid label. Of records with a background `video` is [B, 2T,
      4096]: the scenes follow the faces. A damaged record ends them with TensorFlow's
      own error (`avexp-verify` names it), or is left out with `on_corrupt="skip"`.

    Raises:
      errors.ConfigError: if a setting is unknown or breaks its rule.
      errors.DataError: if the records can't be used.
    """
    records, split = arguments.path("records", records), arguments.text("split", split)
    [data] = arguments.sections((config.DataConfig,), {"records": records, **settings})
    seed, epoch = arguments.whole("seed", seed), arguments.whole("epoch", epoch)
    from avexp_tf.data import condition

    losses = condition.parse_ablations(arguments.texts("ablation", ablation))
    if split != "train" and len(losses) > 1:
        raise errors.ConfigError(
            f"ablation {ablation!r}: losses separated by / are drawn per train batch"
        )
    quiet.start_tensorflow()
    from avexp_tf.data import clips
    from avexp_tf.data import pipeline
    from avexp_tf.data import record_source

    source = record_source.RecordSource.open(data, split)
    if split == "train":
        pipeline.check_background(source, losses)
        return _epochs(source, losses, seed, epoch)

    def example(clip: dict[str, tf.Tensor]) -> Any:
        sources = ("video_source", "audio_source")
        first = {name: clip[name][:, 0] for name in sources}  # of one condition
        return clips.training_example(clip | first)

    batches = pipeline.evaluation_batches(source, [(losses[0], seed)]).map(example)
    return _counted(batches, source, source.evaluation_steps)


def simulate(
    condition: str, n_ticks: int = 100, *, seed: int = 0, first_tick: int = 0
) -> pd.DataFrame:
    """Draws a loss: which frame the receiver shows at each tick.

    Ticks are counted as in the recording.

    Args:
      condition: Such as `"video:frame_repeat:0.9"`; see `data.condition`.
      n_ticks: T, of the clip.
      seed: Of the draw.
      first_tick: Of the clip in its recording.

    Returns:
      One row per tick, with the columns video and audio: the tick itself when its frame
      arrived, an earlier one when that is repeated, -1 for nothing; `n_ticks` more than
      the tick where the frame's background is shown without its face.

    Raises:
      errors.ConfigError: if the condition can't be parsed.
    """
    from avexp_tf.data import condition as conditions

    words = arguments.texts("condition", condition)
    if any("/" in word for word in words):
        raise errors.ConfigError(
            f"condition {condition!r}: losses separated by / are drawn per train batch"
        )
    losses = conditions.parse_ablation(words)
    n_ticks = arguments.whole("n_ticks", n_ticks, minimum=1)
    seed = arguments.whole("seed", seed)
    first_tick = arguments.whole("first_tick", first_tick)
    quiet.start_tensorflow()
    import numpy as np
    import pandas as pd
    import tensorflow as tf

    from avexp_tf.data import simulator

    maps = simulator.simulator(losses)(
        simulator.clip_key(seed, 0, tf.constant("")),
        tf.constant(first_tick, tf.int64),
        n_ticks,
    )
    index = pd.RangeIndex(first_tick, first_tick + n_ticks, name="tick")
    return pd.DataFrame(
        {
            # Drawn ticks are counted from the clip's first.
            name: np.where(drawn < 0, drawn, drawn + first_tick)
            for name, drawn in zip(config.MODALITIES, maps, strict=True)
        },
        index,
    )


def _epochs(
    source: record_source.RecordSource,
    losses: Sequence[condition.Ablation],
    seed: int,
    first_epoch: int,
) -> tf.data.Dataset:
    """Training batches; each time that one goes through them, the next epoch's."""
    import tensorflow as tf

    from avexp_tf.data import pipeline

    epochs = itertools.count(first_epoch)
    numbers = tf.data.Dataset.from_generator(
        lambda: [next(epochs)], output_signature=tf.TensorSpec([], tf.int64)
    )

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # Of this function's graph alone: the order does not follow the global seed.
        tf.compat.v1.set_random_seed(_GRAPH_SEED)
        return pipeline.training_batches(source, losses, seed, epoch)

    batches = numbers.flat_map(one_epoch)
    return _counted(batches, source, source.steps_per_epoch)


def _counted(
    batches: tf.data.Dataset, source: record_source.RecordSource, n_batches: int
) -> tf.data.Dataset:
    """Batches of which Keras knows how many there are; its mean losses need that."""
    import tensorflow as tf

    if source.data.on_corrupt == "skip":
        return batches  # of which there may be fewer
    return batches.apply(tf.data.experimental.assert_cardinality(n_batches))
