"""How sure a CCC is: paired bootstrap over recordings, from per-recording moments.

Moments about zero add up over recordings, so a resample is a product of how often each
recording was drawn with their sums: nothing is predicted again and nothing is looped.
"""

from __future__ import annotations

import dataclasses
import math
import statistics

import numpy as np

from avexp_tf import errors
from avexp_tf.objectives import moments

_NORMAL = statistics.NormalDist()


class Resampler:
    """Draws recordings with replacement, the same draws for everything it is asked.

    Args:
      n_recordings: R.
      n_resamples: B.
      seed: Of the draws.

    Attributes:
      n_recordings: Likewise.

    Raises:
      errors.ConfigError: if there is no recording, or no two resamples.
    """

    def __init__(self, n_recordings: int, n_resamples: int = 2000, seed: int = 0):
        if n_recordings < 1:
            raise errors.ConfigError("bootstrap: there must be at least 1 recording")
        if n_resamples < 2:
            raise errors.ConfigError(
                f"bootstrap: {n_resamples} resamples must be at least 2"
            )
        self.n_recordings = n_recordings
        rng = np.random.default_rng(seed)
        share = np.full(n_recordings, 1 / n_recordings)
        drawn = rng.multinomial(n_recordings, share, size=n_resamples)
        # The first row is the sample itself.
        self._counts = np.vstack([np.ones(n_recordings), drawn])

    def ccc(self, per_recording: np.ndarray) -> np.ndarray:
        """Computes the pooled CCC of the sample and of every resample.

        Args:
          per_recording: float64 [..., R, 2, 6], see `objectives.moments`.

        Returns:
          float64 [1 + B, ..., 2]: the sample first; NaN where no label was drawn.
        """
        about_zero = np.moveaxis(_about_zero(per_recording), -3, 0)  # [R, ..., 2, 6]
        sums = np.tensordot(self._counts, about_zero, axes=1)  # [1 + B, ..., 2, 6]
        return moments.ccc_of(_centred(sums))


def _about_zero(values: np.ndarray) -> np.ndarray:
    """Turns moments [..., 6] into sums that add up over disjoint sets."""
    n, mean_true, mean_pred, var_true, var_pred, covariance = np.moveaxis(values, -1, 0)
    return np.stack(
        [
            n,
            n * mean_true,
            n * mean_pred,
            var_true + n * mean_true * mean_true,
            var_pred + n * mean_pred * mean_pred,
            covariance + n * mean_true * mean_pred,
        ],
        axis=-1,
    )


def _centred(sums: np.ndarray) -> np.ndarray:
    """The inverse of `_about_zero`."""
    n, sum_true, sum_pred, square_true, square_pred, product = np.moveaxis(sums, -1, 0)
    divisor = np.maximum(n, 1)
    mean_true, mean_pred = sum_true / divisor, sum_pred / divisor
    return np.stack(
        [
            n,
            mean_true,
            mean_pred,
            np.maximum(square_true - sum_true * mean_true, 0),
            np.maximum(square_pred - sum_pred * mean_pred, 0),
            product - sum_true * mean_pred,
        ],
        axis=-1,
    )


@dataclasses.dataclass(frozen=True)
class Difference:
    """By how much one value exceeds another, over the same recordings.

    Attributes: all float64 of the shape of the values.
      estimate: Of the sample.
      low: Lower end of the 95% interval.
      high: Upper end.
      p_value: Two-sided, of no difference.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray


def difference(
    first: np.ndarray, second: np.ndarray, n_recordings: int, level: float = 0.95
) -> Difference:
    """Compares two values of one `Resampler`.

    The spread of the resamples is the standard error. It is widened by
    sqrt(R / (R - 1)) and read on Student's distribution, since few recordings show too
    little of their own spread: T. Hesterberg, "What Teachers Should Know About the
    Bootstrap", 2015.

    Args:
      first: float64 [1 + B, ...], the sample first.
      second: Likewise.
      n_recordings: R.
      level: Of the interval.

    Returns:
      first - second; interval and p-value are NaN for a single recording.
    """
    values = first - second
    estimate, resampled = values[0], values[1:]
    if n_recordings < 2:
        unknown = np.full_like(estimate, np.nan)
        return Difference(estimate, unknown, unknown, unknown)
    widening = math.sqrt(n_recordings / (n_recordings - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = resampled.std(axis=0, ddof=1) * widening
        # Two equal models have no spread either.
        ratio = np.where(estimate == 0, 0.0, np.abs(estimate) / error)
    reach = student_quantile((1 + level) / 2, n_recordings - 1) * error
    tail = _two_sided(ratio, n_recordings - 1)
    return Difference(estimate, estimate - reach, estimate + reach, tail)


def student_quantile(probability: float, freedom: int) -> float:
    """Returns the quantile of Student's distribution at a probability above 1/2.

    Reference:
      D. L. Wallace, "Bounds on Normal Approximations to Student's and the Chi-Square
      Distributions", 1959, equation 2.11: z = (8 f + 1) / (8 f + 3) sqrt(f log(1 + t^2
      / f)), solved for t. Within 1% from 4 degrees of freedom on.
    """
    z = _NORMAL.inv_cdf(probability) * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(z * z / freedom))


def _two_sided(t: np.ndarray, freedom: int) -> np.ndarray:
    """The probability that Student's t lies farther out; see `student_quantile`."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    z = scale * np.sqrt(freedom * np.log1p(np.square(t) / freedom))
    return np.vectorize(math.erfc, otypes=[float])(z / math.sqrt(2))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Corrects p-values for their number, such that one false alarm stays as rare.

    Args:
      p_values: float64 [m]; NaN is no test and counts for nothing.

    Returns:
      float64 [m], at most 1.

    Reference:
      S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    p_values = np.asarray(p_values, np.float64)
    corrected = np.full_like(p_values, np.nan)
    tests = np.flatnonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return corrected


def area(p: np.ndarray, ccc: np.ndarray) -> np.ndarray:
    """Computes the area under a robustness curve: the mean CCC over all shares of loss.

    Args:
      p: float [k], distinct, the least and the largest among them.
      ccc: float [..., k], absolute.

    Returns:
      float64 [...]: by the trapezoid rule, divided by the range of p.
    """
    order = np.argsort(p)
    p, ccc = np.asarray(p, np.float64)[order], np.asarray(ccc)[..., order]
    widths = np.diff(p)
    return ((ccc[..., 1:] + ccc[..., :-1]) / 2 * widths).sum(-1) / widths.sum()
