"""The loss of a quantile, against a loop and against what it is for."""

import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import objectives

NAN = float("nan")


def reference(quantile, y_true, y_pred):
    parts = []
    for true, found in zip(np.ravel(y_true), np.ravel(y_pred), strict=True):
        if not np.isnan(true):
            gap = float(true) - float(found)
            parts.append(quantile * gap if gap > 0 else (quantile - 1) * gap)
    return np.mean(parts)


def test_by_hand():
    loss = objectives.PinballLoss(0.9)
    # 0.9 x 0.5 for the label above, 0.1 x 0.5 for that below.
    found = loss(np.float32([[1.0, 0.0, NAN]]), np.float32([[0.5, 0.5, 7.0]]))
    assert float(found) == pytest.approx((0.45 + 0.05) / 2, abs=1e-7)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.95])
def test_against_a_loop(quantile):
    rng = np.random.default_rng(0)
    y_true, y_pred = np.float32(rng.normal(size=(2, 3, 20)))
    y_true[1, ::4] = NAN
    found = float(objectives.PinballLoss(quantile)(y_true, y_pred))
    assert found == pytest.approx(reference(quantile, y_true, y_pred), abs=1e-6)


@pytest.mark.parametrize("quantile", [0.05, 0.95])
def test_the_quantile_is_its_minimum(quantile):
    labels = np.float32(np.random.default_rng(1).gamma(2.0, size=(1, 2001)))
    loss = objectives.PinballLoss(quantile)
    best = np.quantile(labels, quantile)
    at = [float(loss(labels, np.full_like(labels, best + d))) for d in (-0.1, 0, 0.1)]
    assert at[1] < min(at[0], at[2])


def test_what_is_masked_gives_nothing():
    prediction = tf.Variable([[0.3, -0.2]])
    with tf.GradientTape() as tape:
        loss = objectives.PinballLoss(0.9)(np.float32([[NAN, NAN]]), prediction)
    assert float(loss) == 0.0
    assert not tape.gradient(loss, prediction).numpy().any()


def test_it_has_an_axis_that_keras_can_scale_by():
    y = np.float32([[1, 2, 3]])
    loss = objectives.PinballLoss(0.9)
    assert loss.call(tf.constant(y), tf.constant(y)).shape == (1,)
    assert objectives.PinballLoss.from_config(loss.get_config()).quantile == 0.9


def test_each_output_has_its_loss():
    assert set(objectives.output_losses(0.0)) == {"valence", "arousal"}
    losses = objectives.output_losses(0.8)
    assert isinstance(losses["valence"], objectives.CCCLoss)
    for target in ("valence", "arousal"):
        assert losses[f"{target}_low"].quantile == pytest.approx(0.1)
        assert losses[f"{target}_high"].quantile == pytest.approx(0.9)
