"""The model: inputs, variants, options, losses, padding, and its convolution."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import config
from avexp_tf import objectives
from avexp_tf import outputs
from avexp_tf.models import crossmodal_transformer
from avexp_tf.models import layers

DIMS = crossmodal_transformer.InputDims(video=6, audio=4, context_ticks=5)
SMALL = config.ModelConfig(d_model=8, num_heads=2, ff_dim=16, dropout=0.1)
VARIANTS = ("audio_visual", "video_only", "audio_only")
T = 7


def build(precision="float32", dims=DIMS, **options):
    """A small model; no weight is zero, so that each of them shows."""
    keras.utils.set_random_seed(3)
    made = dataclasses.replace(SMALL, **options)
    model = crossmodal_transformer.build(made, dims, precision)
    rng = np.random.default_rng(4)
    for weight in model.weights:
        if weight.path.endswith(("bias", "missing", "beta", "alpha")):
            weight.assign(rng.normal(size=weight.shape))
    return model


def inputs_of(n_clips=3, n_ticks=T, seed=0, dims=DIMS):
    rng = np.random.default_rng(seed)
    ticks = np.tile(np.arange(n_ticks, dtype=np.int32), (n_clips, 1))
    rows = n_ticks + dims.context_ticks - 1
    return {
        "video": np.float32(rng.normal(size=(n_clips, n_ticks, dims.video))),
        "audio": np.float32(rng.normal(size=(n_clips, rows, dims.audio))),
        "video_source": np.where(rng.random(ticks.shape) < 0.3, -1, ticks),
        "audio_source": np.where(rng.random(ticks.shape) < 0.3, -1, ticks),
        "valid": np.ones((n_clips, n_ticks), bool),
    }


def predict(model, inputs, training=False):
    """Both outputs, [B, T, 2]."""
    taken = {name: inputs[name] for name in model.input}
    found = model(taken, training=training)
    return np.stack([found[name] for name in config.TARGETS], -1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_dict_in_dict_out(variant):
    model = build(variant=variant)
    expected = {"valid"}
    for name in config.MODALITIES:
        if variant in ("audio_visual", f"{name}_only"):
            expected |= {name, f"{name}_source"}
    assert set(model.input) == expected
    for n_clips, n_ticks in ((1, 2), (3, 7), (2, 40)):
        inputs = inputs_of(n_clips, n_ticks)
        found = model({name: inputs[name] for name in model.input})
        assert list(found) == ["valence", "arousal"]
        for output in found.values():
            assert output.shape == (n_clips, n_ticks)
            assert output.dtype == tf.float32
    has_crossmodal = any("crossmodal" in weight.path for weight in model.weights)
    assert has_crossmodal == (variant == "audio_visual")


def test_the_papers_size():
    model = crossmodal_transformer.build(
        config.ModelConfig(), crossmodal_transformer.InputDims()
    )
    width, layer = 512, 4 * (512 * 512 + 512) + 2 * (2 * 512)
    layer += 512 * 2048 + 2048 + 2048 * 512 + 512
    projections = (4096 + 60 * 65) * width + 2 * width
    crossmodal = 2 * 4 * (512 * 512 + 512) + 2
    norms_and_heads = 2 * (2 * 512) + 2 * (512 + 1)
    expected = projections + 4 * layer + crossmodal + norms_and_heads
    assert model.count_params() == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_the_convolution_is_the_dense_layer_on_stacked_vectors(seed):
    """At full size: 60 rows of 65 LLDs are one vector of 3900."""
    keras.utils.set_random_seed(seed)
    dims = crossmodal_transformer.InputDims()
    model = crossmodal_transformer.build(
        config.ModelConfig(variant="audio_only", num_layers=0, ff_dim=1), dims
    )
    project = model.get_layer("audio_projection")
    stream = np.random.default_rng(seed).normal(size=(2, 20 + 59, 65))
    stream = stream.astype(np.float32)
    stacked = np.stack(
        [[clip[t : t + 60].ravel() for t in range(20)] for clip in stream]
    )
    assert stacked.shape == (2, 20, 3900)
    (kernel,) = project.get_weights()  # [60, 65, 512]
    dense = keras.layers.Dense(512, use_bias=False)
    dense.build(stacked.shape)
    dense.set_weights([kernel.reshape(3900, 512)])
    found = project(stream).numpy()
    assert found.std() > 0.3
    np.testing.assert_allclose(found, dense(stacked), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["zeros", "repeats"])
def test_losing_audio_is_zeroing_or_repeating_the_stacked_vectors(kind):
    """The source map after the convolution, against the inputs changed before it."""
    model = build(variant="audio_only", positions="none", num_layers=0)
    inputs = inputs_of()
    source = inputs["audio_source"]
    if kind == "repeats":
        source = np.maximum.accumulate(source, axis=1)
    assert {"zeros": (source < 0).any(), "repeats": True}[kind]
    encode = model.get_layer("audio_encoder")
    found = encode(
        {
            "projected": model.get_layer("audio_projection")(inputs["audio"]),
            "source": tf.constant(source),
            "valid": tf.constant(inputs["valid"]),
        }
    )
    c = DIMS.context_ticks
    shown = np.zeros((3, T, c * DIMS.audio), np.float32)
    for clip, tick in np.ndindex(3, T):
        at = source[clip, tick]
        if at >= 0:
            shown[clip, tick] = inputs["audio"][clip, at : at + c].ravel()
    kernel = model.get_layer("audio_projection").kernel.numpy().reshape(-1, 8)
    bias = encode.get_layer("audio_select").bias.numpy()
    norm = encode.get_layer("audio_norm")
    np.testing.assert_allclose(found, norm(shown @ kernel + bias), atol=2e-6)


OPTIONS = [
    {"positions": positions, "norm": norm, "missing_embedding": missing}
    | {"ignore_missing": ignore, "variant": variant}
    for positions, norm, missing, ignore, variant in itertools.product(
        ("sinusoidal", "distance", "none"),
        ("pre", "post"),
        (False, True),
        (False, True),
        ("audio_visual",),
    )
] + [{"variant": "video_only"}, {"variant": "audio_only", "ignore_missing": True}]


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: "-".join(map(str, o.values()))
)
def test_padding_changes_nothing_at_valid_ticks(options):
    model = build(**options)
    inputs = inputs_of()
    # One clip has lost everything, one all of its video, one a part of each.
    inputs["video_source"][:2] = -1
    inputs["audio_source"][0] = -1
    alone = predict(model, inputs)
    garbage = inputs_of(3, 4, seed=9)
    padded = {
        name: np.concatenate([inputs[name], garbage[name][:, :4]], axis=1)
        for name in inputs
    }
    padded["valid"][:, T:] = False
    for name in ("video_source", "audio_source"):
        padded[name][:, T:] = [[-1] * 4, [0, 1, T, T + 1], [T, T + 3, -1, 2]]
    np.testing.assert_allclose(predict(model, padded)[:, :T], alone, atol=2e-6)
    # The test sees what it should: without the mask the padding would show.
    padded["valid"][:, T:] = True
    assert np.abs(predict(model, padded)[:, :T] - alone).max() > 1e-3


def outputs_of(model, inputs):
    taken = {name: inputs[name] for name in model.input}
    return {name: one.numpy() for name, one in model(taken, training=False).items()}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_an_interval_holds_the_estimate_and_changes_none(variant, precision):
    plain = build(precision, variant=variant)
    bounded = build(precision, variant=variant, interval=0.9)
    by_path = {weight.path: weight for weight in bounded.weights}
    for weight in plain.weights:
        by_path[weight.path].assign(weight)
    inputs = inputs_of()
    expected, found = outputs_of(plain, inputs), outputs_of(bounded, inputs)
    assert list(found) == [*config.TARGETS, *outputs.BOUNDS]
    for target in config.TARGETS:
        np.testing.assert_array_equal(found[target], expected[target])
        assert (found[f"{target}_low"] < found[target]).all()
        assert (found[f"{target}_high"] > found[target]).all()
        assert found[f"{target}_high"].dtype == np.float32
    new = {w.path for w in bounded.weights} - {w.path for w in plain.weights}
    assert len(new) == 5  # two kernels, two biases, and the calibration
    for weight in bounded.weights:
        assert crossmodal_transformer.learns_bounds(weight) == (weight.path in new)


def test_padding_changes_no_bound():
    model = build(interval=0.9)
    inputs = inputs_of()
    alone = outputs_of(model, inputs)
    garbage = inputs_of(3, 4, seed=9)
    padded = {
        name: np.concatenate([inputs[name], garbage[name][:, :4]], axis=1)
        for name in inputs
    }
    padded["valid"][:, T:] = False
    found = outputs_of(model, padded)
    for name in outputs.BOUNDS:
        np.testing.assert_allclose(found[name][:, :T], alone[name], atol=2e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bounds_teach_the_rest_of_the_model_nothing(variant):
    model = build(variant=variant, interval=0.9)
    inputs = {name: tf.constant(inputs_of()[name]) for name in model.input}
    with tf.GradientTape() as tape:
        found = model(inputs, training=False)
        total = tf.add_n([tf.reduce_sum(found[name]) for name in outputs.BOUNDS])
    weights = model.trainable_variables
    for weight, gradient in zip(weights, tape.gradient(total, weights), strict=True):
        learns = crossmodal_transformer.learns_bounds(weight)
        assert (gradient is not None) == learns, weight.path


def test_arrivals_are_own_frames_and_their_share():
    found = layers.Arrivals()(
        np.array([[0, 0, -1, 3, 4], [5, 1, 2, 3, 4]], np.int32),
        np.array([[True] * 5, [True] * 3 + [False] * 2]),
    )
    # Repeated, missing, and shown from a background are none of its own.
    arrived = [[1, 0, 0, 1, 1], [0, 1, 1, 0, 0]]
    shares = [[0.6] * 5, [2 / 3] * 3 + [0] * 2]
    np.testing.assert_allclose(found, np.stack([arrived, shares], -1), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"positions": "distance"},
        {"positions": "none"},
        {"norm": "post"},
        {"activation": "gelu"},
        {"scale_attention": False},
        {"head_activation": "tanh"},
        {"crossmodal_init": 0.5},
        {"num_layers": 1},
        {"missing_embedding": True},
        {"ignore_missing": True},
        {"num_heads": 4},
    ],
)
def test_every_option_changes_the_outputs(change):
    def made(**options):
        keras.utils.set_random_seed(3)
        return crossmodal_transformer.build(dataclasses.replace(SMALL, **options), DIMS)

    plain, changed = made(), made(**change)
    for model in (plain, changed):
        for weight in model.weights:
            if weight.path.endswith("bias"):  # not zero, as `missing` is
                weight.assign(np.linspace(-1, 1, weight.shape[0]))
    inputs = inputs_of()
    assert np.abs(predict(plain, inputs) - predict(changed, inputs)).max() > 1e-4


def test_dropout_is_for_training_alone():
    model = build()
    inputs = inputs_of()
    np.testing.assert_array_equal(predict(model, inputs), predict(model, inputs))
    assert (predict(model, inputs, training=True) != predict(model, inputs)).any()
    model = build(dropout=0.0)
    np.testing.assert_allclose(
        predict(model, inputs, training=True), predict(model, inputs), atol=1e-5
    )


@pytest.mark.parametrize("lost", ["video", "audio"])
def test_a_lost_modality_does_not_matter(lost):
    model = build(missing_embedding=True)
    inputs = inputs_of()
    inputs[f"{lost}_source"][:] = -1
    changed = inputs | {lost: inputs[lost][::-1] * 7 + 1}
    np.testing.assert_array_equal(predict(model, inputs), predict(model, changed))
    inputs[f"{lost}_source"][:, 2] = 2
    changed[f"{lost}_source"] = inputs[f"{lost}_source"]
    assert (predict(model, inputs) != predict(model, changed)).any()


@pytest.mark.parametrize("variant", ["audio_visual", "video_only"])
def test_a_source_from_t_on_shows_the_background(variant):
    """Rows T .. 2 T - 1 follow the faces; what is shown is as if it were the input."""
    model = build(variant=variant)
    inputs = inputs_of()
    rng = np.random.default_rng(9)
    scenes = np.float32(rng.normal(size=inputs["video"].shape))
    both = np.concatenate([inputs["video"], scenes], axis=1)
    sources = rng.integers(-1, 2 * T, inputs["video_source"].shape).astype(np.int32)
    assert (sources >= T).any() and (sources == -1).any()
    rows = np.take_along_axis(both, np.maximum(sources, 0)[..., None], axis=1)
    shown = np.where(sources[..., None] >= 0, rows, 0)
    ticks = np.tile(np.arange(T, dtype=np.int32), (len(shown), 1))
    np.testing.assert_allclose(
        predict(model, {**inputs, "video": both, "video_source": sources}),
        predict(model, {**inputs, "video": shown, "video_source": ticks}),
        atol=1e-5,
    )


def test_ignoring_missing_frames_is_leaving_them_out():
    """Without positions, the received ticks alone give the same outputs."""
    model = build(variant="video_only", positions="none", ignore_missing=True)
    inputs = inputs_of(1)
    inputs["video_source"][:] = [[0, -1, 2, 3, -1, -1, 6]]
    received = inputs["video_source"][0] >= 0
    fewer = {
        "video": inputs["video"][:, received],
        "video_source": np.arange(4, dtype=np.int32)[None],
        "valid": np.ones((1, 4), bool),
    }
    whole = predict(model, inputs)[:, received]
    np.testing.assert_allclose(predict(model, fewer), whole, atol=2e-6)
    attends = build(variant="video_only", positions="none")
    assert np.abs(predict(attends, inputs)[:, received] - whole).max() > 1e-3


def test_the_missing_embedding_learns():
    model = build(missing_embedding=True)
    inputs = inputs_of()
    with tf.GradientTape() as tape:
        outputs = model(inputs)
        loss = tf.reduce_sum(tf.square(outputs["valence"]))
    missing = [w for w in model.trainable_variables if w.path.endswith("missing")]
    assert len(missing) == 2
    for gradient in tape.gradient(loss, missing):
        assert np.abs(gradient).max() > 0


def test_the_outputs_of_tanh_are_bounded():
    model = build(head_activation="tanh")
    for weight in model.weights:
        if "head/kernel" in weight.path:
            weight.assign(100 * weight)
    found = predict(model, inputs_of())
    assert 0.99 < np.abs(found).max() <= 1


def test_alpha_and_beta_start_where_they_are_told():
    layer = build(crossmodal_init=0.25).get_layer("fusion").get_layer("crossmodal")
    keras.utils.set_random_seed(0)
    model = crossmodal_transformer.build(
        dataclasses.replace(SMALL, crossmodal_init=0.25), DIMS
    )
    layer = model.get_layer("fusion").get_layer("crossmodal")
    assert float(layer.alpha) == float(layer.beta) == 0.25
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs_of())["arousal"] ** 2)
    for gradient in tape.gradient(loss, [layer.alpha, layer.beta]):
        assert abs(float(gradient)) > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_is_near_float32_and_gives_float32(variant):
    whole, half = build(variant=variant), build("mixed_bfloat16", variant=variant)
    half.set_weights(whole.get_weights())
    assert {weight.dtype for weight in half.weights} == {"float32"}
    inputs = inputs_of()
    outputs = half({name: inputs[name] for name in half.input})
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    difference = np.abs(predict(half, inputs) - predict(whole, inputs))
    assert 0 < difference.max() < 0.15


def test_weights_go_to_a_file_and_back(tmp_path):
    first, second = build(), build()
    for weight in first.weights:
        weight.assign(weight + 0.1)
    first.save_weights(tmp_path / "a.weights.h5")
    second.load_weights(tmp_path / "a.weights.h5")
    inputs = inputs_of()
    np.testing.assert_array_equal(predict(first, inputs), predict(second, inputs))


def test_the_whole_model_goes_to_a_file_and_back(tmp_path):
    model = build(missing_embedding=True, ignore_missing=True, positions="distance")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    inputs = inputs_of()
    np.testing.assert_array_equal(predict(model, inputs), predict(again, inputs))


def test_gradients_reach_every_weight():
    model = build(missing_embedding=True)
    with tf.GradientTape() as tape:
        outputs = model(inputs_of())
        loss = tf.reduce_sum(outputs["valence"] * outputs["arousal"])
    gradients = tape.gradient(loss, model.trainable_variables)
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        # A bias of the keys shifts all logits of a query alike.
        if "key/bias" not in weight.path:
            assert gradient is not None and np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "distance", "missing_embedding": True, "ignore_missing": True},
        {"variant": "audio_only", "dropout": 0.0},
        {"interval": 0.8},
    ],
)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_model_is_saved_and_loaded_as_keras_does(options, precision, tmp_path):
    model = build(precision=precision, **options)
    model.compile(
        optimizer="adam",
        loss=objectives.output_losses(options.get("interval", 0.0)),
        metrics={name: [objectives.CCCMetric()] for name in config.TARGETS},
    )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    expected = predict(model, inputs_of())
    np.testing.assert_array_equal(predict(again, inputs_of()), expected)
    labels = {name: np.zeros((3, T), np.float32) for name in config.TARGETS}
    found = again.evaluate(inputs_of(), labels, verbose=0, return_dict=True)
    assert "valence_ccc" in found
