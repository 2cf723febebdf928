"""CCC: numbers by hand, NumPy and SciPy as references, and the hard inputs."""

import hypothesis
import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import strategies as st

from avexp_tf import objectives
from avexp_tf.objectives import moments
from avexp_tf.training import strategy as strategies

NAN = float("nan")


def reference(y_true, y_pred):
    """CCC in float64 from its definition, over valid ticks."""
    y_true, y_pred = np.float64(y_true).ravel(), np.float64(y_pred).ravel()
    valid = ~np.isnan(y_true)
    y_true, y_pred = y_true[valid], y_pred[valid]
    covariance = np.mean((y_true - y_true.mean()) * (y_pred - y_pred.mean()))
    gap = (y_true.mean() - y_pred.mean()) ** 2
    return 2 * covariance / (y_true.var() + y_pred.var() + gap)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        # means 2, 2; variances 2/3, 2/3; covariance 2/3
        ([1, 2, 3], [1, 2, 3], 1.0),
        # a shift of 1: 2 (2/3) / (2/3 + 2/3 + 1) = 4/7
        ([1, 2, 3], [2, 3, 4], 4 / 7),
        # a scale of 2: covariance 4/3, variances 2/3 and 8/3, means 2 and 4
        ([1, 2, 3], [2, 4, 6], (8 / 3) / (2 / 3 + 8 / 3 + 4)),
        # opposite: covariance -2/3
        ([1, 2, 3], [3, 2, 1], -1.0),
        # covariance ((-1)(0) + 0 (1) + 1 (-1)) / 3 = -1/3, variances 2/3, 2/3
        ([1, 2, 3], [2, 3, 1], -0.5),
        # the invalid tick does not count: as the first case
        ([1, 2, NAN, 3], [1, 2, 50, 3], 1.0),
    ],
)
def test_hand_computed(y_true, y_pred, expected):
    y_true, y_pred = np.float32([y_true]), np.float32([y_pred])
    assert float(objectives.ccc(y_true, y_pred)) == pytest.approx(expected, abs=1e-6)
    found = moments.ccc_of(moments.moments_of(y_true, y_pred))
    assert found[0] == pytest.approx(expected, abs=1e-12)


def test_agrees_with_pearson_and_its_bias_correction():
    rng = np.random.default_rng(0)
    y_true = rng.normal(0.1, 0.3, 500)
    y_pred = 0.5 * y_true + rng.normal(-0.1, 0.1, 500)
    pearson = scipy.stats.pearsonr(y_true, y_pred)[0]
    ratio = y_true.std() / y_pred.std()
    shift = (y_true.mean() - y_pred.mean()) / np.sqrt(y_true.std() * y_pred.std())
    expected = pearson * 2 / (ratio + 1 / ratio + shift**2)
    found = float(objectives.ccc(np.float32(y_true), np.float32(y_pred)))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("y_true", "y_pred"),
    [
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
        ([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]),
        ([0.1, 0.2, 0.3], [0.5, 0.5, 0.5]),
        ([NAN, 0.2, NAN], [0.1, 0.2, 0.3]),
        ([NAN, NAN, NAN], [0.1, 0.2, 0.3]),
    ],
    ids=["both constant", "label", "prediction", "one valid tick", "all masked"],
)
def test_degenerate_inputs_give_a_finite_loss_and_gradient(y_true, y_pred):
    prediction = tf.Variable(np.float32([y_pred]))
    with tf.GradientTape() as tape:
        loss = objectives.CCCLoss()(np.float32([y_true]), prediction)
    gradient = tape.gradient(loss, prediction).numpy()
    assert float(loss) == pytest.approx(1.0, abs=1e-4)
    assert np.isfinite(gradient).all()
    assert (gradient[np.isnan(np.float32([y_true]))] == 0).all()


def test_all_masked_has_no_gradient_at_all():
    prediction = tf.Variable([[0.3, -0.2]])
    with tf.GradientTape() as tape:
        loss = objectives.CCCLoss()(np.float32([[NAN, NAN]]), prediction)
    assert not tape.gradient(loss, prediction).numpy().any()


def test_large_mean_keeps_its_digits():
    rng = np.random.default_rng(1)
    y_true = np.float32(1e4 + rng.normal(0, 1, (4, 100)))
    y_pred = np.float32(y_true + rng.normal(0, 0.5, (4, 100)))
    expected = reference(y_true, y_pred)
    assert 0.8 < expected < 0.95
    assert float(objectives.ccc(y_true, y_pred)) == pytest.approx(expected, abs=1e-4)
    metric = objectives.CCCMetric()
    metric.update_state(y_true, y_pred)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-9)


