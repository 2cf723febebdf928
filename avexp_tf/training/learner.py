"""What a run learns with: model, optimizer, steps, and the batches that they take."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import condition as conditions
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.models import crossmodal_transformer
from avexp_tf.models import sweep_predictor
from avexp_tf.training import optimizer as optimizers
from avexp_tf.training import scoring
from avexp_tf.training import trained_model
from avexp_tf.training import trainer as trainers
from avexp_tf.training import variables as variables_lib

# Below it a second graph, of seconds, takes longer than what it would save.
_FEW_STEPS = 200


class Learner:
    """Everything of a run that follows from its settings alone.

    Args:
      experiment: All settings.
      train_source: The train split.
      dev_source: The split that models are chosen on.
      strategy: Where the replicas run.
      data_service: See `pipeline.training_batches`.

    Attributes:
      model: With its first weights.
      optimizer: Of the model.
      trainer: Takes steps.
      predictor: Predicts batches of dev.
      variables: Of model and optimizer.
      dev_batches: All of dev, without loss and under the training's own losses.
      steps: Steps of an epoch.
    """

    def __init__(
        self,
        experiment: config.ExperimentConfig,
        train_source: record_source.RecordSource,
        dev_source: record_source.RecordSource,
        strategy: tf.distribute.Strategy,
        data_service: str = "",
    ):
        settings = experiment.train
        self._seed = settings.seed
        self._strategy = strategy
        self._curriculum_epochs = settings.curriculum_epochs
        self._source = train_source
        self._data_service = data_service
        self._ablations = conditions.parse_ablations(settings.ablation)
        self.steps = train_source.steps_per_epoch
        keras.utils.set_random_seed(settings.seed % 2**32)
        if settings.deterministic:
            tf.config.experimental.enable_op_determinism()
        n_steps = settings.epochs * self.steps
        with strategy.scope():
            self.model = trained_model.build(experiment, train_source.manifest)
            self.optimizer = optimizers.build(settings, n_steps)
        self.trainer = trainers.Trainer(
            self.model,
            self.optimizer,
            strategy,
            experiment.model.interval,
            few_steps=n_steps < _FEW_STEPS,
        )
        self.variables = variables_lib.Variables(self.model, self.optimizer, strategy)
        sweep: list[tuple[conditions.Ablation, int]] = [((), 0)]
        sweep += [
            (ablation, scoring.DEV_SEED) for ablation in self._ablations if ablation
        ]
        self._dev_source, self._sweep = dev_source, sweep
        self.dev_batches = pipeline.evaluation_batches(dev_source, sweep)
        self.predictor = sweep_predictor.SweepPredictor(self.model)

    @property
    def schedule(self) -> dict[str, Any]:
        """The schedule of the learning rate, as JSON values."""
        return self.optimizer.get_config()["learning_rate"]["config"]

    def train_batches(self, epoch: int, first_step: int = 0) -> tf.data.Dataset:
        """Returns the batches of an epoch.

        Args:
          epoch: Counted from 0.
          first_step: Steps of it to skip.
        """
        ablations = self._ablations
        if epoch < self._curriculum_epochs:
            share = epoch / self._curriculum_epochs
            ablations = tuple(conditions.scaled(one, share) for one in ablations)
        return pipeline.training_batches(
            self._source,
            ablations,
            self._seed,
            epoch,
            first_step,
            self._data_service,
        )

    def batches_of(self, n_clips: int) -> tuple[tf.data.Dataset, tf.data.Dataset]:
        """Returns train batches without end, and dev's, of another size.

        Args:
          n_clips: Clips per batch.
        """
        train, dev = (
            dataclasses.replace(
                source, data=dataclasses.replace(source.data, batch_size=n_clips)
            )
            for source in (self._source, self._dev_source)
        )
        return (
            pipeline.training_batches(train, self._ablations, self._seed, 0).repeat(),
            pipeline.evaluation_batches(dev, self._sweep),
        )

    def calibrate(self, factors: np.ndarray) -> None:
        """Moves the ends of intervals; see `crossmodal_transformer.calibrate`."""
        with self._strategy.scope():
            crossmodal_transformer.calibrate(self.model, factors)

    def crossmodal_scalars(self) -> dict[str, float]:
        """Returns alpha and beta; nothing for a model of one branch."""
        fusion = self.model.get_layer("fusion")
        if "crossmodal" not in {layer.name for layer in fusion.layers}:
            return {}
        layer = fusion.get_layer("crossmodal")
        # Of a replicated variable numpy() takes the first copy; float() takes none.
        return {name: float(getattr(layer, name).numpy()) for name in ("alpha", "beta")}
