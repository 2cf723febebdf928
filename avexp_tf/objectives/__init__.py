"""CCC: the pure function, the loss, the streaming metric."""

from avexp_tf.objectives.ccc_loss import CCCLoss
from avexp_tf.objectives.ccc_metric import CCCMetric
from avexp_tf.objectives.concordance import ccc

__all__ = ["CCCLoss", "CCCMetric", "ccc"]
