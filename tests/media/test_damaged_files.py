"""What is made of damaged files: a result or one line, never a traceback or a crash."""

import pathlib
import re
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "damaged_files.py"


def run(*flags):
    """Returns the counts of the whole: results, refusals, hangs, crashes."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = re.findall(r"^\| all \| (.*) \|$", done.stdout, re.M)
    return [int(cell) for cell in row.split(" | ")]


def test_generated_files():
    """Among these seeds is one whose streams appear late, in the middle of the file."""
    total, results, refused, hangs, crashes = run("--files=70", "--seed=5055")
    assert (total, hangs, crashes) == (70, 0, 0)
    assert results > 35 and refused > 8


def test_real_files(media_dir):
    total, results, refused, hangs, crashes = run(f"--media={media_dir}", "--files=30")
    assert (total, hangs, crashes) == (30, 0, 0)
    assert results > 10 and refused > 5
