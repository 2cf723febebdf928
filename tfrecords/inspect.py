"""Shows what a folder of records holds, and one recording or record of it.

    avexp-inspect --records=runs/demo/records
    avexp-inspect --records=runs/demo/records --recording=NAME --out=name.png
    avexp-inspect --records=runs/demo/records --split=train --index=3 --out=record.png

With --out, the labels and what is present are drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags


def define_flags() -> None:
    """Defines the flags of this command."""
    for name, text in (
        ("records", "Folder with manifest.json and the record shards."),
        ("recording", "Recording to show."),
        ("split", "Split of the record to show."),
        ("out", "PNG file to draw the labels and what is present to."),
    ):
        avexp_flags.define_one(name, "", text)
    if "index" not in flags.FLAGS:
        flags.DEFINE_integer(
            "index",
            None,
            "Record to show: its place in --split, from 0.",
            module_name=avexp_flags.MODULE,
        )


def main(argv: Sequence[str]) -> int:
    """Reads the flags, prints and draws."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("records")
    if values.recording and (values.split or values.index is not None):
        raise errors.ConfigError("--recording goes without --split and --index")
    if bool(values.split) != (values.index is not None):
        raise errors.ConfigError("--split and --index go together")
    show(
        values.records,
        recording_id=values.recording,
        split=values.split,
        index=values.index,
        out=values.out,
    )
    return 0


def show(
    records_dir: str,
    recording_id: str = "",
    split: str = "",
    index: int | None = None,
    out: str = "",
) -> None:
    """Prints a records folder and, of one recording or record, the numbers.

    Args:
      records_dir: The folder.
      recording_id: All records of this recording; or
      split: a split, and
      index: the place of a record in it. Without any, the first record of all.
      out: PNG file to draw to; empty draws nothing.

    Raises:
      errors.DataError: if there is no such record, or it is damaged.
    """
    from avexp_tf.data import describe
    from avexp_tf.data import draw
    from avexp_tf.data import manifest as manifest_lib
    from avexp_tf.data import shard_reader

    manifest = manifest_lib.Manifest.load(records_dir)
    if out:
        files.check_own(out, b"\x89PNG", "PNG picture")
    print("\n".join(describe.manifest(manifest)))
    indices = range(index or 0, (index or 0) + 1)
    if recording_id:
        split, indices = shard_reader.indices_of(manifest, recording_id)
    split = split or next(iter(manifest.splits))
    shown = []
    for place in indices:
        segment = shard_reader.read(records_dir, manifest, split, place)
        print(f"\n{split} record {place}")
        print("\n".join(describe.record(segment)))
        # All features of a long recording would not fit in memory.
        none = np.zeros(0)
        shown.append(
            dataclasses.replace(segment, video=none, audio=none, background=None)
        )
    if out:
        draw.draw(shown, out)
        print(f"\ndrawing: {out}")


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
