"""Writes a corpus as TFRecords that training and evaluation read.

    avexp-prepare --corpus=synthetic --out=runs/my/records
    avexp-prepare --corpus=table --tables=features --mapping=mapping.json --out=records

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
    if "corpus" in flags.FLAGS:
        return
    module = avexp_flags.MODULE
    names = ", ".join(registry.NAMES)
    flags.DEFINE_string(
        "corpus", None, f"What to read. One of: {names}.", module_name=module
    )
    flags.DEFINE_string("out", None, "Folder for the records.", module_name=module)
    flags.DEFINE_integer(
        "workers",
        1,
        "Processes that read recordings; each takes about 1 GB of memory.",
        module_name=module,
    )
    flags.DEFINE_boolean(
        "overwrite", False, "Replace finished records in --out.", module_name=module
    )
    flags.DEFINE_string(
        "statistics_from",
        "",
        "Take the audio statistics of this records folder: for recordings that a model "
        "is only evaluated on.",
        module_name=module,
    )


def main(argv: Sequence[str]) -> int:
    """Reads the flags and writes the records."""
    from avexp_tf.data import prepare

    cli.no_positionals(argv)
    values = flags.FLAGS
    for name in ("corpus", "out"):
        if not values[name].value:
            raise errors.ConfigError(f"--{name} must be given; see --help")
    if values.workers < 1:
        raise errors.ConfigError(f"--workers={values.workers}: must be at least 1")
    records = avexp_flags.parsed(config.RecordsConfig)
    corpus = registry.from_flags(values.corpus)
    manifest = prepare.prepare(
        corpus,
        values.out,
        records,
        n_workers=values.workers,
        overwrite=values.overwrite,
        statistics_from=values.statistics_from,
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
