"""Adds LiteRT files to an export: those that pass the gate.

    python -m export.litert --run_dir=runs/my/frame_zero --export=runs/my/export/1

Writes assets.extra/litert/*.tflite, parity.json and parity.md into the export. Exit
code 1: the SavedModel or float32 does not predict what the model predicts, and the
export stays as it was.
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
    avexp_flags.define(export_config.GateConfig, export_config.LiteRtConfig)
    for name, default, text in (
        ("run_dir", "", "Run directory of the model."),
        ("export", "", "The version to add to: <folder of the versions>/<number>."),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> int:
    """Reads the flags, converts and compares."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("run_dir", "export")
    gate = avexp_flags.parsed(export_config.GateConfig)
    variants = avexp_flags.parsed(export_config.LiteRtConfig).variants
    runtime.set_up()
    from avexp_tf.serving import check
    from avexp_tf.serving import shipping
    from avexp_tf.training import run_dir as run_dirs

    run_dir = run_dirs.RunDir(values.run_dir)
    source = check.source_of(run_dir, gate.records, gate.split)
    shipped = shipping.add(values.export, run_dir, source, gate, variants)
    print(shipped.report)
    for name, reason in shipped.left_out.items():
        print(f"left out: {name}: {reason}")
    if shipped.path is None:
        print("nothing was changed: the export does not predict what the model does")
        return 1
    return 0


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
