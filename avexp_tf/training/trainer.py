"""The training step, the same on one device and on many.

A plain loop over compiled steps rather than Keras's `fit`: it resumes at any step, it
runs under every strategy (`fit` fails under MultiWorkerMirroredStrategy,
keras-team/keras#20585), and its speed is steady.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import objectives
from avexp_tf import outputs


class Trainer:
    """Runs training steps of one model.

    Args:
      model: Built in the strategy's scope.
      optimizer: Likewise.
      strategy: Where the replicas run.
      interval: Of the model, see `config.ModelConfig`.
      few_steps: Make one graph for batches of any size. Each graph takes seconds; one
        that knows how many clips it gets is a little faster, but the last batch of an
        epoch then needs another.

    Attributes:
      step: Steps done so far.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        interval: float = 0.0,
        few_steps: bool = False,
    ):
        self._model = model
        self._optimizer = optimizer
        self._strategy = strategy
        self._losses = objectives.output_losses(interval)
        self._bounds = outputs.names(interval)[outputs.N_TARGETS :]
        with strategy.scope():
            optimizer.build(model.trainable_variables)
        self._compiled_step = tf.function(
            self._global_step, autograph=False, reduce_retracing=True
        )
        self._few_steps = few_steps

    @property
    def step(self) -> int:
        """Steps done so far."""
        return int(self._optimizer.iterations.numpy())

    def losses(
        self,
        batches: tf.data.Dataset,
        reading: Callable[[Iterable[Any]], Iterator[Any]] = iter,
    ) -> Iterator[float]:
        """Trains on each global batch and yields its loss, 1 - mean CCC.

        Args:
          batches: Of `pipeline.training_batches`.
          reading: How to go through them; see `record_source.RecordSource.reading`.

        Raises:
          errors.RunError: naming the step, if the loss is not finite.
        """
        n_replicas = self._strategy.num_replicas_in_sync
        if n_replicas > 1:
            batches = batches.map(
                lambda inputs, labels: _fill_up(inputs, labels, n_replicas)
            )
            options = tf.data.Options()
            # On several machines each takes its rows of every global batch.
            options.experimental_distribute.auto_shard_policy = (
                tf.data.experimental.AutoShardPolicy.DATA
            )
            batches = self._strategy.experimental_distribute_dataset(
                batches.with_options(options)
            )
        if self._few_steps:
            self._compiled_step.get_concrete_function(batches.element_spec)
        for batch in reading(batches):
            loss = float(self._compiled_step(batch))
            if loss != loss or abs(loss) == float("inf"):
                raise errors.RunError(
                    f"step {self.step}: the loss is {loss}: lower --learning_rate or "
                    "set --clip_norm, in another --run_dir, or see whether "
                    "avexp-verify finds features that are no numbers"
                )
            yield loss

    def _global_step(self, batch: tuple[dict, dict]) -> tf.Tensor:
        losses = self._strategy.run(self._replica_step, args=batch)
        # Every replica knows the loss of the global batch: any one of them will do.
        return self._strategy.experimental_local_results(losses)[0]

    def _replica_step(
        self, inputs: dict[str, tf.Tensor], labels: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            predicted = self._model(inputs, training=True)
            # Keras divides each by the number of replicas, since gradients are summed
            # over replicas and each of them holds the whole loss.
            parts = {
                name: loss(labels[outputs.target_of(name)], predicted[name])
                for name, loss in self._losses.items()
            }
            share = tf.add_n([parts[name] for name in config.TARGETS])
            share /= len(config.TARGETS)
            # The bounds have weights of their own, which nothing else follows from.
            total = tf.add_n([share, *(parts[name] for name in self._bounds)])
        gradients = tape.gradient(total, variables)
        self._optimizer.apply(gradients, variables)
        return share * context.num_replicas_in_sync


def _fill_up(
    inputs: dict[str, tf.Tensor], labels: dict[str, tf.Tensor], multiple: int
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Repeats the first clip, without labels, until each replica has as many clips.

    A replica with an empty batch fails in the convolution; one that holds only clips
    without labels adds nothing to the loss or to the gradient.
    """
    missing = -tf.shape(inputs["valid"])[0] % multiple

    def repeat(rows: tf.Tensor) -> tf.Tensor:
        return tf.concat([rows, tf.repeat(rows[:1], missing, axis=0)], axis=0)

    def mask(rows: tf.Tensor) -> tf.Tensor:
        nothing = tf.fill([missing, *rows.shape[1:]], float("nan"))
        return tf.concat([rows, nothing], axis=0)

    filled = {name: repeat(rows) for name, rows in inputs.items()}
    return filled, {name: mask(rows) for name, rows in labels.items()}
