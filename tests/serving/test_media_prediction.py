"""From generated files to tables, plots and annotated copies."""

import dataclasses
import json
import os
import pathlib

import av
import cv2
import numpy as np
import pandas as pd
import pytest

import avexp_tf
from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifests
from avexp_tf.features import backbones
from avexp_tf.features import detection
from avexp_tf.features import extract
from avexp_tf.features import lld_stream
from avexp_tf.features import settings
from avexp_tf.media import audio_reader
from avexp_tf.media import frame_reader
from avexp_tf.media import writer
from avexp_tf.serving import client_errors
from avexp_tf.serving import media_features
from avexp_tf.serving import media_job
from avexp_tf.serving import media_predictor
from avexp_tf.serving import model_source
from avexp_tf.serving import overlay
from avexp_tf.serving import overlay_panel
from avexp_tf.serving import prediction_plot
from avexp_tf.serving import prediction_table
from avexp_tf.serving import predictor

RATE = 16_000
FEATURES = recording.FeatureSet("mean_color", "1", 3)


class MeanColor:
    """A backbone whose features are the crop's mean."""

    features = FEATURES

    def describe(self, crops):
        return crops.mean(axis=(1, 2)).reshape(len(crops), 3)


class BrightSquare:
    """A detector that takes whatever is brighter than 200 for a face."""

    def detect(self, image_bgr):
        rows, columns = np.nonzero(image_bgr.min(axis=2) > 200)
        if not len(rows):
            return np.array([[0, 0, 4, 4, 0.3]], np.float32)
        return np.array(
            [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 0.9]],
            np.float32,
        )


class Presence:
    """A model that says what is present: valence for video, arousal for audio."""

    def predict(self, clips):
        found = [clips["video_present"], clips["audio_present"]]
        return np.stack(found, axis=-1).astype(np.float32) - 0.5


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch):
    monkeypatch.setattr(backbones, "features", lambda config: FEATURES)
    monkeypatch.setattr(backbones, "make", lambda config: MeanColor())
    monkeypatch.setattr(detection, "make", lambda config: BrightSquare())


def manifest(**changes):
    entry = contents.Entry("a", "a", "a", (10,))
    made = manifests.Manifest(
        corpus_name="media",
        corpus_config={
            "features": extract.Extractor(settings.FeatureConfig()).settings_json(),
            "clock": "30hz",
        },
        video=FEATURES,
        audio=lld_stream.feature_set(),
        records=config.RecordsConfig(context_ticks=4, segment_ticks=40),
        has_background=False,
        audio_statistics=contents.AudioStatistics(9, (0.0,) * 65, (1.0,) * 65),
        splits={"train": contents.Split((), (entry,), 0, 0, (0, 0))},
    )
    return dataclasses.replace(made, **changes)


def make(clock="30hz"):
    found = manifest()
    data = config.DataConfig(clip_ticks=16, eval_stride=8)
    return media_predictor.MediaPredictor(
        predictor.Predictor(Presence(), found, data),
        media_features.extractor(found),
        clock,
    )


def picture(with_face):
    image = np.full((96, 128, 3), 100, np.uint8)
    if with_face:
        image[32:64, 48:80] = 230
    return image


def voice(n_secs):
    rng = np.random.default_rng(0)
    return rng.uniform(-0.3, 0.3, round(n_secs * RATE)).astype(np.float32)


def write(path, n_secs=2.0, rate_hz=25, seen=(0.4, 1.2), sound=(0.5, 1.5), volume=1):
    """A face and a sound, each at its own time."""
    frames = [
        (k / rate_hz, picture(seen[0] <= k / rate_hz < seen[1]))
        for k in range(round(n_secs * rate_hz))
    ]
    audio = None if sound is None else volume * voice(sound[1] - sound[0])
    start = 0.0 if sound is None else sound[0]
    writer.write(path, frames, audio, audio_start_secs=start)
    return path


def joined(pieces, name):
    return np.concatenate([getattr(piece, name) for piece in pieces])


def test_every_tick_has_its_prediction_and_what_was_there(tmp_path):
    path = write(tmp_path / "a.mov")
    said = []
    pieces = list(make().predict(path, on_ticks=said.append))
    assert len(pieces) > 1 and sum(said) == 60
    np.testing.assert_allclose(joined(pieces, "secs"), np.arange(60) / 30)
    shown = np.arange(60) * 25 // 30
    np.testing.assert_array_equal(joined(pieces, "frames"), shown)
    seen = (shown >= 10) & (shown < 30)
    heard = joined(pieces, "audio_present")
    np.testing.assert_array_equal(joined(pieces, "video_present"), seen)
    assert heard[16:45].all() and not heard[:15].any()
    np.testing.assert_array_equal(
        joined(pieces, "values"), np.stack([seen, heard], axis=1) - 0.5
    )
    boxes = joined(pieces, "boxes")
    np.testing.assert_allclose(boxes[seen], [[48, 32, 80, 64]] * seen.sum())
    assert np.isnan(boxes[~seen]).all()


