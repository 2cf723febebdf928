"""Runs what pages show: commands, Python, curl and servers, from this checkout."""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

import ports

from avexp_tf import commands
from tests.end_to_end import scripts

ROOT = pathlib.Path(__file__).parents[2]
_newcomer = scripts.load("newcomer")
JSON, PYTHON = _newcomer.JSON, _newcomer.PYTHON
write_tables = _newcomer.write_tables
# Commands and Python, which the page's own order runs in one folder.
_STEP = re.compile(
    r"^    ((?:avexp-|curl )[^\n]*)$|" + PYTHON.pattern, re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r" +#.*")


def environment():
    """The environment of a process that runs this checkout's code."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


def steps(text):
    """Yields (words of a command, None) and (None, Python) in the text's order."""
    for line, code in _STEP.findall(text.replace("\\\n", " ")):
        if code:
            yield None, code
        else:
            yield shlex.split(_COMMENT.sub("", line)), None


def run(words, folder):
    """Runs Python with these arguments; returns its stdout."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def module_of(name):
    """The module behind a console script such as `avexp-train`."""
    return commands.all_commands()[name.removeprefix("avexp-")].module


@contextlib.contextmanager
def running(words, says, folder):
    """Runs a module that ends by Ctrl-C; it must end well.

    Args:
      words: The module and its arguments.
      says: Part of the line that says that it is ready.
      folder: To run in.

    Yields:
      That line.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        with process.stdout as said:
            line = said.readline()
            assert says in line
            yield line
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    finally:
        process.kill()  # where something went wrong; else it has ended


class Page:
    """A page's steps, run in a folder.

    Attributes:
      ran: The commands, as the page shows them.

    Args:
      folder: To run them in.
      extra: Arguments that are added, {how a command begins: words}: sizes that suit a
        test, networks that are at hand.
    """

    def __init__(self, folder, extra=None):
        self.folder = folder
        self.extra = extra or {}
        self.ports = {said: str(ports.free_port()) for said in ("8500", "8501")}
        self.ran: list[str] = []

    def run(self, text):
        """Runs all steps of a text; servers that it starts end with it."""
        for said, port in self.ports.items():
            text = text.replace(said, port)
        with contextlib.ExitStack() as stack:
            for words, code in steps(text):
                if code:
                    run(["-c", code], self.folder)
                else:
                    self._command(words, stack)

    def _command(self, words, stack):
        shown = " ".join(words)
        self.ran.append(shown)
        name, *words = words
        for beginning, more in self.extra.items():
            if shown.startswith(beginning):
                words += more
        if name == "curl":
            if shutil.which("curl"):
                command = ["curl", "--fail", "--silent", "--show-error", *words]
                subprocess.run(command, cwd=self.folder, check=True)
        elif name == "avexp-serve":
            port, rest_port = self.ports.values()
            words += [f"--port={port}", f"--rest_port={rest_port}"]
            stack.enter_context(
                running([module_of(name), *words], "serving", self.folder)
            )
        elif "--page" in words:
            with running([module_of(name), *words], "http://", self.folder):
                pass
        else:
            run(["-m", module_of(name), *words], self.folder)
