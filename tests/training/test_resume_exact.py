"""The real thing: stopped within an epoch, it ends with the same bits all the same."""

import os
import signal

import pytest

from avexp_tf import config
from avexp_tf import termination
from avexp_tf.corpora.synthetic import corpus as synthetic_corpus
from avexp_tf.corpora.synthetic import settings as synthetic_settings
from avexp_tf.data import prepare
from avexp_tf.training import experiment as experiments
from avexp_tf.training import trainer as trainers
from tests.training import run_end

STEPS = 5  # of an epoch
EPOCHS = 3


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_deterministic():
    yield
    from tensorflow.python.framework import config as tf_config

    tf_config.disable_op_determinism()


@pytest.fixture(scope="module", name="records")
def _records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    settings = synthetic_settings.SyntheticConfig(
        video_dim=6,
        audio_dim=3,
        train_speakers=2,
        dev_speakers=1,
        validation_speakers=0,
        recordings_per_speaker=1,
        min_ticks=190,
        max_ticks=200,
    )
    prepare.prepare(
        synthetic_corpus.SyntheticCorpus(settings),
        folder,
        config.RecordsConfig(segment_ticks=50, context_ticks=4),
        report=str,
    )
    return folder


def experiment_of(records):
    return config.ExperimentConfig(
        config.DataConfig(
            records=str(records), clip_ticks=10, eval_stride=10, batch_size=8
        ),
        config.ModelConfig(
            variant="video_only",
            d_model=4,
            num_heads=1,
            ff_dim=4,
            num_layers=1,
            dropout=0.3,
        ),
        config.TrainConfig(
            epochs=EPOCHS,
            learning_rate=0.05,
            schedule="cosine",
            clip_norm=1.0,
            deterministic=True,
            ablation=("video:frame_zero:0.5",),
        ),
    )


def run(records, folder):
    """Trains; returns what it reported."""
    said = []
    experiments.train(experiment_of(records), folder, report=said.append)
    return said


def stop_after(monkeypatch, step, how):
    """Does `how` right after a step, counted over all epochs of this process."""
    original, count = trainers.Trainer.losses, [0]

    def losses(self, *arguments):
        for loss in original(self, *arguments):
            count[0] += 1
            if count[0] == step:
                how()
            yield loss

    monkeypatch.setattr(trainers.Trainer, "losses", losses)


def sigterm():
    os.kill(os.getpid(), signal.SIGTERM)


def test_after_sigterm_it_ends_with_the_same_bits(records, tmp_path, monkeypatch):
    said = run(records, tmp_path / "whole")
    assert not any("goes on" in line for line in said)
    whole = run_end.end_of(tmp_path / "whole")
    assert len(whole["history"]) == EPOCHS

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_after(patch, STEPS + 2, sigterm)
        with pytest.raises(termination.Terminated):
            run(records, folder)
    assert not (folder / "result.json").exists()
    said = run(records, folder)
    assert said[0] == f"{folder}: goes on after step {STEPS + 2} of {STEPS * EPOCHS}"
    assert run_end.end_of(folder) == whole
