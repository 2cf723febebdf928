"""Trains one model on records and keeps the weights that were best on dev.

    avexp-train --flagfile=configs/paper.flags --records=runs/my/records \
        --run_dir=runs/my/frame_zero --strategy=frame_zero

--strategy picks one of the paper's six models; --name, --variant and --ablation make
any other. A training that was stopped goes on where it was when the same command is
given again; after a finished one it changes nothing.

On several machines, give each the same command and its own TF_CONFIG, as TensorFlow
has it; records and --run_dir lie where all of them can read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import memory
from avexp_tf import runtime
from avexp_tf import termination
from avexp_tf.data import condition


def define_flags() -> None:
    """Defines the flags of this command."""
    avexp_flags.define(config.DataConfig, config.ModelConfig, config.TrainConfig)
    runtime.define_flags()
    for name, default, text in (
        ("run_dir", "", "Directory for everything of this run."),
        (
            "resume",
            True,
            "Go on with the run in --run_dir; --noresume forgets it and starts again.",
        ),
        (
            "strategy",
            "",
            "One of the paper's models: baseline, clip_zero, frame_zero, frame_repeat, "
            "video_only, audio_only; or a further one, such as robust, bursts or "
            "mixture (avexp-reproduce --help names them). Sets --name, --variant and "
            "--ablation, a further one also what else it needs.",
        ),
        (
            "data_service",
            "",
            "Dispatcher of a tf.data service that reads the records, grpc://host:port.",
        ),
        (
            "virtual_cpus",
            1,
            "Replicas to train on where there is no GPU, to try distribution out.",
        ),
    ):
        avexp_flags.define_one(name, default, text)


def experiment_from_flags() -> config.ExperimentConfig:
    """Returns the experiment that the flags describe.

    Raises:
      errors.ConfigError: if a flag breaks its rule, or --strategy contradicts another.
    """
    experiment = config.ExperimentConfig(
        avexp_flags.parsed(config.DataConfig),
        avexp_flags.parsed(config.ModelConfig),
        avexp_flags.parsed(config.TrainConfig),
    )
    condition.parse_ablations(experiment.train.ablation)
    name = flags.FLAGS.strategy
    if not name:
        return experiment
    from avexp_tf.evaluation import protocol

    for other in ("name", "variant", "ablation"):
        if flags.FLAGS[other].present:
            raise errors.ConfigError(
                f"--strategy={name}: sets --{other}; give one of the two"
            )
    return protocol.experiment_of(name, experiment, experiment.train.seed)


def main(argv: Sequence[str]) -> None:
    """Reads the flags and trains."""
    cli.no_positionals(argv)
    experiment = experiment_from_flags()
    cli.require("run_dir", "records")
    runtime.set_up(flags.FLAGS.virtual_cpus)
    from avexp_tf.training import experiment as experiments
    from avexp_tf.training import strategy as strategies

    strategies.choose(flags.FLAGS.virtual_cpus)  # before has_gpu starts TensorFlow
    termination.end_with_parent()
    if memory.ended_before():
        raise experiments.out_of_memory(
            experiment, flags.FLAGS.run_dir, flags.FLAGS.virtual_cpus
        )
    memory.start_again_at_the_end("avexp_tf.train")
    with contextlib.nullcontext() if runtime.has_gpu() else memory.limited():
        experiments.train(
            experiment,
            flags.FLAGS.run_dir,
            flags.FLAGS.virtual_cpus,
            resume=flags.FLAGS.resume,
            data_service=flags.FLAGS.data_service,
        )


def run() -> None:
    """The console script."""
    cli.run(main, define_flags, __doc__)


if __name__ == "__main__":
    run()
