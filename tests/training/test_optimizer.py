"""The learning rate over a training, and an optimizer that survives its config."""

import math

import keras
import numpy as np
import pytest

from avexp_tf import config
from avexp_tf.training import optimizer


def rates(total_steps, **train):
    made = optimizer.build(config.TrainConfig(**train), total_steps)
    schedule = made._learning_rate
    return [float(schedule(step)) for step in range(total_steps)]


def test_constant():
    assert rates(5, learning_rate=0.5) == [0.5] * 5


def test_warm_up_ends_at_the_highest_rate():
    found = rates(6, learning_rate=0.8, warmup_steps=4)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_cosine_falls_to_zero():
    found = rates(10, learning_rate=2.0, schedule="cosine")
    assert found == pytest.approx(
        [1 + math.cos(math.pi * step / 10) for step in range(10)], abs=1e-6
    )


def test_warm_up_and_cosine():
    found = rates(12, learning_rate=1.0, schedule="cosine", warmup_steps=2)
    expected = [0.5, 1.0]
    expected += [0.5 + 0.5 * math.cos(math.pi * step / 10) for step in range(10)]
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_warm_up_longer_than_the_training():
    found = rates(3, learning_rate=1.0, schedule="cosine", warmup_steps=10)
    assert found == pytest.approx([0.1, 0.2, 0.3])


def test_it_goes_to_its_config_and_back():
    made = optimizer.build(
        config.TrainConfig(schedule="cosine", warmup_steps=3, clip_norm=0.7), 20
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))
    assert isinstance(again, optimizer.GlobalClipAdam)
    assert again.max_norm == 0.7
    assert again.get_config() == made.get_config()
    for step in (0, 5, 19):
        assert float(again._learning_rate(step)) == float(made._learning_rate(step))


def test_its_one_operator_takes_the_steps_of_keras_adam():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(5, 4, 3)).astype(np.float32)
    gradients[2] = 0
    found = []
    for kind in (keras.optimizers.Adam, optimizer.GlobalClipAdam):
        made = kind(learning_rate=0.1, beta_1=0.8, beta_2=0.95, epsilon=1e-3)
        variable = keras.Variable(np.ones((4, 3), np.float32))
        made.build([variable])
        steps = []
        for gradient in gradients:
            made.apply([gradient], [variable])
            steps.append(variable.numpy())
        found.append(steps)
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    assert np.abs(found[0][0] - 1).min() > 0.05
