"""The package in ten lines of a script or a notebook; no flags.

Settings are keyword arguments with the names of the flags (`avexp-train --help` lists
them), what a function shares with a command is the same code, and what can't be done
ends in the same one line, as `avexp_tf.Error`. Tables come back as pandas DataFrames.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from absl import flags

from avexp_tf import arguments
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import quiet

if TYPE_CHECKING:  # heavy, or needing TensorFlow
    import pathlib

    import keras
    import pandas as pd
    import tensorflow as tf

    from avexp_tf import recording
    from avexp_tf.data import condition
    from avexp_tf.data import manifest as manifests
    from avexp_tf.data import pipeline

Path = str | os.PathLike[str]

_GRAPH_SEED = 87_654_321  # TensorFlow's own, where none is set


def prepare(
    corpus: str,
    out: Path,
    *,
    workers: int = 1,
    overwrite: bool = False,
    statistics_from: Path | None = None,
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
    records: Path,
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
      where there is no valid label. A damaged record ends them with TensorFlow's own
      error (`avexp-verify` names it), or is left out with `on_corrupt="skip"`.

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
    _start()
    from avexp_tf.data import clips
    from avexp_tf.data import pipeline

    source = pipeline.Source.open(data, split)
    if split == "train":
        pipeline.check_background(source, losses)
        return _epochs(source, losses, seed, epoch)

    def example(clip: dict[str, tf.Tensor]) -> Any:
        sources = ("video_source", "audio_source")
        first = {name: clip[name][:, 0] for name in sources}  # of one condition
        return clips.training_example(clip | first)

    return pipeline.evaluation_batches(source, [(losses[0], seed)]).map(example)


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
    _start()
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


def build_model(
    records: Path | None = None, *, precision: str = "float32", **settings: Any
) -> keras.Model:
    """Builds the crossmodal transformer, ready for Keras's `fit` on `load_records`.

    Args:
      records: Whose widths the inputs get; None takes the paper's.
      precision: float32 or mixed_bfloat16.
      **settings: Of `config.ModelConfig`, such as `variant="video_only", d_model=64`.

    Returns:
      A functional model, compiled with Adam at the paper's rate, the CCC loss of the
      batch and the CCC of all that was seen as metric.

    Raises:
      errors.ConfigError: if a setting is unknown or breaks its rule.
      errors.DataError: if the records have no manifest.
    """
    [model_config] = arguments.sections((config.ModelConfig,), settings)
    experiment = config.ExperimentConfig(
        model=model_config,
        train=config.TrainConfig(precision=precision),
    )
    _start()
    import keras

    from avexp_tf import objectives
    from avexp_tf.data import manifest as manifests
    from avexp_tf.models import crossmodal_transformer
    from avexp_tf.training import trained_model

    if records is None:
        dims = crossmodal_transformer.InputDims()
        model = crossmodal_transformer.build(experiment.model, dims, precision)
    else:
        manifest = manifests.Manifest.load(arguments.path("records", records))
        model = trained_model.build(experiment, manifest)
    model.compile(
        optimizer=keras.optimizers.Adam(experiment.train.learning_rate),
        loss={name: objectives.CCCLoss() for name in config.TARGETS},
        metrics={name: [objectives.CCCMetric()] for name in config.TARGETS},
    )
    return model


def train(
    records: Path,
    run_dir: Path,
    strategy: str = "",
    *,
    resume: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Trains a model and keeps the weights that were best on dev.

    Args:
      records: A folder that `prepare` wrote.
      run_dir: Folder for everything of this run; one that was stopped goes on.
      strategy: One of the paper's models, baseline, clip_zero, frame_zero,
        frame_repeat, video_only, audio_only, or a further one, such as robust; empty
        takes name, variant and ablation from the settings.
      resume: False forgets what the folder holds of this run.
      **settings: Of `config.DataConfig`, `config.ModelConfig` and `config.TrainConfig`,
        such as `epochs=3, d_model=64`.

    Returns:
      One row per epoch: loss, dev CCC, learning rate, alpha, beta, seconds.

    Raises:
      errors.ConfigError: if a setting is unknown, breaks its rule, or contradicts the
        strategy.
      errors.DataError: if the records can't be used.
      errors.RunError: if the folder is another run's, or the loss is not finite.
    """
    strategy = arguments.text("strategy", strategy)
    experiment = _experiment(arguments.path("records", records), strategy, settings)
    run_dir = arguments.path("run_dir", run_dir)
    resume = arguments.boolean("resume", resume)
    _start()
    import pandas as pd

    from avexp_tf.training import experiment as experiments
    from avexp_tf.training import run_dir as run_dirs

    experiments.train(experiment, run_dir, resume=resume)
    return pd.read_csv(run_dirs.RunDir(run_dir).history_path)


