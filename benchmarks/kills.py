"""Kills trainings and preparations at random moments and compares how they end.

    python benchmarks/kills.py --what=prepare --times=20
    python benchmarks/kills.py --what=train --times=20 --append

Each time, the command is started in an empty folder, killed by SIGKILL, and started
again until it is done; then every byte that it wrote is compared with what a run wrote
that nobody killed: weights, state of the optimizer, history, curves and result of a
training (with --deterministic), shards and manifest of a preparation. Every fourth
training is killed in the middle of writing a checkpoint. `--append` adds the table to
benchmarks/RESULTS.md. Exit code 1: an end was another.
"""

from __future__ import annotations

import csv
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import folders
import numpy as np
import results
import tqdm
from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags

_ROOT = pathlib.Path(__file__).parents[1]
_CORPUS = (
    "--corpus=synthetic",
    "--video_dim=16",
    "--audio_dim=4",
    "--validation_speakers=2",
    "--dev_speakers=2",
    "--min_ticks=400",
    "--max_ticks=900",
    "--segment_ticks=200",
    "--context_ticks=10",
    "--shard_mb=0.05",
)
_TRAINING = (
    "--d_model=16",
    "--num_heads=2",
    "--ff_dim=32",
    "--num_layers=1",
    "--clip_ticks=50",
    "--eval_stride=50",
    "--batch_size=8",
    "--epochs=4",
    "--learning_rate=1e-3",
    "--schedule=cosine",
    "--ablation=video:frame_zero:0.5",
    "--checkpoint_steps=3",
    "--deterministic",
)


def define_flags() -> None:
    """Defines the flags of this script."""
    module = avexp_flags.MODULE
    flags.DEFINE_enum(
        "what", "train", ["train", "prepare"], "What is killed.", module_name=module
    )
    flags.DEFINE_integer("times", 20, "How often.", module_name=module)
    flags.DEFINE_integer("kill_seed", 0, "Of the moments.", module_name=module)
    results.define_flag()


def start(module: str, arguments: Sequence[str]) -> subprocess.Popen:
    """Starts a command of the package, in silence."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(module: str, arguments: Sequence[str]) -> None:
    """Runs a command of the package to its end.

    Raises:
      errors.RunError: if it fails.
    """
    code = start(module, arguments).wait()
    if code:
        raise errors.RunError(f"{module} {' '.join(arguments)}: exit code {code}")


def kill_preparation(
    folder: pathlib.Path, whole_secs: float, index: int, rng: random.Random
) -> str | None:
    """Starts a preparation and kills it; returns what was left, None if it was done."""
    arguments = [*_CORPUS, "--train_speakers=60", f"--out={folder}"]
    process = start("tfrecords.prepare", [*arguments, f"--workers={1 + index % 2}"])
    time.sleep(rng.uniform(0, 1.2 * whole_secs))
    process.send_signal(signal.SIGKILL)
    if process.wait() == 0:
        return None
    n_parts = len(list(folder.glob(".parts/*/*.json")))
    n_shards = len(list(folder.glob("*.tfrecord")))
    n_temporary = len(list(folder.rglob(f"{files.TEMPORARY}*")))
    return f"{n_parts} parts, {n_shards} shards, {n_temporary} half-written"


def kill_training(
    folder: pathlib.Path, records: pathlib.Path, index: int, rng: random.Random
) -> str | None:
    """Starts a training and kills it; returns what was left, None if it was done."""
    process = start("avexp_tf.train", training_arguments(folder, records))
    checkpoints = folder / "checkpoints"
    wanted = rng.randrange(0, 31)  # of 28 by steps and 4 at the ends of epochs
    while newest(checkpoints) < wanted and process.poll() is None:
        time.sleep(0.002)
    if index % 4 == 3:
        while not half_written(checkpoints) and process.poll() is None:
            pass
        # Not at its first byte: a checkpoint takes some milliseconds.
        time.sleep(rng.uniform(0, 0.002))
    else:
        time.sleep(rng.expovariate(1 / 0.2))
    process.send_signal(signal.SIGKILL)
    if process.wait() == 0:
        return None
    half = ", in the middle of a checkpoint" if half_written(checkpoints) else ""
    return f"after {newest(checkpoints)} checkpoints{half}"


def training_arguments(folder: pathlib.Path, records: pathlib.Path) -> list[str]:
    """Returns the flags of the training that is killed."""
    return [*_TRAINING, f"--records={records}", f"--run_dir={folder}"]


def newest(checkpoints: pathlib.Path) -> int:
    """Returns the number of the newest checkpoint."""
    numbers = [int(path.stem) for path in checkpoints.glob("[0-9]*.json")]
    return max(numbers, default=0)


def half_written(checkpoints: pathlib.Path) -> bool:
    """Whether a checkpoint is being written, or was not written to its end."""
    try:
        names = os.listdir(checkpoints)
    except FileNotFoundError:
        return False
    arrays = {name[:-4] for name in names if name.endswith(".npz")}
    complete = {name[:-5] for name in names if name.endswith(".json")}
    return arrays != complete or any(name.startswith(files.TEMPORARY) for name in names)


def end_of_training(folder: pathlib.Path) -> dict[str, Any]:
    """Returns all that a training gave and that has no time in it."""
    import tensorflow as tf

    with open(folder / "history.csv", newline="") as file:
        history = [
            {name: value for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]
    arrays = sorted((folder / "checkpoints").glob("*.npz"))[-1]
    with np.load(arrays, allow_pickle=False) as archive:
        state = {name: archive[name].tobytes() for name in archive.files}
    curves = []
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                if plugin == "scalars" and value.tag != "seconds":
                    number = tf.make_ndarray(value.tensor).tobytes()
                    curves.append((event.step, value.tag, number))
    return {
        "best.weights.h5": (folder / "best.weights.h5").read_bytes(),
        "history.csv": history,
        "result.json": json.loads((folder / "result.json").read_text()),
        "last checkpoint": state,
        "curves": curves,
        "what is left over": sorted(map(str, folder.rglob(f"{files.TEMPORARY}*"))),
    }


def main(argv: Sequence[str]) -> int:
    """Reads the flags, kills and compares."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    rng = random.Random(values.kill_seed)
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        if values.what == "prepare":
            lines = kill_preparations(root, values.times, rng)
        else:
            lines = kill_trainings(root, values.times, rng)
    same = sum(end == "the same" for _, end in lines)
    rows = [f"| {left} | {end} |" for left, end in lines]
    results.finish(
        f"Killed {values.what}",
        f"{same} of {len(lines)} ended with the same bytes as the run that nobody "
        "killed.",
        ["| killed | end |", "|---|---|", *rows],
        {"times": len(lines), "same": same},
    )
    return 0 if same == len(lines) else 1


