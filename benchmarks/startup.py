"""How long commands take before they do anything useful.

    python benchmarks/startup.py
    python benchmarks/startup.py --rounds=9 --append

`import avexp_tf` (against Python alone, and against `import tensorflow`), `--help` of
avexp-train and of avexp, and a training at the paper's size from its flags to the end
of its first step, which is read from the command's own progress bar.
"""

from __future__ import annotations

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence

import made_records
import results
import turns
from absl import flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags as avexp_flags

_ROOT = pathlib.Path(__file__).parents[1]
_ENVIRONMENT = os.environ | {"PYTHONPATH": str(_ROOT)}


def secs_of(*words: str) -> float:
    """Returns how long a Python command takes."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], env=_ENVIRONMENT, capture_output=True, cwd=_ROOT
    )
    secs = time.perf_counter() - began
    if done.returncode:
        raise errors.RunError(f"{' '.join(words)}: {done.stderr.decode()[-500:]}")
    return secs


def first_step_secs(records: str) -> float:
    """Returns the time from the flags of a training to the end of its first step."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "-m",
            "avexp_tf.train",
            f"--records={records}",
            f"--run_dir={folder}/r",
        ]
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words, "--strategy=frame_repeat", "--epochs=1"],
            env=_ENVIRONMENT,
            cwd=_ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            bufsize=1,
        )
        assert process.stderr is not None
        text = ""
        try:
            while " 1/" not in text.rpartition("|")[2]:
                letter = process.stderr.read(1)
                if not letter:
                    raise errors.RunError(f"the training ended: {text[-1000:]}")
                text = letter if letter in "\r\n" else text + letter
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def define_flags() -> None:
    """Defines the flags of this script."""
    turns.define_flags(rounds=5)
    flags.DEFINE_integer(
        "trainings", 2, "Trainings started.", module_name=avexp_flags.MODULE
    )


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    cli.no_positionals(argv)
    stages: dict[str, Callable[[], float]] = {
        "python": lambda: secs_of("-c", "pass"),
        "import avexp_tf": lambda: secs_of("-c", "import avexp_tf"),
        "import tensorflow": lambda: secs_of("-c", "import tensorflow"),
        "avexp-train --help": lambda: secs_of("-m", "avexp_tf.train", "--help"),
        "avexp --help": lambda: secs_of("-m", "avexp_tf.commands", "--help"),
    }
    load = os.getloadavg()[0]
    found: dict[str, list[float]] = {name: [] for name in stages}
    for index in range(flags.FLAGS.rounds + 1):
        for name, run in stages.items():
            secs = run()
            if index:  # the first one filled the page cache
                found[name].append(secs)
    with tempfile.TemporaryDirectory() as folder:
        records = pathlib.Path(folder) / "records"
        made_records.prepare(records, 20)
        found["flags to the first step"] = [
            first_step_secs(str(records)) for _ in range(flags.FLAGS.trainings)
        ]
    lines = ["| what | seconds (least to most) |", "|---|---|"]
    medians = {}
    for name, secs in found.items():
        medians[name] = statistics.median(secs)
        lines.append(
            f"| {name} | {medians[name]:.2f} ({min(secs):.2f} to {max(secs):.2f}) |"
        )
    times = medians["flags to the first step"] / medians["import tensorflow"]
    lines += [
        "",
        f"From flags to first step: {times:.1f} times what importing TensorFlow "
        "alone takes.",
    ]
    turns.finish(
        "Start-up",
        f"Medians of {flags.FLAGS.rounds} interleaved rounds; load before the first "
        f"round {load:.1f}.",
        lines,
        {"secs": results.rounded(medians), "load": load},
    )


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
