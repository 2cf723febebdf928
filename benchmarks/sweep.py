"""The sweep of the paper's grid against one plain pass of the model per point.

    python benchmarks/sweep.py --clips=32 --rounds=3

Random features and an untrained model of the paper's size, 2 modalities x 3 patterns x
5 points (and as many draws of each loss as --loss_seeds). Both ways see the same source
maps and take turns in one process; printed are the seconds of each, their ratio, and
the largest difference of any prediction and of any point's CCC, with noisy predictions
of whole clips as labels. `--append` adds them to RESULTS.md.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import results
import tensorflow as tf
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime
from avexp_tf.data import condition as conditions
from avexp_tf.data import simulator as simulators
from avexp_tf.evaluation import protocol
from avexp_tf.models import crossmodal_transformer
from avexp_tf.models import sweep_predictor
from avexp_tf.objectives import moments

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
        draw = functools.partial(simulators.simulator(((condition,),)), n_ticks=_TICKS)
        simulate = tf.function(draw, autograph=False)
        for clip in range(n_clips):
            key = simulators.clip_key(seed, 0, tf.constant(f"recording {clip}"))
            start = tf.constant(clip * _TICKS, tf.int64)
            maps[:, clip, k] = np.stack(simulate(key, start))
    return {
        "video": rng.normal(size=(n_clips, _TICKS, dims.video)).astype(np.float32),
        "audio": rng.normal(size=(n_clips, _TICKS + _CONTEXT - 1, dims.audio)).astype(
            np.float32
        ),
        "valid": np.ones((n_clips, _TICKS), bool),
        "video_source": maps[0],
        "audio_source": maps[1],
    }


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What the two ways took and gave.

    Attributes:
      secs: Of every round, by way.
      of_prediction: Largest difference of a prediction.
      of_ccc: Largest difference of the CCC of a point.
      n_points: Points of the grid.
    """

    secs: dict[str, list[float]]
    of_prediction: float
    of_ccc: float
    n_points: int


def _ccc(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """CCC of [B, points, T, 2] with [B, T, 2]: [points, 2]."""
    by_point = np.moveaxis(predicted, (1, 3), (0, 1))  # [points, 2, B, T]
    n_points = len(by_point)
    pairs = (
        np.moveaxis(labels, 2, 0).reshape(2, -1),
        by_point.reshape(n_points, 2, -1),
    )
    return moments.ccc_of(moments.moments_of(*pairs))


def compare(
    n_clips: int,
    n_rounds: int,
    loss_seeds: int,
    settings: config.ModelConfig,
    dims: crossmodal_transformer.InputDims,
) -> Comparison:
    """Lets both ways take turns."""
    points = plain_points(list(range(1, loss_seeds + 1)))
    model = crossmodal_transformer.build(settings, dims)
    batch = made_batch(n_clips, dims, points)
    predictor = sweep_predictor.SweepPredictor(model)
    one_pass = tf.function(
        lambda inputs: model(inputs, training=False), autograph=False
    )
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

    first, second = plain(), swept()  # compiles both as well
    whole = first[:, points.index((conditions.Condition("video", "clip_zero", 0.0), 1))]
    noise = np.random.default_rng(1).normal(size=whole.shape)
    labels = whole + whole.std() * noise
    of_ccc = np.abs(_ccc(first, labels) - _ccc(second, labels)).max()
    secs: dict[str, list[float]] = {"plain": [], "swept": []}
    for index in range(n_rounds):
        for name, run in (("plain", plain), ("swept", swept)):
            began = time.perf_counter()
            run()
            secs[name].append(time.perf_counter() - began)
        print(f"round {index + 1} of {n_rounds}", file=sys.stderr, flush=True)
    return Comparison(
        secs, float(np.abs(first - second).max()), float(of_ccc), len(points)
    )


def define_flags() -> None:
    """Defines the flags of this script."""
    results.define_flag()
    for name, default, text in (
        ("clips", 32, "Clips in the batch."),
        ("rounds", 3, "Turns of each way."),
        ("loss_seeds", 1, "Draws of each loss."),
        ("d_model", 512, "Width of the model; the paper's by default."),
        ("video_dim", 4096, "Video features per frame."),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    cli.no_positionals(argv)
    runtime.configure(0, 1)
    values = flags.FLAGS
    dims = crossmodal_transformer.InputDims(values.video_dim, 65, _CONTEXT)
    settings = config.ModelConfig(d_model=values.d_model, ff_dim=4 * values.d_model)
    load = os.getloadavg()[0]
    found = compare(values.clips, values.rounds, values.loss_seeds, settings, dims)
    pairs = zip(found.secs["plain"], found.secs["swept"], strict=True)
    ratios = [plain / swept for plain, swept in pairs]
    ratio = turns.Ratio(statistics.median(ratios), *turns.quartiles(ratios))
    median = {name: statistics.median(each) for name, each in found.secs.items()}
    turns.finish(
        "The sweep",
        f"{found.n_points} points x {values.clips} clips, d_model {values.d_model}; "
        f"medians of {values.rounds} interleaved rounds; load before the first "
        f"{load:.1f}.",
        [
            "| | |",
            "|---|---|",
            f"| one plain pass per point | {median['plain']:.2f} s |",
            f"| the sweep | {median['swept']:.2f} s |",
            f"| ratio | {ratio} |",
            f"| largest difference of a prediction | {found.of_prediction:.1e} |",
            f"| largest difference of a CCC | {found.of_ccc:.1e} |",
        ],
        {
            "secs": median,
            "ratio": ratio.median,
            "largest_difference": found.of_prediction,
            "largest_difference_of_ccc": found.of_ccc,
        },
    )


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
