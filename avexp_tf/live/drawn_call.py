"""A recording that shows nobody: a drawn face that talks, for a first look."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from avexp_tf.media import audio_reader
from avexp_tf.media import writer

WIDTH = 480
HEIGHT = 360
_FINE = 2  # drawn so much larger, then made smaller
_RATE_HZ = audio_reader.SAMPLE_RATE_HZ
_FRAMES_PER_SEC = 25
_WALL = (150, 140, 120)
_SKIN = (140, 175, 225)
_SHADE = (115, 150, 200)
_HAIR = (40, 50, 70)


def write(path: str | os.PathLike[str], n_secs: float = 20.0) -> None:
    """Writes the recording.

    Args:
      path: A file whose ending says the container, such as `.mp4`.
      n_secs: How long it is.

    Raises:
      errors.DataError: if it can't be written.
    """
    writer.write(path, frames(n_secs), voice(n_secs))


def frames(n_secs: float) -> Iterator[tuple[float, np.ndarray]]:
    """Yields times in seconds and pictures, uint8 [HEIGHT, WIDTH, 3], BGR."""
    for k in range(round(n_secs * _FRAMES_PER_SEC)):
        secs = k / _FRAMES_PER_SEC
        yield secs, face(_mood(secs), _loudness(secs), 12 * math.sin(secs * 0.9))


def voice(n_secs: float) -> np.ndarray:
    """Returns a sound like vowels, in phrases with pauses; float32 [n], 16 kHz."""
    secs = np.arange(round(n_secs * _RATE_HZ)) / _RATE_HZ
    pitch_hz = 130 + 40 * np.sin(2 * np.pi * secs / 10) + 10 * np.sin(9 * secs)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / _RATE_HZ
    found = np.zeros_like(secs)
    for harmonic in range(1, 25):
        tone_hz = harmonic * pitch_hz
        # Two formants, the second of which moves.
        second_hz = 1500 + 500 * np.sin(4 * secs)
        gain = np.exp(-(((tone_hz - 600) / 300) ** 2))
        gain = gain + 0.5 * np.exp(-(((tone_hz - second_hz) / 300) ** 2))
        found += (gain + 0.05) * np.sin(harmonic * phase)
    loud = np.array([_loudness(k / 100) for k in range(round(n_secs * 100) + 1)])
    found *= np.interp(secs, np.arange(len(loud)) / 100, loud)
    return (0.12 * found).astype(np.float32)


def face(smile: float, opened: float, turn_px: float = 0.0) -> np.ndarray:
    """Draws a face that face detectors take for one.

    Args:
      smile: From -1 (sad) to 1.
      opened: How far the mouth is open, in [0, 1].
      turn_px: How far it is to the right of the middle.

    Returns:
      uint8 [HEIGHT, WIDTH, 3], BGR.
    """
    image: Any = np.full((HEIGHT * _FINE, WIDTH * _FINE, 3), _WALL, np.uint8)

    def oval(
        x: float,
        y: float,
        width: float,
        height: float,
        color: tuple[int, int, int],
        angles: tuple[int, int] = (0, 360),
        line_px: int = 0,
    ) -> None:
        center = round((WIDTH / 2 + turn_px + x) * _FINE), round((180 + y) * _FINE)
        axes = round(width * _FINE), round(height * _FINE)
        thickness = line_px * _FINE if line_px else cv2.FILLED
        cv2.ellipse(image, center, axes, 0, angles[0], angles[1], color, thickness)

    oval(0, 150, 110, 80, (120, 70, 50))  # shoulders
    oval(0, 90, 26, 40, (125, 158, 205))  # neck
    oval(0, -18, 84, 106, _HAIR)
    oval(-70, 5, 10, 18, (125, 158, 210))  # ears
    oval(70, 5, 10, 18, (125, 158, 210))
    oval(0, 5, 70, 92, _SKIN)
    oval(0, -62, 66, 34, _HAIR, (180, 360))
    for side in (-28, 28):
        oval(side, -8, 15, 9, (110, 145, 190))
        oval(side, -8, 13, 7, (245, 245, 245))
        oval(side, -8, 6, 6, (60, 80, 90))
        oval(side, -8, 3, 3, (10, 10, 10))
        oval(side + 2, -10, 1, 1, (255, 255, 255))
        oval(side, -22 - 4 * smile, 18, 6, (40, 50, 60), (190, 350), 4)  # brows
        oval(side, -8, 15, 9, (50, 60, 80), (190, 350), 2)
    oval(0, 18, 6, 26, _SHADE, (-30, 90), 3)  # nose
    oval(0, 30, 14, 8, (90, 120, 170), (20, 160), 3)
    oval(0, 54, 26, 4 + 12 * opened, (70, 60, 120))  # mouth
    lips = (20, 160) if smile >= 0 else (200, 340)
    oval(0, 54 - 8 * smile, 28, 6 + 14 * abs(smile), (80, 90, 190), lips, 5)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (9, 9), 2.0)
    light = np.linspace(1.12, 0.8, WIDTH)[None, :, None]
    return np.clip(image * light, 0, 255).astype(np.uint8)


def _mood(secs: float) -> float:
    return math.sin(2 * math.pi * secs / 10)


def _loudness(secs: float) -> float:
    """Syllables, four a second, in phrases of 3.2 s with pauses of 0.8 s."""
    if secs % 4 > 3.2:
        return 0.0
    return abs(math.sin(2 * math.pi * secs * 2))
