"""CCC: the pure function, the loss, the streaming metric. Quantiles: the loss."""

from avexp_tf.objectives.ccc_loss import CCCLoss
from avexp_tf.objectives.ccc_metric import CCCMetric
from avexp_tf.objectives.concordance import ccc
from avexp_tf.objectives.output_losses import output_losses
from avexp_tf.objectives.pinball_loss import PinballLoss

__all__ = ["CCCLoss", "CCCMetric", "PinballLoss", "ccc", "output_losses"]
