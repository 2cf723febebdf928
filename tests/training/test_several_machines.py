"""Two workers in real processes train as one does; a tf.data service reads as we do."""

import dataclasses
import json

import numpy as np
import pytest
import small_runs
import tensorflow as tf

import avexp_tf
from avexp_tf import cluster
from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import pipeline
from avexp_tf.data import record_source
from avexp_tf.training import experiment
from tests.end_to_end import scripts

several_machines = scripts.load("several_machines")


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
    records, tmp_path
):
    several_machines.finish(
        several_machines.trainers(1, records, tmp_path / "one", "--epochs=1")
    )
    # Raises unless the other worker notices, and the weights are the same.
    seen = several_machines.killed_worker(tmp_path, records, 1)
    assert "exit code 2, `error: another worker has ended" in seen
    assert "went on after step 3" in seen


def test_a_data_service_gives_every_clip_once(records):
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


def test_a_data_service_can_not_skip_damaged_records_or_draw_per_batch(records):
    data = config.DataConfig(records=str(records), on_corrupt="skip")
    source = record_source.RecordSource.open(data, "train")
    with pytest.raises(errors.ConfigError, match="--on_corrupt=skip: does not work"):
        pipeline.training_batches(source, [()], 0, 0, data_service="grpc://localhost:1")
    source = record_source.RecordSource.open(
        config.DataConfig(records=str(records)), "train"
    )
    with pytest.raises(errors.ConfigError, match="/ are drawn per batch"):
        pipeline.training_batches(
            source, [(), ()], 0, 0, data_service="grpc://localhost:1"
        )


@pytest.mark.parametrize(
    ("address", "is_deterministic", "n_workers", "match"),
    [
        ("grpc://localhost:1", True, 1, "--deterministic: a data service"),
        ("grpc://localhost:1", False, 2, "leave out one of TF_CONFIG and"),
        ("grpc://localhost:1", False, 1, "=grpc://localhost:1: .* refused"),
        ("localhost:5050", False, 1, "=localhost:5050: must be grpc://host:port"),
        ("grpc://localhost:x", False, 1, "=grpc://localhost:x: "),
    ],
)
def test_what_a_data_service_does_not_serve(
    monkeypatch, records, tmp_path, address, is_deterministic, n_workers, match
):
    if n_workers == 2:
        monkeypatch.setenv("TF_CONFIG", two_workers(0))
    settings = small_runs.experiment(records)
    train = dataclasses.replace(settings.train, deterministic=is_deterministic)
    settings = dataclasses.replace(settings, train=train)
    with pytest.raises(errors.ConfigError, match=match):
        experiment.train(settings, tmp_path / "run", data_service=address)
    assert not (tmp_path / "run").exists()


def two_workers(index, job="worker"):
    """What TF_CONFIG is for one of two workers."""
    cluster = {"worker": ["a:1", "b:1"]}
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


@pytest.mark.parametrize(
    ("text", "n_workers", "leads"),
    [
        ("", 1, True),
        ('{"cluster": {"worker": ["a:1"]}}', 1, True),
        (two_workers(0), 2, True),
        (two_workers(1), 2, False),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]},'
            ' "task": {"type": "worker", "index": 0}}',
            3,
            False,
        ),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]},'
            ' "task": {"type": "chief", "index": 0}}',
            3,
            True,
        ),
    ],
)
def test_which_of_how_many_workers_this_is(monkeypatch, text, n_workers, leads):
    monkeypatch.setenv("TF_CONFIG", text)
    assert (cluster.n_workers(), cluster.leads()) == (n_workers, leads)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "TF_CONFIG: is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"cluster": {"worker": "a:1"}}', "must list workers"),
        ('{"cluster": []}', "must list chiefs"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', '"task" must be one of'),
        (two_workers(2), '"task" must be one of'),
        (two_workers(0, "chief"), '"task" must be one of'),
    ],
)
def test_a_cluster_that_can_not_be_read(monkeypatch, text, match):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(errors.ConfigError, match=match):
        cluster.leads()
