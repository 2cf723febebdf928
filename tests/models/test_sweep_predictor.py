"""The sweep's shortcut gives what one plain pass per condition does."""

import dataclasses

import keras
import numpy as np
import pytest

from avexp_tf import config
from avexp_tf.models import crossmodal_transformer
from avexp_tf.models import sweep_predictor
from tests.end_to_end import scripts

DIMS = crossmodal_transformer.InputDims(video=6, audio=4, context_ticks=5)
SMALL = config.ModelConfig(d_model=8, num_heads=2, ff_dim=16)
VARIANTS = ("audio_visual", "video_only", "audio_only")
B, T = 5, 9


def build(**options):
    keras.utils.set_random_seed(1)
    model = crossmodal_transformer.build(dataclasses.replace(SMALL, **options), DIMS)
    rng = np.random.default_rng(2)
    for weight in model.weights:
        if weight.path.endswith(("bias", "missing")):
            weight.assign(rng.normal(size=weight.shape))
        if "head" in weight.path:  # outputs of the size of labels
            weight.assign(0.1 * weight)
    return model


def batch_of(n_maps=6):
    """Clips under maps of which some are equal, per clip or for all clips."""
    rng = np.random.default_rng(3)
    ticks = np.tile(np.arange(T, dtype=np.int32), (B, n_maps, 1))
    batch = {
        "video": np.float32(rng.normal(size=(B, T, DIMS.video))),
        "audio": np.float32(rng.normal(size=(B, T + 4, DIMS.audio))),
        "video_source": np.where(rng.random(ticks.shape) < 0.5, -1, ticks),
        "audio_source": ticks.copy(),
        "valid": np.ones((B, T), bool),
    }
    batch["valid"][3, 6:] = False
    batch["video_source"][:, 0] = ticks[:, 0]
    batch["video_source"][:, 1] = -1
    batch["video_source"][:3, 2] = -1  # as in clip_zero: some clips, not all
    batch["video_source"][3:, 2] = ticks[3:, 2]
    batch["video_source"][:, 4] = ticks[:, 4]
    batch["audio_source"][:, 4] = -1
    batch["video_source"][:, 5] = np.maximum.accumulate(batch["video_source"][:, 5], -1)
    return batch


def one_pass_each(model, batch):
    """Each condition by itself, through the model as it was trained."""
    passes = []
    for k in range(batch["video_source"].shape[1]):
        inputs = {
            name: batch[name][:, k] if name.endswith("_source") else batch[name]
            for name in model.input
        }
        outputs = model(inputs, training=False)
        passes.append(np.stack([outputs[name] for name in config.TARGETS], -1))
    return np.stack(passes, 1)


@pytest.mark.parametrize("chunk_clips", [1, 7, 64])
@pytest.mark.parametrize(
    "options",
    [{"variant": variant} for variant in VARIANTS]
    + [
        {"missing_embedding": True, "ignore_missing": True, "positions": "distance"},
        {"variant": "video_only", "ignore_missing": True, "norm": "post"},
    ],
    ids=lambda options: "-".join(options) + "-" + options.get("variant", ""),
)
def test_it_equals_one_plain_pass_per_condition(options, chunk_clips):
    model, batch = build(**options), batch_of()
    expected = one_pass_each(model, batch)
    found = sweep_predictor.SweepPredictor(model, chunk_clips).predict(batch)
    assert found.shape == (B, 6, T, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    if options.get("variant") != "audio_only":
        assert np.abs(expected[:, 0] - expected[:, 1]).max() > 0.05


def count_rows(predictor, name, monkeypatch):
    """Counts the clips that go through a part of the model."""
    counts = []
    parts = getattr(predictor, name)

    def counting(part):
        def call(inputs):
            counts.append(len(inputs["valid"]))
            return part(inputs)

        return call

    if isinstance(parts, dict):
        wrapped = {key: counting(part) for key, part in parts.items()}
    else:
        wrapped = counting(parts)
    monkeypatch.setattr(predictor, name, wrapped)
    return counts


def test_nothing_is_computed_twice(monkeypatch):
    predictor = sweep_predictor.SweepPredictor(build())
    encoded = count_rows(predictor, "_encode", monkeypatch)
    fused = count_rows(predictor, "_fuse", monkeypatch)
    batch = batch_of()
    predictor.predict(batch)
    n_video = sum(len({tuple(row) for row in clip}) for clip in batch["video_source"])
    n_audio = 2 * B  # all there, or none
    assert sum(encoded) == n_video + n_audio
    both = np.concatenate([batch["video_source"], batch["audio_source"]], -1)
    assert sum(fused) == sum(len({tuple(row) for row in clip}) for clip in both)
    assert n_video < 6 * B
    assert sum(fused) < 6 * B


def test_the_modalities_of_a_variant():
    for variant, expected in zip(
        VARIANTS, (["video", "audio"], ["video"], ["audio"]), strict=True
    ):
        predictor = sweep_predictor.SweepPredictor(build(variant=variant))
        assert predictor.modalities == expected


def test_the_benchmark_compares_equal_predictions():
    sweep = scripts.load("sweep")
    settings = config.ModelConfig(d_model=8, num_heads=2, ff_dim=8, num_layers=1)
    dims = crossmodal_transformer.InputDims(video=6, audio=65, context_ticks=60)
    found = sweep.compare(2, 1, 1, settings, dims)
    assert found.n_points == 30 and found.of_prediction < 1e-5
    assert 0 < found.of_ccc < 1e-6  # rounding differs somewhere
    assert [*map(len, found.secs.values())] == [1, 1]
