"""Bootstrap, correction and area, against numbers known otherwise."""

import numpy as np
import pytest
import scipy.stats

from avexp_tf import errors
from avexp_tf.evaluation import statistics
from avexp_tf.objectives import moments
from tests.end_to_end import scripts

bootstrap = scripts.load("bootstrap")


def some_moments(n_recordings=6, lengths=(9, 5, 7, 30, 2, 11)):
    rng = np.random.default_rng(0)
    labels = [rng.uniform(-1, 1, (2, n)) for n in lengths[:n_recordings]]
    labels[-1][0, :4] = np.nan
    predicted = [rng.uniform(-1, 1, (2, n)) for n in lengths[:n_recordings]]
    per_recording = [
        moments.moments_of(*pair) for pair in zip(labels, predicted, strict=True)
    ]
    return labels, predicted, np.stack(per_recording)


def test_the_sample_and_a_resample_are_the_ccc_of_their_ticks():
    labels, predicted, per_recording = some_moments()
    resampler = statistics.Resampler(6, 3, seed=4)
    found = resampler.ccc(per_recording)
    assert found.shape == (4, 2)
    counts = np.vstack(
        [
            np.ones(6, int),
            np.random.default_rng(4).multinomial(6, np.full(6, 1 / 6), size=3),
        ]
    )
    for row, times in zip(found, counts, strict=True):
        drawn = np.repeat(np.arange(6), times)
        y_true = np.concatenate([labels[i] for i in drawn], axis=1)
        y_pred = np.concatenate([predicted[i] for i in drawn], axis=1)
        np.testing.assert_allclose(
            row, moments.ccc_of(moments.moments_of(y_true, y_pred)), rtol=1e-10
        )


def test_leading_axes_are_kept():
    _, _, per_recording = some_moments()
    stacked = np.stack([[per_recording] * 3] * 5)  # [5, 3, R, 2, 6]
    resampler = statistics.Resampler(6, 4)
    np.testing.assert_allclose(
        resampler.ccc(stacked)[:, 4, 1], resampler.ccc(per_recording)
    )


def test_a_model_does_not_differ_from_itself():
    _, _, per_recording = some_moments()
    ccc = statistics.Resampler(6, 50).ccc(per_recording)
    found = statistics.difference(ccc, ccc, 6)
    np.testing.assert_array_equal(found.estimate, 0)
    np.testing.assert_array_equal(found.low, 0)
    np.testing.assert_array_equal(found.p_value, 1)


def test_one_recording_says_nothing_about_others():
    _, _, per_recording = some_moments(1)
    ccc = statistics.Resampler(1, 5).ccc(per_recording)
    found = statistics.difference(ccc, ccc * 0.5, 1)
    assert np.isfinite(found.estimate).all()
    assert np.isnan(found.p_value).all() and np.isnan(found.low).all()


def test_interval_and_p_value_say_the_same():
    rng = np.random.default_rng(1)
    values = np.concatenate([np.full((1, 400), 0.1), rng.normal(0.1, 0.05, (300, 400))])
    values[0] = rng.normal(0.1, 0.05, 400)
    found = statistics.difference(values, np.zeros_like(values), 12)
    outside = (found.low > 0) | (found.high < 0)
    assert 0 < outside.sum() < 400
    np.testing.assert_array_equal(outside, found.p_value < 0.05)


@pytest.mark.parametrize("freedom", [4, 9, 19, 69])
def test_students_distribution_is_close_enough(freedom):
    assert statistics.student_quantile(0.975, freedom) == pytest.approx(
        scipy.stats.t.ppf(0.975, freedom), rel=0.01
    )
    t = np.array([0.0, 1.0, 2.5, 6.0])
    np.testing.assert_allclose(
        statistics._two_sided(t, freedom), 2 * scipy.stats.t.sf(t, freedom), rtol=0.1
    )


def test_holm_by_hand():
    p_values = np.array([0.01, np.nan, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(
        statistics.holm(p_values), [0.04, np.nan, 0.09, 0.09, 0.5]
    )
    np.testing.assert_array_equal(statistics.holm(np.array([0.9, 0.8])), [1, 1])


def test_area_by_hand():
    p = np.array([1.0, 0.5, 0.0])
    assert statistics.area(p, np.array([0.0, 0.4, 0.6])) == pytest.approx(0.35)
    assert statistics.area(p, np.full(3, 0.2)) == pytest.approx(0.2)
    # Points lie where p says, not one step apart.
    assert statistics.area(
        np.array([0.9, 1.0, 0.0]), np.array([1.0, 0.0, 1.0])
    ) == pytest.approx(0.95)


def test_intervals_hold_the_truth_and_the_test_its_level():
    assert bootstrap.BETTER.ccc - bootstrap.WORSE.ccc > 0.2
    coverage, _ = bootstrap.rates(
        (bootstrap.BETTER, bootstrap.WORSE), 30, repeats=150, n_resamples=150
    )
    assert 0.92 <= coverage <= 0.98
    coverage, level = bootstrap.rates(
        (bootstrap.BETTER, bootstrap.BETTER), 30, repeats=150, n_resamples=150
    )
    assert 0.92 <= coverage <= 0.98
    assert level <= 0.08


def test_what_can_not_be_resampled():
    with pytest.raises(errors.ConfigError, match="at least 1 recording"):
        statistics.Resampler(0)
    with pytest.raises(errors.ConfigError, match="1 resamples must be at least 2"):
        statistics.Resampler(5, 1)
