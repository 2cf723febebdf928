"""Writes small files in the folders of Aff-Wild2: to try the way from them to records.

The data set itself is given out by its authors on request, and none of it is here.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np

from avexp_tf import config
from avexp_tf import files
from avexp_tf.corpora.affwild2 import labels
from avexp_tf.media import writer

_RATE_HZ = 16_000
_SIZE = (48, 64)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One recording to write.

    Attributes:
      name: Of the recording; two that differ in `_left` and `_right` share a video.
      rate_hz: Frames per second.
      split: `train`, `validation` or `test`.
      n_frames: Frames of the video.
      n_lines: Lines of labels; None as many as frames.
    """

    name: str
    rate_hz: float
    split: str
    n_frames: int = 40
    n_lines: int | None = None


def write(folder: str | pathlib.Path, entries: Sequence[Entry], seed: int = 0) -> None:
    """Writes videos, labels, cropped frames and the list of test names.

    Videos show nothing but colours; a fifth of the cropped frames is missing, and a
    tenth of the labels is -5.

    Args:
      folder: Gets `videos`, `annotations`, `crops` and `test_names.txt`.
      entries: What to write.
      seed: Of all that is random.
    """
    root = pathlib.Path(folder)
    rng = np.random.default_rng(seed)
    sets = root / "annotations" / "VA_Set"
    for part in (root / "videos" / "batch1", sets / "Train_Set"):
        files.make_folder(part)
    files.make_folder(sets / "Validation_Set")
    files.make_folder(root / "crops")
    for index, entry in enumerate(entries):
        stem = entry.name.removesuffix("_left").removesuffix("_right")
        suffix = ".avi" if index % 3 == 2 else ".mp4"
        videos = root / "videos" / "batch1"
        if not list(videos.glob(f"{stem}.*")):
            _write_video(videos / f"{stem}{suffix}", entry, rng)
        _write_crops(root / "crops" / entry.name, entry.n_frames, rng)
        if entry.split != "test":
            name = "Train_Set" if entry.split == "train" else "Validation_Set"
            n_lines = entry.n_frames if entry.n_lines is None else entry.n_lines
            _write_labels(sets / name / f"{entry.name}.txt", n_lines, rng)
    tests = [entry.name for entry in entries if entry.split == "test"]
    (root / "test_names.txt").write_text("".join(f"{name}\n" for name in tests))


def _write_video(path: pathlib.Path, entry: Entry, rng: np.random.Generator) -> None:
    # A left and a right half, as two people would be.
    colors = rng.integers(0, 255, (entry.n_frames, 1, 2, 3), dtype=np.uint8)
    height, width = _SIZE
    halves = colors.repeat(height, axis=1).repeat(width // 2, axis=2)
    frames = ((index / entry.rate_hz, half) for index, half in enumerate(halves))
    n_samples = round(entry.n_frames / entry.rate_hz * _RATE_HZ)
    secs = np.arange(n_samples) / _RATE_HZ
    pitch = 120 + 60 * np.sin(2 * np.pi * rng.uniform(0.3, 0.8) * secs)
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / _RATE_HZ)
    noise = rng.normal(size=n_samples)
    codec = "aac" if path.suffix == ".mp4" else "pcm_s16le"
    writer.write(path, frames, 0.2 * tone + 0.01 * noise, audio_codec=codec)


def _write_crops(folder: pathlib.Path, n_frames: int, rng: np.random.Generator) -> None:
    files.make_folder(folder)
    for index in range(n_frames):
        small = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        if rng.random() < 0.8:
            ok, data = cv2.imencode(".jpg", cv2.resize(small, (112, 112)))
            (folder / f"{index + 1:05d}.jpg").write_bytes(data.tobytes())


def _write_labels(path: pathlib.Path, n_lines: int, rng: np.random.Generator) -> None:
    values = np.round(rng.uniform(-1, 1, (n_lines, 2)), 3)
    values[rng.random(n_lines) < 0.1] = labels.INVALID
    lines = [",".join(config.TARGETS)]
    lines += [",".join(f"{value:g}" for value in row) for row in values]
    path.write_text("\n".join(lines) + "\n")
