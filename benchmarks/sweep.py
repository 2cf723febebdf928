"""The sweep of the paper's grid against one plain pass of the model per point.

    python benchmarks/sweep.py --clips=32 --rounds=3

Random features and an untrained model of the paper's size, 2 modalities x 3 patterns x
5 points (and as many draws of each loss as --loss_seeds). Both ways see the same source
maps and take turns in one process; printed are the seconds of each, their ratio, and
the largest difference of any prediction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import app
from absl import flags

from avexp_tf import config
from avexp_tf.data import condition as conditions
from avexp_tf.data import simulator as simulators
from avexp_tf.evaluation import protocol
from avexp_tf.models import crossmodal_transformer
from avexp_tf.models import sweep_predictor

_TICKS, _CONTEXT = 100, 60


def plain_points(loss_seeds: Sequence[int]) -> list[tuple[conditions.Condition, int]]:
    """Returns the grid as one goes through it naively: p = 0 under every pattern."""
    return [
        (conditions.Condition(modality, pattern, p), seed)
        for modality in config.MODALITIES
        for pattern, points in protocol.TEST_POINTS.items()
        for p in points
        for seed in loss_seeds
    ]


def made_batch(
    n_clips: int,
    dims: crossmodal_transformer.InputDims,
    points: Sequence[tuple[conditions.Condition, int]],
) -> dict[str, np.ndarray]:
    """Returns random clips with the source maps of all points."""
    rng = np.random.default_rng(0)
    maps = np.empty((2, n_clips, len(points), _TICKS), np.int32)
    for k, (condition, seed) in enumerate(points):
        simulate = tf.function(simulators.simulator(((condition,),)))
        for clip in range(n_clips):
            key = simulators.clip_key(seed, 0, tf.constant(f"recording {clip}"))
            start = tf.constant(clip * _TICKS, tf.int64)
            maps[:, clip, k] = np.stack(simulate(key, start, tf.constant(_TICKS)))
    return {
        "video": rng.normal(size=(n_clips, _TICKS, dims.video)).astype(np.float32),
        "audio": rng.normal(size=(n_clips, _TICKS + _CONTEXT - 1, dims.audio)).astype(
            np.float32
        ),
        "valid": np.ones((n_clips, _TICKS), bool),
        "video_source": maps[0],
        "audio_source": maps[1],
    }


def main(argv: Sequence[str]) -> None:
    """Prints the ratio."""
    del argv
    values = flags.FLAGS
    seeds = list(range(1, values.loss_seeds + 1))
    points = plain_points(seeds)
    dims = crossmodal_transformer.InputDims(values.video_dim, 65, _CONTEXT)
    settings = config.ModelConfig(d_model=values.d_model, ff_dim=4 * values.d_model)
    model = crossmodal_transformer.build(settings, dims)
    batch = made_batch(values.clips, dims, points)
    predictor = sweep_predictor.SweepPredictor(model)
    one_pass = tf.function(lambda inputs: model(inputs, training=False))
    constant = {name: tf.constant(batch[name]) for name in ("video", "audio", "valid")}

    def plain() -> np.ndarray:
        found = []
        for k in range(len(points)):
            outputs = one_pass(
                constant
                | {
                    f"{name}_source": tf.constant(batch[f"{name}_source"][:, k])
                    for name in config.MODALITIES
                }
            )
            found.append(np.stack([outputs[name] for name in config.TARGETS], -1))
        return np.stack(found, axis=1)

    def swept() -> np.ndarray:
        return predictor.predict(batch)

    largest = float(np.abs(plain() - swept()).max())  # compiles both as well
    secs: dict[str, list[float]] = {"plain": [], "swept": []}
    for _ in range(values.rounds):
        for name, run in (("plain", plain), ("swept", swept)):
            began = time.perf_counter()
            run()
            secs[name].append(time.perf_counter() - began)
    plain_secs, swept_secs = (min(secs[name]) for name in ("plain", "swept"))
    print(f"{len(points)} points x {values.clips} clips, d_model {values.d_model}")
    print(f"one plain pass per point: {plain_secs:.2f} s")
    print(f"the sweep: {swept_secs:.2f} s")
    print(f"ratio: {plain_secs / swept_secs:.2f}")
    print(f"largest difference: {largest:.1e}")


if __name__ == "__main__":
    flags.DEFINE_integer("clips", 32, "Clips in the batch.")
    flags.DEFINE_integer("rounds", 3, "Turns of each way; the fastest counts.")
    flags.DEFINE_integer("loss_seeds", 1, "Draws of each loss.")
    flags.DEFINE_integer("d_model", 512, "Width of the model; the paper's by default.")
    flags.DEFINE_integer("video_dim", 4096, "Video features per frame.")
    app.run(main)
