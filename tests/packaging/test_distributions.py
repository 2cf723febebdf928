"""What the wheel and the sdist hold, and that the wheel runs away from the checkout."""

import email
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

pytest.importorskip("build")

ROOT = pathlib.Path(__file__).parents[2]
# What a build or a test leaves behind, and what git keeps.
LEFT_BEHIND = shutil.ignore_patterns(
    ".*", "runs", "build", "dist", "site", "*.egg-info", "__pycache__"
)
# Folders of the checkout, and where a wheel installs them.
INSTALLED = {
    "avexp_tf": "avexp_tf",
    "tfrecords": "avexp_tf/tfrecords",
    "export": "avexp_tf/export",
    "configs": "avexp_tf/configs",
}


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory):
    """The wheel that is made from the sdist that is made from the checkout."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_BEHIND)
    shutil.copy(ROOT / ".pre-commit-config.yaml", folder / "checkout")
    words = ["-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    done = subprocess.run(
        [sys.executable, *words, str(folder / "checkout")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return wheel, sdist


def names_in(wheel):
    with zipfile.ZipFile(wheel) as opened:
        return [name for name in opened.namelist() if not name.endswith("/")]


def test_the_wheel_has_no_generic_top_level_name(built):
    tops = {name.split("/")[0] for name in names_in(built[0])}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"avexp_tf"}


def test_the_wheel_holds_every_file_of_the_package(built):
    found = set(names_in(built[0]))
    for folder, target in INSTALLED.items():
        for path in (ROOT / folder).rglob("*"):
            skipped = path.suffix in (".pyc", ".md") or path.name.startswith(".")
            if path.is_file() and not skipped:
                assert f"{target}/{path.relative_to(ROOT / folder)}" in found
    for name in ("py.typed", "configs/demo.flags", "configs/omg_empathy.json"):
        assert f"avexp_tf/{name}" in found


def test_the_wheel_names_its_commands_extras_and_licence(built):
    with zipfile.ZipFile(built[0]) as opened:
        (about,) = [name for name in opened.namelist() if name.endswith("/METADATA")]
        metadata = email.message_from_bytes(opened.read(about))
        scripts = opened.read(about.replace("METADATA", "entry_points.txt")).decode()
        assert any(name.endswith("licenses/LICENSE") for name in opened.namelist())
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    extras = {"beam", "io", "live", "serving", "vggface"}
    assert extras <= set(metadata.get_all("Provides-Extra"))
    commands = [line.split(" = ") for line in scripts.splitlines() if " = " in line]
    assert {"avexp", "avexp-demo", "avexp-serve"} <= {name for name, _ in commands}
    installed = set(names_in(built[0]))
    for _, target in commands:
        module = target.split(":")[0].replace(".", "/")
        assert {f"{module}.py", f"{module}/__init__.py"} & installed


def test_the_sdist_holds_what_building_and_testing_need(built):
    with tarfile.open(built[1]) as opened:
        found = {name.partition("/")[2] for name in opened.getnames()}
    for pattern in (
        "tests/**/*.py",
        "tests/**/*.json",
        "colab/*.ipynb",
        "docs/**/*.md",
        "docs/images/*.png",
        "configs/*",
        "export/serving/*",
        "benchmarks/*.py",
    ):
        paths = [path for path in ROOT.glob(pattern) if path.is_file()]
        assert paths
        for path in paths:
            assert str(path.relative_to(ROOT)) in found
    for name in ("LICENSE", "Makefile", "README.md", "mkdocs.yml", "pyproject.toml"):
        assert name in found


def test_the_wheel_runs_from_an_empty_folder(built, tmp_path):
    target, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    words = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([sys.executable, *words, target, built[0]], check=True)

    def run(*words):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=empty,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(target)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import avexp_tf, avexp_tf.export; print(avexp_tf.__file__)"
    assert run("-c", where).startswith(str(target))
    said = run("-m", "avexp_tf.commands", "--help")
    assert "avexp COMMAND" in said and "prepare" in said
    # The demo's own preset, which travels in the wheel; small enough for a test.
    code = (
        "from avexp_tf import presets, cli; from avexp_tf.tfrecords import prepare;"
        "cli.run(prepare.main, prepare.define_flags, '', ['x', '--corpus=synthetic',"
        "'--out=records', '--video_dim=4', '--audio_dim=2', '--train_speakers=1',"
        "'--dev_speakers=1', '--validation_speakers=1', '--min_ticks=30',"
        "'--max_ticks=40', '--recordings_per_speaker=1'])"
    )
    run("-c", code)
    assert (empty / "records" / "manifest.json").is_file()
    preset = run(
        "-c", "from avexp_tf import presets; print(presets.path('demo.flags'))"
    )
    assert pathlib.Path(preset.strip()).is_file() and preset.startswith(str(target))
