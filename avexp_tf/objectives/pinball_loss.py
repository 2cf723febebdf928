"""The loss whose least value a quantile has, over the global batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from avexp_tf.objectives import replicas


@keras.saving.register_keras_serializable("avexp_tf")
class PinballLoss(keras.losses.Loss):
    """Mean of q max(y - f, 0) + (1 - q) max(f - y, 0) over the global batch.

    As `CCCLoss` it is the same in every replica and has shape [1].

    Args:
      quantile: q, in (0, 1): the share of labels that are to lie below.
      **kwargs: Of the Keras loss.

    Call arguments:
      y_true: float [B, T]; NaN where the label is invalid.
      y_pred: float [B, T].

    Returns:
      float32 [1]; 0 with a zero gradient where nothing is valid.

    Reference:
      R. Koenker, G. Bassett, "Regression quantiles", Econometrica 46, 1978.
    """

    def __init__(self, quantile: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.quantile = quantile

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Computes the loss; see the class."""
        y_true = ops.cast(y_true, "float32")
        valid = ops.logical_not(ops.isnan(y_true))
        # Replaced before any arithmetic: NaN times zero is NaN, in the gradient too.
        gap = ops.where(valid, y_true, 0.0) - ops.cast(y_pred, "float32")
        each = ops.maximum(self.quantile * gap, (self.quantile - 1.0) * gap)
        sums = [
            ops.sum(ops.cast(valid, "float32")),
            ops.sum(ops.where(valid, each, 0.0)),
        ]
        count, total = ops.unstack(replicas.all_reduce()(ops.stack(sums)))
        return ops.reshape(total / ops.maximum(count, 1.0), (1,))

    def get_config(self) -> dict[str, Any]:
        """Returns the init arguments."""
        return {**super().get_config(), "quantile": self.quantile}
