"""Label delay and smoothing of predictions, chosen on dev and reported on validation.

Annotators answer late, and labels move slowly: many entries of the challenge shift and
smooth their predictions. Choosing both on the split that is reported on would flatter.
"""

from __future__ import annotations

import numpy as np

from avexp_tf import config
from avexp_tf.evaluation import measurement as measurements
from avexp_tf.objectives import moments

DELAYS = (0, 3, 6, 10, 15, 20, 30, 45, 60)  # ticks that labels come late
WIDTHS = (1, 5, 11, 21, 41, 81)  # ticks of the centred moving average


def ccc_of_all(ticks: measurements.Ticks, predicted: np.ndarray) -> np.ndarray:
    """Computes the pooled CCC for every delay and width.

    Args:
      ticks: Of a split.
      predicted: float [N, 2].

    Returns:
      float64 [delays, widths, 2].
    """
    total = np.zeros((len(DELAYS), len(WIDTHS), len(config.TARGETS), moments.SIZE))
    bounds = np.flatnonzero(np.diff(ticks.recording)) + 1
    labels = np.split(ticks.labels, bounds)
    for truth, values in zip(labels, np.split(predicted, bounds), strict=True):
        smooth = np.stack([smoothed(values, width) for width in WIDTHS])
        for index, delay in enumerate(DELAYS):
            late = np.swapaxes(delayed(smooth, delay), 1, 2)  # [widths, 2, n]
            part = moments.moments_of(truth.T[None], late)
            total[index] = moments.merge(total[index], part)
    return moments.ccc_of(total)


def smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Returns the moving average of [n, 2] over `width` ticks, fewer at the ends."""
    half = width // 2
    sums = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, 0, np.float64)])
    at = np.arange(len(values))
    first, after = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return (sums[after] - sums[first]) / (after - first)[:, None]


def delayed(values: np.ndarray, delay: int) -> np.ndarray:
    """Returns [..., n, 2] so many ticks later; the first value fills the start."""
    source = np.maximum(np.arange(values.shape[-2]) - delay, 0)
    return values[..., source, :]
