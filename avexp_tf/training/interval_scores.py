"""How far labels lie from the estimates, measured by the ends of the intervals."""

from __future__ import annotations

import numpy as np

from avexp_tf import outputs
from avexp_tf.training import scoring

# An end that would have to lie beyond the estimate stays beside it.
_LEAST = 0.01
_NEAREST = 1e-6
_SIGNS = [-1 if name.endswith("low") else 1 for name in outputs.BOUNDS]


class IntervalScores:
    """Collects, of every label, where it lies between the estimate (0) and an end (1).

    The quantile of these scores is the factor by which that end has to move for the
    interval to hold its share.

    Reference:
      Y. Romano et al., "Conformalized quantile regression", 2019, whose scores are
      differences; as ratios they keep an interval in proportion to what it knows.
    """

    def __init__(self) -> None:
        self._scores: list[list[np.ndarray]] = [[] for _ in outputs.BOUNDS]

    def add(self, segment: scoring.SegmentPredictions) -> None:
        """Takes a segment, predicted by one model; nothing of one without bounds."""
        (predicted,) = segment.predicted  # [K, n, 2 or 6]
        n_targets = outputs.N_TARGETS
        if predicted.shape[-1] == n_targets:
            return
        for place, scores in enumerate(self._scores):
            target = place // (len(outputs.BOUNDS) // n_targets)
            estimate = predicted[..., target]
            labels = segment.labels[:, target]
            towards = predicted[..., n_targets + place] - estimate
            # Rounded, an end may be the estimate itself.
            distance = np.maximum(np.abs(towards), _NEAREST)
            ratios = (labels - estimate) * _SIGNS[place] / distance
            scores.append(ratios[:, ~np.isnan(labels)].ravel().astype(np.float32))

    def factors(self, interval: float) -> np.ndarray:
        """Returns by what to multiply the distance of each end, float64 [4].

        Args:
          interval: The share of labels that is to lie between the ends.
        """
        inside = 1.0 - (1.0 - interval) / 2
        found = np.ones(len(self._scores))
        for place, parts in enumerate(self._scores):
            scores = np.concatenate(parts) if parts else np.zeros(0)
            if len(scores):
                found[place] = max(np.quantile(scores, inside), _LEAST)
        return found
