"""Checks that an export predicts what the model that it was made of predicts.

    python -m export.check --run_dir=runs/my/frame_zero --export=runs/my/export/1
    python -m export.check ... --server=localhost:8500

Compares Keras, SavedModel, the LiteRT files and, with --server, a server (host:port for
gRPC, http://host:port for REST) on real records under every loss pattern. Prints the
report, and if all of them pass writes it as parity.json and parity.md into the export,
where a server's row tells no address. Exit code 1: something differs by more than is
allowed, and the export stays as it was.
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
    avexp_flags.define(export_config.GateConfig)
    for name, default, text in (
        ("run_dir", "", "Run directory of the model."),
        ("export", "", "The version to check: <folder of the versions>/<number>."),
        ("server", "", "A server to check too."),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> int:
    """Reads the flags and compares."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("run_dir", "export")
    gate = avexp_flags.parsed(export_config.GateConfig)
    runtime.set_up()
    from avexp_tf.serving import check
    from avexp_tf.serving import parity_report
    from avexp_tf.serving import saved_model
    from avexp_tf.serving import shipping
    from avexp_tf.training import run_dir as run_dirs

    run_dir = run_dirs.RunDir(values.run_dir)
    source = check.source_of(run_dir, gate.records, gate.split)
    extra = saved_model.extra(values.export)
    others = [check.server_candidate(values.server)] if values.server else []
    found = shipping.compare(values.export, run_dir, source, gate, others)
    print(parity_report.text(found))
    if not found.passed:
        # What was shipped passed; the run or the server may be the wrong ones.
        return 1
    for one in others:  # where a server listens is nothing that an export tells
        found = found.renamed(one.name, check.SERVER)
    parity_report.write(found, extra, keeps=True)
    print(f"report: {extra / parity_report.MARKDOWN_NAME}")
    return 0


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
