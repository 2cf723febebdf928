"""Delay and smoothing against labels that were made late and slow."""

import numpy as np
import pytest

from avexp_tf.evaluation import alignment
from avexp_tf.evaluation import measurement
from avexp_tf.objectives import moments


def made(n=400, delay=10, noise=0.0):
    rng = np.random.default_rng(2)
    walk = alignment.smoothed(rng.normal(size=(2 * n, 2)), 31)
    recording = np.repeat([0, 1], n).astype(np.int32)
    parts = np.split(walk, 2)
    labels = np.concatenate([alignment.delayed(part, delay) for part in parts])
    ticks = measurement.Ticks(
        recording, labels.astype(np.float32), np.ones((2 * n, 2), bool)
    )
    return ticks, walk + noise * rng.normal(size=walk.shape)


def test_the_delay_that_was_put_in_is_found():
    ticks, predicted = made(delay=10)
    ccc = alignment.ccc_of_all(ticks, predicted)
    best = ccc[:, 0, 0].argmax()
    assert alignment.DELAYS[best] == 10
    assert ccc[best, 0, 0] == pytest.approx(1, abs=1e-6)


def test_smoothing_helps_noisy_predictions():
    ticks, predicted = made(delay=0, noise=0.5)
    ccc = alignment.ccc_of_all(ticks, predicted)
    assert ccc[0, :, 1].argmax() > 0


def test_nothing_chosen_is_the_plain_ccc():
    ticks, predicted = made(delay=6)
    plain = moments.ccc_of(moments.moments_of(ticks.labels.T, predicted.T))
    np.testing.assert_allclose(
        alignment.ccc_of_all(ticks, predicted)[0, 0], plain, rtol=1e-6
    )


def test_smoothing_by_hand():
    values = np.array([[0.0], [3.0], [6.0], [0.0]])
    np.testing.assert_allclose(
        alignment.smoothed(values, 3), [[1.5], [3.0], [3.0], [3.0]]
    )
    np.testing.assert_array_equal(alignment.smoothed(values, 1), values)


def test_recordings_do_not_flow_into_each_other():
    ticks, predicted = made(n=20, delay=0)
    late = alignment.ccc_of_all(ticks, predicted)
    parts = np.split(predicted, 2)
    for index, delay in enumerate(alignment.DELAYS):
        shifted = np.concatenate([alignment.delayed(part, delay) for part in parts])
        expected = moments.ccc_of(moments.moments_of(ticks.labels.T, shifted.T))
        np.testing.assert_allclose(late[index, 0], expected, rtol=1e-9)
