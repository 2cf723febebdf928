"""Writes the next version of a model as a SavedModel, without LiteRT and the gate.

    python -m export.saved_model --run_dir=runs/my/frame_zero --out=runs/my/export

avexp-export does this, converts to LiteRT, and ships only what predicts what the model
predicts.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime
from avexp_tf.serving import export_config


def define_flags() -> None:
    """Defines the flags of this command."""
    runtime.define_flags()
    avexp_flags.define(export_config.ExportConfig)
    for name, default, text in (
        ("run_dir", "", "Run directory of the model."),
        ("out", "", "Folder of the versions: <out>/1, <out>/2, ..."),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and exports."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("run_dir", "out")
    settings = avexp_flags.parsed(export_config.ExportConfig)
    runtime.set_up()
    from avexp_tf.serving import saved_model

    path = saved_model.export(values.run_dir, values.out, settings, report=print)
    print(f"export: {path}")
    return 0


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
