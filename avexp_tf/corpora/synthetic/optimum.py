"""The exact posterior mean of a clip: what the best possible model would predict.

Valence and arousal are independent and each is seen, per tick, through Gaussian noise
in the frames and LLD rows that arrived. So the posterior is a scalar Kalman smoother
per target over the clip and its audio context, run for all clips at once. The
correlation of its mean with the truth is the largest CCC that any function of the same
input can reach.

Reference:
  H. E. Rauch, F. Tung, C. T. Striebel, "Maximum likelihood estimates of linear dynamic
  systems", 1965.
"""

from __future__ import annotations

import numpy as np

from avexp_tf.corpora.synthetic import settings as synthetic_settings


class Optimum:
    """Posterior means of clips of one synthetic corpus.

    Args:
      settings: Of the corpus.
      context_ticks: C, of the records.
      context_before: LLD rows of context before the current tick.
    """

    def __init__(
        self,
        settings: synthetic_settings.SyntheticConfig,
        context_ticks: int,
        context_before: int,
    ):
        self._settings = settings
        self._context_ticks = context_ticks
        self._context_before = context_before
        self._projections = synthetic_settings.Projections.of(settings)

    def video_states(self, video: np.ndarray) -> np.ndarray:
        """Returns what frames say of both targets: [..., video_dim] -> [..., 2]."""
        flat = np.asarray(video, np.float64).reshape(-1, video.shape[-1])
        states = self._projections.video_states(flat, self._settings.video_noise)
        return states.reshape(*video.shape[:-1], 2)

    def audio_states(self, audio: np.ndarray) -> np.ndarray:
        """Returns what LLD rows say: [..., audio_dim], not normalised -> [..., 2]."""
        flat = np.asarray(audio, np.float64).reshape(-1, audio.shape[-1])
        states = self._projections.audio_states(flat, self._settings.audio_noise)
        return states.reshape(*audio.shape[:-1], 2)

    def posterior_means(
        self,
        video_states: np.ndarray,
        audio_states: np.ndarray,
        audio_row_present: np.ndarray,
        video_source: np.ndarray | None,
        audio_source: np.ndarray | None,
    ) -> np.ndarray:
        """Returns the posterior means of labels under source maps.

        Args:
          video_states: [B, T, 2], of `video_states`.
          audio_states: [B, T + C - 1, 2], of `audio_states`.
          audio_row_present: bool [B, T + C - 1].
          video_source: int [B, T], real gaps composed; None for a model without video.
          audio_source: int [B, T], likewise.

        Returns:
          float64 [B, T, 2], in the labels' units.
        """
        n_clips, n_rows, _ = audio_states.shape
        before = self._context_before
        n_ticks = video_states.shape[1]
        precision = np.zeros((n_clips, n_rows, 2))
        weighted = np.zeros((n_clips, n_rows, 2))
        if video_source is not None:
            seen = _shown(video_source, n_ticks)[..., None] / self._settings.video_noise
            precision[:, before : before + n_ticks] += seen
            weighted[:, before : before + n_ticks] += seen * video_states
        if audio_source is not None:
            heard = _covered(_shown(audio_source, n_ticks), self._context_ticks)
            heard = heard & audio_row_present
            amount = heard[..., None] / self._settings.audio_noise
            precision += amount
            weighted += amount * audio_states
        means = smooth(precision, weighted, self._settings.decay)
        return means[:, before : before + n_ticks] * synthetic_settings.LABEL_STD


def smooth(
    precision: np.ndarray, weighted: np.ndarray, decay: np.ndarray
) -> np.ndarray:
    """Smooths unit-variance AR(1) states seen through Gaussian noise.

    Args:
      precision: [B, N, K], the summed 1 / variance of what was seen at each tick; 0
        where nothing was.
      weighted: [B, N, K], the sum of observations times their precision.
      decay: [K], correlation from one tick to the next.

    Returns:
      Posterior means, [B, N, K].
    """
    n = precision.shape[1]
    shock = 1.0 - decay**2
    mean = np.zeros_like(precision)
    variance = np.zeros_like(precision)
    predicted_mean = np.zeros_like(precision[:, 0])
    predicted_variance = np.ones_like(precision[:, 0])
    for tick in range(n):
        variance[:, tick] = 1.0 / (1.0 / predicted_variance + precision[:, tick])
        mean[:, tick] = variance[:, tick] * (
            predicted_mean / predicted_variance + weighted[:, tick]
        )
        predicted_mean = decay * mean[:, tick]
        predicted_variance = decay**2 * variance[:, tick] + shock
    for tick in range(n - 2, -1, -1):
        ahead = decay**2 * variance[:, tick] + shock
        gain = decay * variance[:, tick] / ahead
        mean[:, tick] += gain * (mean[:, tick + 1] - decay * mean[:, tick])
    return mean


def _shown(source: np.ndarray, n_ticks: int) -> np.ndarray:
    """Which frames a source map [B, T] shows anywhere, bool [B, T]."""
    shown = np.zeros((len(source), n_ticks + 1), bool)
    inside = (source >= 0) & (source < n_ticks)
    np.put_along_axis(shown, np.where(inside, source, n_ticks), True, axis=1)
    return shown[:, :n_ticks]


def _covered(shown: np.ndarray, context_ticks: int) -> np.ndarray:
    """Which LLD rows the shown audio vectors hold: [B, T] -> [B, T + C - 1]."""
    n_clips, n_ticks = shown.shape
    edges = np.zeros((n_clips, n_ticks + context_ticks), int)
    edges[:, :n_ticks] += shown
    edges[:, context_ticks:] -= shown
    return np.cumsum(edges, axis=1)[:, :-1] > 0
