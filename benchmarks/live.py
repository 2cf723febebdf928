"""How far a live call keeps ahead of real time, and whether it stays the same size.

    python benchmarks/live.py --what=model,chain,soak --append

model: a model of the paper's size (random weights, LiteRT) predicts one tick after the
other, each from the 100 ticks that end with it. chain: a drawn recording is pushed
through a `Recognizer` with real networks that see (those that `avexp-weights` has
fetched; VGG-Face with random weights, which costs the same) and that model; the work of
each tick is timed. soak: an hour of pictures and sound, as fast as it goes, with small
stand-ins for the networks; printed is by how much the memory of this process and of
openSMILE's grew after the first five minutes, and how far apart a flash and a beep that
come together each minute are found. `--append` adds the tables to
benchmarks/RESULTS.md.
"""

from __future__ import annotations

import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import recording
from avexp_tf import runtime
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifests
from avexp_tf.features import detection
from avexp_tf.features import lld_stream
from avexp_tf.features import onnx_backbone
from avexp_tf.features import settings as feature_settings
from avexp_tf.features import timeline
from avexp_tf.features import weights
from avexp_tf.live import clip_window
from avexp_tf.live import drawn_call
from avexp_tf.live import feature_stream
from avexp_tf.live import recognizer
from avexp_tf.live import settings as live_settings
from avexp_tf.live import sources
from avexp_tf.media import audio_reader
from avexp_tf.serving import predictor as predictors

_TICK_SECS = 1 / timeline.TICK_RATE_HZ
_WARM_UP = 110  # ticks until clips have their full length, and a few
_DATA = config.DataConfig()
_RATE_HZ = audio_reader.SAMPLE_RATE_HZ
_BLOCK_SECS = 0.02
_SETTLED_SECS = 300
_EVENT_SECS = 60
_LOUDNESS = 8  # pcm_RMSenergy_sma: after 6 of the voice, 2 of loudness

Found = tuple[list[str], dict[str, Any]]  # lines of a table, numbers


def define_flags() -> None:
    """Defines the flags of this script."""
    runtime.define_flags()
    avexp_flags.define_one("what", ("model", "chain", "soak"), "Parts to run.")
    avexp_flags.define_one("ticks", 600, "model: ticks that are timed.")
    avexp_flags.define_one("litert_threads", 2, "model, chain: its threads.")
    avexp_flags.define_one("secs", 8.0, "chain: length of the recording.")
    avexp_flags.define_one("minutes", 60, "soak: length of the call.")
    results.define_flag()


def manifest_of(video: recording.FeatureSet) -> manifests.Manifest:
    """Returns the manifest of records with such features and IS13 descriptors."""
    entry = contents.Entry("a", "a", "a", (10,))
    return manifests.Manifest(
        corpus_name="media",
        corpus_config={"features": {}, "clock": "30hz"},
        video=video,
        audio=lld_stream.feature_set(),
        records=config.RecordsConfig(),
        has_background=False,
        audio_statistics=contents.AudioStatistics(9, (0.0,) * 65, (1.0,) * 65),
        splits={"train": contents.Split((), (entry,), 0, 0, (0, 0))},
    )


class Interpreted:
    """A `ClipModel` of the paper's size in LiteRT.

    Args:
      manifest: Of its features.
      optimized: Weights in int8, converted as it runs (dynamic range); else float32.
      threads: To compute with.
    """

    def __init__(self, manifest: manifests.Manifest, optimized: bool, threads: int):
        import tensorflow as tf
        from ai_edge_litert import interpreter

        from avexp_tf.serving import saved_functions
        from avexp_tf.serving import signatures
        from avexp_tf.training import trained_model

        model = trained_model.build(config.ExperimentConfig(_DATA), manifest)
        module = signatures.ServingModule(model, manifest, checked=False)
        default = {signatures.DEFAULT: module.signatures()[signatures.DEFAULT]}
        with tempfile.TemporaryDirectory() as folder:
            saved_functions.write(folder, [model], default)
            converter = tf.lite.TFLiteConverter.from_saved_model(
                folder, signature_keys=list(default)
            )
            if optimized:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            content = converter.convert()
        # Kept alive: the runner does not hold it.
        self._interpreter = interpreter.Interpreter(
            model_content=content, num_threads=threads
        )
        self._run = self._interpreter.get_signature_runner(signatures.DEFAULT)

    def predict(self, clips: Any) -> np.ndarray:
        """Predicts clips; see `predictor.ClipModel`."""
        names = self._run.get_input_details()
        found = self._run(**{name: clips[name] for name in names})
        return np.stack([found[target] for target in config.TARGETS], axis=-1)


