"""Predictions of clips become predictions of ticks; overlaps are averaged."""

import array_corpus
import numpy as np
import pytest

from avexp_tf import config
from avexp_tf.data import pipeline
from avexp_tf.data import prepare
from avexp_tf.data import record_source
from avexp_tf.objectives import moments
from avexp_tf.training import scoring

LENGTHS = (70, 9, 41, 100)
RECORDS = config.RecordsConfig(context_ticks=4, segment_ticks=30, dev_fraction=0.0)
T = 12


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    corpus = array_corpus.ArrayCorpus(LENGTHS, split="train")
    prepare.prepare(corpus, folder, RECORDS, report=str)
    return folder


def batches_of(folder, stride, batch_size=5):
    data = config.DataConfig(
        records=str(folder), clip_ticks=T, eval_stride=stride, batch_size=batch_size
    )
    source = record_source.RecordSource.open(data, "train")
    return pipeline.evaluation_batches(source, [((), 0), ((), 1)])


def number_of(recording_id, start, tick, k, column):
    """What the made-up model says, different in each clip that holds a tick."""
    return int(recording_id[1:]) + np.sin(start + 7 * tick + 100 * k + 1000 * column)


def predict(batch):
    found = np.zeros((len(batch["start"]), 2, T, 2))
    for row, name, start, k, tick, column in (
        (row, name.decode(), start, k, tick, column)
        for row, (name, start) in enumerate(
            zip(batch["recording_id"], batch["first_tick"], strict=True)
        )
        for k in (0, 1)
        for tick in range(T)
        for column in (0, 1)
    ):
        at = number_of(name, start, start + tick, k, column)
        found[row, k, tick, column] = at
    return found


def expected_of(stride):
    """{(recording, tick): [k, column]} by a loop over all clips of all segments."""
    numbers = {}
    for index, n_ticks in enumerate(LENGTHS):
        name = f"r{index}"
        for first, n in segments_of(n_ticks):
            starts = list(range(0, max(n - T, 0) + 1, stride))
            if starts[-1] != max(n - T, 0):
                starts.append(n - T)
            for start in starts:
                for tick in range(start, min(start + T, n)):
                    values = [
                        [
                            number_of(name, first + start, first + tick, k, column)
                            for column in (0, 1)
                        ]
                        for k in (0, 1)
                    ]
                    numbers.setdefault((name, first + tick), []).append(values)
    return {key: np.mean(values, axis=0) for key, values in numbers.items()}


def segments_of(n_ticks):
    """Where a recording is cut into segments of 30 ticks; see `segmenter`."""
    first, cuts = 0, []
    while n_ticks - first >= 60:
        cuts.append((first, 30))
        first += 30
    if n_ticks - first > 30:
        half = (n_ticks - first + 1) // 2
        cuts.append((first, half))
        first += half
    cuts.append((first, n_ticks - first))
    return cuts


@pytest.mark.parametrize(("stride", "batch_size"), [(T, 5), (5, 3), (1, 64)])
def test_overlapping_clips_are_averaged(folder, stride, batch_size):
    expected = expected_of(stride)
    assert len(expected) == sum(LENGTHS)
    found = {}
    places = []
    for segment in scoring.predict_segments(
        batches_of(folder, stride, batch_size), [predict, lambda b: -predict(b)]
    ):
        first, negative = segment.predicted
        np.testing.assert_array_equal(first, -negative)
        block = array_corpus.ticks(
            segment.recording_id, LENGTHS[int(segment.recording_id[1:])]
        )
        n = first.shape[1]
        at = np.arange(segment.first_tick, segment.first_tick + n)
        places.append((segment.recording_id, segment.first_tick, n))
        np.testing.assert_array_equal(segment.timestamps, block.timestamps[at])
        labels = np.where(block.label_valid, block.labels, np.nan)[at]
        np.testing.assert_array_equal(segment.labels, labels.astype(np.float32))
        for tick in range(n):
            key = segment.recording_id, segment.first_tick + tick
            assert key not in found
            found[key] = first[:, tick]
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, atol=1e-12)
    assert sorted(places) == sorted(
        (f"r{index}", first, n)
        for index, n_ticks in enumerate(LENGTHS)
        for first, n in segments_of(n_ticks)
    )


def test_pooled_ccc_is_that_of_all_ticks_at_once(folder):
    found = scoring.pooled_ccc(batches_of(folder, 5), predict)
    assert found.shape == (2, 2)
    labels, predicted = [], []
    expected = expected_of(5)
    for index, n_ticks in enumerate(LENGTHS):
        block = array_corpus.ticks(f"r{index}", n_ticks)
        labels.append(np.where(block.label_valid, block.labels, np.nan))
        predicted.append([expected[f"r{index}", tick] for tick in range(n_ticks)])
    labels = np.concatenate(labels).astype(np.float32)
    predicted = np.concatenate(predicted)  # [ticks, k, 2]
    for k in (0, 1):
        for column in (0, 1):
            at_once = moments.moments_of(labels[:, column], predicted[:, k, column])
            assert found[k, column] == pytest.approx(moments.ccc_of(at_once), abs=1e-9)


def test_predictions_that_are_no_numbers_are_refused(folder):
    def broken(batch):
        found = predict(batch)
        found[-1, 0, 2, 1] = np.inf
        return found

    with pytest.raises(scoring.NotFiniteError, match="has diverged") as raised:
        list(scoring.predict_segments(batches_of(folder, 5), [predict, broken]))
    assert raised.value.predictor == 1
    of_nan = moments.moments_of(np.arange(3.0), np.array([np.nan, 1, 2]))
    assert np.isnan(moments.ccc_of(of_nan))
    assert moments.ccc_of(moments.moments_of(np.ones(3), np.ones(3))) == 0


def test_nothing_to_score_gives_nan():
    assert np.isnan(scoring.pooled_ccc([], predict)).all()
