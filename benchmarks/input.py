"""Input alone: from records on disk to batches in memory, against what others do.

    python benchmarks/input.py
    python benchmarks/input.py --recordings=32 --rounds=9 --append

The clips of the paper's dimensions are read as avexp-train reads them (shuffled, cut
anew, normalised, with a loss drawn); the plain Keras way (float-list records of stacked
3900-wide float32 vectors); by PyTorch's DataLoader over the same numbers in NPY files;
and by `cat`, which does nothing with them. The files are in the page cache. The bound
is copying in memory, on all cores, what any reader must copy: the record's bytes out of
the page cache, and the clip into its batch. Video features are float16 in both, as in
the NPY files; the plain Keras way holds float32 throughout.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import made_records
import numpy as np
import paper_model
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import flags as avexp_flags
from avexp_tf import runtime

_ABLATION = ("video:frame_repeat:0.5",)
_DIMS = paper_model.DIMS
_BOUND = "memory copy"
_BUILDING = "building the pipeline"


def ours(records: str) -> turns.Work:
    """An epoch of training batches."""
    runtime.configure(0, 1)
    from avexp_tf.data import condition
    from avexp_tf.data import pipeline

    source = made_records.source(records)
    batches = pipeline.training_batches(
        source, condition.parse_ablations(_ABLATION), 0, 0
    )
    return lambda: float(sum(inputs["video"].shape[0] for inputs, _ in batches))


def building(records: str) -> turns.Work:
    """Makes the pipeline of an epoch; what that costs before the first clip."""
    runtime.configure(0, 1)
    from avexp_tf.data import condition
    from avexp_tf.data import pipeline

    source = made_records.source(records)
    ablations = condition.parse_ablations(_ABLATION)

    def work() -> float:
        pipeline.training_batches(source, ablations, 0, 0)
        return 1.0

    return work


def plain_keras(folder: str) -> turns.Work:
    """An epoch of float-list records."""
    runtime.configure(0, 1)
    import tensorflow as tf

    ticks, width = paper_model.TICKS, _DIMS.audio * _DIMS.context_ticks
    spec = {
        "video": tf.io.FixedLenFeature([ticks, _DIMS.video], tf.float32),
        "audio": tf.io.FixedLenFeature([ticks, width], tf.float32),
        "labels": tf.io.FixedLenFeature([ticks, len(config.TARGETS)], tf.float32),
    }
    files = tf.data.Dataset.list_files(f"{folder}/*.tfrecord")
    batches = (
        files.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
        .shuffle(128)
        .map(
            lambda one: tf.io.parse_single_example(one, spec),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .batch(paper_model.BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )
    return lambda: float(sum(one["video"].shape[0] for one in batches))


class _NpyClips:
    """A PyTorch data set of clips in NPY files."""

    def __init__(self, folder: str):
        paths = sorted(pathlib.Path(folder).glob("*-video.npy"))
        self._names = [str(path).removesuffix("video.npy") for path in paths]
        sizes = [len(np.load(path, mmap_mode="r")) for path in paths]
        self._places = [
            (name, row)
            for name, n in zip(self._names, sizes, strict=True)
            for row in range(n)
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        import torch

        name, row = self._places[index]
        return tuple(
            torch.from_numpy(np.load(f"{name}{kind}.npy", mmap_mode="r")[row].copy())
            for kind in ("video", "audio", "labels")
        )


def data_loader(folder: str, n_workers: int) -> turns.Work:
    """An epoch of PyTorch's DataLoader."""
    from torch.utils import data

    loader = data.DataLoader(
        _NpyClips(folder),
        batch_size=paper_model.BATCH,
        shuffle=True,
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
    )
    return lambda: float(sum(len(video) for video, *_ in loader))


def cat(files: Sequence[str], n_clips: int) -> turns.Work:
    """Reads the files."""

    def work() -> float:
        subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
        return n_clips

    return work


