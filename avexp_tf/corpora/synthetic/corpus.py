"""The synthetic corpus: speakers whose valence and arousal are known processes.

Valence and arousal are independent Gaussian AR(1) processes. Video features and LLDs
carry them in fixed orthonormal directions with Gaussian noise; in all other directions
they carry noise and the speaker, which say nothing of either. Stretches without a face
or without sound come and go as a two-state chain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np

from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.corpora.synthetic import settings as synthetic_settings

_BLOCK_TICKS = 1000


class SyntheticCorpus:
    """Draws recordings; the same settings always give the same ones.

    Args:
      settings: The state-space model.

    Attributes: see `recording.Corpus`.
    """

    name = "synthetic"

    def __init__(self, settings: synthetic_settings.SyntheticConfig):
        self.settings = settings
        self.config: dict[str, Any] = dataclasses.asdict(settings)
        self.video = recording.FeatureSet("synthetic_fc6", "1", settings.video_dim)
        self.audio = recording.FeatureSet("synthetic_lld", "1", settings.audio_dim)
        self._projections = synthetic_settings.Projections.of(settings)

    def recordings(self) -> Sequence[recording.RecordingInfo]:
        """Lists all recordings, always in the same order."""
        settings = self.settings
        infos = []
        for split, speakers in (
            ("train", settings.train_speakers),
            ("dev", settings.dev_speakers),
            ("validation", settings.validation_speakers),
        ):
            for speaker in range(speakers):
                subject = f"{split}-speaker-{speaker:04d}"
                for take in range(settings.recordings_per_speaker):
                    infos.append(
                        recording.RecordingInfo(
                            f"{subject}-take-{take:02d}", subject, subject, split
                        )
                    )
        return infos

    def read(self, recording_id: str) -> Iterator[recording.Block]:
        """Yields the ticks of one recording in order.

        Raises:
          errors.DataError: if there is no such recording.
        """
        subject, found, _ = recording_id.rpartition("-take-")
        if not found:
            raise errors.DataError(f"synthetic corpus: no recording {recording_id!r}")
        settings = self.settings
        rng = synthetic_settings.rng_of(settings, "recording", recording_id)
        speaker_rng = synthetic_settings.rng_of(settings, "speaker", subject)
        projections = self._projections
        video_speaker = settings.speaker * _outside(
            speaker_rng.standard_normal((1, settings.video_dim // 2)), projections.video
        )
        audio_speaker = settings.speaker * _outside(
            speaker_rng.standard_normal((1, settings.audio_dim)), projections.audio
        )
        n_ticks = int(rng.integers(settings.min_ticks, settings.max_ticks + 1))
        state = rng.standard_normal(2)
        face = bool(rng.random() >= settings.no_face)
        sound = bool(rng.random() >= settings.silence)
        for start in range(0, n_ticks, _BLOCK_TICKS):
            n = min(_BLOCK_TICKS, n_ticks - start)
            states = _ar1(rng, state, settings.decay, n)
            state = states[-1]
            faces = _on_off(rng, face, settings.no_face, settings.gap_secs, n)
            sounds = _on_off(rng, sound, settings.silence, settings.gap_secs, n)
            face, sound = bool(faces[-1]), bool(sounds[-1])
            video = video_speaker + self._latent(
                rng, states, projections.video, np.full(2, settings.video_noise)
            )
            audio = audio_speaker + self._latent(
                rng, states, projections.audio, settings.audio_noise
            )
            yield recording.Block(
                timestamps=(start + np.arange(n)) / synthetic_settings.TICK_RATE_HZ,
                video=projections.distort(video).astype(np.float32),
                audio=(audio * projections.audio_scale + projections.audio_mean).astype(
                    np.float32
                ),
                labels=np.clip(states * synthetic_settings.LABEL_STD, -1, 1),
                label_valid=np.ones((n, 2), bool),
                video_present=faces,
                audio_present=sounds,
            )

    def _latent(
        self,
        rng: np.random.Generator,
        states: np.ndarray,
        directions: np.ndarray,
        noise: np.ndarray,
    ) -> np.ndarray:
        """States and unit noise in their directions, nuisance in all others."""
        n, width = len(states), len(directions)
        signal = states / np.sqrt(noise) + rng.standard_normal((n, 2))
        rest = self.settings.nuisance * rng.standard_normal((n, width))
        return signal @ directions.T + _outside(rest, directions)


def _outside(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Removes what vectors [n, d] have in orthonormal directions [d, k]."""
    return vectors - (vectors @ directions) @ directions.T


def _ar1(
    rng: np.random.Generator, state: np.ndarray, decay: np.ndarray, n: int
) -> np.ndarray:
    """Continues a unit-variance AR(1) process from `state` [2] for n ticks, [n, 2]."""
    shocks = rng.standard_normal((n, 2)) * np.sqrt(1 - decay**2)
    states = np.empty((n, 2))
    for tick in range(n):
        state = decay * state + shocks[tick]
        states[tick] = state
    return states


def _on_off(
    rng: np.random.Generator, on: bool, off_share: float, off_secs: float, n: int
) -> np.ndarray:
    """Continues a two-state chain for n ticks, bool [n]."""
    back = 1.0 / max(off_secs * synthetic_settings.TICK_RATE_HZ, 1.0)
    leave = back * off_share / (1.0 - off_share)
    u = rng.random(n)
    states = np.empty(n, bool)
    for tick in range(n):
        on = bool(u[tick] >= leave) if on else bool(u[tick] < back)
        states[tick] = on
    return states
