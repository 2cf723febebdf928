"""1 - CCC over the global batch, as a Keras loss that is right under tf.distribute."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avexp_tf.objectives import concordance
from avexp_tf.objectives import replicas


@keras.saving.register_keras_serializable("avexp_tf")
class CCCLoss(keras.losses.Loss):
    """1 - CCC over all valid ticks of the global batch, for one target.

    In a replica the moments are summed over all replicas, so the loss is the same
    everywhere and is that of the whole batch. The result has shape [1] and keeps the
    default reduction on purpose: Keras divides by the number of replicas only what has
    an axis to average over, and the gradients, summed over replicas, need that factor.

    Call arguments:
      y_true: float [B, T]; NaN where the label is invalid.
      y_pred: float [B, T].

    Returns:
      float32 [1], in [0, 2]; 1 with a zero gradient where nothing is valid.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Computes the loss; see the class."""
        value = concordance.ccc(y_true, y_pred, replicas.all_reduce())
        return ops.reshape(1.0 - value, (1,))
