"""Dropout from 16 bits drops what it says, anew in each call, and scales the rest."""

import numpy as np
import pytest

from avexp_tf.models.layers import dropout


@pytest.mark.parametrize("shape", [(333, 301), (20, 50, 100)], ids=["odd", "3-D"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_that_is_dropped_and_the_mean_that_is_kept(rate, shape):
    layer = dropout.Dropout(rate, seed=3)
    found = layer(np.ones(shape, np.float32), training=True).numpy()
    assert found.shape == shape
    kept = found[found != 0]
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=1e-4)
    assert abs(len(kept) / found.size - (1 - rate)) < 5 * 0.5 / found.size**0.5
    assert abs(found.mean() - 1) < 0.02
    # Neighbours, whose bits come from the same word, know nothing of each other.
    dropped = (found == 0).reshape(-1)
    pairs = dropped[: dropped.size // 2 * 2].reshape(-1, 2)
    assert abs(pairs.all(axis=1).mean() - rate**2) < 0.01


def test_each_call_draws_anew_and_the_seed_decides():
    ones = np.ones((40, 40), np.float32)
    one, two = (dropout.Dropout(0.5, seed=7) for _ in range(2))
    first, second = (one(ones, training=True).numpy() for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(two(ones, training=True), first)


def test_nothing_is_dropped_at_inference_or_at_rate_zero():
    ones = np.ones((9, 9), np.float32)
    np.testing.assert_array_equal(dropout.Dropout(0.5)(ones), ones)
    np.testing.assert_array_equal(dropout.Dropout(0.0)(ones, training=True), ones)


def test_bfloat16_stays_bfloat16():
    layer = dropout.Dropout(0.25, dtype="mixed_bfloat16")
    found = layer(np.ones((8, 8), np.float32), training=True)
    assert found.dtype.name == "bfloat16"
    assert set(np.unique(np.float32(found))) <= {0.0, 1.328125, 1.3359375}
