"""Adam with a schedule, and with clipping that is right under tf.distribute."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from avexp_tf import config
from avexp_tf.models import crossmodal_transformer


@keras.saving.register_keras_serializable("avexp_tf")
class GlobalClipAdam(keras.optimizers.Adam):
    """Adam that clips the norm of the gradient of the global batch.

    Keras's own `global_clipnorm` clips on each replica before the gradients are summed,
    so that two replicas step farther than one. Here they are summed first.

    A variable is updated by TensorFlow's one operator for it, which goes through memory
    three times less than the dozen of operators that Keras makes of the same formula.

    Args:
      max_norm: Largest norm; 0 leaves the gradient as it is.
      **kwargs: Of `keras.optimizers.Adam`.
    """

    def __init__(self, *args: Any, max_norm: float = 0.0, **kwargs: Any):
        if kwargs.get("gradient_accumulation_steps"):
            raise ValueError(
                "gradient_accumulation_steps does not work under a distribution "
                "strategy: use a smaller --batch_size or more replicas"
            )
        super().__init__(*args, **kwargs)
        self.max_norm = max_norm

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        reduced = super()._all_reduce_sum_gradients(grads_and_vars)
        if not self.max_norm:
            return reduced
        # What bounds are learned with must not shorten the steps of the estimates.
        estimates: list = []
        bounds: list = []
        for pair in reduced:
            variable = self._trainable_variables[self._get_variable_index(pair[1])]
            of_bounds = crossmodal_transformer.learns_bounds(variable)
            (bounds if of_bounds else estimates).append(pair)
        return self._clipped(estimates) + self._clipped(bounds)

    def _clipped(self, pairs: list) -> list:
        gradients = [gradient for gradient, _ in pairs]
        clipped, _ = tf.clip_by_global_norm(gradients, self.max_norm)
        return [(one, pair[1]) for one, pair in zip(clipped, pairs, strict=True)]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable; the base class's formula."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the init arguments."""
        return {**super().get_config(), "max_norm": self.max_norm}


@keras.saving.register_keras_serializable("avexp_tf")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from zero, then stays, or falls to zero along a cosine.

    Args:
      peak: Highest learning rate.
      warmup_steps: Steps of the rise.
      total_steps: Steps of the whole training, where the cosine ends; 0 to stay.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate at a step, counted from 0."""
        step = ops.cast(step, "float32")
        rate = ops.convert_to_tensor(self.peak, "float32")
        if self.total_steps:
            length = max(self.total_steps - self.warmup_steps, 1)
            done = ops.clip((step - self.warmup_steps) / length, 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(done * 3.141592653589793))
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, (step + 1.0) / self.warmup_steps)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Returns the init arguments."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def build(train: config.TrainConfig, total_steps: int) -> GlobalClipAdam:
    """Builds the optimizer of a run.

    Args:
      train: Its settings.
      total_steps: Steps of the whole training, for the cosine schedule.

    Returns:
      The optimizer.
    """
    schedule = WarmupSchedule(
        train.learning_rate,
        train.warmup_steps,
        total_steps if train.schedule == "cosine" else 0,
    )
    return GlobalClipAdam(learning_rate=schedule, max_norm=train.clip_norm)
