"""One test for every public layer: config, shapes, weights, one fit, bfloat16, golden.

A new layer needs a case in `CASES`, and a line in `tests/goldens/layers.json`, which
`AVEXP_WRITE_GOLDENS=1` writes.
"""

import dataclasses
import inspect
import json
import os
import pathlib
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from avexp_tf.models import layers

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "layers.json"
B, T, S, D = 2, 5, 7, 8


@dataclasses.dataclass(frozen=True)
class Case:
    """How a layer is made and called.

    Attributes:
      kind: The layer's class.
      arguments: Of its init; all that are not a default's.
      inputs: Names of what it is called with: see `inputs_of`.
      n_weights: Numbers in all of its weights.
      masks: Names of keyword arguments that are masks.
      width: Columns of its output.
      is_trained: Whether its weights are.
    """

    kind: type
    arguments: dict
    inputs: tuple[str, ...]
    n_weights: int
    masks: tuple[str, ...] = ()
    width: int = D
    is_trained: bool = True


ATTENTION = 4 * (D * D + D)
ENCODER = ATTENTION + 2 * (2 * D) + (D * 12 + 12) + (12 * D + D)
ENCODER_ARGUMENTS = {"num_heads": 2, "ff_dim": 12}
CASES = {
    "calibration": Case(layers.Calibration, {}, ("ticks",), D, is_trained=False),
    "arrivals": Case(layers.Arrivals, {}, ("source",), 0, ("valid",), width=2),
    "attention": Case(
        layers.Attention, {"num_heads": 2}, ("ticks", "memory"), ATTENTION
    ),
    "attention_unscaled": Case(
        layers.Attention, {"num_heads": 4, "scale": False}, ("ticks", "memory"), 288
    ),
    "attention_masked": Case(
        layers.Attention,
        {"num_heads": 2, "distance_bias": True},
        ("ticks", "more_ticks"),
        ATTENTION,
        ("key_mask",),
    ),
    "encoder_layer": Case(
        layers.EncoderLayer, ENCODER_ARGUMENTS, ("ticks",), ENCODER, ("key_mask",)
    ),
    "encoder_layer_post": Case(
        layers.EncoderLayer,
        ENCODER_ARGUMENTS
        | {
            "norm": "post",
            "activation": "gelu",
            "scale_attention": False,
            "distance_bias": True,
        },
        ("ticks",),
        ENCODER,
    ),
    "frame_select": Case(layers.FrameSelect, {}, ("frames", "source"), D),
    "frame_select_missing": Case(
        layers.FrameSelect, {"missing_embedding": True}, ("frames", "source"), 2 * D
    ),
    "layer_norm": Case(layers.LayerNormalization, {"epsilon": 1e-6}, ("ticks",), 2 * D),
    "positions": Case(layers.SinusoidalPositions, {}, ("ticks",), 0),
    "crossmodal": Case(
        layers.Crossmodal,
        {"num_heads": 2, "initial": 0.5},
        ("ticks", "more_ticks"),
        2 * ATTENTION + 2,
        ("video_key_mask", "audio_key_mask"),
    ),
    "crossmodal_distance": Case(
        layers.Crossmodal,
        {"num_heads": 4, "scale_attention": False, "distance_bias": True},
        ("ticks", "more_ticks"),
        2 * ATTENTION + 2,
    ),
}
SHAPES = {"ticks": (T, D), "more_ticks": (T, D), "memory": (S, D), "frames": (S, D)}

pytestmark = pytest.mark.parametrize("name", CASES)


def rng_of(text):
    return np.random.default_rng(zlib.crc32(text.encode()))


def inputs_of(case):
    """Positional and keyword arguments of a call, the same every time."""
    rng = rng_of("inputs")
    values = {key: rng.normal(size=(B, *s)) for key, s in sorted(SHAPES.items())}
    inputs = [values[key].astype(np.float32) for key in case.inputs if key in SHAPES]
    if "source" in case.inputs:
        inputs.append(np.array([[0, 0, -1, 6, 2], [-1, -1, 3, 4, 4]], np.int32))
    mask = np.array([[True, False, True, True, False], [True] * 5])
    return inputs, dict.fromkeys(case.masks, mask)


def made(case, **more):
    """The layer with weights that are the same every time."""
    layer = case.kind(**case.arguments, **more)
    inputs, masks = inputs_of(case)
    layer(*inputs, **masks)
    for weight in layer.weights:
        place = weight.path.partition("/")[2]
        weight.assign(0.3 * rng_of(place).normal(size=weight.shape))
    return layer