def kill_preparations(
    root: pathlib.Path, times: int, rng: random.Random
) -> list[tuple[str, str]]:
    """Kills preparations; returns for each what was left, and how it ended."""
    whole = root / "whole"
    began = time.monotonic()
    arguments = [*_CORPUS, "--train_speakers=60"]
    finish("tfrecords.prepare", [*arguments, f"--out={whole}"])
    secs = time.monotonic() - began
    expected = folders.tree(whole)
    return _repeat(
        root,
        times,
        lambda folder, index: kill_preparation(folder, secs, index, rng),
        lambda folder: finish("tfrecords.prepare", [*arguments, f"--out={folder}"]),
        lambda folder: _differences(expected, folders.tree(folder)),
    )


def kill_trainings(
    root: pathlib.Path, times: int, rng: random.Random
) -> list[tuple[str, str]]:
    """Kills trainings; returns for each what was left, and how it ended."""
    records, whole = root / "records", root / "whole"
    finish("tfrecords.prepare", [*_CORPUS, "--train_speakers=6", f"--out={records}"])
    finish("avexp_tf.train", training_arguments(whole, records))
    expected = end_of_training(whole)
    return _repeat(
        root,
        times,
        lambda folder, index: kill_training(folder, records, index, rng),
        lambda folder: finish("avexp_tf.train", training_arguments(folder, records)),
        lambda folder: _differences(expected, end_of_training(folder)),
    )


def _repeat(
    root: pathlib.Path,
    times: int,
    kill: Callable[[pathlib.Path, int], str | None],
    finish_it: Callable[[pathlib.Path], None],
    compare: Callable[[pathlib.Path], list[str]],
) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    with tqdm.tqdm(total=times, unit="kill") as bar:
        while len(lines) < times:
            folder = root / "killed"
            left = kill(folder, len(lines))
            if left is not None:
                finish_it(folder)
                wrong = compare(folder)
                end = f"other: {', '.join(wrong)}" if wrong else "the same"
                lines.append((left, end))
                bar.update()
            shutil.rmtree(folder, ignore_errors=True)
    return lines


def _differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    names = {*expected, *found}
    return sorted(name for name in names if expected.get(name) != found.get(name))


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
