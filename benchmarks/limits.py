"""Takes the commands to their limits: each works, or ends in one line.

    python benchmarks/limits.py
    python benchmarks/limits.py --only=disk_full_train,memory --append

Needs Linux and `unshare`, to mount small file systems that nobody else sees. Every case
checks exit codes, the one line, and what is left behind; where a run was stopped, it is
run to its end and compared, byte by byte, with one that was not. Exit code 1: a case
was not as it must be. `--append` adds the table to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence

import folders
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import flags as avexp_flags

_ROOT = pathlib.Path(__file__).parents[1]
_INSIDE = "AVEXP_LIMITS_INSIDE"
# Of <linux/prctl.h> and <linux/capability.h>.
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2
_TICK_RATE_HZ = 30

_CORPUS = (
    "--corpus=synthetic",
    "--video_dim=16",
    "--audio_dim=4",
    "--train_speakers=6",
    "--validation_speakers=2",
    "--dev_speakers=2",
    "--min_ticks=400",
    "--max_ticks=900",
    "--segment_ticks=200",
    "--context_ticks=10",
    "--shard_mb=0.05",
)
_MODEL = ("--d_model=16", "--num_heads=2", "--ff_dim=32", "--num_layers=1")
_TRAINING = (
    *_MODEL,
    "--clip_ticks=50",
    "--batch_size=8",
    "--epochs=2",
    "--checkpoint_steps=3",
    "--deterministic",
)


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command did.

    Attributes:
      code: Its exit code.
      stdout: What it printed.
      errors: Lines of stderr that begin with `error:`.
      has_traceback: Whether stderr held one.
      secs: How long it took.
      peak_mb: The most memory that it held, in 10^6 bytes.
    """

    code: int
    stdout: str
    errors: list[str]
    has_traceback: bool
    secs: float
    peak_mb: float

    @property
    def is_clean(self) -> bool:
        """Whether it ended as on bad input: exit code 2 and one line."""
        return self.code == 2 and len(self.errors) == 1 and not self.has_traceback

    @property
    def cost(self) -> str:
        """Time and memory, in words."""
        return f"{self.secs:.0f} s, {self.peak_mb:.0f} MB"


def start(
    module: str, arguments: Sequence[str], **options: object
) -> tuple[subprocess.Popen, tempfile._TemporaryFileWrapper]:
    """Starts a command of the package; its stderr goes to a file."""
    log = tempfile.NamedTemporaryFile("w+", errors="replace")
    process = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        **options,
    )
    return process, log


def end(process: subprocess.Popen, log: tempfile._TemporaryFileWrapper) -> Done:
    """Waits for a command."""
    began = time.monotonic()
    assert process.stdout is not None
    stdout = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    log.seek(0)
    lines = log.read().replace("\r", "\n").split("\n")
    return Done(
        process.returncode,
        stdout,
        [line for line in lines if line.startswith("error:")],
        any(line.startswith("Traceback") for line in lines),
        time.monotonic() - began,
        usage.ru_maxrss * 1024 / 1e6,
    )


def call(module: str, *arguments: str, **options: object) -> Done:
    """Runs a command of the package."""
    return end(*start(module, arguments, **options))


def prepare(folder: pathlib.Path, *arguments: str, **options: object) -> Done:
    """Writes small records."""
    chosen = (*_CORPUS, *arguments, f"--out={folder}")
    return call("tfrecords.prepare", *chosen, **options)


def train(
    records: pathlib.Path, folder: pathlib.Path, *arguments: str, **options: object
) -> Done:
    """Trains a small model."""
    return call("avexp_tf.train", *training(records, folder), *arguments, **options)