def memory_copy(record_bytes: int, clip_bytes: int, n_clips: int) -> turns.Work:
    """Copies what any reader must copy."""
    n_threads = os.cpu_count() or 1
    pool = concurrent.futures.ThreadPoolExecutor(n_threads)
    n_batches = -(-n_clips // paper_model.BATCH)
    sizes = [paper_model.BATCH * record_bytes, paper_model.BATCH * clip_bytes]
    # A thread's own buffers, as large as a batch: no cache holds them.
    buffers = [
        [(np.ones(size, np.uint8), np.ones(size, np.uint8)) for size in sizes]
        for _ in range(n_threads)
    ]

    def copy(thread: int) -> int:
        count = len(range(thread, n_batches, n_threads))
        for _ in range(count):
            for target, origin in buffers[thread]:
                np.copyto(target, origin)
        return count

    return lambda: float(paper_model.BATCH * sum(pool.map(copy, range(n_threads))))


def idle() -> turns.Work:
    """TensorFlow, and nothing read: what its process holds without input."""
    runtime.configure(0, 1)
    return lambda: 1.0


def define_flags() -> None:
    """Defines the flags of this script."""
    turns.define_flags(rounds=7)
    flags.DEFINE_integer(
        "recordings",
        30,
        "Recordings of 1000 ticks to read.",
        module_name=avexp_flags.MODULE,
    )


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    cli.no_positionals(argv)
    runtime.configure(0, 1)
    with tempfile.TemporaryDirectory() as text:
        root = pathlib.Path(text)
        records, plain, npy = root / "records", root / "plain", root / "npy"
        made_records.prepare(records, flags.FLAGS.recordings)
        n_clips = made_records.write_others(records, plain, npy)
        shards = sorted(str(path) for path in records.glob("train-*"))
        stored = {
            "avexp_tf": made_records.folder_bytes(records, "train-*"),
            "plain Keras": made_records.folder_bytes(plain, "*"),
            "PyTorch DataLoader, 2 workers": made_records.folder_bytes(npy, "*"),
            "PyTorch DataLoader": made_records.folder_bytes(npy, "*"),
        }
        stored = {name: size / n_clips for name, size in stored.items()}
        inputs, labels = paper_model.made_clips(1)
        inputs["video"] = inputs["video"].astype(np.float16)
        clip_bytes = sum(one.nbytes for one in (*inputs.values(), *labels.values()))
        with_workers = [
            turns.Contender("PyTorch DataLoader, 2 workers", data_loader, (str(npy), 2))
        ]
        if flags.FLAGS.clock == "cpu":
            with_workers = []  # whose processor time is not seen from here
        found = turns.measure(
            [
                turns.Contender("avexp_tf", ours, (str(records),)),
                turns.Contender("plain Keras", plain_keras, (str(plain),)),
                *with_workers,
                turns.Contender("PyTorch DataLoader", data_loader, (str(npy), 0)),
                turns.Contender("cat", cat, (shards, n_clips)),
                turns.Contender(
                    _BOUND, memory_copy, (int(stored["avexp_tf"]), clip_bytes, n_clips)
                ),
                turns.Contender(_BUILDING, building, (str(records),)),
                turns.Contender("idle", idle),
            ],
            flags.FLAGS.rounds,
        )
    lines = [
        "| reader | clips/s (quartiles) | avexp_tf is faster by | MB per clip on disk |"
        " memory, MB |",
        "|---|---|---|---|---|",
    ]
    for name in [*found.rates][:-2]:
        low, high = found.spread(name)
        size = f"{stored[name] / 1e6:.2f}" if name in stored else ""
        lines.append(
            f"| {name} | {found.rate(name):.0f} ({low:.0f} to {high:.0f}) | "
            f"{found.ratio('avexp_tf', name)} | {size} | {found.peak_mb[name]:.0f} |"
        )
    share = stored["avexp_tf"] / stored["plain Keras"]
    held = found.peak_mb["avexp_tf"] - found.peak_mb["idle"]
    lines += [
        "",
        f"Bytes per clip: {share:.3f} of the plain Keras way. The process holds "
        f"{held:.0f} MB more than TensorFlow alone. Building the pipeline, once per "
        f"epoch, takes {1 / found.rate(_BUILDING):.2f} s.",
    ]
    turns.finish(
        "Input alone",
        f"{n_clips} clips of {paper_model.TICKS} ticks; medians of "
        f"{flags.FLAGS.rounds} interleaved rounds; load before the first round "
        f"{found.load:.1f}.",
        lines,
        {
            "clips_per_sec": {name: found.rate(name) for name in found.rates},
            "ratio": {
                name: found.ratio("avexp_tf", name).median for name in found.rates
            },
            "bytes_share": share,
            "held_mb": held,
            "building_secs": 1 / found.rate(_BUILDING),
        },
    )


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
