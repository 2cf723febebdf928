"""Writes a corpus as TFRecords that training and evaluation read.

    avexp-prepare --corpus=synthetic --out=runs/my/records
    avexp-prepare --corpus=table --tables=features --mapping=mapping.json --out=records
    avexp-prepare --corpus=affwild2 ... --out=/shared/records \
        --runner=SparkRunner --beam_flags='--spark_master_url=spark://host:7077'

A run that was stopped goes on where it was when the same command is given again. The
folder is complete when it holds manifest.json.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf.corpora import registry


def define_flags() -> None:
    """Defines the flags of this command."""
    avexp_flags.define(config.RecordsConfig)
    registry.define_flags()
    for name, default, text in (
        ("corpus", "", f"What to read. One of: {', '.join(registry.NAMES)}."),
        ("out", "", "Folder for the records."),
        (
            "workers",
            1,
            "Processes that read recordings; each takes about 1 GB of memory.",
        ),
        (
            "runner",
            "",
            "Work on many machines: a runner of Apache Beam, such as SparkRunner, "
            "FlinkRunner, DataflowRunner or DirectRunner; see tfrecords/README.md.",
        ),
        ("beam_flags", "", "Flags of that runner, in quotes, as Beam documents them."),
        ("overwrite", False, "Replace finished records in --out."),
        (
            "statistics_from",
            "",
            "Take the audio statistics of this records folder: for recordings that a "
            "model is only evaluated on.",
        ),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and writes the records."""
    from avexp_tf.data import prepare

    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("corpus", "out")
    if values.workers < 1:
        raise errors.ConfigError(f"--workers={values.workers}: must be at least 1")
    if values.runner and values.workers > 1:
        raise errors.ConfigError(
            f"--workers={values.workers}: can't go with --runner, which has its own"
        )
    if values.beam_flags and not values.runner:
        raise errors.ConfigError("--beam_flags: needs --runner")
    records = avexp_flags.parsed(config.RecordsConfig)
    corpus = registry.from_flags(values.corpus)
    manifest = prepare.prepare(
        corpus,
        values.out,
        records,
        n_workers=values.workers,
        overwrite=values.overwrite,
        statistics_from=values.statistics_from,
        runner=values.runner,
        beam_flags=values.beam_flags,
    )
    for name, split in manifest.splits.items():
        print(
            f"{name}: recordings {len(split.recordings)}, frames {split.n_ticks}, "
            f"shards {len(split.shards)}"
        )
    print(f"records: {values.out}")
    return 0


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
