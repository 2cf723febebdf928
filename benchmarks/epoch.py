"""A whole epoch from records on disk to updated weights, against the step alone.

    python benchmarks/epoch.py
    python benchmarks/epoch.py --precision=mixed_bfloat16 --append

The step alone takes batches that lie in memory; the epoch reads, shuffles, cuts and
draws them. Where the ratio is near 1, the step does not wait for input. The size is the
paper's.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Sequence

import made_records
import paper_model
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime


def _learner(records: str, precision: str):
    runtime.configure(0, 1)
    import tensorflow as tf

    from avexp_tf.training import learner

    experiment = config.ExperimentConfig(
        data=config.DataConfig(records=records),
        train=config.TrainConfig(
            precision=precision, ablation=("video:frame_repeat:0.5",)
        ),
    )
    source = made_records.source(records)
    made = learner.Learner(
        experiment,
        source,
        made_records.source(records, "dev"),
        tf.distribute.get_strategy(),
    )
    return made, source


def step_alone(records: str, precision: str) -> turns.Work:
    """As many steps as an epoch has, on one batch in memory."""
    import tensorflow as tf

    made, _ = _learner(records, precision)
    batch = tf.data.Dataset.from_tensors(paper_model.made_clips()).repeat()
    losses = made.trainer.losses(batch)

    def work() -> float:
        for _ in range(made.steps):
            next(losses)
        return made.steps * paper_model.BATCH

    return work


def epoch(records: str, precision: str) -> turns.Work:
    """An epoch from disk."""
    made, source = _learner(records, precision)
    epochs = iter(range(1_000_000))

    def work() -> float:
        batches = made.train_batches(next(epochs))
        n_steps = sum(1 for _ in made.trainer.losses(batches, source.reading))
        return n_steps * paper_model.BATCH

    return work


def define_flags() -> None:
    """Defines the flags of this script."""
    turns.define_flags(rounds=5)
    module = avexp_flags.MODULE
    flags.DEFINE_integer(
        "steps", 20, "Steps of an epoch; a multiple of 5.", module_name=module
    )
    flags.DEFINE_string("precision", "float32", "Arithmetic.", module_name=module)


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    cli.no_positionals(argv)
    n_recordings = flags.FLAGS.steps * paper_model.BATCH // made_records.CLIPS
    with tempfile.TemporaryDirectory() as folder:
        records = pathlib.Path(folder) / "records"
        made_records.prepare(records, n_recordings)
        arguments = (str(records), flags.FLAGS.precision)
        found = turns.measure(
            [
                turns.Contender("step alone", step_alone, arguments, warm_turns=1),
                turns.Contender("epoch from disk", epoch, arguments, warm_turns=1),
            ],
            flags.FLAGS.rounds,
        )
    ratio = found.ratio("epoch from disk", "step alone")
    lines = ["| | clips/s (quartiles) | of the step alone | memory, MB |"]
    lines.append("|---|---|---|---|")
    for name in found.rates:
        low, high = found.spread(name)
        lines.append(
            f"| {name} | {found.rate(name):.1f} ({low:.1f} to {high:.1f}) | "
            f"{found.ratio(name, 'step alone')} | {found.peak_mb[name]:.0f} |"
        )
    turns.finish(
        "Epoch from disk",
        f"Epochs of {flags.FLAGS.steps} steps of {paper_model.BATCH} clips, the start "
        f"of the pipeline included; medians of {flags.FLAGS.rounds} interleaved rounds;"
        f" load before the first round {found.load:.1f}.",
        lines,
        {
            "precision": flags.FLAGS.precision,
            "clips_per_sec": {name: found.rate(name) for name in found.rates},
            "ratio": ratio.median,
            "peak_mb": found.peak_mb,
        },
    )


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
