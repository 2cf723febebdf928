"""One training run, from a config to a run directory with the best weights."""

from __future__ import annotations

import csv
import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import condition as conditions
from avexp_tf.data import pipeline
from avexp_tf.models import sweep_predictor
from avexp_tf.training import optimizer as optimizers
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import scoring
from avexp_tf.training import strategy as strategies
from avexp_tf.training import trainer as trainers

# Losses on dev are drawn once, from a seed that no training run uses.
_DEV_SEED = 2**31 - 2


def train(
    experiment: config.ExperimentConfig,
    run_path: str | os.PathLike[str],
    virtual_cpus: int = 1,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains a model and keeps the weights that were best on dev.

    Dev CCC is the mean over targets, without loss and under the training's own loss
    (drawn once for all epochs).

    Args:
      experiment: All settings.
      run_path: The run directory.
      virtual_cpus: Replicas where there is no GPU; see `strategy.choose`.
      report: Takes the lines that tell the user something.

    Returns:
      What `result.json` holds: the best epoch and its dev CCC.

    Raises:
      errors.DataError: if the records can't be used.
      errors.RunError: if the directory is another run's, or the loss is not finite.
    """
    run_dir = run_dirs.RunDir(run_path)
    train_source = pipeline.Source.open(experiment.data, "train")
    dev_source = pipeline.Source.open(experiment.data, "dev")
    _check_labels(train_source)
    run_dir.begin(experiment, train_source.manifest)
    done = run_dir.result()
    if done:
        report(f"{run_path}: this run is complete already; nothing to do")
        return done
    try:
        strategy = strategies.choose(virtual_cpus)
        result = _Experiment(
            experiment, run_dir, train_source, dev_source, strategy
        ).run()
    except tf.errors.DataLossError:
        for source in (train_source, dev_source):
            damage = source.reader.find_damage()
            if damage:
                raise errors.DataError(
                    f"{damage} is damaged: prepare the records again, or go on without "
                    "it with --on_corrupt=skip"
                ) from None
        raise
    for source in (train_source, dev_source):
        for name in source.reader.lost.names:
            report(f"skipped, damaged: {name}")
    report(
        f"best on dev: epoch {result['best_epoch']}, CCC {result['best_dev_ccc']:.3f}\n"
        f"weights: {run_dir.weights_path}\n"
        f"evaluate: avexp-evaluate --run_dir={run_dir.path}"
    )
    return result


def _check_labels(source: pipeline.Source) -> None:
    if not any(source.manifest.split(source.split).label_ticks):
        raise errors.DataError(
            f"{source.data.records}: the split {source.split} has no valid label"
        )


@dataclasses.dataclass
class _Best:
    epoch: int = 0
    ccc: float = float("-inf")


class _Experiment:
    """The state of a run while it goes on."""

    def __init__(
        self,
        experiment: config.ExperimentConfig,
        run_dir: run_dirs.RunDir,
        train_source: pipeline.Source,
        dev_source: pipeline.Source,
        strategy: tf.distribute.Strategy,
    ):
        settings = experiment.train
        self._settings = settings
        self._run_dir = run_dir
        self._source = train_source
        self._ablation = conditions.parse_ablation(settings.ablation)
        self._steps = train_source.steps_per_epoch
        keras.utils.set_random_seed(settings.seed % 2**32)
        if settings.deterministic:
            tf.config.experimental.enable_op_determinism()
        with strategy.scope():
            self._model = run_dirs.build_model(experiment, train_source.manifest)
            self._optimizer = optimizers.build(settings, settings.epochs * self._steps)
        self._trainer = trainers.Trainer(self._model, self._optimizer, strategy)
        sweep: list[tuple[conditions.Ablation, int]] = [((), 0)]
        if self._ablation:
            sweep.append((self._ablation, _DEV_SEED))
        self._dev_batches = pipeline.evaluation_batches(dev_source, sweep)
        self._predictor = sweep_predictor.SweepPredictor(self._model)

    def run(self) -> dict[str, Any]:
        settings = self._settings
        best = _Best()
        writer = tf.summary.create_file_writer(str(self._run_dir.tensorboard_path))
        with open(self._run_dir.history_path, "w", newline="") as file:
            history: Any = None
            for epoch in range(settings.epochs):
                row = self._epoch(epoch)
                if row["dev_ccc"] > best.ccc:
                    best = _Best(epoch + 1, row["dev_ccc"])
                    self._run_dir.save_weights(self._model)
                if history is None:
                    history = csv.DictWriter(file, row)
                    history.writeheader()
                history.writerow(row)
                file.flush()
                with writer.as_default(step=self._trainer.step):
                    for name, value in row.items():
                        tf.summary.scalar(name, value)
                if settings.patience and epoch + 1 - best.epoch >= settings.patience:
                    break
        if not best.epoch:
            raise errors.RunError(
                f"{self._run_dir.path}: dev CCC was never a number: has dev valid "
                "labels?"
            )
        result = {
            "name": settings.name,
            "best_epoch": best.epoch,
            "best_dev_ccc": best.ccc,
            "epochs": epoch + 1,
            "steps": self._trainer.step,
        }
        self._run_dir.finish(result)
        return result

    def _epoch(self, epoch: int) -> dict[str, float]:
        settings = self._settings
        began = time.monotonic()
        batches = pipeline.training_batches(
            self._source, self._ablation, settings.seed, epoch
        )
        losses = []
        title = f"{settings.name} {epoch + 1}/{settings.epochs}"
        with tqdm.tqdm(total=self._steps, desc=title, unit="step") as bar:
            for loss in self._trainer.losses(batches):
                losses.append(loss)
                bar.update()
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            dev = scoring.pooled_ccc(self._dev_batches, self._predictor.predict)
            row = {
                "epoch": epoch + 1,
                "step": self._trainer.step,
                "loss": float(np.mean(losses)),
                "learning_rate": float(self._optimizer.learning_rate),
                "dev_ccc": float(np.nanmean(dev)),
            }
            row |= {
                f"dev_{target}": float(dev[0, column])
                for column, target in enumerate(config.TARGETS)
            }
            row |= self._crossmodal_scalars()
            row["seconds"] = time.monotonic() - began
            bar.set_postfix(loss=f"{row['loss']:.3f}", dev_ccc=f"{row['dev_ccc']:.3f}")
        return row

    def _crossmodal_scalars(self) -> dict[str, float]:
        fusion = self._model.get_layer("fusion")
        if "crossmodal" not in {layer.name for layer in fusion.layers}:
            return {}
        layer = fusion.get_layer("crossmodal")
        return {"alpha": float(layer.alpha), "beta": float(layer.beta)}
