"""Ships a model: SavedModel and LiteRT under the next version, if they are right.

    avexp-export --run_dir=runs/my/frame_zero --out=runs/my/export

Exports the SavedModel, converts it to LiteRT, and compares all of them with the Keras
model on real records under every loss pattern. LiteRT variants that lose more than is
allowed are left out; if the SavedModel or float32 differs, nothing is written and the
exit code is 1.
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
    avexp_flags.define(
        export_config.ExportConfig,
        export_config.GateConfig,
        export_config.LiteRtConfig,
    )
    for name, default, text in (
        ("run_dir", "", "Run directory of the model."),
        ("out", "", "Folder of the versions: <out>/1, <out>/2, ..."),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and ships."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("run_dir", "out")
    settings = avexp_flags.parsed(export_config.ExportConfig)
    gate = avexp_flags.parsed(export_config.GateConfig)
    variants = avexp_flags.parsed(export_config.LiteRtConfig).variants
    runtime.set_up()
    from avexp_tf.serving import shipping

    shipped = shipping.ship(
        values.run_dir, values.out, settings, gate, variants, report=print
    )
    print(shipped.report)
    for name, reason in shipped.left_out.items():
        print(f"left out: {name}: {reason}")
    if shipped.path is None:
        print("nothing was written: the export does not predict what the model does")
        return 1
    print(f"export: {shipped.path}")
    return 0


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
