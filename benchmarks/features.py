"""How fast pictures and sound become features, and how near that is to the machine.

    python benchmarks/features.py
    python benchmarks/features.py --media=talk.mp4 --rounds=5 --append

Each line gives frames (or seconds of sound) per second, and how many times faster than
real time that is at 30 frames per second. VGG-Face is compared with the fastest matrix
product that TensorFlow reaches here in the same run; its weights are random, which
costs the same. All stages take turns, and the median of the rounds counts. A network
that `avexp-weights` has not fetched is left out. `--append` adds the table to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import os
import pathlib
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import recording
from avexp_tf.data import parts
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import detection
from avexp_tf.features import lld_stream
from avexp_tf.features import onnx_backbone
from avexp_tf.features import settings
from avexp_tf.features import vggface
from avexp_tf.features import vggface_file
from avexp_tf.features import weights
from avexp_tf.media import audio_reader
from avexp_tf.media import frame_reader
from avexp_tf.media import writer

_FRAMES_PER_SEC = 30
_MATRIX = 4096
_PRODUCTS = 3
_SOUND_SECS = 20.0
_MOST_FRAMES = 90
_RECORD_TICKS = 3000
_PEAK = "matrix product"

# A stage does some work and returns how much: frames, seconds of sound, or operations.
Stage = Callable[[], float]


def define_flags() -> None:
    """Defines the flags of this script."""
    module = avexp_flags.MODULE
    flags.DEFINE_string(
        "media",
        "",
        "Video to decode; empty makes one of 1280x720 in H.264.",
        module_name=module,
    )
    flags.DEFINE_integer("rounds", 3, "Times that each stage runs.", module_name=module)
    flags.DEFINE_integer(
        "batch", 16, "Pictures that VGG-Face takes at once.", module_name=module
    )
    results.define_flag()


def vggface_operations() -> float:
    """Returns the multiplications and additions of VGG-Face up to fc6, per picture."""
    total = 0.0
    shapes = vggface_file.shapes()
    for name in vggface_file.CONVOLUTIONS:
        side = vggface.SIZE >> (int(name.removeprefix("conv")[0]) - 1)
        total += 2.0 * side * side * np.prod(shapes[name][0])
    return total + 2.0 * np.prod(shapes["fc6"][0])


def stages(media: str, batch: int) -> dict[str, Stage]:
    """Returns all stages whose networks are there, by name.

    Args:
      media: A video.
      batch: Pictures that VGG-Face takes at once.
    """
    images = []
    for frame in frame_reader.FrameReader(media):
        images.append(frame.image_bgr())
        if len(images) == 20:
            break
    blocks = list(audio_reader.AudioReader(media))
    sound = np.concatenate([block.samples for block in blocks])
    n_samples = round(_SOUND_SECS * audio_reader.SAMPLE_RATE_HZ)
    samples = lld_stream.pcm(np.resize(sound, n_samples))
    found: dict[str, Stage] = {
        "decode": lambda: _decode(media, False),
        "decode, to pixels": lambda: _decode(media, True),
    }
    for name in ("ssd", "yunet"):
        if _is_here(name):
            detector = detection.make(settings.FeatureConfig(face_detector=name))
            found[f"find faces, {name}"] = _detect(detector, images)
    crops = np.stack([crop_lib.resized(image) for image in images])
    crops = np.resize(crops, (batch, *crops.shape[1:]))
    if _is_here("sface"):
        sface = onnx_backbone.OnnxBackbone(
            settings.FeatureConfig(visual_backbone=f"onnx:{weights.locate('sface')}")
        )
        found["describe, SFace"] = lambda: float(len(sface.describe(crops)))
    found["describe, VGG-Face float32"] = _vggface(crops, "float32")
    found["describe, VGG-Face bfloat16"] = _vggface(crops, "mixed_bfloat16")
    found[f"{_PEAK} float32"] = _product("float32")
    found[f"{_PEAK} bfloat16"] = _product("bfloat16")
    found["IS13 descriptors"] = lambda: _descriptors(samples)
    found["write records"] = _writing()
    return found


def _is_here(name: str) -> bool:
    try:
        weights.locate(name)
    except errors.DataError:
        return False
    return True


def _decode(media: str, to_pixels: bool) -> float:
    n_frames = 0
    for frame in frame_reader.FrameReader(media):
        n_frames += 1
        if to_pixels:
            frame.image_bgr()
        if n_frames == _MOST_FRAMES:
            break
    return n_frames


def _detect(detector: detection.FaceDetector, images: Sequence[np.ndarray]) -> Stage:
    def run() -> float:
        for image in images:
            detector.detect(image)
        return len(images)

    return run


def _vggface(crops: np.ndarray, dtype: str) -> Stage:
    import tensorflow as tf

    network = vggface.build("fc6", dtype)

    @tf.function
    def describe(pictures):
        return network(vggface.preprocessed(pictures), training=False)

    def run() -> float:
        describe(crops).numpy()
        return len(crops)

    return run


def _product(dtype: str) -> Stage:
    import tensorflow as tf

    one = tf.cast(tf.random.normal([_MATRIX, _MATRIX]), dtype)
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(one, one)))

    def run() -> float:
        for _ in range(_PRODUCTS):
            product().numpy()
        return _PRODUCTS * 2.0 * _MATRIX**3

    return run


def _descriptors(samples: np.ndarray) -> float:
    with lld_stream.LldStream() as stream:
        n_rows = len(stream.feed(samples)) + len(stream.finish())
    return n_rows / lld_stream.ROWS_PER_SEC


class _Made:
    """A corpus of one recording whose features are there already."""

    name = "made"
    video = recording.FeatureSet("vggface_fc6", "made", vggface.DIM)
    audio = recording.FeatureSet("IS13_lld", "made", lld_stream.N_COLUMNS)
    config: dict[str, Any] = {}
    info = recording.RecordingInfo("made", "made", "made")

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        there = np.ones(_RECORD_TICKS, bool)
        self._block = recording.Block(
            timestamps=np.arange(_RECORD_TICKS) / _FRAMES_PER_SEC,
            video=rng.normal(size=(_RECORD_TICKS, vggface.DIM)).astype(np.float32),
            audio=rng.normal(size=(_RECORD_TICKS, self.audio.dim)).astype(np.float32),
            labels=np.zeros((_RECORD_TICKS, len(config.TARGETS)), np.float32),
            label_valid=np.ones((_RECORD_TICKS, len(config.TARGETS)), bool),
            video_present=there,
            audio_present=there,
        )

    def recordings(self) -> Sequence[recording.RecordingInfo]:
        return [self.info]

    def read(self, recording_id: str) -> Iterator[recording.Block]:
        yield self._block


def _writing() -> Stage:
    corpus = _Made()

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            parts.write(corpus, corpus.info, config.RecordsConfig(), folder)
        return _RECORD_TICKS

    return run


def measure(found: dict[str, Stage], n_rounds: int) -> dict[str, float]:
    """Returns what each stage does per second, in interleaved rounds.

    The median of the rounds; of the matrix products the best, since they stand for
    what the machine can do.

    Args:
      found: The stages.
      n_rounds: Rounds after a first one that doesn't count.
    """
    rates: dict[str, list[float]] = {name: [] for name in found}
    for index in range(n_rounds + 1):
        for name, run in found.items():
            start = time.perf_counter()
            amount = run()
            if index:
                rates[name].append(amount / (time.perf_counter() - start))
    return {
        name: max(values) if name.startswith(_PEAK) else statistics.median(values)
        for name, values in rates.items()
    }


def table(rates: dict[str, float]) -> list[str]:
    """Returns the lines of the results, as Markdown.

    Args:
      rates: From `measure`.
    """
    lines = ["| stage | per second | times real time | share of peak |"]
    lines.append("|---|---|---|---|")
    for name, rate in rates.items():
        if name.startswith(_PEAK):
            lines.append(f"| {name} | {rate / 1e9:.0f} GFLOP | | 1 |")
        elif name == "IS13 descriptors":
            lines.append(f"| {name} | {rate:.1f} s of sound | {rate:.1f} | |")
        else:
            share = ""
            if "VGG-Face" in name:
                peak = rates[f"{_PEAK} {name.split()[-1]}"]
                share = f"{rate * vggface_operations() / peak:.2f}"
            times = rate / _FRAMES_PER_SEC
            lines.append(f"| {name} | {rate:.1f} frames | {times:.2f} | {share} |")
    return lines


def _write_video(folder: str) -> str:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (_MOST_FRAMES, 9, 16, 3), dtype=np.uint8)
    frames = (
        (index / _FRAMES_PER_SEC, cv2.resize(one, (1280, 720)))
        for index, one in enumerate(small)
    )
    noise = rng.normal(scale=0.1, size=3 * audio_reader.SAMPLE_RATE_HZ)
    path = os.path.join(folder, "made.mp4")
    writer.write(
        path,
        frames,
        noise.astype(np.float32),
        video_codec="libx264",
        audio_codec="aac",
    )
    return path


def main(argv: Sequence[str]) -> int:
    """Measures, prints, and records."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        media = values.media or _write_video(folder)
        rates = measure(stages(media, values.batch), values.rounds)
    name = pathlib.Path(values.media).name if values.media else "generated, 1280x720"
    results.finish(
        "Features",
        f"video: {name}; {os.cpu_count()} cores, {platform.machine()}, OpenCV "
        f"{cv2.__version__}. Real time is 30 frames per second; the peak is the best "
        "matrix product of the same run, and a share a little above 1 is the machine's "
        "noise.",
        table(rates),
        {"per second": results.rounded(rates)},
    )
    return 0


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
