"""The ends of intervals are moved until dev's labels lie between them as asked."""

import dataclasses

import numpy as np
import pytest
import small_runs

from avexp_tf import config
from avexp_tf import outputs
from avexp_tf.data import record_source
from avexp_tf.evaluation import protocol
from avexp_tf.evaluation import sweep
from avexp_tf.training import experiment
from avexp_tf.training import interval_scores
from avexp_tf.training import scoring
from avexp_tf.training import trained_model

NAN = float("nan")


def segment_of(labels, estimates, distances):
    """One tick per label; both targets are the same but for the second's distances."""
    labels, estimates = np.array(labels, float), np.array(estimates, float)
    low, high = distances
    columns = [estimates, estimates]
    columns += [estimates - low, estimates + high]
    columns += [estimates - 2 * low, estimates + 2 * high]
    return scoring.SegmentPredictions(
        "r",
        0,
        np.arange(len(labels)) / 30,
        np.stack([labels, labels], -1),
        np.ones((len(labels), 2), bool),
        [np.stack(columns, -1)[None]],
    )


def test_factors_by_hand():
    scores = interval_scores.IntervalScores()
    # Labels from -1 to 1 around an estimate of 0 that says -0.5 to 2.
    labels = np.linspace(-1, 1, 101)
    scores.add(segment_of([*labels[:40], NAN], [0.0] * 41, (0.5, 2.0)))
    scores.add(segment_of(labels[40:], [0.0] * 61, (0.5, 2.0)))
    # A tenth of them lies below -0.8, a tenth above 0.8.
    expected = [0.8 / 0.5, 0.8 / 2, 0.8 / 1, 0.8 / 4]
    np.testing.assert_allclose(scores.factors(0.8), expected, atol=1e-6)


def test_an_end_stays_on_its_side_of_the_estimate():
    scores = interval_scores.IntervalScores()
    scores.add(segment_of([0.5, 0.6, 0.7], [0.0] * 3, (0.1, 0.1)))
    low, high, *_ = scores.factors(0.9)
    assert low == 0.01 and high == pytest.approx(6.9)


def test_an_end_that_is_the_estimate_is_no_division_by_zero():
    scores = interval_scores.IntervalScores()
    scores.add(segment_of([0.5, 0.0, -0.5], [0.0] * 3, (0.0, 0.1)))
    assert np.isfinite(scores.factors(0.9)).all()


def test_without_a_label_or_bounds_nothing_moves():
    scores = interval_scores.IntervalScores()
    assert scores.factors(0.9).tolist() == [1.0] * 4
    scores.add(segment_of([NAN], [0.0], (0.1, 0.1)))
    plain = segment_of([0.1], [0.0], (0.1, 0.1))
    scores.add(dataclasses.replace(plain, predicted=[plain.predicted[0][..., :2]]))
    assert scores.factors(0.9).tolist() == [1.0] * 4


def test_of_dev_a_training_holds_what_was_asked(tmp_path):
    ablation = ("video:frame_zero:0.5",)
    small_runs.write_records(tmp_path / "records")
    settings = small_runs.experiment(tmp_path / "records", interval=0.8)
    # Long enough to have labels on both sides of its estimates.
    train = dataclasses.replace(
        settings.train, ablation=ablation, epochs=10, learning_rate=0.02
    )
    settings = dataclasses.replace(settings, train=train)
    experiment.train(settings, tmp_path / "run", report=str)
    model = trained_model.TrainedModel.load(tmp_path / "run")
    source = record_source.RecordSource.open(settings.data, "dev")
    tested = protocol.parse_conditions(["none", *ablation])
    # Drawn as in training, and so the very same ticks.
    found = sweep.evaluate([model], source, tested, [scoring.DEV_SEED]).intervals
    mean = found.groupby("target")["coverage"].mean()
    n_ticks = found["n_ticks"].min() * len(tested)
    for target in config.TARGETS:
        assert mean[target] == pytest.approx(0.8, abs=2 / n_ticks + 1e-6)
    fusion = model.model.get_layer("fusion")
    (log_factors,) = fusion.get_layer("interval_calibration").get_weights()
    assert log_factors.shape == (len(outputs.BOUNDS),)
    assert (np.abs(log_factors) > 1e-3).all()
