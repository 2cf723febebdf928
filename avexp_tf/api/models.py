"""Builds a model, trains it, and measures it under loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

from avexp_tf import arguments
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import quiet

if TYPE_CHECKING:  # heavy, or needing TensorFlow
    import keras
    import pandas as pd


def build_model(
    records: arguments.Path | None = None,
    *,
    precision: str = "float32",
    **settings: Any,
) -> keras.Model:
    """Builds the crossmodal transformer, ready for Keras's `fit` on `load_records`.

    Args:
      records: Whose widths the inputs get; None takes the paper's.
      precision: float32 or mixed_bfloat16.
      **settings: Of `config.ModelConfig`, such as `variant="video_only", d_model=64`.

    Returns:
      A functional model, compiled with Adam at the paper's rate, the CCC loss of the
      batch (and that of the bounds, if `interval` is given) and the CCC of all that was
      seen as metric. `keras.models.load_model` reads
      what its `save` wrote once `avexp_tf.models` and `avexp_tf.objectives` are
      imported.

    Raises:
      errors.ConfigError: if a setting is unknown or breaks its rule.
      errors.DataError: if the records have no manifest.
    """
    [model_config] = arguments.sections((config.ModelConfig,), settings)
    experiment = config.ExperimentConfig(
        model=model_config,
        train=config.TrainConfig(precision=precision),
    )
    quiet.start_tensorflow()
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
        loss=objectives.output_losses(experiment.model.interval),
        metrics={name: [objectives.CCCMetric()] for name in config.TARGETS},
    )
    return model


def train(
    records: arguments.Path,
    run_dir: arguments.Path,
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
    quiet.start_tensorflow()
    import pandas as pd

    from avexp_tf.training import experiment as experiments
    from avexp_tf.training import run_dir as run_dirs

    experiments.train(experiment, run_dir, resume=resume)
    return pd.read_csv(run_dirs.RunDir(run_dir).history_path)


def evaluate(
    run_dirs: arguments.Path | Sequence[arguments.Path],
    conditions: str | Sequence[str] = "protocol",
    *,
    loss_seeds: Sequence[int] = (1, 2),
    split: str = "validation",
    records: arguments.Path | None = None,
    out: arguments.Path | None = None,
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
    quiet.start_tensorflow()
    from avexp_tf.data import record_source
    from avexp_tf.evaluation import report
    from avexp_tf.evaluation import sweep
    from avexp_tf.evaluation import sweep_result as sweep_results
    from avexp_tf.training import trained_model

    seeds = sweep.check_seeds("loss_seeds", [str(seed) for seed in loss_seeds])
    models = [trained_model.TrainedModel.load(path) for path in paths]
    sweep.check_names(models)
    data = sweep.data_of(models, records, eval_stride or None, on_corrupt)
    source = record_source.RecordSource.open(data, split)
    source.manifest.check_labels(split, data.records)
    if out is not None:
        report.check_folder(out)
    result = sweep.evaluate(models, source, tested, seeds)
    source.report_lost()
    if out is not None:
        from avexp_tf.evaluation import figures

        sweep_results.save(result, out)
        drawn = figures.draw_all(result.results, out)
        report.write(result.results, drawn, data.records, out, result.intervals)
    return result.results


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