def call(layer, case):
    inputs, masks = inputs_of(case)
    return layer(*inputs, **masks)


def symbolic(layer, case):
    """A functional model of the layer, for any number of ticks."""
    inputs = [
        keras.Input((None, *value.shape[2:]), dtype=value.dtype.name)
        for value in inputs_of(case)[0]
    ]
    masks = {key: keras.Input((None,), dtype="bool", name=key) for key in case.masks}
    return keras.Model([*inputs, *masks.values()], layer(*inputs, **masks))


def test_its_config_gives_the_same_layer(name):
    case = CASES[name]
    layer = made(case, name="some_name")
    config = layer.get_config()
    if case.kind.__init__ is not keras.layers.Layer.__init__:  # has its own settings
        parameters = set(inspect.signature(case.kind.__init__).parameters)
        assert parameters - {"self", "args", "kwargs"} <= config.keys()
    again = case.kind.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    registered = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert type(registered) is case.kind
    call(registered, case)
    registered.set_weights(layer.get_weights())
    np.testing.assert_array_equal(call(registered, case), call(layer, case))


def test_its_shapes_are_what_it_says(name):
    case = CASES[name]
    layer = made(case)
    assert call(layer, case).shape == (B, T, case.width)
    inputs, _ = inputs_of(case)
    shapes = [value.shape for value in inputs]
    assert layer.compute_output_shape(*shapes) == (B, T, case.width)
    model = symbolic(case.kind(**case.arguments), case)
    assert model.output.shape == (None, None, case.width)
    # Any number of ticks: the first three alone.
    fewer = [value[:, :3] for value in (*inputs, *inputs_of(case)[1].values())]
    assert model([np.minimum(v, 2) if v.dtype == np.int32 else v for v in fewer]).shape


def test_its_weights_are_counted(name):
    layer = made(CASES[name])
    assert layer.count_params() == CASES[name].n_weights
    n_trained = len(layer.weights) if CASES[name].is_trained else 0
    assert len(layer.trainable_weights) == n_trained
    paths = [weight.path for weight in layer.weights]
    assert len(set(paths)) == len(paths)


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_one_fit_moves_every_weight(name):
    case = CASES[name]
    model = symbolic(made(case), case)
    model.compile("sgd", "mse")
    before = model.get_weights()
    inputs, masks = inputs_of(case)
    target = rng_of("target").normal(size=(B, T, case.width))
    history = model.fit([*inputs, *masks.values()], target, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for weight, old in zip(model.weights, before, strict=True):
        assert np.isfinite(weight.numpy()).all()
        # A bias of the keys shifts all logits of a query alike: no gradient.
        if "key/bias" not in weight.path:
            assert (weight.numpy() != old).any() == case.is_trained, weight.path


def test_bfloat16_computes_near_float32_and_keeps_float32_weights(name):
    case = CASES[name]
    whole, half = made(case), made(case, dtype="mixed_bfloat16")
    assert {weight.dtype for weight in half.weights} <= {"float32"}
    for layer in half._flatten_layers():
        assert layer.dtype_policy.name == "mixed_bfloat16", layer.name
    half.set_weights(whole.get_weights())
    inputs, masks = inputs_of(case)
    inputs = [tf.cast(v, tf.bfloat16) if v.dtype == np.float32 else v for v in inputs]
    found = half(*inputs, **masks)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(
        tf.cast(found, tf.float32), call(whole, case), atol=0.1, rtol=0.02
    )


def test_its_numbers_stay_what_they_were(name):
    case = CASES[name]
    found = call(made(case), case).numpy()
    if os.environ.get("AVEXP_WRITE_GOLDENS"):
        goldens = json.loads(GOLDENS.read_text()) if GOLDENS.exists() else {}
        goldens[name] = [round(float(value), 5) for value in found.ravel()]
        GOLDENS.parent.mkdir(exist_ok=True)
        lines = [f'"{key}": {value}' for key, value in sorted(goldens.items())]
        GOLDENS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    golden = json.loads(GOLDENS.read_text())[name]
    np.testing.assert_allclose(found.ravel(), golden, atol=2e-5)


def test_every_public_layer_has_a_case(name):
    tested = {case.kind.__name__ for case in CASES.values()}
    assert tested == set(layers.__all__)
