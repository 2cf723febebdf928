"""Checks a folder of records: every byte, every count, every value.

    avexp-verify --records=runs/demo/records

Prints one line per problem. Exit code 0: none; 1: there are some.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import tqdm
from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags


def define_flags() -> None:
    """Defines the flags of this command."""
    avexp_flags.define_one(
        "records", "", "Folder with manifest.json and the record shards."
    )


def main(argv: Sequence[str]) -> int:
    """Reads the flags and checks."""
    cli.no_positionals(argv)
    folder = flags.FLAGS.records
    cli.require("records")
    if not os.path.isdir(folder):
        raise errors.DataError(f"{folder}: no such folder")
    return 1 if check(folder) else 0


def check(records_dir: str) -> int:
    """Prints every problem of a records folder, and a summary.

    Args:
      records_dir: The folder.

    Returns:
      The number of problems.
    """
    from avexp_tf.data import verify

    n_bytes = sum(
        entry.stat().st_size
        for entry in os.scandir(records_dir)
        if entry.name.endswith(".tfrecord")
    )
    n_problems = 0
    with tqdm.tqdm(total=n_bytes, unit="B", unit_scale=True, desc="verify") as bar:
        for problem in verify.problems(records_dir, bar.update):
            n_problems += 1
            bar.write(problem)
    if n_problems:
        plural = "s" if n_problems > 1 else ""
        print(f"{records_dir}: {n_problems} problem{plural}")
    else:
        print(f"{records_dir}: all good, {n_bytes} bytes in records")
    return n_problems


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
