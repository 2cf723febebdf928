"""The paper's study on records of your own: six models, their sweep, and the report.

    avexp-reproduce --records=runs/my/records --out=runs/my/study
    avexp-reproduce --records=runs/my/records --out=runs/my/study --models=robust,bursts

Writes report.html, report.md, results.csv, recordings.csv, comparisons.csv and all
figures as PNG and SVG; the models lie in --out, one run directory per training. A study
that was stopped goes on where it was, and gives the same report.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime

if TYPE_CHECKING:
    from avexp_tf.data import condition
    from avexp_tf.evaluation import protocol
    from avexp_tf.evaluation import study

_MOST_RESAMPLES = 100_000  # all are in memory at once


def define_study_flags(train_seeds: Sequence[str]) -> None:
    """Defines the flags that every study has.

    Args:
      train_seeds: Default of --train_seeds.
    """
    for name, default, text in (
        (
            "models",
            ("paper",),
            "Models to train beside the paper's six: names such as robust, mixture, "
            "bursts, subclip, curriculum, missing_embedding, ignore_missing, "
            "audio_clip_zero, audio_frame_zero, both_frame_zero; all; or NAME=LOSS "
            "with a loss as in --ablation, parts joined by +.",
        ),
        ("train_seeds", train_seeds, "Each model is trained once per seed."),
        ("loss_seeds", ("1", "2"), "Each loss is drawn once per seed."),
        ("jobs", 0, "Trainings at a time; 0 takes one per core, up to four."),
        ("resamples", 2000, "Bootstrap resamples of recordings."),
    ):
        avexp_flags.define_one(name, default, text)


def define_flags() -> None:
    """Defines the flags of this command."""
    avexp_flags.define(
        config.DataConfig,
        config.ModelConfig,
        config.TrainConfig,
        skip=("name", "variant", "ablation", "seed"),
    )
    runtime.define_flags()
    define_study_flags(train_seeds=("0", "1", "2"))
    avexp_flags.define_one("out", "", "Folder for everything.")


def run_study(
    base: config.ExperimentConfig,
    recipes: Mapping[str, protocol.Recipe],
    tested: Sequence[condition.Condition],
    train_seeds: Sequence[int],
    loss_seeds: Sequence[int],
    out: pathlib.Path,
    jobs: int = 0,
    threads: int = 0,
    n_resamples: int = 2000,
) -> tuple[str, list[str], list[study.Training]]:
    """Trains, sweeps and reports; what is finished is kept.

    Args:
      base: Everything that the models share.
      recipes: {name: how it is trained}.
      tested: Conditions, the unablated one first.
      train_seeds: Each model is trained once per seed.
      loss_seeds: Each loss is drawn once per seed.
      out: Folder for everything.
      jobs: Trainings at a time; 0 takes one per core, up to four.
      threads: CPU threads of all trainings together, of which each gets at least one;
        0 takes all cores.
      n_resamples: Of the bootstrap.

    Returns:
      The table of all points as Markdown, the names of the files in `out`, and the
      trainings.

    Raises:
      errors.ConfigError: if a setting breaks its rule.
      errors.DataError: if the records can't be used, or `out` can't be written.
      errors.RunError: if a training fails.
    """
    from avexp_tf.data import condition as conditions
    from avexp_tf.data import manifest as manifests
    from avexp_tf.evaluation import findings
    from avexp_tf.evaluation import protocol
    from avexp_tf.evaluation import study
    from avexp_tf.evaluation import study_report
    from avexp_tf.training import run_dir as run_dirs

    if not 2 <= n_resamples <= _MOST_RESAMPLES:
        raise errors.ConfigError(
            f"--resamples={n_resamples}: must be from 2 to {_MOST_RESAMPLES}"
        )
    if any((out / name).exists() for name in (manifests.FILE_NAME, config.FILE_NAME)):
        raise errors.ConfigError(
            f"--out={out}: holds records, or a run; choose another folder"
        )
    n_jobs, threads_each = study.check_jobs(jobs, threads)
    manifest = manifests.Manifest.load(base.data.records)
    manifest.check_trainable(base.data.records)
    manifest.check_labels("validation", base.data.records)
    trainings = [
        study.Training(
            protocol.experiment_of(name, base, seed, recipe),
            out / (name if seed == 0 else f"{name}-seed-{seed}"),
        )
        for seed in train_seeds
        for name, recipe in recipes.items()
    ]
    run_paths = [training.run_path for training in trainings]
    for training in trainings:
        run_dirs.RunDir(training.run_path).check(training.experiment, manifest)
    study_report.check_folder(out)
    study.run(trainings, n_jobs, threads_each)
    kept = out / "sweeps"
    validation = study.measure(
        run_paths,
        base.data,
        "validation",
        tested,
        loss_seeds,
        kept,
    )
    dev = study.measure(
        run_paths, base.data, "dev", [conditions.NONE], loss_seeds, kept
    )
    files.remove_temporaries(out)  # of a report that was killed
    found = findings.gather(base.data.records, validation, dev, run_paths, n_resamples)
    table, names = study_report.write(found, out)
    return table, names, trainings


def main(argv: Sequence[str]) -> None:
    """Reads the flags and runs the study."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    cli.require("records", "out")
    base = config.ExperimentConfig(
        avexp_flags.parsed(config.DataConfig),
        avexp_flags.parsed(config.ModelConfig, variant="audio_visual"),
        avexp_flags.parsed(config.TrainConfig, name="baseline", ablation=(), seed=0),
    )
    from avexp_tf.evaluation import protocol

    recipes = protocol.parse_models(values.models)
    runtime.set_up()
    from avexp_tf.evaluation import sweep

    train_seeds = sweep.check_seeds("train_seeds", values.train_seeds)
    loss_seeds = sweep.check_seeds("loss_seeds", values.loss_seeds)
    out = files.local_path(values.out)
    table, names, _ = run_study(
        base,
        recipes,
        protocol.study_conditions(),
        train_seeds,
        loss_seeds,
        out,
        values.jobs,
        values.threads,
        values.resamples,
    )
    print(table)
    for name in names:
        print(out / name)


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    # The trainings are processes that import this package from where this one does.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    run()
