"""How time and memory grow: with T, the batch, recordings, shards and replicas.

    python benchmarks/scale.py
    python benchmarks/scale.py --only=ticks,recordings --append

Each point is measured in a process of its own; the exponent is the slope of log(time)
over log(size) across all points: 1 is linear. `ticks` and `batch` take training steps
of the paper's model; `replicas` steps on as many logical CPUs of this machine, which
share its cores; `recordings` and `shards` load the manifest, open a split and make its
pipeline, and give the first batch, all that depends on how much there is before the
first step.
"""

from __future__ import annotations

import math
import os
import pathlib
import tempfile
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import paper_model
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime

_STEPS = 2


def step(n_clips: int, n_ticks: int, n_replicas: int) -> turns.Work:
    """Training steps of the paper's model; amount: steps."""
    runtime.configure(0, n_replicas)
    import tensorflow as tf

    from avexp_tf.models import crossmodal_transformer
    from avexp_tf.training import optimizer
    from avexp_tf.training import strategy as strategies
    from avexp_tf.training import trainer

    strategy = strategies.choose(n_replicas)
    settings = config.TrainConfig()
    with strategy.scope():
        model = crossmodal_transformer.build(config.ModelConfig(), paper_model.DIMS)
        made = optimizer.build(settings, 1)
    run = trainer.Trainer(model, made, strategy)
    clips = paper_model.made_clips(n_clips, n_ticks)
    losses = run.losses(tf.data.Dataset.from_tensors(clips).repeat())

    def work() -> float:
        for _ in range(_STEPS):
            next(losses)
        return _STEPS

    return work


def opening(n_recordings: int, n_shards: int) -> turns.Work:
    """From a folder of many small recordings to the first batch; amount: 1."""
    runtime.configure(0, 1)
    from avexp_tf.data import pipeline
    from avexp_tf.data import record_source

    folder = tempfile.mkdtemp()
    write_records(pathlib.Path(folder), n_recordings, n_shards)
    data = config.DataConfig(records=folder, clip_ticks=2, batch_size=32)

    def work() -> float:
        source = record_source.RecordSource.open(data, "train")
        next(iter(pipeline.training_batches(source, [()], 0, 0)))
        return 1.0

    return work


def write_records(folder: pathlib.Path, n_recordings: int, n_shards: int) -> None:
    """Writes tiny records: what counts here is how many there are."""
    from avexp_tf import files
    from avexp_tf import recording
    from avexp_tf.data import contents
    from avexp_tf.data import example
    from avexp_tf.data import framing
    from avexp_tf.data import manifest as manifests
    from avexp_tf.data import schema
    from avexp_tf.data import segment

    records = config.RecordsConfig(context_ticks=1, segment_ticks=2)
    layout = schema.Layout(1, 1, 1, 0)
    ones, zeros = np.ones(2, np.uint8), np.zeros((2, 1), np.float32)
    shards, entries = [], []
    for index, members in enumerate(np.array_split(np.arange(n_recordings), n_shards)):
        framed = []
        for number in members:
            name = f"r{number:07d}"
            one = segment.Segment(
                recording_id=name,
                subject_id=name,
                segment_index=0,
                first_tick=0,
                video=zeros.astype(np.float16),
                audio=zeros,
                labels=np.zeros((2, 2), np.float32),
                label_valid=np.ones((2, 2), np.uint8),
                video_present=ones,
                audio_present=ones,
                margin_present=ones[:0],
                timestamps=np.arange(2.0),
                background=None,
            )
            framed.append(framing.frame(example.encode(one, layout)))
            entries.append(contents.Entry(name, name, name, (2,)))
        path = folder / contents.shard_name("train", index, n_shards)
        path.write_bytes(b"".join(framed))
        sizes = tuple(map(len, framed))
        shards.append(contents.Shard(path.name, files.sha256(path), sizes))
    n_ticks = 2 * n_recordings
    split = contents.Split(
        tuple(shards), tuple(entries), n_ticks, n_ticks, (n_ticks, n_ticks)
    )
    manifests.Manifest(
        corpus_name="made",
        corpus_config={},
        video=recording.FeatureSet("made", "1", 1),
        audio=recording.FeatureSet("made", "1", 1),
        records=records,
        has_background=False,
        audio_statistics=contents.AudioStatistics(n_ticks, (0.0,), (1.0,)),
        splits={"train": split},
    ).save(folder)


# Per dimension: its sizes, and what is done at one.
DIMENSIONS: dict[str, tuple[Sequence[int], Callable[[int], tuple]]] = {
    "ticks": ((100, 300, 1000, 3000), lambda n: (step, (1, n, 1))),
    "batch": ((4, 8, 16, 32, 64), lambda n: (step, (n, 100, 1))),
    "replicas": ((1, 2), lambda n: (step, (8, 100, n))),
    "recordings": (
        (10, 100, 1000, 10_000, 100_000),
        lambda n: (opening, (n, max(1, n // 1000))),
    ),
    "shards": ((10, 100, 1000), lambda n: (opening, (1000, n))),
}


def slope(sizes: Sequence[float], secs: Sequence[float]) -> float:
    """Returns the exponent of the growth."""
    return float(np.polyfit(np.log(sizes), np.log(secs), 1)[0])


def define_flags() -> None:
    """Defines the flags of this script."""
    turns.define_flags(rounds=3)
    flags.DEFINE_list(
        "only", list(DIMENSIONS), "Dimensions.", module_name=avexp_flags.MODULE
    )


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    cli.no_positionals(argv)
    lines = [
        "| dimension | size | seconds (quartiles) | memory, MB |",
        "|---|---|---|---|",
    ]
    values, notes = {}, []
    load = os.getloadavg()[0]
    for dimension in flags.FLAGS.only:
        if dimension not in DIMENSIONS:
            raise errors.ConfigError(
                f"--only: {dimension} is none of {', '.join(DIMENSIONS)}"
            )
        sizes, at = DIMENSIONS[dimension]
        contenders = []
        for n in sizes:
            make, arguments = at(n)
            contenders.append(turns.Contender(str(n), make, arguments, warm_turns=1))
        found = turns.measure(contenders, flags.FLAGS.rounds)
        secs = [1 / found.rate(str(n)) for n in sizes]
        for n, each in zip(sizes, secs, strict=True):
            high, low = (1 / rate for rate in found.spread(str(n)))
            lines.append(
                f"| {dimension} | {n} | {each:.3g} ({low:.3g} to {high:.3g}) | "
                f"{found.peak_mb[str(n)]:.0f} |"
            )
        exponent = slope(sizes, secs)
        last = math.log(secs[-1] / secs[-2]) / math.log(sizes[-1] / sizes[-2])
        notes.append(f"{dimension} {exponent:.2f} ({last:.2f} between the last two)")
        values[dimension] = {
            "sizes": list(sizes),
            "secs": secs,
            "exponent": exponent,
            "last_exponent": last,
            "peak_mb": [found.peak_mb[str(n)] for n in sizes],
        }
    turns.finish(
        "Scale",
        f"Medians of {flags.FLAGS.rounds} interleaved rounds; load before the first "
        f"round {load:.1f}.",
        [*lines, "", f"Exponents: {'; '.join(notes)}."],
        values,
    )


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