def evaluate(
    run_dirs: Path | Sequence[Path],
    conditions: str | Sequence[str] = "protocol",
    *,
    loss_seeds: Sequence[int] = (1, 2),
    split: str = "validation",
    records: Path | None = None,
    out: Path | None = None,
    eval_stride: int = 0,
    on_corrupt: str = "",
) -> pd.DataFrame:
    """Measures trained models under loss, as `avexp-evaluate` does.

    Args:
      run_dirs: Run directories of the models.
      conditions: Losses to test: protocol for all of the paper's, none, or such as
        `"video:gilbert_elliott:0.3:12:repeat"`.
      loss_seeds: Each loss is drawn once per seed.
      split: To evaluate on.
      records: To evaluate on; None takes those of the training.
      out: Folder for results.csv, recordings.csv, report.md and the paper's figures;
        None writes none.
      eval_stride: Ticks between clips; 0 as in training.
      on_corrupt: What a damaged record does, fail or skip; empty as in training.

    Returns:
      One row per model, condition, loss seed and target, with the CCC over the split.

    Raises:
      errors.ConfigError: if a condition can't be parsed.
      errors.DataError: if the records can't be used.
      errors.RunError: if a run has no weights.
    """
    from avexp_tf.evaluation import protocol

    tested = protocol.parse_conditions(arguments.texts("conditions", conditions))
    paths = arguments.paths("run_dirs", run_dirs)
    out = None if out is None else arguments.path("out", out)
    loss_seeds = arguments.listed("loss_seeds", loss_seeds)
    split = arguments.text("split", split)
    records = arguments.path_or_none("records", records)
    eval_stride = arguments.plain(eval_stride)
    _start()
    from avexp_tf.data import pipeline
    from avexp_tf.evaluation import sweep
    from avexp_tf.evaluation import sweep_result as sweep_results
    from avexp_tf.training import trained_model

    seeds = sweep.check_seeds("loss_seeds", [str(seed) for seed in loss_seeds])
    models = [trained_model.TrainedModel.load(path) for path in paths]
    sweep.check_names(models)
    data = sweep.data_of(models, records, eval_stride or None, on_corrupt)
    source = pipeline.Source.open(data, split)
    source.manifest.check_labels(split, data.records)
    if out is not None:
        sweep_results.check_folder(out)
    result = sweep.evaluate(models, source, tested, seeds)
    source.report_lost()
    if out is not None:
        from avexp_tf.evaluation import figures
        from avexp_tf.evaluation import report

        sweep_results.save(result, out)
        drawn = figures.draw_all(result.results, out)
        report.write(result.results, drawn, data.records, out)
    return result.results


def export(run_dir: Path, out: Path, **settings: Any) -> pathlib.Path:
    """Writes the next version of a model: a SavedModel, and LiteRT files beside it.

    As `avexp-export` does, with normalisation and presence flags inside, if on records
    under every loss pattern it predicts what the Keras model predicts. Prints which
    LiteRT files were left out because they lose too much.

    Args:
      run_dir: Of a training.
      out: Folder of the versions, as TensorFlow Serving reads it.
      **settings: By the names of the flags (`avexp-export --help`), such as
        `litert=("float32",)`; `litert=()` converts none, which is quicker.

    Returns:
      The folder of the new version, `out/1`, `out/2` and so on.

    Raises:
      errors.ConfigError: if a setting is unknown or breaks its rule.
      errors.RunError: if the run has no weights, or what was exported does not predict
        the same, and nothing was written.
      errors.DataError: if the records can't be used, or the folder can't be written.
    """
    from avexp_tf.serving import export_config

    kinds = (
        export_config.ExportConfig,
        export_config.GateConfig,
        export_config.LiteRtConfig,
    )
    if "litert" in settings:
        settings["litert"] = arguments.texts("litert", settings["litert"])
    content, gate, variants = arguments.sections(kinds, settings)
    run_dir, out = arguments.path("run_dir", run_dir), arguments.path("out", out)
    _start()
    from avexp_tf.serving import shipping

    shipped = shipping.ship(
        run_dir, out, content, gate, variants.variants, report=print
    )
    for name, reason in shipped.left_out.items():
        print(f"left out: {name}: {reason}")
    if shipped.path is None:
        raise errors.RunError(
            f"{run_dir}: nothing was written: the export does not predict what the "
            "model does"
        )
    return shipped.path


