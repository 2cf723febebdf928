"""What the documentation says works: every command and every piece of Python in it."""

import re
import shutil

import pytest
import small_runs

from avexp_tf.serving import saved_model
from tests.docs import documented

PAGES = sorted((documented.ROOT / "docs").glob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")


@pytest.fixture(scope="session", name="small")
def _small(tmp_path_factory):
    """A run of random weights, and its export."""
    folder = tmp_path_factory.mktemp("small")
    records = small_runs.write_records(folder / "records")
    small_runs.write_run(folder / "my" / "frame_zero", small_runs.experiment(records))
    saved_model.export(folder / "my" / "frame_zero", folder / "my" / "export")
    return folder / "my"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs(page, tmp_path, request):
    text = page.read_text()
    documented.write_tables(tmp_path / "my" / "features")
    if page.stem in ("export", "serve"):
        small = request.getfixturevalue("small")
        (tmp_path / "runs" / "my").mkdir(parents=True)
        for name in {"export": ["frame_zero"], "serve": ["export"]}[page.stem]:
            shutil.copytree(small / name, tmp_path / "runs" / "my" / name)
    for mapping in documented.JSON.findall(text):
        (tmp_path / "my" / "mapping.json").write_text(mapping)
    documented.Page(tmp_path).run(text)
    if page.stem == "index":
        for folder in ("small", "py"):
            assert (tmp_path / "runs" / folder / "sweep" / "figure_4.png").exists()
        assert (tmp_path / "runs" / "py" / "export" / "1").is_dir()


def test_the_readme_shows_python_that_the_tutorial_runs():
    shown = documented.PYTHON.findall((documented.ROOT / "README.md").read_text())
    assert shown == documented.PYTHON.findall(
        (documented.ROOT / "docs" / "index.md").read_text()
    )


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(documented.ROOT / name for name in ("", "tfrecords", "export"))],
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
    documented.run(
        ["-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        documented.ROOT,
    )
    reference = (tmp_path / "site" / "reference" / "index.html").read_text()
    for name in ("avexp_tf.api.train", "avexp_tf.objectives.CCCLoss"):
        assert f'id="{name}"' in reference
