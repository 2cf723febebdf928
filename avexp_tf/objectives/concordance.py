"""The concordance correlation coefficient from sums over any number of replicas.

    CCC = 2 s_tp / (s_t^2 + s_p^2 + (m_t - m_p)^2)

All moments are biased (1 / n) and centred before they are squared, so that neither a
large mean nor a low precision spoils them. An invalid label is NaN.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from avexp_tf.objectives import replicas

# Far below any variance of labels in [-1, 1], far above float32's smallest normal
# number: two constant series give CCC 0 with a finite gradient.
EPSILON = 1e-8


def ccc(y_true: Any, y_pred: Any, all_reduce: replicas.AllReduce | None = None) -> Any:
    """Computes the CCC over all valid entries of all axes.

    Args:
      y_true: Labels of any shape; NaN where invalid.
      y_pred: Predictions of the same shape.
      all_reduce: Sums a tensor over replicas; None where there is one.

    Returns:
      float32 [], in [-1, 1]; 0 where nothing is valid or nothing varies.

    Reference:
      L. I-K. Lin, "A concordance correlation coefficient to evaluate reproducibility",
      Biometrics 45, 1989.
    """
    reduce = all_reduce or (lambda x: x)
    y_true = ops.cast(y_true, "float32")
    y_pred = ops.cast(y_pred, "float32")
    valid = ops.logical_not(ops.isnan(y_true))
    # Replaced before any arithmetic: NaN times zero is NaN, in the gradient too.
    weight = ops.cast(valid, "float32")
    y_true = ops.where(valid, y_true, ops.zeros_like(y_true))
    y_pred = ops.where(valid, y_pred, ops.zeros_like(y_pred))
    sums = reduce(ops.stack([ops.sum(weight), ops.sum(y_true), ops.sum(y_pred)]))
    count = ops.maximum(sums[0], 1.0)
    mean_true = sums[1] / count
    mean_pred = sums[2] / count
    centred_true = (y_true - mean_true) * weight
    centred_pred = (y_pred - mean_pred) * weight
    # What the first mean missed by rounding is corrected, and so keeps a mean of 1e4.
    seconds = reduce(
        ops.stack(
            [
                ops.sum(centred_true),
                ops.sum(centred_pred),
                ops.sum(ops.square(centred_true)),
                ops.sum(ops.square(centred_pred)),
                ops.sum(centred_true * centred_pred),
            ]
        )
    )
    rest_true, rest_pred, var_true, var_pred, covariance = ops.unstack(seconds / count)
    var_true = var_true - ops.square(rest_true)
    var_pred = var_pred - ops.square(rest_pred)
    covariance = covariance - rest_true * rest_pred
    gap = (mean_true - mean_pred) + (rest_true - rest_pred)
    return 2.0 * covariance / (var_true + var_pred + ops.square(gap) + EPSILON)
