"""The end of memory is told, also where C++ ends the process."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MAIN = """
import ctypes, sys
from avexp_tf import memory
if memory.ended_before():
    print("again", sys.argv[1:], memory.ended_before())
    sys.exit(2)
memory.start_again_at_the_end("main")
print("first", flush=True)
getattr(ctypes.CDLL("libstdc++.so.6"), sys.argv[1])(b"a reason")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this libstdc++")
@pytest.mark.parametrize(
    ("thrown", "code", "expected"),
    [
        ("_ZSt17__throw_bad_allocv", 2, "first\nagain {argv} False\n"),
        ("_ZSt20__throw_length_errorPKc", -signal.SIGABRT, "first\n"),
    ],
)
def test_a_process_without_memory_runs_again(thrown, code, expected, tmp_path):
    (tmp_path / "main.py").write_text(MAIN)
    words = [thrown, "--flag"]
    done = subprocess.run(
        [sys.executable, "-m", "main", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == expected.format(argv=words)
    assert code != 2 or done.stderr == "\n"
