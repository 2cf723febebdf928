"""Which loss each output of a model is trained on."""

from __future__ import annotations

import keras

from avexp_tf import config
from avexp_tf import outputs
from avexp_tf.objectives import ccc_loss
from avexp_tf.objectives import pinball_loss


def output_losses(interval: float) -> dict[str, keras.losses.Loss]:
    """Returns {output: loss}: CCC of the estimates, quantiles for the bounds.

    Args:
      interval: Of the model's `config.ModelConfig`: the share of labels that is to lie
        between low and high, and as many below as above.
    """
    found: dict[str, keras.losses.Loss] = {
        target: ccc_loss.CCCLoss() for target in config.TARGETS
    }
    for name in outputs.names(interval)[outputs.N_TARGETS :]:
        outside = (1.0 - interval) / 2
        quantile = outside if name.endswith("low") else 1.0 - outside
        found[name] = pinball_loss.PinballLoss(quantile)
    return found
