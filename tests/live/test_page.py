"""The page's parts: losses are training's, models agree, words are plain."""

import dataclasses
import sys
import threading
import time
import urllib.request

import array_corpus
import cv2
import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from avexp_tf import errors
from avexp_tf import termination
from avexp_tf.data import prepare
from avexp_tf.data import record_source
from avexp_tf.data import simulator
from avexp_tf.live import __main__ as command
from avexp_tf.live import call_losses
from avexp_tf.live import clip_window
from avexp_tf.live import comparison
from avexp_tf.live import drawn_call
from avexp_tf.live import page
from avexp_tf.live import page_call
from avexp_tf.live import page_config
from avexp_tf.live import page_figures
from avexp_tf.live import page_sessions
from avexp_tf.live import page_sources
from avexp_tf.live import recognizer
from avexp_tf.serving import litert
from avexp_tf.serving import saved_model
from avexp_tf.training import run_dir as run_dirs
from tests.live import calls
from tests.serving import small_run

T = small_run.DATA.clip_ticks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records, a run of random weights, its export and a LiteRT file."""
    folder = tmp_path_factory.mktemp("page")
    corpus = array_corpus.ArrayCorpus([400, 300], split="train")
    prepare.prepare(corpus, folder / "records", small_run.RECORDS)
    small_run.make_run(folder / "run", folder / "records")
    saved_model.export(folder / "run", folder / "export")
    return folder


@pytest.mark.parametrize(
    ("pattern", "burst", "concealment"),
    [
        ("frame_zero", 0, ""),
        ("frame_repeat", 0, ""),
        ("gilbert_elliott", 6, "repeat"),
        ("clip_zero", 0, ""),
        ("subclip_zero", 0, ""),
    ],
)
def test_losses_are_those_of_training(pattern, burst, concealment):
    losses = call_losses.settings((), "both", pattern, 0.6, burst, concealment)
    draws = call_losses.CallLosses(T, seed=3)
    n_ticks = 240
    shown = [draws.shown(k, losses)["video"] for k in range(n_ticks)]
    by_clip = pattern in ("clip_zero", "subclip_zero")
    simulate = simulator.simulator(((losses.condition,),))
    expected = []
    for first in range(0, n_ticks, T if by_clip else 1000):
        n = T if by_clip else 1000
        key = simulator.clip_key(3, 0, tf.constant("call"))
        drawn = simulate(key, tf.constant(first, tf.int64), n)[0].numpy()
        expected += np.where(drawn < 0, -1, drawn + first).tolist()
    assert shown == expected[:n_ticks]
    lost = np.mean(np.array(shown) != np.arange(n_ticks))
    assert 0.4 < lost < 0.8
    # Of the next block, too, a frame from the block before can be repeated.
    later = [draws.shown(k, losses)["video"] for k in range(995, 1100)]
    assert all(source <= k for k, source in zip(range(995, 1100), later, strict=True))


def test_switched_off_is_lost_and_a_burst_is_as_long_as_it_must_be():
    draws = call_losses.CallLosses(T)
    off = call_losses.LossSettings(("audio",))
    assert draws.shown(7, off) == {"video": 7, "audio": call_losses.NONE}
    losses = call_losses.settings((), "video", "gilbert_elliott", 0.9, 1, "zero")
    assert losses.condition.mean_burst == pytest.approx(9)
    assert call_losses.settings((), "video", "frame_zero", 0, 1, "") == (
        call_losses.LossSettings()
    )
    whole = call_losses.settings((), "each", "gilbert_elliott", 1.0, 4, "repeat")
    assert draws.shown(3, whole) == {"video": -1, "audio": -1}


def test_without_losses_every_backend_says_what_a_call_says(folder, tmp_path):
    run_dir = run_dirs.RunDir(folder / "run")
    packed = {
        path.name: path.read_bytes()
        for path in saved_model.extra(folder / "export" / "1").iterdir()
        if path.suffix in (".json", ".md")
    }
    source = record_source.RecordSource.open(run_dir.config().data, "train")
    converted = litert.convert(run_dir, source, ("float32",), packed)
    (tmp_path / "model.tflite").write_bytes(converted["float32"])
    models = {
        "run": recognizer.load_predictor(folder / "run"),
        "export": recognizer.load_predictor(folder / "export"),
        "litert": recognizer.load_predictor(tmp_path / "model.tflite"),
    }
    ticks = calls.ticks_of(20)
    found = np.array(
        [one.values for one in comparison.Comparison(models).estimate(ticks)]
    )
    expected = clip_window.ClipWindow(models["run"]).predict(ticks)
    for k in range(len(models)):
        np.testing.assert_allclose(found[:, k], expected, atol=1e-4)
    assert np.ptp(expected) > 0.1


def test_losses_are_source_maps_over_the_clip(folder):
    model = recognizer.load_predictor(folder / "run")
    ticks = calls.ticks_of()
    compared = comparison.Comparison({"one": model}, every_ticks=7, seed=5)
    compared.losses = call_losses.settings((), "each", "frame_repeat", 0.7, 0, "")
    found = compared.estimate(ticks)
    assert [one.index for one in found] == list(range(0, 60, 7))
    # By hand, from the draws and from what is really there.
    draws = call_losses.CallLosses(T, seed=5)
    shown = [draws.shown(k, compared.losses) for k in range(60)]
    for one in found[2:]:
        first = one.index - T + 1
        span = range(first, one.index + 1)
        clip = {
            "video": np.array([ticks[k].video for k in span])[None],
            "audio": np.array(
                [
                    # Silence that is heard is not zero.
                    ticks[k].audio + np.float32(1e-30 if ticks[k].audio_present else 0)
                    for k in range(first - 4, one.index + 1)
                ]
            )[None],
        }
        for name in ("video", "audio"):
            sources = []
            for k in span:
                source = shown[k][name]
                there = source >= first and getattr(ticks[source], f"{name}_present")
                sources.append(source - first if there else -1)
            clip[f"{name}_source"] = np.array([sources], np.int32)
        expected = model.model.predict_sources(clip)[0, -1]
        np.testing.assert_allclose(one.values[0], expected, atol=1e-5)
        source = shown[one.index]["video"]
        assert one.picture == source
        state = one.states["video"]
        if source < 0:
            assert state == comparison.LOST
        elif not ticks[source].video_present:
            assert state == comparison.NOTHING
        else:
            assert state == ("here" if source == one.index else "repeated")
    assert {one.states["video"] for one in found} >= {"repeated"}


def test_models_that_take_different_features_are_refused(folder):
    one = recognizer.load_predictor(folder / "run")
    with pytest.raises(errors.DataError, match="A and B take different features"):
        comparison.Comparison({"B": one, "A": calls.predictor_of()})
    centered = dataclasses.replace(
        one.manifest,
        records=dataclasses.replace(one.manifest.records, context="centered"),
    )
    one.manifest = centered
    with pytest.raises(errors.DataError, match="--context=centered"):
        comparison.Comparison({"A": one})


def test_records_are_played_with_their_labels(folder):
    model = recognizer.load_predictor(folder / "run")
    source = page_sources.Records(folder / "records")
    call = page_call.PageCall(comparison.Comparison({"A": model}), None, "records")
    steps = source.play(call)
    for _ in range(20):
        next(steps)
    view = call.view()
    assert [one.index for one in view.moments] == list(range(20))
    truths = [one.truth for one in view.moments]

    def is_of(name, n_ticks):
        block = array_corpus.ticks(name, n_ticks)
        labels = np.where(block.label_valid, block.labels, np.nan)[:20]
        return np.allclose(truths, labels, equal_nan=True, atol=1e-6)

    assert is_of("r0", 400) or is_of("r1", 300)


class Browsing:
    """A call that only notes what it gets."""

    def __init__(self):
        self.pictures, self.sounds, self.nows = [], [], []

    def push_video(self, image, secs):
        self.pictures.append((image.shape, secs))

    def push_audio(self, samples, secs):
        self.sounds.append((len(samples), secs))

    def poll(self, now):
        self.nows.append(now)


def test_what_a_browser_sends_reaches_the_call():
    source = page_sources.Browser()
    _, jpeg = cv2.imencode(".jpg", drawn_call.face(1, 0.5))
    source.put("video", 100.0, jpeg.tobytes())
    source.put("video", 100.1, b"no picture")
    source.put("video", 100.2, b"")
    tone = np.sin(np.arange(48_000) / 20).astype("<f4")
    for k in range(10):
        piece = tone[k * 4800 : (k + 1) * 4800]
        source.put("audio", 100 + k / 10, piece.tobytes() + b"x", 48_000)
    call = Browsing()
    next(source.play(call))
    assert call.pictures == [((drawn_call.HEIGHT, drawn_call.WIDTH, 3), 100.0)]
    assert sum(n for n, _ in call.sounds) == pytest.approx(16_000, abs=100)
    assert 100 <= call.nows[0] < 102


def test_off_is_not_even_looked_at():
    class Stream:
        ended = []

        def push_video(self, *unused):
            raise AssertionError

        push_audio = push_video

        def end(self, modality):
            self.ended.append(modality)

    compared = comparison.Comparison({"A": calls.predictor_of()})
    compared.losses = call_losses.LossSettings(("video", "audio"))
    call = page_call.PageCall(compared, Stream(), "a call")
    call.push_video(calls.picture(True), 0.0)
    call.push_audio(calls.voice(0.1), 0.0)
    assert Stream.ended == ["video", "audio"]


def test_an_error_ends_the_call_and_is_shown():
    class Broken:
        def play(self, call):
            yield None
            raise errors.DataError("/x.mp4: damaged <at its end>")

    call = page_call.PageCall(
        comparison.Comparison({"A": calls.predictor_of()}), None, "x"
    )
    call.run(Broken(), threading.Event())
    view = call.view()
    assert not view.playing and view.error == "/x.mp4: damaged <at its end>"
    assert "damaged &lt;at its end&gt;" in page_figures.view(view, ["A"])
    assert page_figures.sentence(view, ["A"]).startswith("Stopped: /x.mp4")


def test_what_nobody_expected_ends_the_call_and_is_shown():
    class Broken:
        def play(self, call):
            yield None
            raise ZeroDivisionError("in a decoder")

    call = page_call.PageCall(
        comparison.Comparison({"A": calls.predictor_of()}), None, "x"
    )
    with pytest.raises(ZeroDivisionError):
        call.run(Broken(), threading.Event())
    view = call.view()
    assert not view.playing and "in a decoder" in view.error


def test_the_sentence_says_what_the_figures_show():
    moment = comparison.Moment(
        index=0,
        secs=0.0,
        values=np.array([[0.02, 0.5], [-0.8, -0.2]], np.float32),
        truth=None,
        states={"video": comparison.OFF, "audio": comparison.HERE},
        picture=-1,
        box=None,
        model_secs=0.0,
    )
    view = page_call.View([moment], None, True, "<b>", True, "", 0.4, 0.01)
    assert page_figures.sentence(view, ["Baseline", "Robust"]) == (
        "<b>. Face: switched off. Voice: arrives. Baseline says neither unpleasant nor "
        "pleasant and fairly excited. Robust says very unpleasant and slightly calm."
    )
    drawn = page_figures.view(view, ["Baseline", "Robust"])
    assert "<b>." not in drawn and "&lt;b&gt;." in drawn
    assert "camera off" in drawn and "shown 0.4 s after it happens" in drawn


def test_the_example_is_found_or_asked_for(folder):
    model = recognizer.load_predictor(folder / "run")
    assert page_config.example_of({"A": model}) == str(folder / "records")
    assert page_config.example_of({"A": calls.predictor_of()}) is None
    exported = recognizer.load_predictor(folder / "export")
    with pytest.raises(errors.DataError, match="--example: must be given"):
        page_config.example_of({"A": exported})
    with pytest.raises(errors.DataError, match="its video features are"):
        page_config.PageConfig({"A": calls.predictor_of()}, example=folder / "records")


@pytest.mark.usefixtures("defined_flags")
def test_the_command_serves_the_page_with_both_models(folder, monkeypatch):
    looked = []

    def look(running):
        looked.append(running.url)
        with urllib.request.urlopen(running.url) as answer:
            assert b"gradio" in answer.read()
            assert "default-src 'self'" in answer.headers["content-security-policy"]
        shown = running.visitors.page
        assert list(shown.models) == ["Baseline", "Robust"]
        assert shown.example == str(folder / "records")
        assert shown.live.visual_budget == "adaptive"
        visitor = running.visitors.of("one")
        visitor.play_example()
        while not visitor.view().moments:
            time.sleep(0.05)
        assert visitor.view().playing and visitor.view().moments[0].truth is not None
        raise termination.Terminated

    monkeypatch.setattr(page.RunningPage, "wait", look)
    monkeypatch.setattr(command.runtime, "set_up", lambda: None)
    flags.FLAGS.page, flags.FLAGS.model = True, str(folder / "run")
    flags.FLAGS.robust_model = str(folder / "run")
    assert command.main(["avexp-live"]) == 0
    assert looked[0].startswith("http://127.0.0.1:")


def test_an_example_that_is_no_media_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    models = {"A": calls.predictor_of()}
    for name, why in (("no.mp4", "no such file"), ("a.txt", "is no media file")):
        with pytest.raises(errors.DataError, match=f"--example=.*{name}: {why}"):
            page_config.PageConfig(models, example=tmp_path / name)


@pytest.mark.usefixtures("defined_flags")
@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_there_is_not_is_told_before_models_are_loaded(port):
    flags.FLAGS.page, flags.FLAGS.model = True, "/nowhere"
    flags.FLAGS.page_port = port
    with pytest.raises(errors.ConfigError, match=f"--page_port={port}: must be from 0"):
        command.main(["avexp-live"])


@pytest.mark.usefixtures("defined_flags")
def test_without_gradio_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    flags.FLAGS.page, flags.FLAGS.model = True, str(folder / "run")
    with pytest.raises(errors.MissingExtraError, match=r"avexp-tf\[live\]"):
        command.main(["avexp-live"])


@pytest.fixture
def opening(monkeypatch):
    """Two events: that features are being opened, and that they may be."""
    begun, may_go_on = threading.Event(), threading.Event()

    def open_features(*unused):
        begun.set()
        assert may_go_on.wait(20)
        return calls.recognizer_of().features

    monkeypatch.setattr(page_config.recognizer, "open_features", open_features)
    return begun, may_go_on


@pytest.mark.parametrize("ended_by", ["stop", "leave"])
def test_who_stops_while_it_starts_has_stopped_it(opening, ended_by):
    begun, may_go_on = opening
    config = page_config.PageConfig({"A": calls.predictor_of()})
    with page_sessions.Visitors(config) as visitors:
        visitor = visitors.of("tab")
        tokens = []
        starting = threading.Thread(
            target=lambda: tokens.append(visitor.play_browser())
        )
        starting.start()
        assert begun.wait(20)
        if ended_by == "stop":
            visitor.stop()
        else:
            visitors.leave("tab")
        may_go_on.set()
        starting.join()
        assert tokens == [""] and not visitor.is_playing and visitor.view() is None
        if ended_by == "leave":
            with pytest.raises(
                errors.DataError, match="lost its connection: load it again"
            ):
                visitors.of("tab")


def test_of_several_starts_the_last_one_plays(opening):
    opening[1].set()
    before = threading.active_count()
    config = page_config.PageConfig({"A": calls.predictor_of()})
    with page_sessions.Visitors(config) as visitors:
        visitor = visitors.of("tab")
        starts = [threading.Thread(target=visitor.play_browser) for _ in range(4)]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        assert visitor.is_playing and threading.active_count() == before + 1
        assert visitors.sender(visitor.token) is visitor
    assert not visitor.is_playing


def test_who_plays_is_not_sent_away(opening, monkeypatch):
    opening[1].set()
    monkeypatch.setattr(page_sessions, "_MOST_VISITORS", 2)
    config = page_config.PageConfig({"A": calls.predictor_of()})
    with page_sessions.Visitors(config) as visitors:
        for name in ("one", "two"):
            visitors.of(name).play_browser()
        with pytest.raises(errors.DataError, match="2 others play something here"):
            visitors.of("three")
        assert visitors.find("three") is None and visitors.find("one").is_playing
        visitors.of("one").stop()
        visitors.of("three").play_browser()
        assert visitors.find("one") is None and visitors.find("two").is_playing


def test_who_is_starting_is_not_sent_away(opening, monkeypatch):
    begun, may_go_on = opening
    monkeypatch.setattr(page_sessions, "_MOST_VISITORS", 1)
    config = page_config.PageConfig({"A": calls.predictor_of()})
    with page_sessions.Visitors(config) as visitors:
        starting = threading.Thread(target=visitors.of("one").play_browser)
        starting.start()
        assert begun.wait(20)
        with pytest.raises(errors.DataError, match="1 others play something here"):
            visitors.of("two")
        may_go_on.set()
        starting.join()
        assert visitors.find("one").is_playing
    with pytest.raises(errors.DataError, match="lost its connection"):
        visitors.of("two")


def test_the_example_is_drawn_once(monkeypatch):
    drawn = []

    def write(path):
        drawn.append(path)
        time.sleep(0.2)
        path.write_bytes(b"drawn")

    monkeypatch.setattr(page_sessions.drawn_call, "write", write)
    config = page_config.PageConfig({"A": calls.predictor_of()})
    with page_sessions.Visitors(config) as visitors:
        assert visitors.must_draw
        asked = [threading.Thread(target=visitors.drawn) for _ in range(3)]
        for one in asked:
            one.start()
        for one in asked:
            one.join()
        assert len(drawn) == 1 and not visitors.must_draw