def percentiles(secs: Sequence[float]) -> tuple[float, float]:
    """Returns the median and the 99th percentile in milliseconds."""
    cut = statistics.quantiles(secs, n=100)
    return 1e3 * statistics.median(secs), 1e3 * cut[98]


def of_model(n_ticks: int, threads: int) -> Found:
    """Times the model alone, tick by tick."""
    manifest = manifest_of(recording.FeatureSet("fc6", "1", 4096))
    lines = ["| model alone | estimates | p50 per tick | p99 | times real time |"]
    lines.append("|---|---|---|---|---|")
    rates = {}
    for name, optimized in (("float32", False), ("dynamic range", True)):
        model = Interpreted(manifest, optimized, threads)
        for every in (1, 3, 6, 30):
            made = predictors.Predictor(model, manifest, _DATA)
            window = clip_window.ClipWindow(made, every)
            took = [secs for secs in _tick_secs(window, n_ticks)]
            # Work comes in every n-th tick; a tick's share is the mean of n.
            shares = np.array(took[: n_ticks // every * every]).reshape(-1, every)
            p50, p99 = percentiles(shares.mean(axis=1).tolist())
            times = _TICK_SECS * len(took) / sum(took)
            rate = f"{timeline.TICK_RATE_HZ / every:.0f} Hz"
            rates[f"{name}, {rate}"] = times
            lines.append(
                f"| {name} | {rate} | {p50:.2f} ms | {p99:.2f} ms | {times:.1f} |"
            )
    return lines, {"model, times real time": results.rounded(rates)}


def _tick_secs(window: clip_window.ClipWindow, n_ticks: int) -> Iterator[float]:
    rng = np.random.default_rng(0)
    for k in range(_WARM_UP + n_ticks):
        tick = feature_stream.TickFeatures(
            index=k,
            secs=k * _TICK_SECS,
            video=np.maximum(rng.normal(size=4096), 0).astype(np.float32),
            audio=rng.normal(size=65).astype(np.float32),
            background=None,
            video_present=True,
            video_arrived=True,
            audio_present=True,
            box=None,
            score=1.0,
            picture=k,
            looked=True,
            restarted=k == 0,
        )
        start = time.perf_counter()
        window.predict([tick])
        if k >= _WARM_UP:
            yield time.perf_counter() - start


class _RandomVggFace:
    """VGG-Face with random weights."""

    features = recording.FeatureSet("vggface_fc6", "random", 4096)

    def __init__(self) -> None:
        import tensorflow as tf

        from avexp_tf.features import vggface

        network = vggface.build("fc6", "float32")
        self._describe = tf.function(
            lambda crops: network(vggface.preprocessed(crops), training=False)
        )

    def describe(self, crops: np.ndarray) -> np.ndarray:
        return self._describe(crops).numpy()


def _chains() -> dict[str, tuple[Callable[[], tuple[Any, Any]], list]]:
    """What sees, by name: detector and backbone; with budgets and ticks per estimate.

    VGG-Face at every picture is far from real time on two cores.
    """

    def detector(name: str) -> Any:
        return detection.make(feature_settings.FeatureConfig(face_detector=name))

    def sface() -> Any:
        path = weights.locate("sface")
        return onnx_backbone.OnnxBackbone(
            feature_settings.FeatureConfig(visual_backbone=f"onnx:{path}")
        )

    return {
        "SSD, VGG-Face": (
            lambda: (detector("ssd"), _RandomVggFace()),
            [("8", 3), ("15", 3), ("30", 3), ("adaptive", 3)],
        ),
        "YuNet, SFace": (
            lambda: (detector("yunet"), sface()),
            [("1", 1), ("1", 3), ("4", 3), ("adaptive", 3)],
        ),
    }


def of_chain(n_secs: float, threads: int) -> Found:
    """Times the whole chain, tick by tick."""
    lines = [
        "| whole chain | budget | estimates | p50 per tick | p99 | times real time |",
        "|---|---|---|---|---|---|",
    ]
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "drawn.mp4")
        drawn_call.write(path, n_secs)
        for name, (make, budgets) in _chains().items():
            try:
                detector, backbone = make()
            except errors.DataError as error:
                print(f"{name}: left out: {error}")
                continue
            manifest = manifest_of(backbone.features)
            model = Interpreted(manifest, True, threads)
            made = predictors.Predictor(model, manifest, _DATA)
            for budget, every in budgets:
                live = live_settings.LiveConfig(
                    delay_secs=2.0, visual_budget=budget, estimate_every=every
                )
                stream = feature_stream.FeatureStream(
                    feature_settings.FeatureConfig(), live, 0.0, backbone, detector
                )
                with recognizer.Recognizer(made, stream, live) as call:
                    took = list(_chain_secs(call, path))
                p50, p99 = percentiles(took)
                times = _TICK_SECS * len(took) / sum(took)
                rate = f"{timeline.TICK_RATE_HZ / every:.0f} Hz"
                rates[f"{name}, k = {budget}, {rate}"] = times
                lines.append(
                    f"| {name} | k = {budget} | {rate} | {p50:.1f} ms | {p99:.1f} ms "
                    f"| {times:.2f} |"
                )
    return lines, {"chain, times real time": results.rounded(rates)}


def _chain_secs(call: recognizer.Recognizer, path: str) -> Iterator[float]:
    """Yields what each tick of a file takes, decoding included."""
    n_ticks = 0
    start = time.perf_counter()
    for found in sources.FileSource(path, in_real_time=False).estimates(call):
        if not found:
            continue
        now = time.perf_counter()
        n_ticks += len(found)
        if n_ticks > _WARM_UP:
            yield from [(now - start) / len(found)] * len(found)
        start = now


class _MeanColor:
    features = recording.FeatureSet("mean_color", "1", 3)

    def describe(self, crops: np.ndarray) -> np.ndarray:
        return crops.mean(axis=(1, 2)).reshape(len(crops), 3)


class _Middle:
    """Finds a face in the middle of every picture."""

    def detect(self, image_bgr: np.ndarray) -> np.ndarray:
        height, width = image_bgr.shape[:2]
        box = [width / 4, height / 4, width * 3 / 4, height * 3 / 4, 0.9]
        return np.array([box], np.float32)


class _Newest:
    """Says the newest brightness and the newest loudness."""

    def predict(self, clips: Any) -> np.ndarray:
        seen = clips["video"][:, -1].mean(axis=-1)
        heard = clips["audio"][:, -1, _LOUDNESS]
        values = np.stack([seen, heard], axis=-1)
        return np.repeat(values[:, None], clips["video"].shape[1], axis=1)


def of_soak(n_minutes: int) -> Found:
    """Follows a long call and says how it grew and drifted."""
    manifest = manifest_of(_MeanColor.features)
    made = predictors.Predictor(_Newest(), manifest, _DATA)
    live = live_settings.LiveConfig(delay_secs=2.0)
    stream = feature_stream.FeatureStream(
        feature_settings.FeatureConfig(), live, 0.0, _MeanColor(), _Middle()
    )
    sizes: list[float] = []
    events = np.zeros((2, n_minutes))
    n_ticks, last_secs = 0, 0.0
    start = time.perf_counter()
    with recognizer.Recognizer(made, stream, live) as call:
        for minute in range(n_minutes):
            found = []
            for packet_secs in _minute(call, minute):
                found += call.poll(packet_secs)
            n_ticks += len(found)
            last_secs = found[-1].secs
            values = np.array([one.values for one in found])
            secs = np.array([one.secs for one in found])
            inside = secs >= minute * _EVENT_SECS + 10
            for k in range(2):
                level = values[inside, k]
                first = np.argmax(level > (level.min() + level.max()) / 2)
                events[k, minute] = secs[inside][first]
            sizes.append(_megabytes())
            print(f"minute {minute + 1}: {sizes[-1]:.1f} MB", flush=True)
    took = time.perf_counter() - start
    settled = sizes[min(_SETTLED_SECS // 60, n_minutes - 1) :]
    apart = events[1] - events[0]
    drift_ms = 1e3 * (apart[-1] - apart[0])
    wander_ms = 1e3 * np.ptp(apart)
    grid_ms = 1e3 * abs(last_secs - (n_ticks - 1) * _TICK_SECS)
    growth = settled[-1] - settled[0]
    lines = [
        "| a call of | ticks | took | growth after 5 min | most | drift of sound "
        "against pictures | most in between | last tick off the grid |",
        "|---|---|---|---|---|---|---|---|",
        f"| {n_minutes} min | {n_ticks} | {took:.0f} s | {growth:+.1f} MB | "
        f"{max(settled):.0f} MB | {drift_ms:+.1f} ms | {wander_ms:.1f} ms | "
        f"{grid_ms:.3f} ms |",
    ]
    seen = {"growth_mb": growth, "drift_ms": drift_ms, "off_grid_ms": grid_ms}
    return lines, {f"call of {n_minutes} min": results.rounded(seen)}


def _minute(call: recognizer.Recognizer, minute: int) -> Iterator[float]:
    """Pushes a minute of packets; 30 s into it there is a flash and a beep."""
    rng = np.random.default_rng(minute)
    start_secs = minute * _EVENT_SECS
    flash = start_secs + 30.0, start_secs + 31.0
    for k in range(round(_EVENT_SECS / _BLOCK_SECS)):
        secs = start_secs + k * _BLOCK_SECS
        loud = 0.5 if flash[0] <= secs < flash[1] else 0.001
        samples = rng.uniform(-loud, loud, round(_BLOCK_SECS * _RATE_HZ))
        call.push_audio(samples.astype(np.float32), secs)
        due = range(
            int(np.ceil(secs * 30 - 1e-6)),
            int(np.ceil((secs + _BLOCK_SECS) * 30 - 1e-6)),
        )
        for index in due:
            bright = flash[0] <= index / 30 < flash[1]
            image = np.full((96, 128, 3), 220 if bright else 40, np.uint8)
            call.push_video(image, index / 30)
        if k % 25 == 24:
            yield secs


def _megabytes() -> float:
    """Returns the resident memory of this process and those that it started."""
    total = 0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(folder.name) == os.getpid() or int(fields[1]) == os.getpid():
                pages = int((folder / "statm").read_text().split()[1])
                total += pages * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            continue  # it has ended
    return total / 1e6


def main(argv: Sequence[str]) -> int:
    """Measures, prints, and records."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    runtime.set_up()
    parts = {
        "model": lambda: of_model(values.ticks, values.litert_threads),
        "chain": lambda: of_chain(values.secs, values.litert_threads),
        "soak": lambda: of_soak(values.minutes),
    }
    lines: list[str] = []
    numbers: dict[str, Any] = {}
    for name in values.what:
        if name not in parts:
            raise errors.ConfigError(f"--what={name}: must be among {', '.join(parts)}")
        table, found = parts[name]()
        lines += [*table, ""]
        numbers |= found
    share = ""
    if os.sched_getscheduler(0) == os.SCHED_RR:
        share = " that yielded to this process (`chrt -r 5` before the command)"
    results.finish(
        "Live",
        f"{os.cpu_count()} cores, {values.litert_threads} threads for LiteRT; load "
        f"average of the last five minutes: {os.getloadavg()[1]:.1f}{share}.",
        lines,
        numbers,
    )
    return 0


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
