"""Centred moments of label and prediction that merge exactly: the corpus CCC in pieces.

An array [..., 6] holds n, mean label, mean prediction and the sums of squared label
deviations, squared prediction deviations and their products, in float64.
"""

from __future__ import annotations

import numpy as np

SIZE = 6


def moments_of(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Computes the moments over the last axis.

    Args:
      y_true: float [..., n]; NaN where invalid.
      y_pred: float, broadcasts against y_true.

    Returns:
      float64 [..., 6].
    """
    y_true, y_pred = np.broadcast_arrays(
        np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    )
    valid = ~np.isnan(y_true)
    count = valid.sum(-1)
    divisor = np.maximum(count, 1)
    y_true = np.where(valid, y_true, 0.0)
    y_pred = np.where(valid, y_pred, 0.0)
    mean_true = y_true.sum(-1) / divisor
    mean_pred = y_pred.sum(-1) / divisor
    centred_true = np.where(valid, y_true - mean_true[..., None], 0.0)
    centred_pred = np.where(valid, y_pred - mean_pred[..., None], 0.0)
    return np.stack(
        [
            count.astype(np.float64),
            mean_true,
            mean_pred,
            np.square(centred_true).sum(-1),
            np.square(centred_pred).sum(-1),
            (centred_true * centred_pred).sum(-1),
        ],
        axis=-1,
    )


def merge(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Merges the moments of two disjoint sets.

    Args:
      first: float64 [..., 6].
      second: float64 [..., 6].

    Returns:
      float64 [..., 6].

    Reference:
      T. F. Chan et al., "Updating formulae and a pairwise algorithm for computing
      sample variances", 1979.
    """
    n1, n2 = first[..., 0], second[..., 0]
    n = n1 + n2
    share = n2 / np.maximum(n, 1)
    d_true = second[..., 1] - first[..., 1]
    d_pred = second[..., 2] - first[..., 2]
    weight = n1 * share
    return np.stack(
        [
            n,
            first[..., 1] + d_true * share,
            first[..., 2] + d_pred * share,
            first[..., 3] + second[..., 3] + d_true * d_true * weight,
            first[..., 4] + second[..., 4] + d_pred * d_pred * weight,
            first[..., 5] + second[..., 5] + d_true * d_pred * weight,
        ],
        axis=-1,
    )


def ccc_of(moments: np.ndarray) -> np.ndarray:
    """Returns the CCC of moments [..., 6]: NaN where n is 0, 0 where nothing varies."""
    n, mean_true, mean_pred, var_true, var_pred, covariance = np.moveaxis(
        moments, -1, 0
    )
    gap = np.square(mean_true - mean_pred) * n
    spread = var_true + var_pred + gap
    with np.errstate(invalid="ignore", divide="ignore"):
        # Of predictions that are no numbers there is no CCC.
        value = np.where(spread == 0, 0.0, 2.0 * covariance / spread)
    return np.where(n > 0, value, np.nan)


def correlation_of(moments: np.ndarray) -> np.ndarray:
    """Returns Pearson's correlation of moments [..., 6], 0 where nothing varies."""
    spread = np.sqrt(moments[..., 3] * moments[..., 4])
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(spread > 0, moments[..., 5] / spread, 0.0)
    return np.where(moments[..., 0] > 0, value, np.nan)