def test_no_sound_no_face_no_pictures(tmp_path):
    silent = list(make().predict(write(tmp_path / "silent.mov", sound=None)))
    assert not joined(silent, "audio_present").any()
    assert joined(silent, "video_present").any()
    faceless = list(make().predict(write(tmp_path / "faceless.mov", seen=(9, 9))))
    assert not joined(faceless, "video_present").any()
    assert joined(faceless, "audio_present").any()
    # A model whose ticks are frames goes on the clock where there is no frame.
    writer.write(tmp_path / "voice.wav", audio=voice(1.0))
    (found,) = make("frames").predict(tmp_path / "voice.wav")
    assert len(found) == 30 and found.audio_present[:29].all()
    assert np.all(found.frames == -1) and np.isfinite(found.values).all()


def test_one_tick_per_frame_for_models_that_learnt_so(tmp_path):
    path = write(tmp_path / "a.mov", rate_hz=50)
    pieces = list(make("frames").predict(path))
    np.testing.assert_allclose(joined(pieces, "secs"), np.arange(100) / 50, atol=6e-4)
    np.testing.assert_array_equal(joined(pieces, "frames"), np.arange(100))


def test_memory_holds_a_limited_part_of_the_recording(tmp_path):
    """The features of what was predicted are let go of while the file goes on."""
    path = write(tmp_path / "a.mov", n_secs=40.0, seen=(0, 99), sound=(0, 40))
    ahead, most = 0, 0

    def count(n_ticks):
        nonlocal ahead
        ahead += n_ticks

    for piece in make().predict(path, on_ticks=count):
        most = max(most, ahead)
        ahead -= len(piece)
    assert ahead == 0
    assert most <= 256 + 4 * 40  # one stretch of features, and the segments behind it


def test_the_table_holds_what_was_predicted(tmp_path):
    pieces = list(make().predict(write(tmp_path / "a.mov")))
    with prediction_table.writing(tmp_path / "a.csv") as add:
        for piece in pieces:
            add(piece)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == (
        "time,valence,arousal,video_present,audio_present,face_left,face_top,"
        "face_right,face_bottom,detector_score,frame"
    )
    assert lines[1] == "0.000000,-0.500000,-0.500000,0,0,,,,,0.3000,0"
    assert lines[1 + 20].startswith("0.666667,0.500000,0.500000,1,1,48.0,32.0,80.0,64")
    read = list(prediction_table.read(tmp_path / "a.csv", 7))
    assert [len(piece) for piece in read] == [7] * 8 + [4]
    for name in ("secs", "values", "video_present", "frames", "boxes", "scores"):
        np.testing.assert_allclose(joined(read, name), joined(pieces, name), atol=1e-6)


