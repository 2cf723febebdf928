"""What the documentation says works: every command and every piece of Python in it."""

import contextlib
import importlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import small_runs
from absl import flags

from avexp_tf import commands
from avexp_tf.serving import saved_model

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# Commands and Python, which the page's own order runs in one folder.
STEP = re.compile(
    r"^    ((?:avexp-|curl )[^\n]*)$|^```python\n(.*?)^```", re.MULTILINE | re.DOTALL
)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")


def run(words, folder):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def serving(words, ports, folder):
    """Runs avexp-serve until the page ends; it must end well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "avexp_tf.serve", *words, *ports],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    with process.stdout as said:
        assert "serving" in said.readline()
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


@pytest.fixture(scope="session", name="small")
def _small(tmp_path_factory):
    """A run of random weights, and its export."""
    folder = tmp_path_factory.mktemp("small")
    records = small_runs.write_records(folder / "records")
    small_runs.write_run(folder / "my" / "frame_zero", small_runs.experiment(records))
    saved_model.export(folder / "my" / "frame_zero", folder / "my" / "export")
    return folder / "my"


def write_tables(folder):
    """Six recordings of somebody's own features, with a gap in each."""
    (folder / "my" / "features").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in "abcdef":
        lines = ["seconds,video_0,video_1,audio_0,valence,arousal"]
        for tick in range(150):
            cells = [f"{value:.4f}" for value in rng.uniform(-1, 1, 5)]
            if 20 <= tick < 30:
                cells[0] = ""
            lines.append(",".join([f"{tick / 25:.2f}", *cells]))
        (folder / "my" / "features" / f"{name}.csv").write_text("\n".join(lines))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs(page, tmp_path, request):
    text = page.read_text()
    write_tables(tmp_path)
    if page.stem in ("export", "serve"):
        small = request.getfixturevalue("small")
        (tmp_path / "runs" / "my").mkdir(parents=True)
        for name in {"export": ["frame_zero"], "serve": ["export"]}[page.stem]:
            shutil.copytree(small / name, tmp_path / "runs" / "my" / name)
    port, rest_port = free_port(), free_port()
    text = text.replace("8500", port).replace("8501", rest_port)
    ports = [f"--port={port}", f"--rest_port={rest_port}"]
    for mapping in JSON.findall(text):
        (tmp_path / "my" / "mapping.json").write_text(mapping)
    with contextlib.ExitStack() as stack:
        for line, code in STEP.findall(text):
            if code:
                run(["-c", code], tmp_path)
                continue
            name, *words = shlex.split(line)
            if name == "curl":
                if shutil.which("curl"):
                    command = ["curl", "--fail", "--silent", "--show-error", *words]
                    subprocess.run(command, cwd=tmp_path, check=True)
            elif name == "avexp-serve":
                stack.enter_context(serving(words, ports, tmp_path))
            else:
                module = commands.all_commands()[name.removeprefix("avexp-")].module
                run(["-m", module, *words], tmp_path)
    if page.stem == "index":
        for folder in ("small", "py"):
            assert (tmp_path / "runs" / folder / "sweep" / "figure_4.png").exists()
        assert (tmp_path / "runs" / "py" / "export" / "1").is_dir()


def test_the_readme_names_commands_and_flags_that_there_are():
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^    (avexp-.*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        name, *words = shlex.split(line)
        module = commands.all_commands()[name.removeprefix("avexp-")].module
        importlib.import_module(module).define_flags()
        for word in words:
            if word.startswith("--"):
                flag = word[2:].partition("=")[0]
                assert flag in flags.FLAGS, f"{line}: {word}"


def test_the_readme_shows_python_that_the_tutorial_runs():
    shown = PYTHON.findall((ROOT / "README.md").read_text())
    assert shown == PYTHON.findall((ROOT / "docs" / "index.md").read_text())


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(ROOT / name for name in ("", "tfrecords", "export"))],
    ids=str,
)
def test_links_lead_somewhere(page):
    page = page / "README.md" if page.is_dir() else page
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_pages_build_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    run(["-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")], ROOT)
    reference = (tmp_path / "site" / "reference" / "index.html").read_text()
    for name in ("avexp_tf.api.train", "avexp_tf.objectives.CCCLoss"):
        assert f'id="{name}"' in reference
