"""A small run with random weights on records with gaps, for the tests of serving."""

import dataclasses
import pathlib
import sys

import array_corpus
import numpy as np

from avexp_tf import config
from avexp_tf.data import framing
from avexp_tf.data import manifest as manifests
from avexp_tf.data import prepare
from avexp_tf.data import shard_reader
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

RECORDS = config.RecordsConfig(context_ticks=5, segment_ticks=30, dev_fraction=0.0)
DATA = config.DataConfig(clip_ticks=12, eval_stride=5, batch_size=4)
MODEL = config.ModelConfig(d_model=8, num_heads=2, ff_dim=16, num_layers=1)
PYTHON = sys.executable
LENGTHS = [70, 9, 41, 23]


@dataclasses.dataclass(frozen=True)
class Served:
    """Where the run, its records and its export lie.

    Attributes:
      records: Records folder.
      run: Run directory, of random weights.
      export: The version 1 of its export.
    """

    records: pathlib.Path
    run: pathlib.Path
    export: pathlib.Path

    @property
    def run_dir(self):
        return run_dirs.RunDir(self.run)


def data_of(records):
    """The settings of the run's data, with these records."""
    return dataclasses.replace(DATA, records=str(records))


def make_records(path, split="train", background=False):
    names = [f"r{index}" for index in range(len(LENGTHS))] if background else ()
    corpus = array_corpus.ArrayCorpus(LENGTHS, split=split, background_in=names)
    prepare.prepare(corpus, path, RECORDS)


def make_run(path, records, model=MODEL, manifest=None, seed=0):
    """A run directory with random weights, as if it had been trained."""
    experiment = config.ExperimentConfig(data_of(records), model)
    manifest = manifest or manifests.Manifest.load(records)
    run_dir = run_dirs.RunDir(path)
    run_dir.begin(experiment, manifest)
    network = trained_model.build(experiment, manifest)
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    run_dir.save_weights(network)
    run_dir.finish({"name": "baseline", "best_epoch": 1, "best_dev_ccc": 0.5})
    return run_dir


def serialized(records, split="train"):
    """All records of a split, as they lie in the files."""
    manifest = manifests.Manifest.load(records)
    return [
        framing.unframe(framed)
        for path, shard in zip(
            manifest.shard_paths(records, split),
            manifest.split(split).shards,
            strict=True,
        )
        for _, framed in shard_reader.framed_records(path, shard)
    ]