def predict(
    model: Path,
    inputs: Path | recording.Block | Sequence[Path],
    *,
    visual_backbone: str = "",
    visual_weights: str = "",
    eval_stride: int = 0,
) -> pd.DataFrame:
    """Predicts media files, or features that are in memory.

    What is damaged in a file is left out, and said in a line on stderr.

    Args:
      model: An export or a run directory.
      inputs: Files, folders or patterns; or one recording's features as a
        `recording.Block`, whose labels are ignored.
      visual_backbone: `onnx:PATH` where the network that describes faces is not among
        the weights.
      visual_weights: VGG-Face's weights, where avexp-weights doesn't keep them.
      eval_stride: Ticks between clips; 0 as in training.

    Returns:
      One row per tick: time in seconds, valence, arousal, what was present; of media
      files also the file, the face's box and the detector's score.

    Raises:
      errors.DataError: if the model or a file can't be used.
    """
    from avexp_tf import recording as recording_lib
    from avexp_tf.serving import model_source

    if not isinstance(inputs, recording_lib.Block):
        inputs = arguments.paths("inputs", inputs)
    source = model_source.find(arguments.path("model", model))
    if isinstance(inputs, recording_lib.Block):
        _start()
        import pandas as pd

        values = source.predictor(eval_stride).predict(inputs)
        return pd.DataFrame(
            {
                "time": inputs.timestamps,
                "valence": values[:, 0],
                "arousal": values[:, 1],
                "video_present": inputs.video_present.astype(bool),
                "audio_present": inputs.audio_present.astype(bool),
            }
        )
    from avexp_tf.corpora.media import corpus as media_corpus
    from avexp_tf.serving import media_features

    paths = media_corpus.find(inputs, flag="")
    extractor = media_features.extractor(
        source.manifest, visual_backbone, visual_weights
    )
    _start()
    import pandas as pd

    from avexp_tf.serving import media_predictor
    from avexp_tf.serving import prediction_table

    predictor = media_predictor.MediaPredictor(
        source.predictor(eval_stride), extractor, media_features.clock(source.manifest)
    )
    tables = []
    for path in paths:
        for ticks in predictor.predict(path, report=media_corpus.log):
            table = prediction_table.frame(ticks)
            table.insert(0, "file", os.fspath(path))
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _epochs(
    source: pipeline.Source,
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
    if source.data.on_corrupt == "skip":
        return batches  # of which there may be fewer
    return batches.apply(
        tf.data.experimental.assert_cardinality(source.steps_per_epoch)
    )


def _start() -> None:
    """Imports TensorFlow without its greetings."""
    with quiet.start():
        import tensorflow as tf

        tf.cast(tf.zeros([1], tf.float16), tf.float32)  # it has something to say here


def _experiment(
    records: str, strategy: str, settings: dict[str, Any]
) -> config.ExperimentConfig:
    for name in ("name", "variant", "ablation"):
        if strategy and name in settings:
            raise errors.ConfigError(
                f"strategy={strategy!r}: sets {name}; give one of the two"
            )
    if "ablation" in settings:
        settings["ablation"] = arguments.texts("ablation", settings["ablation"])
    kinds = (config.DataConfig, config.ModelConfig, config.TrainConfig)
    experiment = config.ExperimentConfig(
        *arguments.sections(kinds, {"records": records, **settings})
    )
    from avexp_tf.data import condition

    condition.parse_ablations(experiment.train.ablation)
    if not strategy:
        return experiment
    from avexp_tf.evaluation import protocol

    return protocol.experiment_of(strategy, experiment, experiment.train.seed)
