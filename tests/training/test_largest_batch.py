"""The search for the largest batch that fits, without running out of memory."""

import hypothesis
import small_runs
import tensorflow as tf
from hypothesis import strategies as st

from avexp_tf.data import record_source
from avexp_tf.training import largest_batch
from avexp_tf.training import learner as learner_lib


@hypothesis.given(st.integers(1, 3000), st.data())
def test_search_finds_the_largest_that_fits(failed, data):
    most = data.draw(st.integers(0, failed - 1))
    n_processes = 0

    def fitting(sizes):
        nonlocal n_processes
        n_processes += 1
        assert sizes == sorted(sizes) and sizes[-1] < failed
        # As a process does that dies at the first that does not fit.
        for size in sizes:
            if size > most:
                return
            yield size

    assert largest_batch.search(failed, fitting) == most
    assert n_processes < 8


def test_a_trial_takes_batches_of_the_records(tmp_path, monkeypatch):
    settings = small_runs.experiment(small_runs.write_records(tmp_path / "records"))
    learner = learner_lib.Learner(
        settings,
        record_source.RecordSource.open(settings.data, "train"),
        record_source.RecordSource.open(settings.data, "dev"),
        tf.distribute.get_strategy(),
    )
    seen = []
    losses = learner.trainer.losses

    def full_at_nine(batches):
        for inputs, _ in batches:
            seen.append(len(inputs["valid"]))
            if seen[-1] == 9:
                raise tf.errors.ResourceExhaustedError(None, None, "no more")
        return losses(batches.take(1))

    monkeypatch.setattr(learner.trainer, "losses", full_at_nine)
    assert list(largest_batch.try_here(learner)([2, 4, 9, 12])) == [2, 4]
    assert len(seen) == 8 + 8 + 1
    assert (max(seen[:8]), max(seen[8:16]), seen[16]) == (2, 4, 9)