def test_loss_has_an_axis_that_keras_can_scale_by():
    y = np.float32([[1, 2, 3]])
    assert objectives.CCCLoss().call(tf.constant(y), tf.constant(y)).shape == (1,)


def test_bfloat16_predictions_are_judged_in_float32():
    rng = np.random.default_rng(2)
    y_true = np.float32(rng.normal(0, 0.2, (2, 50)))
    y_pred = tf.cast(rng.normal(0.5, 0.2, (2, 50)), tf.bfloat16)
    expected = reference(y_true, tf.cast(y_pred, tf.float32).numpy())
    assert float(objectives.ccc(y_true, y_pred)) == pytest.approx(expected, abs=1e-6)


@hypothesis.given(st.integers(0, 2**31), st.integers(1, 6))
def test_metric_over_pieces_is_the_corpus_ccc(seed, n_pieces):
    rng = np.random.default_rng(seed)
    y_true = np.float32(rng.normal(0.2, 0.3, (n_pieces * 3, 20)))
    y_true[rng.random(y_true.shape) < 0.3] = NAN
    y_true[0, :2] = 0.1, 0.3  # never empty
    y_pred = np.float32(rng.normal(-0.2, 0.5, y_true.shape))
    expected = reference(y_true, y_pred)
    metric = objectives.CCCMetric()
    total = np.zeros(6)
    for rows in np.array_split(np.arange(len(y_true)), n_pieces):
        metric.update_state(y_true[rows], y_pred[rows])
        part = moments.moments_of(y_true[rows].ravel(), y_pred[rows].ravel())
        total = moments.merge(total, part)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-9)
    assert moments.ccc_of(total) == pytest.approx(expected, abs=1e-9)
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_metric_under_a_strategy_is_the_corpus_ccc():
    """Replicas whose predictions are shifted apart, and one that sees less."""
    rng = np.random.default_rng(3)
    y_true = np.float32(rng.normal(0, 0.2, (21, 4)))
    y_pred = np.float32(y_true + rng.normal(0, 0.05, y_true.shape) + 0.3)
    y_pred[::2] += 0.5
    with strategies.choose(2).scope():
        inputs = keras.Input((4,))
        model = keras.Model(inputs, inputs * 1.0)
        model.compile(loss=objectives.CCCLoss(), metrics=[objectives.CCCMetric()])
    found = model.evaluate(y_pred, y_true, batch_size=8, verbose=0)[1]
    assert found == pytest.approx(reference(y_true, y_pred), abs=1e-6)


def test_metric_is_not_a_mean_of_batches():
    batches = [([0.0, 0.1], [0.0, 0.1]), ([0.8, 0.9], [0.2, 0.3])]
    metric = objectives.CCCMetric()
    for y_true, y_pred in batches:
        metric.update_state(np.float32([y_true]), np.float32([y_pred]))
    everything = np.float32(batches)
    expected = reference(everything[:, 0], everything[:, 1])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    mean = np.mean([reference(t, p) for t, p in batches])
    assert abs(mean - expected) > 0.05


def test_metric_refuses_sample_weight():
    with pytest.raises(ValueError, match="mark labels as NaN"):
        objectives.CCCMetric().update_state([0.0], [0.0], sample_weight=[1.0])


def test_empty_moments_give_nan():
    found = moments.ccc_of(moments.moments_of(np.array([NAN]), np.array([0.5])))
    assert np.isnan(found)


@hypothesis.given(st.integers(0, 2**31), st.floats(-3, 3), st.floats(0.01, 5))
def test_bounded_by_pearson(seed, shift, scale):
    rng = np.random.default_rng(seed)
    y_true = rng.normal(size=60)
    y_pred = scale * (0.7 * y_true + rng.normal(size=60)) + shift
    found = moments.moments_of(y_true, y_pred)
    ccc, pearson = moments.ccc_of(found), moments.correlation_of(found)
    assert abs(ccc) <= abs(pearson) + 1e-12
    assert pearson == pytest.approx(scipy.stats.pearsonr(y_true, y_pred)[0], abs=1e-9)


def test_works_in_keras_fit():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Dense(1), keras.layers.Reshape((-1,))])
    optimizer = keras.optimizers.Adam(0.1)
    model.compile(optimizer, objectives.CCCLoss(), metrics=[objectives.CCCMetric()])
    rng = np.random.default_rng(3)
    x = np.float32(rng.normal(size=(8, 10, 4)))
    y = x[..., 0].copy()
    y[:, 3] = NAN
    history = model.fit(x, y, epochs=8, batch_size=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["ccc"][-1] > history["ccc"][0]
