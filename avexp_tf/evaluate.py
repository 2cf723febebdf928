"""Measures trained models under every loss condition, in one reading of the records.

    avexp-evaluate --run_dir=runs/my/baseline,runs/my/frame_zero --out=runs/my/sweep

Writes results.csv, recordings.csv, report.md and the paper's figures, and prints the
table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime


def define_flags() -> None:
    """Defines the flags of this command."""
    runtime.define_flags()
    for name, default, text in (
        ("run_dir", "", "Run directories of the models, separated by commas."),
        (
            "conditions",
            ("protocol",),
            "Losses to test, separated by commas: protocol for all of the paper's, or "
            "such as video:gilbert_elliott:0.3:12:repeat.",
        ),
        ("loss_seeds", ("1", "2"), "Each loss is drawn once per seed."),
        ("records", "", "Records to evaluate on; by default those of the training."),
        ("split", "validation", "Split to evaluate on."),
        ("eval_stride", 0, "Ticks between clips; by default as in training."),
        (
            "on_corrupt",
            "",
            "What a damaged record does, fail or skip; by default as in training.",
        ),
        ("out", "", "Folder for the results; by default `sweep` in the first run."),
        ("predictions", "", "CSV file for every prediction of every tick."),
    ):
        avexp_flags.define_one(name, default, text)


def main(argv: Sequence[str]) -> None:
    """Reads the flags and evaluates."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("run_dir")
    from avexp_tf.evaluation import protocol

    tested = protocol.parse_conditions(values.conditions)
    runtime.set_up()
    from avexp_tf.data import record_source
    from avexp_tf.evaluation import figures
    from avexp_tf.evaluation import report
    from avexp_tf.evaluation import sweep
    from avexp_tf.evaluation import sweep_result as sweep_results
    from avexp_tf.training import trained_model

    loss_seeds = sweep.check_seeds("loss_seeds", values.loss_seeds)
    run_paths = values.run_dir.split(",")
    if "" in run_paths:
        raise errors.ConfigError(f"--run_dir={values.run_dir}: has an empty name")
    models = [trained_model.TrainedModel.load(path) for path in run_paths]
    sweep.check_names(models)
    eval_stride = values.eval_stride if values["eval_stride"].present else None
    data = sweep.data_of(models, values.records, eval_stride, values.on_corrupt)
    source = record_source.RecordSource.open(data, values.split)
    out = values.out or os.path.join(run_paths[0], "sweep")
    # What can't be written is known before the work, not after.
    if values.predictions:
        _check_predictions(values.predictions, out)
    else:
        source.manifest.check_labels(values.split, data.records)
    report.check_folder(out)
    result = sweep.evaluate(
        models, source, tested, loss_seeds, values.predictions or None
    )
    source.report_lost()
    tables = sweep_results.save(result, out)
    drawn = figures.draw_all(result.results, out)
    print(report.write(result.results, drawn, data.records, out, result.intervals))
    for name in (*tables, "report.md", *drawn):
        print(os.path.join(out, name))


def _check_predictions(path: str, out: str) -> None:
    """Checks that predictions replace nothing else, and nothing else them."""
    from avexp_tf.evaluation import sweep
    from avexp_tf.evaluation import sweep_result as sweep_results

    results = [os.path.realpath(os.path.join(out, x)) for x in sweep_results.TABLES]
    if os.path.realpath(path) in results:
        raise errors.ConfigError(f"--predictions={path}: is where the results go")
    if os.path.realpath(os.path.dirname(path)) == os.path.realpath(out):
        files.make_folder(out)
    start = ",".join(sweep.PREDICTION_COLUMNS).encode()
    files.check_own(path, start, "table of predictions")


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
