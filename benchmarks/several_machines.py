"""Several machines, each a real process on the loopback interface.

    python benchmarks/several_machines.py
    python benchmarks/several_machines.py --steps=12 --append

Two trainers under MultiWorkerMirroredStrategy, each with half of every batch, must end
with the weights of one that takes whole batches. Then one of two is killed after a
checkpoint; both are started again, go on from it, and must end with the same weights
too. Last, the input of an epoch comes through a tf.data service of one dispatcher and
two workers, and must be the clips that a local pipeline gives, each once. Exit code 1:
one of the three is not so. All processes share one folder, as machines would share a
network file system; the first worker alone writes to it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import quiet

_CLOSE = 1e-4
_WAIT_SECS = 300.0
_ROOT = pathlib.Path(__file__).parents[1]
_MODEL = config.ModelConfig(
    d_model=16, num_heads=2, ff_dim=32, num_layers=1, dropout=0.0
)


def experiment(records: str) -> config.ExperimentConfig:
    """A small model's training."""
    return config.ExperimentConfig(
        config.DataConfig(records=records, clip_ticks=50, batch_size=8),
        _MODEL,
        config.TrainConfig(learning_rate=1e-3),
    )


def train(records: str, folder: str, n_steps: int, checkpoint_steps: int) -> None:
    """What each trainer's process does; `TF_CONFIG` says which one it is."""
    quiet.set_log_level()
    import tensorflow as tf

    from avexp_tf.data import pipeline
    from avexp_tf.training import checkpoints
    from avexp_tf.training import learner as learner_lib
    from avexp_tf.training import progress as progress_lib
    from avexp_tf.training import strategy as strategies

    strategy = strategies.choose()  # before TensorFlow does anything else
    is_first = strategy.cluster_resolver is None or (
        strategy.cluster_resolver.task_id == 0
    )
    settings = experiment(records)
    learner = learner_lib.Learner(
        settings,
        pipeline.Source.open(settings.data, "train"),
        pipeline.Source.open(settings.data, "dev"),
        strategy,
    )
    kept = checkpoints.Checkpoints(folder, {"seed": settings.train.seed})
    progress = progress_lib.Progress()
    if kept.numbers:
        progress, arrays = kept.load(kept.numbers[-1], learner.variables.shapes())
        learner.variables.assign(arrays)
    print(f"goes on after step {progress.step}", flush=True)
    while progress.step < n_steps:
        batches = learner.train_batches(progress.epoch, progress.epoch_step)
        for _ in learner.trainer.losses(batches.take(n_steps - progress.step)):
            progress = dataclasses.replace(
                progress, step=progress.step + 1, epoch_step=progress.epoch_step + 1
            )
            if is_first and progress.step % checkpoint_steps == 0:
                kept.save(progress, learner.variables.arrays())
                print(f"saved step {progress.step}", flush=True)
        progress = dataclasses.replace(progress, epoch=progress.epoch + 1, epoch_step=0)
    np.savez(
        pathlib.Path(folder) / f"end-{int(not is_first)}",
        **{
            one.path.replace("/", "."): one.numpy()
            for one in learner.model.trainable_variables
        },
    )
    del tf


def serve(kind: str, port: int, dispatcher: str) -> None:
    """What each process of the tf.data service does."""
    quiet.set_log_level()
    import tensorflow as tf

    service = tf.data.experimental.service
    if kind == "dispatcher":
        server = service.DispatchServer(service.DispatcherConfig(port=port))
    else:
        server = service.WorkerServer(
            service.WorkerConfig(dispatcher_address=dispatcher, port=port)
        )
    print("ready", flush=True)
    server.join()


