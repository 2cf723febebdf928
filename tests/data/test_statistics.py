"""Statistics in pieces against NumPy at once."""

import functools
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avexp_tf import typed_json
from avexp_tf.data import statistics


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.just(2)),
        elements=st.floats(-1e4, 1e4, width=32),
    ),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_pieces_give_what_numpy_gives(rows, cuts):
    pieces = np.split(rows, sorted(min(cut, len(rows)) for cut in cuts))
    found = functools.reduce(
        statistics.Statistics.merge, map(statistics.Statistics.of, pieces)
    )
    exact = rows.astype(np.float64)
    assert found.count == len(rows)
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found.m2 / found.count, exact.var(axis=0), atol=1e-6)


def test_a_small_deviation_on_a_large_mean_is_not_lost():
    rows = 1e6 + np.array([[-1.0], [1.0]] * 500)
    pieces = [statistics.Statistics.of(rows[i : i + 7]) for i in range(0, 1000, 7)]
    found = functools.reduce(statistics.Statistics.merge, pieces)
    np.testing.assert_allclose(found.mean, [1e6], rtol=1e-12)
    np.testing.assert_allclose(found.std(), [1.0], rtol=1e-9)


def test_by_hand():
    # 1, 3 and 8: mean 4, squared deviations 9 + 1 + 16.
    first = statistics.Statistics.of(np.array([[1.0]]))
    found = first.merge(statistics.Statistics.of(np.array([[3.0], [8.0]])))
    assert (found.count, found.mean.tolist(), found.m2.tolist()) == (3, [4.0], [26.0])


def test_a_constant_column_has_deviation_one():
    rows = np.stack([np.full(10, 0.1), np.arange(10), np.zeros(10)], axis=1)
    std = statistics.Statistics.of(rows).std()
    np.testing.assert_allclose(std, [1.0, np.arange(10).std(), 1.0])


def test_no_rows_change_nothing():
    none = statistics.Statistics.empty(2)
    some = statistics.Statistics.of(np.array([[1.0, 2.0], [3.0, 5.0]]))
    for found in (none.merge(some), some.merge(none), some):
        assert found.count == 2
        assert found.mean.tolist() == [2.0, 3.5]
        assert found.m2.tolist() == [2.0, 4.5]
    assert none.merge(none).std().tolist() == [1.0, 1.0]


@given(hnp.arrays(np.float64, (5, 1), elements=st.floats(-1e9, 1e9)))
def test_json_gives_the_same_bits_back(rows):
    some = statistics.Statistics.of(rows)
    values = json.loads(json.dumps(some.to_json()))
    found = statistics.Statistics.from_json(typed_json.Reader(values, "x"), 1)
    assert found.count == some.count
    assert found.mean.tobytes() == some.mean.tobytes()
    assert found.m2.tobytes() == some.m2.tobytes()
