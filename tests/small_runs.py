"""Records, runs and commands that are small enough for tests."""

import dataclasses

import keras
import numpy as np
import pytest
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import flags as avexp_flags
from avexp_tf.corpora import synthetic
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import prepare
from avexp_tf.training import run_dir
from avexp_tf.training import trained_model

CORPUS = synthetic.SyntheticConfig(
    video_dim=8,
    audio_dim=4,
    train_speakers=4,
    dev_speakers=2,
    validation_speakers=2,
    recordings_per_speaker=1,
    min_ticks=90,
    max_ticks=150,
    no_face=0.2,
    silence=0.2,
    gap_secs=0.3,
)
RECORDS = config.RecordsConfig(context_ticks=6, segment_ticks=60)
DATA = config.DataConfig(clip_ticks=20, batch_size=4, eval_stride=15)
MODEL = config.ModelConfig(
    d_model=8, num_heads=2, ff_dim=8, num_layers=1, positions="distance"
)
TRAIN = config.TrainConfig(epochs=2, learning_rate=1e-3)


def write_records(folder, corpus=None):
    """Writes records of the synthetic corpus, or of another one; returns the folder."""
    corpus = corpus or synthetic.SyntheticCorpus(CORPUS)
    prepare.prepare(corpus, folder, RECORDS, report=str)
    return folder


def experiment(records, name="baseline", seed=0, **model):
    """The settings of a small training on these records."""
    return config.ExperimentConfig(
        dataclasses.replace(DATA, records=str(records)),
        dataclasses.replace(MODEL, **model),
        dataclasses.replace(TRAIN, name=name, seed=seed),
    )


def write_run(folder, settings):
    """Writes a run with weights that nobody trained; returns its directory."""
    made = run_dir.RunDir(folder)
    manifest = manifest_lib.Manifest.load(settings.data.records)
    made.begin(settings, manifest)
    keras.utils.set_random_seed(settings.train.seed)
    model = trained_model.build(settings, manifest)
    rng = np.random.default_rng(settings.train.seed)
    for weight in model.weights:
        if weight.path.endswith("bias"):
            weight.assign(rng.normal(size=weight.shape))
    made.save_weights(model)
    return folder


def forget_flags():
    """Removes the flags of commands that ran in this process.

    Alone in its process, a command defines its own: another one's of the same name,
    with another default, must not be there.
    """
    by_module = flags.FLAGS.flags_by_module_dict()
    for flag in list(by_module.get(avexp_flags.MODULE, [])):
        delattr(flags.FLAGS, flag.name)


def call(capsys, main, *arguments):
    """Runs a command in this process.

    Args:
      capsys: Pytest's.
      main: Its module.
      *arguments: Of its command line.

    Returns:
      Exit code, stdout, and stderr without progress bars, as lists of lines.
    """
    capsys.readouterr()
    forget_flags()
    with pytest.raises(SystemExit) as exit_:
        cli.run(main.main, main.define_flags, main.__doc__, ["x", *map(str, arguments)])
    captured = capsys.readouterr()
    # Each state of a bar follows a carriage return.
    lines = captured.err.splitlines()
    messages = [line for line in lines if line.strip() and "%|" not in line]
    return exit_.value.code, captured.out.splitlines(), messages
