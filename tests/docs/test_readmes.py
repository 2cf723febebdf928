"""Every command that the READMEs show runs, on files as a user would have them.

Some get arguments on top: the sizes of a test, and the face network that is at hand.
"""

import shutil

import pytest
import small_runs

import avexp_tf
from avexp_tf.corpora.affwild2 import layout
from avexp_tf.features import weights
from avexp_tf.serving import saved_model
from tests.docs import documented

README = documented.ROOT / "README.md"
RECORDS_README = documented.ROOT / "tfrecords" / "README.md"
EXPORT_README = documented.ROOT / "export" / "README.md"
MODEL = ["--d_model=8", "--num_heads=2", "--ff_dim=8", "--num_layers=1", "--epochs=1"]
SYNTHETIC = ["--video_dim=8", "--audio_dim=3", "--min_ticks=100", "--max_ticks=150"]
SYNTHETIC += [f"--{split}_speakers=1" for split in ("train", "dev", "validation")]
STUDY = ["--train_seeds=0", "--loss_seeds=1", "--resamples=100"]
# A machine that tests has no camera; tests/live has a stand-in.
CAMERA = "    avexp-live --model=runs/my/export  "
OFFICIAL = (
    layout.Entry("video1", 30.0, "train"),
    layout.Entry("video2_left", 25.0, "train"),
    layout.Entry("video2_right", 25.0, "train"),
    layout.Entry("video3", 30.0, "train"),
    layout.Entry("video4", 30.0, "validation"),
    layout.Entry("video5", 30.0, "test"),
)


def sections(path):
    """The text of each section of a page by its title."""
    _, *parts = path.read_text().split("\n## ")
    return dict(part.split("\n", 1) for part in parts)


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory, media_dir, weights_dir):
    """Where the records' README was followed: official folders, a video, own tables."""
    folder = tmp_path_factory.mktemp("readmes")
    layout.write(folder, OFFICIAL)
    (folder / "crops").rename(folder / "cropped")
    (folder / "test_names.txt").rename(folder / "VA_test_names.txt")
    documented.write_tables(folder / "my" / "features", 20)
    (folder / "my" / "videos").mkdir()
    for name in ("talk_short.mp4", "talk_short_noise.mp4"):
        shutil.copy(media_dir / name, folder / "my" / "videos")
    own_features = (documented.ROOT / "docs" / "own_features.md").read_text()
    mapping = documented.JSON.findall(own_features)[0]
    (folder / "my" / "mapping.json").write_text(mapping)
    sface = weights_dir / "face_recognition_sface_2021dec.onnx"
    networks = [f"--visual_backbone=onnx:{sface}", "--face_every=4"]
    extra = {
        "avexp-prepare --corpus=synthetic": SYNTHETIC,
        "avexp-prepare --corpus=affwild2": networks,
        "avexp-prepare --corpus=media": networks,
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
        documented.Page(folder, extra).run(RECORDS_README.read_text())
        yield folder


def test_the_records_readme_makes_records_of_every_corpus(folder):
    for name in ("synthetic", "affwild2", "media", "my"):
        assert (folder / "runs" / name / "records" / "manifest.json").exists()
    assert (folder / "first.png").stat().st_size > 10_000


def test_the_readme_evaluates_own_features_and_reports_the_study(tmp_path, folder):
    shutil.copytree(folder / "my", tmp_path / "my")
    shown = sections(README)
    page = documented.Page(
        tmp_path, {"avexp-train": MODEL, "avexp-reproduce": MODEL + STUDY}
    )
    page.run(shown["Your own features"])
    # The first line is docs/reproduce.md's; the second does what it does, and more.
    commands = shown["The paper's study on your records"].strip().splitlines()
    page.run("    " + commands[1].strip())
    assert len(page.ran) == 5
    assert (tmp_path / "runs" / "my" / "sweep" / "figure_4.png").exists()
    study = tmp_path / "runs" / "my" / "study"
    assert "Robust" in (study / "report.html").read_text()


def test_the_readme_predicts_follows_a_call_and_serves(tmp_path, folder, media_dir):
    shutil.copy(media_dir / "talk_short.mp4", tmp_path / "my.mp4")
    settings = small_runs.experiment(folder / "runs" / "affwild2" / "records")
    runs = tmp_path / "runs"
    for name in ("baseline", "clip_zero"):
        small_runs.write_run(runs / "demo" / name, settings)
    small_runs.write_run(runs / "my" / "frame_zero", settings)
    saved_model.export(runs / "my" / "frame_zero", runs / "my" / "export")
    avexp_tf.evaluate(runs / "my" / "frame_zero", "none", out=runs / "my" / "sweep")
    shown = sections(README)
    page = documented.Page(tmp_path, {"avexp-serve": ["--labels=canary:1"]})
    page.run(shown["A video of your own"])
    for name in ("my.csv", "my.png", "my.overlay.mp4"):
        assert (runs / "my" / "predictions" / name).stat().st_size > 1000
    assert shown["A call"].count(CAMERA) == 1
    page.run(shown["A call"].replace(CAMERA, "    # "))
    assert (tmp_path / "my.csv").stat().st_size > 1000
    serve_page = (documented.ROOT / "docs" / "serve.md").read_text()
    write_request = f"\n```python\n{documented.PYTHON.findall(serve_page)[0]}```\n"
    start, request, more = shown["In production"].partition("    curl -d @")
    asked = sections(EXPORT_README)["Requests"]
    page.run(start + write_request + request + more + asked)
    assert len(page.ran) == 13
