"""What the documentation says works: every command and every piece of Python in it."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from avexp_tf import commands

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# Of the tutorial, which the pages' own order runs in one folder.
COMMAND = re.compile(r"^    (avexp-.*)$", re.MULTILINE)
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
def test_what_a_page_shows_runs(page, tmp_path):
    text = page.read_text()
    write_tables(tmp_path)
    for mapping in JSON.findall(text):
        (tmp_path / "my" / "mapping.json").write_text(mapping)
    for line in COMMAND.findall(text):
        name, *words = shlex.split(line)
        module = commands.all_commands()[name.removeprefix("avexp-")].module
        run(["-m", module, *words], tmp_path)
    for code in PYTHON.findall(text):
        run(["-c", code], tmp_path)
    if page.stem == "index":
        for folder in ("small", "py"):
            assert (tmp_path / "runs" / folder / "sweep" / "figure_4.png").exists()
        assert (tmp_path / "runs" / "py" / "export" / "1").is_dir()


def test_the_readme_shows_python_that_the_tutorial_runs():
    shown = PYTHON.findall((ROOT / "README.md").read_text())
    assert shown == PYTHON.findall((ROOT / "docs" / "index.md").read_text())


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "README.md", ROOT / "tfrecords" / "README.md"], ids=str
)
def test_links_lead_somewhere(page):
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
