"""Every notebook runs from its first cell to its last, and is kept without outputs."""

import os
import pathlib
import re
import shutil
import sys

import pytest

from avexp_tf.features import weights

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
WITH_NETWORKS = ("2_affwild2", "5_live")


def test_there_are_notebooks():
    assert [path.name[0] for path in NOTEBOOKS] == list("12345")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_clean_and_opens_with_a_picture(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), f"{path.name} holds outputs"
    badge, title, sentence, picture = notebook.cells[0].source.split("\n\n")
    assert "colab-badge.svg" in badge and title.startswith("# ")
    assert sentence.endswith(".")
    assert re.match(r"!\[.+\]\(data:image/png;base64,.{2000,}\)", picture)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch, request):
    notebook = nbformat.read(path, as_version=4)
    if path.stem in WITH_NETWORKS:
        networks = request.getfixturevalue("weights_dir")
        monkeypatch.setenv(weights.FOLDER_VARIABLE, str(networks))
    if path.stem == "5_live":
        media = request.getfixturevalue("media_dir")
        shutil.copy(media / "talk_short.mp4", tmp_path / "talk.mp4")
    monkeypatch.setenv("AVEXP_TINY", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    nbclient.NotebookClient(
        notebook,
        timeout=540,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("text/html" in output.get("data", {}) for output in shown)