def free_port() -> int:
    """Returns a port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Process:
    """A process of this script whose output can be waited for."""

    def __init__(self, arguments: Sequence[object], **environment: str):
        words = [sys.executable, __file__, *map(str, arguments)]
        self._log = tempfile.NamedTemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            words,
            env=os.environ
            | {"PYTHONPATH": str(_ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
            | environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return pathlib.Path(self._log.name).read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        """Waits until it has printed something."""
        end = time.monotonic() + _WAIT_SECS
        while text not in self.text:
            if self._process.poll() is not None or time.monotonic() > end:
                raise errors.RunError(f"no {text!r}: {self.text[-2000:]}")
            time.sleep(0.02)

    def wait(self) -> int:
        """Waits for its end and returns its exit code."""
        return self._process.wait(_WAIT_SECS)

    def kill(self) -> None:
        """Ends it at once, as a power cut would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def trainers(
    n_workers: int, records: pathlib.Path, folder: pathlib.Path, n_steps: int
) -> list[Process]:
    """Starts a training on so many workers."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(n_workers)]
    started = []
    for index in range(n_workers):
        cluster = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        environment = {"TF_CONFIG": json.dumps(cluster)} if n_workers > 1 else {}
        arguments = ("--role=train", f"--records={records}", f"--folder={folder}")
        started.append(Process([*arguments, f"--steps={n_steps}"], **environment))
    return started


def finish(started: Sequence[Process]) -> None:
    """Waits until all have ended well."""
    for process in started:
        if process.wait():
            raise errors.RunError(f"a trainer failed: {process.text[-2000:]}")


def difference(one: pathlib.Path, other: pathlib.Path) -> float:
    """Returns the largest difference of any weight at the end of two trainings."""
    with np.load(one) as first, np.load(other) as second:
        if set(first.files) != set(second.files):
            raise errors.RunError("the trainings have other weights")
        return max(float(np.abs(first[k] - second[k]).max()) for k in first.files)


@contextlib.contextmanager
def ended(started: list[Process]) -> Iterator[list[Process]]:
    """Kills what still runs when the block ends."""
    try:
        yield started
    finally:
        for process in started:
            process.kill()


def same_weights(root: pathlib.Path, records: pathlib.Path, n_steps: int) -> str:
    """Two workers end with the weights of one."""
    with ended(trainers(1, records, root / "one", n_steps)) as started:
        finish(started)
    with ended(trainers(2, records, root / "two", n_steps)) as started:
        finish(started)
    ends = [root / "two" / f"end-{index}.npz" for index in range(2)]
    between = difference(*ends)
    to_one = difference(ends[0], root / "one" / "end-0.npz")
    if between or not to_one < _CLOSE:
        raise errors.RunError(f"weights differ: {to_one:.1e}, workers {between:.1e}")
    return f"largest difference of a weight after {n_steps} steps {to_one:.1e}"


def killed_worker(root: pathlib.Path, records: pathlib.Path, n_steps: int) -> str:
    """A killed worker, started again, goes on from the last checkpoint."""
    folder = root / "killed"
    with ended(trainers(2, records, folder, 10 * n_steps)) as started:
        started[0].wait_for("saved step")
        started[1].kill()
        began = time.monotonic()
        code = started[0].wait()  # it notices by itself
        secs = time.monotonic() - began
        if code == 0:
            raise errors.RunError("the other worker did not notice")
    reached = sorted(int(path.stem) for path in folder.glob("*.json"))
    with ended(trainers(2, records, folder, n_steps)) as started:
        finish(started)
        line = started[1].text
    if "goes on after step 0" in line:
        raise errors.RunError("it started from the beginning")
    to_one = difference(folder / "end-0.npz", root / "one" / "end-0.npz")
    if not to_one < _CLOSE:
        raise errors.RunError(f"weights differ by {to_one:.1e}")
    return (
        f"the other noticed after {secs:.1f} s (exit code {code}); from checkpoint "
        f"{reached[-1]} on, largest difference of a weight {to_one:.1e}"
    )


def data_service(root: pathlib.Path, records: pathlib.Path, n_steps: int) -> str:
    """The service gives the clips of the local pipeline, each once."""
    del root, n_steps
    port = free_port()
    address = f"127.0.0.1:{port}"
    arguments = ("--role=dispatcher", f"--port={port}")
    with ended([Process(arguments)]) as started:
        started[0].wait_for("ready")
        for _ in range(2):
            words = ("--role=worker", f"--dispatcher={address}")
            started.append(Process([*words, f"--port={free_port()}"]))
        for process in started:
            process.wait_for("ready")
        local, remote = (clips_of(records, one) for one in ("", f"grpc://{address}"))
    if len(local) != len(remote) or not np.array_equal(local, remote):
        raise errors.RunError(f"{len(remote)} clips through the service, {len(local)}")
    return f"{len(local)} clips, the same, through one dispatcher and two workers"


def clips_of(records: pathlib.Path, service: str) -> np.ndarray:
    """Returns a few numbers of each clip of an epoch, sorted."""
    from avexp_tf.data import condition
    from avexp_tf.data import pipeline

    source = pipeline.Source.open(experiment(str(records)).data, "train")
    losses = condition.parse_ablation(("video:frame_repeat:0.5",))
    rows = []
    for inputs, labels in pipeline.training_batches(
        source, losses, 0, 0, data_service=service
    ):
        columns = [inputs["video"].numpy()[:, 0, :3], inputs["audio"].numpy()[:, 0]]
        columns += [inputs["video_source"].numpy(), labels["valence"].numpy()]
        rows.append(np.concatenate(columns, axis=1))
    found = np.nan_to_num(np.concatenate(rows), nan=-9)
    return found[np.lexsort(found.T)]


def define_flags() -> None:
    """Defines the flags of this script."""
    turns.define_flags(rounds=1)
    module = avexp_flags.MODULE
    flags.DEFINE_integer("steps", 8, "Steps of each training.", module_name=module)
    flags.DEFINE_string("role", "", "Of a process that this script starts.")
    flags.DEFINE_string("records", "", "Of such a process.")
    flags.DEFINE_string("folder", "", "Of such a process.")
    flags.DEFINE_string("dispatcher", "", "Of such a process.")
    flags.DEFINE_integer("port", 0, "Of such a process.")


def main(argv: Sequence[str]) -> int:
    """Checks all three."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    if values.role == "train":
        train(values.records, values.folder, values.steps, checkpoint_steps=3)
        return 0
    if values.role:
        serve(values.role, values.port, values.dispatcher)
        return 0
    quiet.set_log_level()
    import avexp_tf

    lines, seen, is_good = ["| claim | seen |", "|---|---|"], {}, True
    with tempfile.TemporaryDirectory() as text:
        root = pathlib.Path(text)
        avexp_tf.prepare(
            "synthetic",
            root / "records",
            video_dim=16,
            audio_dim=4,
            train_speakers=6,
            dev_speakers=1,
            validation_speakers=1,
            min_ticks=200,
            max_ticks=300,
            context_ticks=5,
            shard_mb=0.02,
        )
        for check in (same_weights, killed_worker, data_service):
            claim = (check.__doc__ or "").strip()
            try:
                found = check(root, root / "records", values.steps)
            except errors.RunError as error:
                found, is_good = f"**not so**: {error}", False
            lines.append(f"| {claim} | {found} |")
            seen[check.__name__] = found
    turns.finish(
        "Several machines",
        "Real processes on the loopback interface, a small model.",
        lines,
        {"holds": is_good, **seen},
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
