"""Two workers in real processes train as one does; a tf.data service reads as we do."""

import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

import avexp_tf
from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import pipeline
from avexp_tf.training import strategy as strategies

_BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def several_machines():
    sys.path.insert(0, str(_BENCHMARKS))
    try:
        import several_machines

        yield several_machines
    finally:
        sys.path.remove(str(_BENCHMARKS))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several") / "records"
    avexp_tf.prepare(
        "synthetic",
        folder,
        video_dim=8,
        audio_dim=4,
        train_speakers=4,
        dev_speakers=1,
        validation_speakers=1,
        min_ticks=200,
        max_ticks=250,
        context_ticks=5,
    )
    return folder


@pytest.mark.slow
def test_a_killed_worker_goes_on_and_both_end_with_the_weights_of_one(
    several_machines, records, tmp_path
):
    several_machines.train(str(records), str(tmp_path / "one"), 5, 3)
    # Raises unless the other worker notices, and the weights are the same.
    seen = several_machines.killed_worker(tmp_path, records, 5)
    assert "from checkpoint" in seen


def test_a_data_service_gives_every_clip_once(several_machines, records):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    workers = [
        service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
        for _ in range(2)
    ]
    local = several_machines.clips_of(records, "")
    remote = several_machines.clips_of(records, dispatcher.target)
    assert len(workers) == 2 and len(local) > 20
    np.testing.assert_array_equal(remote, local)


def test_a_data_service_can_not_skip_damaged_records(records):
    data = config.DataConfig(records=str(records), on_corrupt="skip")
    source = pipeline.Source.open(data, "train")
    with pytest.raises(errors.ConfigError, match="--on_corrupt=skip: does not work"):
        pipeline.training_batches(source, (), 0, 0, data_service="grpc://localhost:1")


@pytest.mark.parametrize(
    ("text", "n_workers"),
    [
        ("", 1),
        ('{"cluster": {"worker": ["a:1"]}}', 1),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}}', 3),
    ],
)
def test_how_many_workers_there_are(monkeypatch, text, n_workers):
    monkeypatch.setenv("TF_CONFIG", text)
    assert strategies.n_workers() == n_workers
