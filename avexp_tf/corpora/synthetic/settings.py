"""Settings of the synthetic corpus and the fixed projections that follow from them."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np

from avexp_tf import errors
from avexp_tf import options

TICK_RATE_HZ = 30.0


@dataclasses.dataclass(frozen=True)
class SyntheticConfig(options.Checked):
    """The state-space model that the corpus is drawn from.

    Attributes: each has its help text; see `avexp-prepare --help`. A noise is a
    variance, in units of the variance of the state that it covers, per tick.
    """

    synthetic_seed: int = options.option(0, "Seed of the corpus.", minimum=0)
    video_dim: int = options.option(4096, "Video features per frame; even.", minimum=4)
    audio_dim: int = options.option(65, "LLDs per tick.", minimum=2)
    train_speakers: int = options.option(60, "Speakers in train.", minimum=1)
    dev_speakers: int = options.option(10, "Speakers in dev.", minimum=0)
    validation_speakers: int = options.option(20, "Speakers in validation.", minimum=0)
    recordings_per_speaker: int = options.option(
        2, "Recordings of each speaker.", minimum=1
    )
    min_ticks: int = options.option(1200, "Shortest recording, in ticks.", minimum=1)
    max_ticks: int = options.option(2400, "Longest recording, in ticks.", minimum=1)
    valence_secs: float = options.option(
        2.0, "Time constant of valence, in seconds.", minimum=0.001
    )
    arousal_secs: float = options.option(
        2.0, "Time constant of arousal, in seconds.", minimum=0.001
    )
    video_noise: float = options.option(
        0.5, "Noise of valence and of arousal in one video frame.", minimum=1e-6
    )
    audio_valence_noise: float = options.option(
        120.0, "Noise of valence in one LLD row.", minimum=1e-6
    )
    audio_arousal_noise: float = options.option(
        3.0, "Noise of arousal in one LLD row.", minimum=1e-6
    )
    nuisance: float = options.option(
        0.25,
        "Spread of the features in directions that carry neither valence nor arousal, "
        "where the noise in those that do has spread 1.",
        minimum=0.0,
    )
    speaker: float = options.option(
        0.5,
        "Spread over speakers of their offset in the directions of --nuisance.",
        minimum=0.0,
    )
    video_offset: float = options.option(
        2.0,
        "Spread over dimensions of the video features' mean before they are rectified: "
        "how far from the data a frame of zeros lies.",
        minimum=0.0,
    )
    no_face: float = options.option(
        0.05, "Share of ticks without a face.", minimum=0.0, maximum=0.9
    )
    silence: float = options.option(
        0.1, "Share of ticks without sound.", minimum=0.0, maximum=0.9
    )
    gap_secs: float = options.option(
        1.5, "Mean length of a stretch of --no_face or of --silence.", minimum=0.05
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.video_dim % 2:
            raise errors.ConfigError(f"--video_dim={self.video_dim}: must be even")
        # In a chain that changes at every tick where it can.
        ticks = max(self.gap_secs * TICK_RATE_HZ, 1.0)
        for name in ("no_face", "silence"):
            share = getattr(self, name)
            if share > ticks / (ticks + 1):
                most = math.floor(1000 * ticks / (ticks + 1)) / 1000
                raise errors.ConfigError(
                    f"--{name}={share:g}: must be at most {most:g} where a stretch "
                    f"lasts --gap_secs={self.gap_secs:g}"
                )
        if self.min_ticks > self.max_ticks:
            raise errors.ConfigError(
                f"--min_ticks={self.min_ticks}: must be at most "
                f"--max_ticks={self.max_ticks}"
            )

    @property
    def decay(self) -> np.ndarray:
        """Correlation of valence and of arousal from one tick to the next, [2]."""
        secs = np.array([self.valence_secs, self.arousal_secs])
        return np.exp(-1.0 / (TICK_RATE_HZ * secs))

    @property
    def audio_noise(self) -> np.ndarray:
        """Noise variance of both targets in one LLD row, [2]."""
        return np.array([self.audio_valence_noise, self.audio_arousal_noise])


# Spread of the labels: 1 lies five deviations out, so that clipping them to [-1, 1]
# touches one tick in two million and leaves them Gaussian.
LABEL_STD = 0.2


def rng_of(settings: SyntheticConfig, *names: str) -> np.random.Generator:
    """Returns a generator that is a function of the seed and the names alone."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    words = np.frombuffer(digest[:16], "<u4")
    return np.random.default_rng([settings.synthetic_seed, *words.tolist()])


@dataclasses.dataclass(frozen=True)
class Projections:
    """What is fixed for the whole corpus.

    Attributes:
      video: Orthonormal directions of both targets, [video_dim / 2, 2].
      video_mean: Mean before the distortion, [video_dim / 2].
      audio: Orthonormal directions of both targets, [audio_dim, 2].
      audio_mean: Mean of each LLD, [audio_dim].
      audio_scale: Scale of each LLD, [audio_dim].
    """

    video: np.ndarray
    video_mean: np.ndarray
    audio: np.ndarray
    audio_mean: np.ndarray
    audio_scale: np.ndarray

    @classmethod
    def of(cls, settings: SyntheticConfig) -> Projections:
        """Draws them from the corpus's seed."""
        rng = rng_of(settings, "projections")
        half = settings.video_dim // 2
        video, _ = np.linalg.qr(rng.standard_normal((half, 2)))
        video_mean = settings.video_offset * rng.standard_normal(half)
        audio, _ = np.linalg.qr(rng.standard_normal((settings.audio_dim, 2)))
        audio_mean = 5.0 * rng.standard_normal(settings.audio_dim)
        audio_scale = np.exp(rng.standard_normal(settings.audio_dim))
        return cls(video, video_mean, audio, audio_mean, audio_scale)

    def distort(self, latent: np.ndarray) -> np.ndarray:
        """Makes latent video vectors look like fc6 after ReLU.

        Both signs of each shifted coordinate are kept apart and rectified, so one of
        each pair is zero, all are non-negative, and nothing is lost.

        Args:
          latent: [n, video_dim / 2].

        Returns:
          [n, video_dim].
        """
        shifted = latent + self.video_mean
        return np.concatenate([np.maximum(shifted, 0), np.maximum(-shifted, 0)], axis=1)

    def video_states(self, features: np.ndarray, noise: float) -> np.ndarray:
        """Returns what video features say of both targets, in units of their spread.

        Args:
          features: [n, video_dim], as `distort` made them.
          noise: `SyntheticConfig.video_noise`.

        Returns:
          [n, 2]: state plus noise of that variance.
        """
        half = features.shape[1] // 2
        latent = features[:, :half] - features[:, half:] - self.video_mean
        return (latent @ self.video) * math.sqrt(noise)

    def audio_states(self, llds: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Returns what LLD rows say of both targets, in units of their spread.

        Args:
          llds: [n, audio_dim], not normalised.
          noise: `SyntheticConfig.audio_noise`, [2].

        Returns:
          [n, 2]: state plus noise of that variance.
        """
        latent = (llds - self.audio_mean) / self.audio_scale
        return (latent @ self.audio) * np.sqrt(noise)
