"""Several machines, each a real process on the loopback interface.

    python benchmarks/several_machines.py
    python benchmarks/several_machines.py --epochs=4 --append

Two workers of `avexp-train`, each with half of every batch, must end with the weights
of one that takes whole batches. Then one of two is killed after a checkpoint; both are
started again, go on from it, and must end with the same weights too. Last, the input of
an epoch comes through a tf.data service of one dispatcher and two workers, and must be
the clips that a local pipeline gives, each once; a training through it must come to its
end. Exit code 1: one of the three is not so. All processes share one folder, as
machines would share a network file system; the first worker alone writes to it.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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
_TRAINING = (
    "--d_model=16",
    "--num_heads=2",
    "--ff_dim=32",
    "--num_layers=1",
    "--dropout=0",
    "--clip_ticks=50",
    "--batch_size=8",
    "--learning_rate=1e-3",
    "--checkpoint_steps=3",
)


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
    """A Python process whose output can be waited for."""

    def __init__(self, arguments: Sequence[object], **environment: str):
        self._log = tempfile.NamedTemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
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

    def check(self) -> None:
        """Raises RunError if it has ended."""
        if self._process.poll() is not None:
            raise errors.RunError(f"a process ended: {self.text[-2000:]}")

    def wait(self) -> int:
        """Waits for its end and returns its exit code."""
        return self._process.wait(_WAIT_SECS)

    def kill(self) -> None:
        """Ends it at once, as a power cut would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def wait_until(is_so: Callable[[], bool], processes: Sequence[Process]) -> None:
    """Waits until something is so, while all of the processes run."""
    end = time.monotonic() + _WAIT_SECS
    while not is_so():
        for process in processes:
            process.check()
        if time.monotonic() > end:
            raise errors.RunError(f"not within {_WAIT_SECS:.0f} s")
        time.sleep(0.02)


def trainers(
    n_workers: int, records: pathlib.Path, folder: pathlib.Path, *arguments: str
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
        command = ("-m", "avexp_tf.train", *_TRAINING, *arguments)
        places = (f"--records={records}", f"--run_dir={folder}")
        started.append(Process([*command, *places], **environment))
    return started


def finish(started: Sequence[Process]) -> None:
    """Waits until all have ended well."""
    for process in started:
        if process.wait():
            raise errors.RunError(f"a trainer failed: {process.text[-2000:]}")


def difference(one: pathlib.Path, other: pathlib.Path) -> float:
    """Returns the largest difference of any weight at the best epoch of two runs."""
    from avexp_tf.training import run_dir
    from avexp_tf.training import trained_model

    first, second = (
        trained_model.load(run_dir.RunDir(folder)).get_weights()
        for folder in (one, other)
    )
    pairs = zip(first, second, strict=True)
    return max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)


@contextlib.contextmanager
def ended(started: list[Process]) -> Iterator[list[Process]]:
    """Kills what still runs when the block ends."""
    try:
        yield started
    finally:
        for process in started:
            process.kill()


def same_weights(root: pathlib.Path, records: pathlib.Path, epochs: int) -> str:
    """Two workers end with the weights of one."""
    length = f"--epochs={epochs}"
    for n_workers, name in ((1, "one"), (2, "two")):
        with ended(trainers(n_workers, records, root / name, length)) as started:
            finish(started)
    to_one = difference(root / "two", root / "one")
    if not to_one < _CLOSE:
        raise errors.RunError(f"weights differ by {to_one:.1e}")
    n_steps = json.loads((root / "one" / "result.json").read_text())["steps"]
    return f"largest difference of a weight after {n_steps} steps {to_one:.1e}"


def killed_worker(root: pathlib.Path, records: pathlib.Path, epochs: int) -> str:
    """A killed worker, started again, goes on from the last checkpoint."""
    folder, length = root / "killed", f"--epochs={epochs}"
    saved = folder / "checkpoints"
    with ended(trainers(2, records, folder, length)) as started:
        wait_until(lambda: any(saved.glob("*.json")), started)
        started[1].kill()
        began = time.monotonic()
        code = started[0].wait()  # it notices by itself
        secs, line = time.monotonic() - began, last_line(started[0].text)
        if code == 0:
            raise errors.RunError("the other worker did not notice")
    with ended(trainers(2, records, folder, length)) as started:
        finish(started)
        told = [line for line in started[1].text.splitlines() if "goes on" in line]
    if not told:
        raise errors.RunError("it started from the beginning")
    to_one = difference(folder, root / "one")
    if not to_one < _CLOSE:
        raise errors.RunError(f"weights differ by {to_one:.1e}")
    reached = told[0].partition("goes on ")[2]
    return (
        f"the other ended after {secs:.1f} s (exit code {code}, `{line}`); both went "
        f"on {reached}, largest difference of a weight {to_one:.1e}"
    )


def last_line(text: str) -> str:
    """Returns the last line that a command printed."""
    return text.strip().replace("\r", "\n").splitlines()[-1]


def data_service(root: pathlib.Path, records: pathlib.Path, epochs: int) -> str:
    """The service gives the clips of the local pipeline, each once."""
    address = f"127.0.0.1:{free_port()}"
    roles = [("dispatcher", address)]
    roles += [("worker", f"127.0.0.1:{free_port()}") for _ in range(2)]
    with ended([]) as started:
        for role, own in roles:
            port = own.partition(":")[2]
            words = (f"--role={role}", f"--port={port}", f"--dispatcher={address}")
            process = Process([__file__, *words])
            started.append(process)
            wait_until(lambda process=process: "ready" in process.text, started)
        service = f"grpc://{address}"
        local, remote = (clips_of(records, one) for one in ("", service))
        if len(local) != len(remote) or not np.array_equal(local, remote):
            raise errors.RunError(f"{len(remote)} clips by the service, {len(local)}")
        words = (f"--epochs={epochs}", f"--data_service={service}")
        with ended(trainers(1, records, root / "service", *words)) as training:
            finish(training)
    return (
        f"{len(local)} clips, the same, through one dispatcher and two workers; a "
        f"training through them ended with dev CCC {dev_ccc(root / 'service'):.3f}, "
        f"without them {dev_ccc(root / 'one'):.3f}"
    )


def dev_ccc(folder: pathlib.Path) -> float:
    """Returns the dev CCC of the last epoch."""
    with open(folder / "history.csv", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["dev_ccc"])


def clips_of(records: pathlib.Path, service: str) -> np.ndarray:
    """Returns a few numbers of each clip of an epoch, sorted."""
    from avexp_tf.data import condition
    from avexp_tf.data import pipeline
    from avexp_tf.data import record_source

    data = config.DataConfig(records=str(records), clip_ticks=50, batch_size=8)
    source = record_source.RecordSource.open(data, "train")
    losses = condition.parse_ablations(("video:frame_repeat:0.5",))
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
    flags.DEFINE_integer("epochs", 2, "Of each training.", module_name=module)
    flags.DEFINE_string("role", "", "Of a process that this script starts.")
    flags.DEFINE_string("dispatcher", "", "Of such a process.")
    flags.DEFINE_integer("port", 0, "Of such a process.")


def main(argv: Sequence[str]) -> int:
    """Checks all three."""
    cli.no_positionals(argv)
    values = flags.FLAGS
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
                found = check(root, root / "records", values.epochs)
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
