"""The whole way on a synthetic corpus: records, six models, sweep, report, export.

    avexp-demo

Everything lands in --out (runs/demo); a demo that was stopped goes on where it was, and
what is finished is kept. Its settings are those of configs/demo.flags, not the defaults
listed below, and any flag given here comes after them.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import files
from avexp_tf import flags as avexp_flags
from avexp_tf import presets
from avexp_tf import reproduce
from avexp_tf import runtime
from avexp_tf.corpora import synthetic


def define_flags() -> None:
    """Defines the flags of this command."""
    synthetic.define_flags()
    avexp_flags.define(
        config.RecordsConfig,
        config.DataConfig,
        config.ModelConfig,
        config.TrainConfig,
        skip=("records", "name", "variant", "ablation", "seed"),
    )
    runtime.define_flags()
    reproduce.define_study_flags(train_seeds=("0",))
    avexp_flags.define_one("out", "runs/demo", "Folder for everything.")


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs the demo."""
    cli.no_positionals(argv)
    cli.require("out")
    values = flags.FLAGS
    records_config = avexp_flags.parsed(config.RecordsConfig)
    out = files.local_path(values.out)
    base = config.ExperimentConfig(
        avexp_flags.parsed(config.DataConfig, records=str(out / "records")),
        avexp_flags.parsed(config.ModelConfig, variant="audio_visual"),
        avexp_flags.parsed(config.TrainConfig, name="baseline", ablation=(), seed=0),
    )
    corpus = synthetic.from_flags()
    runtime.set_up()
    from avexp_tf.data import prepare
    from avexp_tf.evaluation import protocol
    from avexp_tf.evaluation import sweep
    from avexp_tf.serving import check
    from avexp_tf.serving import saved_model

    recipes = protocol.parse_models(values.models)
    train_seeds = sweep.check_seeds("train_seeds", values.train_seeds)
    loss_seeds = sweep.check_seeds("loss_seeds", values.loss_seeds)
    prepare.prepare(corpus, base.data.records, records_config)
    table, names, trainings = reproduce.run_study(
        base,
        recipes,
        protocol.test_conditions(),
        train_seeds,
        loss_seeds,
        out,
        values.jobs,
        values.threads,
        values.resamples,
    )
    shown = next(one for one in trainings if one.experiment.train.name == "clip_zero")
    base_dir = out / "export"
    exported = _exported_of(shown.run_path, base_dir)
    if exported is None:
        exported = saved_model.export(shown.run_path, base_dir)
    worst = check.largest_difference(exported, shown.run_path, base.data)
    print(table)
    print(f"the reloaded export differs from Keras by at most {worst:.1e}")
    for name in ("records", *names):
        print(out / name)
    for training in trainings:
        print(training.run_path)
    print(exported)


def _exported_of(run_path: pathlib.Path, base_dir: pathlib.Path) -> pathlib.Path | None:
    """Returns the newest version of an export, if it is of the weights of a run."""
    from avexp_tf.serving import model_card
    from avexp_tf.serving import saved_model
    from avexp_tf.serving import version_folders
    from avexp_tf.training import run_dir as run_dirs

    versions = version_folders.found(base_dir) if base_dir.is_dir() else {}
    if not versions:
        return None
    newest = versions[max(versions)]
    try:
        text = (saved_model.extra(newest) / model_card.JSON_NAME).read_text("utf-8")
        exported = json.loads(text)["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged, or of another program
    return newest if exported == run_dirs.RunDir(run_path).weights_sha256() else None


def run() -> None:
    """The console script."""
    preset = f"--flagfile={presets.path('demo.flags')}"
    cli.run(main, define_flags, __doc__, [sys.argv[0], preset, *sys.argv[1:]])


if __name__ == "__main__":
    # The trainings are processes that import this package from where this one does.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    run()