def training(records: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """Returns the flags of a small training."""
    return [*_TRAINING, f"--records={records}", f"--run_dir={folder}"]


def require(holds: bool, what: str) -> None:
    """Raises RunError unless something holds."""
    if not holds:
        raise errors.RunError(what)


def require_clean(done: Done, pattern: str) -> str:
    """Returns the one line that a command ended with.

    Raises:
      errors.RunError: if it ended in another way.
    """
    require(done.is_clean, f"exit code {done.code}, {done.errors}")
    require(bool(re.search(pattern, done.errors[0])), done.errors[0])
    return done.errors[0].removeprefix("error: ")


def weights_of(folder: pathlib.Path) -> bytes:
    """Returns the best weights of a training."""
    return (folder / "best.weights.h5").read_bytes()


def mount(folder: pathlib.Path, options: str) -> None:
    """Mounts a file system in memory."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    subprocess.run(command, check=True)


def remount(folder: pathlib.Path, options: str) -> None:
    """Changes a mounted file system."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def leftovers(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns files that were never finished."""
    return list(folder.rglob(f"{files.TEMPORARY}*"))


# The cases. Each returns what was seen.


def disk_full_prepare(root: pathlib.Path) -> str:
    """The disk is full while records are written."""
    whole, small = root / "whole", root / "small"
    require(prepare(whole).code == 0, "prepare failed")
    mount(small, "size=600k")
    out = small / "records"
    line = require_clean(prepare(out), "can't be written: No space left on device$")
    require(not leftovers(out), "something half-written was left")
    require(not (out / "manifest.json").exists(), "there is a manifest")
    remount(small, "size=20m")
    require(prepare(out).code == 0, "it did not go on")
    require(folders.tree(out) == folders.tree(whole), "it ended otherwise")
    return f"exit 2, `{_short(line, root)}`; with more space: the same bytes"


def disk_full_train(root: pathlib.Path) -> str:
    """The disk is full while a model is trained."""
    records, whole, small = root / "records", root / "whole", root / "small"
    require(prepare(records).code == 0, "prepare failed")
    require(train(records, whole).code == 0, "train failed")
    mount(small, "size=500k")
    run = small / "run"
    line = require_clean(train(records, run), "can't be written: .*No space left")
    require(not leftovers(run), "something half-written was left")
    remount(small, "size=20m")
    done = train(records, run)
    require(done.code == 0, "it did not go on")
    require("goes on after step" in done.stdout, "it started again")
    require(weights_of(run) == weights_of(whole), "it ended otherwise")
    return f"exit 2, `{_short(line, root)}`; with more space: the same bytes"


def read_only(root: pathlib.Path) -> str:
    """The file system of the run can only be read."""
    records, small = root / "records", root / "small"
    require(prepare(records).code == 0, "prepare failed")
    mount(small, "size=20m")
    remount(small, "ro")
    first = require_clean(prepare(small / "out"), "Read-only file system")
    second = require_clean(train(records, small / "run"), "Read-only file system")
    return f"exit 2, `{_short(first, root)}`; `{_short(second, root)}`"


def no_permission(root: pathlib.Path) -> str:
    """Folders that can't be written to, and records that can't be read."""
    records, closed = root / "records", root / "closed"
    require(prepare(records).code == 0, "prepare failed")
    closed.mkdir(mode=0o555)
    as_anyone = {"preexec_fn": _obey_permissions}
    lines = [
        require_clean(prepare(closed / "out", **as_anyone), "Permission denied"),
        require_clean(train(records, closed / "run", **as_anyone), "Permission denied"),
    ]
    for path in records.iterdir():
        path.chmod(0)
    lines.append(
        require_clean(train(records, root / "run", **as_anyone), "Permission denied")
    )
    return "exit 2, " + "; ".join(f"`{_short(line, root)}`" for line in lines)


def mount_disappears(root: pathlib.Path) -> str:
    """The records' file system goes away in the middle of an epoch."""
    records, whole, gone = root / "records", root / "whole", root / "gone"
    mount(gone, "size=20m")
    require(prepare(records).code == 0, "prepare failed")
    shutil.copytree(records, gone / "records")
    require(train(gone / "records", whole).code == 0, "train failed")
    run = root / "run"
    process, log = start("avexp_tf.train", training(gone / "records", run))
    while not list((run / "checkpoints").glob("*.json")) and process.poll() is None:
        time.sleep(0.01)
    subprocess.run(["umount", "--lazy", str(gone)], check=True)
    done = end(process, log)
    line = require_clean(done, "no such file|can't be read")
    saved = re.search(r"saved at step (\d+)", done.stdout)
    require(bool(saved), f"it did not save: {done.stdout}")
    mount(gone, "size=20m")
    shutil.copytree(records, gone / "records")
    require(train(gone / "records", run).code == 0, "it did not go on")
    require(weights_of(run) == weights_of(whole), "it ended otherwise")
    return (
        f"saved at step {saved[1] if saved else ''}, exit 2, "
        f"`{_short(line, root)}`; when it is there again: the same bytes"
    )


_JUMPING = """
import runpy, sys, time
real, n = time.time, 0
def jumping():
    global n
    n += 1
    return real() + (-1) ** n * 3e7
time.time = jumping
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def clock_jumps(root: pathlib.Path) -> str:
    """The wall clock jumps by a year, to and fro, each time it is read."""
    ends = []
    for name, jump in (("straight", ()), ("jumping", ("-c", _JUMPING))):
        records, run = root / name / "records", root / name / "run"
        for module, arguments in (
            ("tfrecords.prepare", [*_CORPUS, f"--out={records}"]),
            ("avexp_tf.train", [*training(records, run), "--checkpoint_secs=0.2"]),
        ):
            command = [*(jump or ("-m",)), module, *arguments]
            done = subprocess.run(
                [sys.executable, *command],
                cwd=_ROOT,
                env=os.environ | {"PYTHONPATH": str(_ROOT)},
                capture_output=True,
            )
            require(done.returncode == 0, f"{module} failed: {done.stderr[-300:]!r}")
        ends.append((folders.tree(records), weights_of(run)))
    require(ends[0] == ends[1], "it ended otherwise")
    return "the same records and weights as under a steady clock"


def memory(root: pathlib.Path) -> str:
    """A batch does not fit into memory."""
    records, run = root / "records", root / "run"
    wide = ["--d_model=64", "--num_heads=4", "--ff_dim=1024", "--num_layers=2"]
    wide += ["--clip_ticks=200", "--epochs=1", "--nodeterministic"]
    require(prepare(records, "--train_speakers=150").code == 0, "prepare failed")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))

    def attempt(n_clips: int) -> Done:
        batch = f"--batch_size={n_clips}"
        return train(records, run, *wide, batch, preexec_fn=limit)

    line = require_clean(attempt(1000), "does not fit into memory; the largest")
    fits = int(line.rsplit(" ", 1)[1])
    require(0 < fits < 1000, line)
    require_clean(attempt(2 * fits), "does not fit into memory; the largest")
    # A real training holds a little more than one step: dev, and the next batches.
    done = attempt(int(0.8 * fits))
    require(done.code == 0, f"80% of {fits} did not fit: {done.errors}")
    return (
        f"with 3 GiB: exit 2, `{_short(line, root)}`; twice {fits} does not fit, "
        f"{int(0.8 * fits)} trains to its end"
    )


def thousand_shards(root: pathlib.Path) -> str:
    """1,000 shards."""
    records, run = root / "records", root / "run"
    written = prepare(
        records, "--train_speakers=70", "--shard_mb=0.008", "--segment_ticks=100"
    )
    require(written.code == 0, "prepare failed")
    n_shards = len(list(records.glob("*.tfrecord")))
    require(n_shards >= 1000, f"{n_shards} shards")
    checked = call("tfrecords.verify", f"--records={records}")
    require(checked.code == 0, "verify failed")
    trained = train(records, run, "--epochs=1", "--nodeterministic")
    require(trained.code == 0, "train failed")
    return (
        f"{n_shards} shards; prepare {written.cost}; verify {checked.cost}; an epoch "
        f"{trained.cost}"
    )


def ten_hours(root: pathlib.Path) -> str:
    """One recording of 10 hours."""
    records, run = root / "records", root / "run"
    n_ticks = 10 * 3600 * _TICK_RATE_HZ
    written = prepare(
        records,
        "--train_speakers=1",
        "--dev_speakers=1",
        "--validation_speakers=0",
        "--recordings_per_speaker=1",
        f"--min_ticks={n_ticks}",
        f"--max_ticks={n_ticks}",
        "--video_dim=256",
        "--segment_ticks=1000",
        "--shard_mb=64",
    )
    require(written.code == 0, f"prepare failed: {written.errors}")
    checked = call("tfrecords.verify", f"--records={records}")
    require(checked.code == 0, "verify failed")
    trained = train(
        records,
        run,
        "--epochs=1",
        "--nodeterministic",
        "--clip_ticks=100",
        "--batch_size=128",
    )
    require(trained.code == 0, f"train failed: {trained.errors}")
    return (
        f"{n_ticks} ticks in train and in dev; prepare {written.cost}; verify "
        f"{checked.cost}; an epoch {trained.cost}"
    )


def many_recordings(root: pathlib.Path) -> str:
    """100,000 recordings of 1 second."""
    records, run = root / "records", root / "run"
    written = prepare(
        records,
        "--train_speakers=800",
        "--dev_speakers=100",
        "--validation_speakers=100",
        "--recordings_per_speaker=100",
        f"--min_ticks={_TICK_RATE_HZ}",
        f"--max_ticks={_TICK_RATE_HZ}",
        "--shard_mb=16",
    )
    require(written.code == 0, f"prepare failed: {written.errors}")
    checked = call("tfrecords.verify", f"--records={records}")
    require(checked.code == 0, "verify failed")
    trained = train(
        records,
        run,
        "--epochs=1",
        "--nodeterministic",
        f"--clip_ticks={_TICK_RATE_HZ}",
        "--batch_size=256",
    )
    require(trained.code == 0, f"train failed: {trained.errors}")
    tested = call("avexp_tf.evaluate", f"--run_dir={run}", f"--out={root / 'sweep'}")
    require(tested.code == 0, f"evaluate failed: {tested.errors}")
    return (
        f"prepare {written.cost}; verify {checked.cost}; an epoch {trained.cost}; the "
        f"sweep over 10,000 of them {tested.cost}"
    )


CASES: dict[str, Callable[[pathlib.Path], str]] = {
    case.__name__: case
    for case in (
        disk_full_prepare,
        disk_full_train,
        read_only,
        no_permission,
        mount_disappears,
        clock_jumps,
        memory,
        thousand_shards,
        ten_hours,
        many_recordings,
    )
}


def _short(line: str, root: pathlib.Path) -> str:
    return line.replace(f"{root}/", "")


def _obey_permissions() -> None:
    """Gives up root's right to read and write everything, in a process to be."""
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def define_flags() -> None:
    """Defines the flags of this script."""
    module = avexp_flags.MODULE
    flags.DEFINE_list(
        "only", list(CASES), "The cases, separated by commas.", module_name=module
    )
    results.define_flag()


def main(argv: Sequence[str]) -> int:
    """Reads the flags and runs the cases."""
    cli.no_positionals(argv)
    if not os.environ.get(_INSIDE):
        unshare = ["unshare", "--mount"]
        if os.getuid():
            unshare.append("--map-root-user")
        os.environ[_INSIDE] = "1"
        os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])
    rows, found, is_good = [], {}, True
    for name in flags.FLAGS.only:
        if name not in CASES:
            raise errors.ConfigError(f"--only: {name} is none of {', '.join(CASES)}")
        case = CASES[name]
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                seen = case(pathlib.Path(folder))
            except errors.RunError as error:
                seen, is_good = f"**not as it must be**: {error}", False
            for line in pathlib.Path("/proc/mounts").read_text().splitlines():
                place = line.split()[1]
                if place.startswith(folder):
                    subprocess.run(["umount", place], check=True)
        print(f"{name}: {seen} ({time.monotonic() - began:.0f} s)", flush=True)
        found[name] = seen
        rows.append(f"| {(case.__doc__ or '').splitlines()[0]} | {seen} |")
    results.finish(
        "Limits",
        "times and peak memory are of one run each.",
        ["| limit | what happens |", "|---|---|", *rows],
        {"holds": is_good, **found},
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
