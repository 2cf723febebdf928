"""Layer norm with its own gradient gives Keras's numbers, by fewer operators."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from avexp_tf.models import layers


def pair(dtype="float32", width=24, **settings):
    made = []
    for kind in (layers.LayerNormalization, keras.layers.LayerNormalization):
        layer = kind(epsilon=1e-6, dtype=dtype, **settings)
        layer.build((None, None, width))
        made.append(layer)
    rng = np.random.default_rng(1)
    weights = [rng.normal(1, 0.5, one.shape) for one in made[0].weights]
    for layer in made:
        layer.set_weights(weights)
    return made


def gradients_of(layer, dtype, training=True):
    rng = np.random.default_rng(2)
    x = tf.cast(rng.normal(3, 2, (5, 7, 24)), dtype)
    towards = tf.cast(rng.normal(0, 1, (5, 7, 24)), dtype)
    options = {"training": training} if type(layer) is layers.LayerNormalization else {}
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, **options)
        loss = tf.reduce_sum(tf.cast(outputs * towards, tf.float32))
    found = tape.gradient(loss, [x, *layer.trainable_variables])
    return outputs, *found


@pytest.mark.parametrize(
    ("policy", "dtype", "atol"),
    [("float32", "float32", 2e-5), ("mixed_bfloat16", "bfloat16", 0.02)],
)
def test_outputs_and_gradients_are_keras_s(policy, dtype, atol):
    ours, theirs = pair(policy)
    found, expected = (gradients_of(layer, dtype) for layer in (ours, theirs))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(
            tf.cast(one, tf.float32), tf.cast(other, tf.float32), atol=atol, rtol=0.01
        )


def test_the_gradient_against_finite_differences():
    ours, _ = pair(width=6)
    x = np.random.default_rng(3).normal(0, 1, (2, 3, 6)).astype(np.float32)
    towards = tf.constant(np.random.default_rng(4).normal(0, 1, x.shape), tf.float32)
    computed, numeric = tf.test.compute_gradient(
        lambda x: tf.reduce_sum(ours(x, training=True) * towards), [x], delta=1e-2
    )
    np.testing.assert_allclose(computed[0], numeric[0], atol=5e-3)


def test_it_is_at_most_two_thirds_of_the_operators():
    def n_operators(layer):
        function = tf.function(lambda: gradients_of(layer, "float32"))
        names = [
            one.type for one in function.get_concrete_function().graph.get_operations()
        ]
        return len([name for name in names if name not in ("Const", "Placeholder")])

    ours, theirs = map(n_operators, pair())
    assert ours <= theirs * 2 / 3


@pytest.mark.parametrize("settings", [{"center": False}, {"scale": False}, {"axis": 1}])
def test_what_it_does_not_cover_is_left_to_keras(settings):
    ours, theirs = (
        kind(epsilon=1e-6, **settings)
        for kind in (layers.LayerNormalization, keras.layers.LayerNormalization)
    )
    x = np.random.default_rng(5).normal(3, 2, (5, 7, 24)).astype(np.float32)
    np.testing.assert_array_equal(ours(x, training=True), theirs(x))


def test_inference_is_keras_s_to_the_bit():
    ours, theirs = pair()
    x = np.random.default_rng(6).normal(3, 2, (5, 7, 24)).astype(np.float32)
    np.testing.assert_array_equal(ours(x), theirs(x))
