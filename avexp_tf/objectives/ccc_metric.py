"""Corpus CCC as a streaming Keras metric."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from avexp_tf.objectives import moments


@keras.saving.register_keras_serializable("avexp_tf")
class CCCMetric(keras.metrics.Metric):
    """CCC over everything seen since the last reset, never a mean of batch values.

    State is one float64 row of centred moments per replica, and Chan's rule merges
    batches and rows, so the order and the size of batches do not matter.

    Call arguments:
      y_true: float, any shape; NaN where invalid.
      y_pred: float, the same shape.

    Returns:
      float64 [].
    """

    def __init__(self, name: str = "ccc", dtype: Any = "float64"):
        super().__init__(name=name, dtype=dtype)
        # Under a strategy the replicas' states are added where they are read, and
        # moments don't add up; each replica's row stands alone, the others are zero.
        n_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.moments = self.add_weight(
            shape=(n_replicas, moments.SIZE),
            initializer="zeros",
            name="moments",
            dtype="float64",
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch; `sample_weight` is refused, NaN labels say what is invalid.

        Raises:
          ValueError: if `sample_weight` is given.
          RuntimeError: under a strategy in whose scope the metric was not made.
        """
        if sample_weight is not None:
            raise ValueError("CCCMetric takes no sample_weight: mark labels as NaN")
        context = tf.distribute.get_replica_context()
        # None where Keras only asks for shapes.
        row = 0 if context is None else context.replica_id_in_sync_group
        if context and context.num_replicas_in_sync > self.moments.shape[0]:
            raise RuntimeError("CCCMetric: must be made in the strategy's scope")
        state = tf.convert_to_tensor(self.moments)
        merged = _merge(state[row], _moments(y_true, y_pred))
        self.moments.assign(tf.tensor_scatter_nd_update(state, [[row]], merged[None]))

    def result(self) -> Any:
        """Returns the CCC; 0 where nothing is valid or nothing varies."""
        total, *rows = tf.unstack(tf.convert_to_tensor(self.moments))
        for row in rows:
            total = _merge(total, row)
        n, mean_true, mean_pred, var_true, var_pred, covariance = tf.unstack(total)
        spread = var_true + var_pred + tf.square(mean_true - mean_pred) * n
        return tf.math.divide_no_nan(2.0 * covariance, spread)


def _moments(y_true: Any, y_pred: Any) -> tf.Tensor:
    y_true = tf.reshape(tf.cast(y_true, tf.float64), [-1])
    y_pred = tf.reshape(tf.cast(y_pred, tf.float64), [-1])
    valid = ~tf.math.is_nan(y_true)
    y_true = tf.boolean_mask(y_true, valid)
    y_pred = tf.boolean_mask(y_pred, valid)
    n = tf.cast(tf.size(y_true), tf.float64)
    mean_true = tf.math.divide_no_nan(tf.reduce_sum(y_true), n)
    mean_pred = tf.math.divide_no_nan(tf.reduce_sum(y_pred), n)
    d_true, d_pred = y_true - mean_true, y_pred - mean_pred
    return tf.stack(
        [
            n,
            mean_true,
            mean_pred,
            tf.reduce_sum(tf.square(d_true)),
            tf.reduce_sum(tf.square(d_pred)),
            tf.reduce_sum(d_true * d_pred),
        ]
    )


def _merge(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    n = first[0] + second[0]
    share = tf.math.divide_no_nan(second[0], n)
    delta = second[1:3] - first[1:3]
    weight = first[0] * share
    products = tf.stack([delta[0] ** 2, delta[1] ** 2, delta[0] * delta[1]])
    return tf.concat(
        [
            [n],
            first[1:3] + delta * share,
            first[3:] + second[3:] + products * weight,
        ],
        axis=0,
    )
