"""Inference at the paper's size: one clip at a time, and batches, against others.

    python benchmarks/inference.py
    python benchmarks/inference.py --rounds=15 --append

A model of random weights goes through what avexp-export does: the SavedModel and four
LiteRT files. The same model runs in PyTorch and, converted from the SavedModel, in ONNX
Runtime. Each predicts one clip of 3 s, and batches of 32; all use all cores. Before
anything is timed, all must predict what the SavedModel predicts. Needs
`pip install 'avexp-tf[bench]'`.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Sequence

import made_records
import numpy as np
import paper_model
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime

_THREADS = os.cpu_count() or 1
_SIGNATURE = "serving_default"
# How far from the SavedModel predictions may be, which random weights spread over about
# 1: all of them where only float32 rounds, and on average where weights are rounded to
# 11 bits, or to 8.
_CLOSE = 2e-4
_CLOSE_ON_AVERAGE = {"float16": 0.01, "dynamic_int8": 0.1, "int8": 0.2}

# Predicts a request: `valence` and `arousal`, [B, T, 2].
Predict = Callable[[dict[str, np.ndarray]], np.ndarray]


def write_request(folder: pathlib.Path, source) -> None:
    """Writes a batch of the records as a request to `serving_default`.

    int8 is calibrated on such clips; others would lie out of its range.
    """
    from avexp_tf.data import pipeline
    from avexp_tf.serving import requests

    batch = next(pipeline.evaluation_batches(source, [((), 0)]).as_numpy_iterator())
    request = requests.of_presence(batch, 0, source.manifest)
    np.savez(folder / "request.npz", **request)


def request_of(folder: str, n_clips: int) -> dict[str, np.ndarray]:
    """Returns the first clips of that request."""
    with np.load(f"{folder}/request.npz") as request:
        found = {name: request[name][:n_clips] for name in request.files}
    if len(found["video"]) != n_clips:
        raise errors.RunError(f"the records have no {n_clips} clips")
    return found


def saved_model(folder: str) -> Predict:
    """TensorFlow on the SavedModel."""
    runtime.configure(0, 1)
    from avexp_tf.serving import clip_models

    return clip_models.SavedModel(f"{folder}/export").predict


def litert(folder: str, variant: str) -> Predict:
    """LiteRT on one of its files."""
    from ai_edge_litert import interpreter

    made = interpreter.Interpreter(
        model_path=f"{folder}/{variant}.tflite", num_threads=_THREADS
    )
    runner = made.get_signature_runner(_SIGNATURE)

    def predict(request: dict[str, np.ndarray]) -> np.ndarray:
        found = runner(**request)
        return np.stack([found[target] for target in config.TARGETS], axis=-1)

    return predict


def onnx_runtime(folder: str) -> Predict:
    """ONNX Runtime on the converted SavedModel."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    session = onnxruntime.InferenceSession(
        f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"]
    )

    def predict(request: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack(session.run(list(config.TARGETS), request), axis=-1)

    return predict


def pytorch(folder: str) -> Predict:
    """PyTorch, eager."""
    import torch
    from peers import torch_model

    model = torch_model.CrossmodalTransformer(config.ModelConfig(), paper_model.DIMS)
    with np.load(f"{folder}/weights.npz") as weights:
        model.load({name: weights[name] for name in weights.files})
    model.eval()
    with np.load(f"{folder}/statistics.npz") as statistics:
        mean, std = (torch.tensor(statistics[name]) for name in ("mean", "std"))

    def predict(request: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            ticks = torch.arange(request["video_present"].shape[1], dtype=torch.int32)
            sources = [
                torch.where(torch.from_numpy(request[f"{name}_present"]), ticks, -1)
                for name in config.MODALITIES
            ]
            rows = torch.from_numpy(request["audio"])
            heard = rows.any(-1, keepdim=True)  # silence stays zero
            audio = torch.where(heard, (rows - mean) / std, 0.0)
            found = model(torch.from_numpy(request["video"]), audio, *sources)
            return torch.stack(found, -1).numpy()

    return predict


def work_of(make: str, arguments: tuple[str, ...], n_clips: int, n_calls: int):
    """Returns the work of a turn, after a look at what is predicted."""
    predict = globals()[make](*arguments)
    request = request_of(arguments[0], n_clips)
    found = predict(request)
    folder = pathlib.Path(arguments[0])
    expected = folder / f"expected-{n_clips}.npy"
    if make == "saved_model":
        np.save(expected, found)
    difference = np.abs(found - np.load(expected))
    close_on_average = _CLOSE_ON_AVERAGE.get(arguments[-1])
    off = float(difference.mean() if close_on_average else difference.max())
    if not off < (close_on_average or _CLOSE):
        raise errors.RunError(f"differs from the SavedModel by {off:.1e}")

    def work() -> float:
        for _ in range(n_calls):
            predict(request)
        return n_calls * n_clips

    return work


def export(folder: pathlib.Path, variants: Sequence[str]) -> None:
    """Writes all files."""
    runtime.configure(0, 1)
    import keras

    from avexp_tf.serving import litert as converter
    from avexp_tf.serving import saved_model as exporter
    from avexp_tf.training import run_dir as run_dirs
    from avexp_tf.training import trained_model

    made_records.prepare(
        folder / "records", paper_model.BATCH // made_records.CLIPS + 1
    )
    source = made_records.source(folder / "records")
    experiment = config.ExperimentConfig(source.data)
    run_dir = run_dirs.RunDir(folder / "run")
    run_dir.begin(experiment, source.manifest)
    keras.utils.set_random_seed(0)
    model = trained_model.build(experiment, source.manifest)
    run_dir.save_weights(model)
    np.savez(
        folder / "weights.npz",
        **{one.path: one.numpy() for one in model.trainable_variables},
    )
    statistics = source.manifest.audio_statistics
    np.savez(
        folder / "statistics.npz",
        mean=np.float32(statistics.mean),
        std=np.float32(statistics.std),
    )
    write_request(folder, source)
    exporter.export(run_dir.path, folder / "versions").rename(folder / "export")
    for name, content in converter.convert(run_dir, source, variants).items():
        (folder / f"{name}.tflite").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "tf2onnx.convert", "--opset=18", "--tag=serve"]
        + ["--saved-model", str(folder / "export"), "--signature_def", _SIGNATURE]
        + ["--output", str(folder / "model.onnx")],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise errors.RunError(f"tf2onnx failed: {done.stderr[-500:]}")


def define_flags() -> None:
    """Defines the flags of this script."""
    turns.define_flags(rounds=11)
    module = avexp_flags.MODULE
    flags.DEFINE_list(
        "variants",
        ["float32", "float16", "dynamic_int8", "int8"],
        "Of LiteRT.",
        module_name=module,
    )
    flags.DEFINE_integer("calls", 10, "One-clip calls of a turn.", module_name=module)


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    cli.no_positionals(argv)
    variants = flags.FLAGS.variants
    lines = [
        "| clips at once | contender | ms per clip (quartiles) | times as fast as the "
        "SavedModel | memory, MB | file, MB |",
        "|---|---|---|---|---|---|",
    ]
    values: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        export(pathlib.Path(folder), variants)
        kinds: list[tuple[str, str, tuple[str, ...]]] = [
            ("SavedModel", "saved_model", (folder,)),
            *((f"LiteRT {one}", "litert", (folder, one)) for one in variants),
            ("ONNX Runtime", "onnx_runtime", (folder,)),
            ("PyTorch", "pytorch", (folder,)),
        ]
        for n_clips, n_calls in ((1, flags.FLAGS.calls), (paper_model.BATCH, 1)):
            found = turns.measure(
                [
                    turns.Contender(name, work_of, (make, given, n_clips, n_calls))
                    for name, make, given in kinds
                ],
                flags.FLAGS.rounds,
            )
            for name, _, given in kinds:
                high, low = (1e3 / rate for rate in found.spread(name))
                path = pathlib.Path(folder) / f"{given[-1]}.tflite"
                size = f"{path.stat().st_size / 1e6:.1f}" if path.exists() else ""
                lines.append(
                    f"| {n_clips} | {name} | {1e3 / found.rate(name):.1f} ({low:.1f} "
                    f"to {high:.1f}) | {found.ratio(name, 'SavedModel')} | "
                    f"{found.peak_mb[name]:.0f} | {size} |"
                )
                values[f"{name}, {n_clips}"] = {
                    "ms_per_clip": 1e3 / found.rate(name),
                    "ratio": found.ratio(name, "SavedModel").median,
                }
                if "float32" in variants:
                    ratio = found.ratio(name, "LiteRT float32")
                    values[f"{name}, {n_clips}"]["to_litert_float32"] = ratio.median
    turns.finish(
        "Inference",
        f"Clips of {paper_model.TICKS} ticks, {_THREADS} threads; medians of "
        f"{flags.FLAGS.rounds} interleaved rounds; load before the last measurement "
        f"{found.load:.1f}.",
        lines,
        values,
    )


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