def test_a_table_is_whole_or_absent(tmp_path):
    with pytest.raises(RuntimeError):
        with prediction_table.writing(tmp_path / "a.csv") as add:
            add(next(iter(make().predict(write(tmp_path / "a.mov")))))
            raise RuntimeError("stopped")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mov"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must be time,valence"),
        ("time,valence\n", "the first line must be time,valence"),
        (",".join(prediction_table.COLUMNS) + "\n1,2,3\n", "is no table of predict"),
        (",".join(prediction_table.COLUMNS) + "\n" + "x," * 10 + "1\n", "is no table"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(errors.DataError, match=message):
        list(prediction_table.read(tmp_path / "a.csv", 10))


def ticks_of(n, rng):
    return media_predictor.Ticks(
        secs=np.arange(n) / 30,
        values=rng.normal(size=(n, 2)).astype(np.float32),
        bounds=np.zeros((n, 0), np.float32),
        video_present=rng.random(n) < 0.5,
        audio_present=rng.random(n) < 0.9,
        frames=np.arange(n),
        boxes=np.full((n, 4), np.nan, np.float32),
        scores=np.zeros(n, np.float32),
    )


@pytest.mark.parametrize("n_ticks", [1, 50, 4096, 4097, 30_000])
def test_curves_of_long_recordings_are_means_of_all_ticks(n_ticks):
    ticks = ticks_of(n_ticks, np.random.default_rng(5))
    points = prediction_plot.Points()
    for start in range(0, n_ticks, 700):
        rows = slice(start, start + 700)
        points.add(
            media_predictor.Ticks(
                **{name: array[rows] for name, array in vars(ticks).items()}
            )
        )
    found = points.rows()
    assert len(found) <= 4097
    group = 1
    while n_ticks // group > 4096:
        group *= 2
    for first in (0, n_ticks // 2 // group * group):
        span = slice(first, first + group)
        row = found[first // group]
        np.testing.assert_allclose(row[0], ticks.secs[span].mean(), rtol=1e-9)
        np.testing.assert_allclose(row[1:3], ticks.values[span].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(row[3], ticks.video_present[span].mean())


@pytest.mark.parametrize("title", ["$a", os.fsdecode(b"bad\xffn.mp4")])
def test_the_plot_is_drawn_even_of_one_tick(tmp_path, title):
    prediction_plot.draw([ticks_of(1, np.random.default_rng(0))], title, tmp_path / "p")
    image = cv2.imread(str(tmp_path / "p"))
    assert image is not None and image.shape[1] == 1200


def overlay_of(path, folder):
    with prediction_table.writing(folder / "table.csv") as add:
        for piece in make().predict(path):
            add(piece)
    overlay.write(path, folder / "table.csv", folder / "out.mp4")
    return [
        (one.secs, one.image_bgr())
        for one in frame_reader.FrameReader(folder / "out.mp4")
    ]


def test_the_annotated_copy_keeps_times_pictures_and_sound(tmp_path):
    path = write(tmp_path / "a.mov")
    frames = overlay_of(path, tmp_path)
    np.testing.assert_allclose(
        [secs for secs, _ in frames], np.arange(50) / 25, atol=1e-3
    )
    assert frames[0][1].shape == (96 + 190, 640, 3)
    # The picture stands in the middle, and the face has a frame of another color.
    before, during = frames[5][1], frames[20][1]
    assert np.abs(before[48, 320].astype(int) - 100).max() < 12
    green = during[31:34, 310:330].astype(int)
    assert (green[..., 1] - green[..., 2]).max() > 40
    # The sound of the copy is that of the file, at the same time.
    loud = np.zeros(32_000)
    for block in audio_reader.AudioReader(tmp_path / "out.mp4"):
        end = min(block.start + len(block.samples), len(loud))
        loud[block.start : end] = np.abs(block.samples[: end - block.start])
    assert loud[9000:23000].mean() > 0.05
    assert loud[:7000].mean() < 0.01 and loud[26000:].mean() < 0.01


def test_a_sound_file_has_blank_pictures(tmp_path):
    writer.write(tmp_path / "a.wav", audio=voice(1.0))
    frames = overlay_of(tmp_path / "a.wav", tmp_path)
    assert len(frames) == 30
    with av.open(str(tmp_path / "out.mp4")) as opened:
        assert opened.streams.audio[0].codec_context.name == "aac"


def test_pictures_stay_and_blanks_fill_what_the_file_does_not_show(tmp_path):
    """Pictures from 0.5 s to 1.0 s, sound from 0 s to 1.5 s."""
    frames = [(0.5 + k / 25, picture(True)) for k in range(12)]
    writer.write(tmp_path / "a.mov", frames, voice(1.5))
    found = overlay_of(tmp_path / "a.mov", tmp_path)
    secs = np.array([sec for sec, _ in found])
    assert np.all(np.diff(secs) > 0)
    middle = np.array([image[85, 320].mean() for _, image in found])
    shown = middle > 60
    np.testing.assert_allclose(secs[shown], [sec for sec, _ in frames], atol=1e-3)
    assert secs[0] == 0 and secs[-1] > 1.4 and (~shown).sum() > 20


def test_a_file_without_sound_has_none_in_the_copy(tmp_path):
    overlay_of(write(tmp_path / "a.mov", sound=None), tmp_path)
    with av.open(str(tmp_path / "out.mp4")) as opened:
        assert not opened.streams.audio and opened.streams.video


def test_the_panel_fits_large_and_tall_pictures():
    for width, height in ((3840, 2160), (1080, 1920), (33, 31), (5000, 10)):
        panel = overlay_panel.OverlayPanel(width, height)
        ticks = ticks_of(5, np.random.default_rng(0))
        image = panel.draw(np.zeros((height, width, 3), np.uint8), ticks, 0.1)
        assert image.shape == (panel.height, panel.width, 3)
        assert panel.width % 2 == 0 and panel.height % 2 == 0
        assert 640 <= panel.width <= 1280 and panel.height <= 720 + 192


def job(folder, **options):
    return media_job.MediaJob(make(), {"sha256": "1"}, folder, **options)


def test_a_file_becomes_a_table_a_plot_and_a_copy(tmp_path):
    out = tmp_path / "deep" / "out"
    line = job(out, overlay=True).predict_file(write(tmp_path / "a.mov"))
    assert line == (
        "a.mov: 60 ticks, video 40%, audio 52%, mean valence -0.10, arousal +0.02: "
        f"{out / 'a.csv'} {out / 'a.png'} {out / 'a.overlay.mp4'}"
    )
    assert sorted(path.name for path in out.iterdir()) == [
        *("a.csv", "a.json", "a.overlay.mp4", "a.png"),
    ]
    summary = json.loads((out / "a.json").read_text())
    assert summary["n_ticks"] == 60 and summary["video_present"] == 0.4


def test_a_file_that_is_none_leaves_nothing(tmp_path):
    (tmp_path / "c.mp4").write_bytes(b"nonsense" * 100)
    with pytest.raises(errors.DataError, match="c.mp4: is no media file: Invalid"):
        job(tmp_path / "out").predict_file(tmp_path / "c.mp4")
    assert not list((tmp_path / "out").iterdir())


def test_no_table_is_of_a_model_that_was_replaced(tmp_path):
    def gone():
        raise client_errors.NotFoundError("another model")

    made = job(tmp_path / "out", check_model=gone)
    with pytest.raises(client_errors.NotFoundError, match="another model"):
        made.predict_file(write(tmp_path / "a.mov"))
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mov")
    out = tmp_path / "out"
    job(out).predict_file(path)
    before = {one.name: one.stat().st_mtime_ns for one in out.iterdir()}

    def fail(*_):
        raise AssertionError("predicted again")

    with monkeypatch.context() as patched:
        patched.setattr(media_predictor.MediaPredictor, "predict", fail)
        job(out, overlay=True).predict_file(path)
    after = {one.name: one.stat().st_mtime_ns for one in out.iterdir()}
    assert after["a.csv"] == before["a.csv"] and "a.overlay.mp4" in after
    # Another model, another file, or on request: all anew.
    for change in (
        {"model": {"sha256": "2"}},
        {"overwrite": True},
        {"predictor": make("frames"), "model": {"sha256": "2", "clock": "frames"}},
    ):
        old = (out / "a.csv").stat().st_mtime_ns
        dataclasses.replace(job(out), **change).predict_file(path)
        assert (out / "a.csv").stat().st_mtime_ns > old
    assert not (out / "a.overlay.mp4").exists()
    old = (out / "a.csv").read_bytes()
    size = path.stat().st_size
    (tmp_path / "louder").mkdir()
    write(tmp_path / "louder" / "a.mov", volume=0.3)
    assert (tmp_path / "louder" / "a.mov").stat().st_size == size
    job(out).predict_file(tmp_path / "louder" / "a.mov")
    assert (out / "a.csv").read_bytes() != old


def folder_of_somebody(folder):
    """A recording and a photo to predict, and files that happen to have such names."""
    for name in ("photo.png", "talk.mov", "talk.csv", "other.txt"):
        (folder / name).write_text(name)
    return [folder / "photo.png", folder / "talk.mov"]


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plot": False}, "talk.csv: is in the way of a result.* talk.json would list"),
        ({}, "photo.png: is to be predicted, and a result for .*photo.png has the"),
        ({"overwrite": True}, "photo.png: is to be predicted, and a result for"),
    ],
)
def test_somebody_elses_files_are_in_the_way(tmp_path, options, message):
    paths = folder_of_somebody(tmp_path)
    before = contents_of(tmp_path)
    with pytest.raises(errors.DataError, match=message):
        media_job.Settings("m", str(tmp_path), **options).check(paths)
    assert contents_of(tmp_path) == before
    forced = media_job.Settings("m", str(tmp_path), plot=False, overwrite=True)
    assert forced.check(paths) == paths


def test_the_job_touches_only_what_its_summary_lists(tmp_path):
    path = write(tmp_path / "a.mov")
    for suffix in (".png", ".overlay.mp4"):
        (tmp_path / f"a{suffix}").write_text("mine")
    bare = job(tmp_path, plot=False)
    bare.predict_file(path)
    dataclasses.replace(bare, model={"sha256": "2"}).predict_file(path)
    assert (tmp_path / "a.png").read_text() == "mine"
    assert (tmp_path / "a.overlay.mp4").read_text() == "mine"
    with pytest.raises(errors.DataError, match="a.png: is in the way of a result"):
        job(tmp_path).predict_file(path)
    job(tmp_path, overwrite=True).predict_file(path)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.overlay.mp4").read_text() == "mine"
    assert json.loads((tmp_path / "a.json").read_text())["results"] == [
        *("a.csv", "a.png"),
    ]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("model", ["1", "2"])
def test_a_killed_job_goes_on(tmp_path, monkeypatch, nth, model):
    """Killed before the summary takes its name, and between it and the table."""
    path = write(tmp_path / "a.mov")
    out = tmp_path / "out"
    job(out).predict_file(path)
    whole = contents_of(out)
    if model == "1":  # for the first time
        for one in out.iterdir():
            one.unlink()
    replace, n_left = os.replace, nth

    def dying(source, target):
        nonlocal n_left
        n_left -= 1
        if not n_left:
            raise KeyboardInterrupt
        replace(source, target)

    again = dataclasses.replace(job(out), model={"sha256": model})
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            again.predict_file(path)
    assert not (out / "a.csv").exists() and not (out / "a.png").exists()
    again.predict_file(path)
    assert contents_of(out).keys() == whole.keys()
    assert contents_of(out)["a.csv"] == whole["a.csv"]


def test_annotated_copies_beside_recordings_are_not_predicted(tmp_path):
    path = write(tmp_path / "a.mov")
    asked = media_job.Settings("m", str(tmp_path), overlay=True)
    job(tmp_path, overlay=True).predict_file(path)
    assert asked.check([tmp_path / "a.overlay.mp4", path]) == [path]
    # Alone it is a recording as others are.
    assert len(asked.check([tmp_path / "a.overlay.mp4"])) == 1


def test_two_files_of_one_name_are_told(tmp_path):
    paths = [pathlib.Path("a/x.mp4"), pathlib.Path("b/x.mov")]
    with pytest.raises(errors.DataError, match="x.mov: has the same name as"):
        media_job.check_names(paths)


def test_settings_come_from_the_manifest():
    stored = extract.Extractor(
        settings.FeatureConfig(face_threshold=0.9, face_every=3)
    ).settings_json()
    found = media_features.feature_config(
        manifest(corpus_config={"features": stored, "clock": "frames"})
    )
    assert (found.face_threshold, found.face_every) == (0.9, 3)
    assert found.visual_backbone == "vggface"
    with pytest.raises(errors.ConfigError, match="manifest.json: unknown setting 'x'"):
        media_features.feature_config(manifest(corpus_config={"features": {"x": 1}}))


def test_a_model_of_other_features_is_told(tmp_path, monkeypatch):
    with pytest.raises(errors.DataError, match="trained on the corpus 'table', whose"):
        media_features.extractor(manifest(corpus_name="table", corpus_config={}))
    other = recording.FeatureSet("mean_color", "2", 3)
    with pytest.raises(errors.DataError, match="takes the video features mean_color 2"):
        media_features.extractor(manifest(video=other))
    monkeypatch.setenv("AVEXP_WEIGHTS", str(tmp_path))
    onnx = recording.FeatureSet("onnx_face", "1", 3)
    with pytest.raises(errors.DataError, match="face.onnx: no such file, and this"):
        media_features.extractor(manifest(video=onnx))
    (tmp_path / "face.onnx").touch()
    found = media_features.feature_config(manifest(video=onnx))
    assert found.onnx_path == str(tmp_path / "face.onnx")
    found = media_features.feature_config(manifest(video=onnx), "onnx:other.onnx")
    assert found.onnx_path == "other.onnx"


def test_the_function_returns_what_the_command_writes(tmp_path, monkeypatch, caplog):
    class Source:
        manifest = manifest()

        def predictor(self, eval_stride):
            data = config.DataConfig(clip_ticks=16, eval_stride=eval_stride or 8)
            return predictor.Predictor(Presence(), self.manifest, data)

    monkeypatch.setattr(model_source, "find", lambda path: Source())
    path = write(tmp_path / "a.mov")
    found = avexp_tf.predict("any", path)
    assert list(found.columns) == ["file", *prediction_table.COLUMNS]
    assert set(found["file"]) == {str(path)}
    job(tmp_path / "out").predict_file(path)
    written = pd.read_csv(tmp_path / "out" / "a.csv")
    for name in ("time", "valence", "face_left", "detector_score"):
        np.testing.assert_allclose(found[name], written[name], atol=0.06)
    assert not caplog.text
    whole = write(tmp_path / "b.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) // 3])
    avexp_tf.predict("any", tmp_path / "b.mkv")
    assert "note: " in caplog.text and "b.mkv: ends at 0." in caplog.text
