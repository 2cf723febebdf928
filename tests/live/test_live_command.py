"""The command, from a file to the table, and what stands in for devices."""

import csv
import functools
import http.server
import itertools
import os
import pathlib
import subprocess
import threading
import types

import av
import numpy as np
import pytest
from absl import flags

from avexp_tf import errors
from avexp_tf.live import __main__ as command
from avexp_tf.live import estimate_table
from avexp_tf.live import recognizer
from avexp_tf.live import sources
from avexp_tf.live import terminal
from avexp_tf.live import url_source
from avexp_tf.media import frame_reader
from avexp_tf.media import writer
from tests.live import calls


@pytest.fixture
def path(tmp_path):
    frames = [(k / 25, calls.picture(k < 15, 60 + k)) for k in range(25)]
    writer.write(tmp_path / "a.mov", frames, calls.voice(1.0))
    return tmp_path / "a.mov"


@pytest.mark.usefixtures("defined_flags")
def test_a_file_becomes_a_table(path, tmp_path, monkeypatch, capsys):
    def opened(model, live, backbone, weights, origin_secs):
        assert model == "m" and live.visual_budget == "2" and origin_secs == 0
        return calls.recognizer_of(live)

    monkeypatch.setattr(recognizer.Recognizer, "open", opened)
    monkeypatch.setattr(command.runtime, "set_up", lambda: None)
    table = tmp_path / "a.csv"
    flags.FLAGS.model, flags.FLAGS.csv = "m", str(table)
    flags.FLAGS.visual_budget, flags.FLAGS.in_real_time = "2", False
    assert command.main(["avexp-live", str(path)]) == 0
    assert capsys.readouterr().out == f"30 ticks: {table}\n"
    with open(table) as file:
        rows = list(csv.DictReader(file))
    with calls.recognizer_of(visual_budget="2") as call:
        expected = calls.streamed(call, calls.packets_of(path))
    assert len(rows) == 30 and tuple(rows[0]) == estimate_table.COLUMNS
    for row, one in zip(rows, expected, strict=True):
        assert abs(float(row["valence"]) - one.values[0]) < 1e-5
        assert row["video_present"] == str(int(one.video_present))
        assert (row["face_left"] != "") == (one.box is not None)
    assert {row["video_present"] for row in rows} == {"0", "1"}


def test_a_file_in_real_time_answers_every_tick_in_time(path):
    with calls.recognizer_of(resync_secs=60.0) as call:
        found = list(
            itertools.chain.from_iterable(sources.FileSource(path).estimates(call))
        )
    assert [one.index for one in found] == list(range(30))


@pytest.mark.parametrize("sound_secs", [None, (9.0, 10.0)])
def test_a_file_with_a_long_gap_has_every_tick(tmp_path, monkeypatch, sound_secs):
    secs = [k / 25 for k in range(10)]
    if sound_secs is None:
        secs += [9 + sec for sec in secs]
    frames = [(sec, calls.picture(True, 60 + k)) for k, sec in enumerate(secs)]
    sound = calls.voice(1.0) if sound_secs else None
    path = tmp_path / "a.mov"
    writer.write(path, frames, sound, audio_start_secs=9.0)
    extractor = calls.small_extractor(monkeypatch)
    expected, block = calls.offline(path, extractor, calls.predictor_of())
    with calls.recognizer_of(delay_secs=2.0) as call:
        source = sources.FileSource(path, in_real_time=False)
        found = list(itertools.chain.from_iterable(source.estimates(call)))
        assert call.features.n_resyncs == 0
    np.testing.assert_allclose([one.secs for one in found], block["timestamps"])
    for name in ("video_present", "audio_present"):
        there = [getattr(one, name) for one in found]
        np.testing.assert_array_equal(there, block[name])
    np.testing.assert_allclose([one.values for one in found], expected, atol=1e-4)


@pytest.mark.usefixtures("defined_flags")
@pytest.mark.parametrize(
    ("model", "files", "message"),
    [
        ("", ["a"], "--model must be given"),
        ("m", ["a", "b"], "'b': one file at a time"),
        ("m", ["/nowhere.mp4"], "/nowhere.mp4: no such file"),
    ],
)
def test_what_is_wrong_is_told(model, files, message):
    flags.FLAGS.model = model
    with pytest.raises(errors.AvexpError, match=message):
        command.main(["avexp-live", *files])


class Camera:
    """Forty pictures, then it is unplugged."""

    n_left = 40

    def __init__(self, number):
        pass

    def isOpened(self):
        return True

    def read(self):
        self.n_left -= 1
        return self.n_left >= 0, calls.picture(True, 60 + max(self.n_left, 0))

    def release(self):
        pass


class Microphone:
    """A tenth of a second of noise."""

    def __init__(self, callback, **settings):
        assert settings["samplerate"] == 16_000
        self._callback = callback

    def start(self):
        for k in range(5):
            self._callback(calls.voice(0.02, k)[:, None], 320)

    def close(self):
        pass


def test_camera_and_microphone_reach_the_call(monkeypatch):
    devices = types.SimpleNamespace(InputStream=Microphone, PortAudioError=OSError)
    monkeypatch.setattr(sources, "_sounddevice", lambda: devices)
    monkeypatch.setattr(sources.cv2, "VideoCapture", Camera)
    with calls.recognizer_of(origin_secs=None) as call:
        found = []
        stream = sources.DeviceSource().estimates(call)
        for one in stream:
            found += one
            if len(found) > 20:
                break
        stream.close()
    assert any(one.video_present for one in found)
    assert any(one.audio_present for one in found)


def test_a_camera_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(Camera, "isOpened", lambda self: False)
    monkeypatch.setattr(sources.cv2, "VideoCapture", Camera)
    with pytest.raises(errors.DataError, match="camera 3: can't be opened"):
        sources.DeviceSource(3, microphone=False)


def test_the_line_shows_both_scales_and_what_is_there():
    one = recognizer.Estimate(
        index=3,
        secs=0.1,
        values=np.array([-1.0, 0.5], np.float32),
        raw=np.zeros(2),
        video_present=True,
        audio_present=False,
        confidence=0.42,
        box=None,
        score=0.0,
        picture=-1,
        restarted=False,
    )
    assert terminal.line(one) == (
        "     0.1 s  valence -1.00 O---------|----------  "
        "arousal +0.50 ----------|----O-----  face yes  voice no   input  42%"
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *unused):
        pass


@pytest.fixture
def talk(tmp_path):
    """A face for 0.6 seconds of 1.6, and a voice throughout."""
    frames = [(k / 25, calls.picture(k < 15, 60 + k)) for k in range(40)]
    writer.write(tmp_path / "a.mkv", frames, calls.voice(1.6), audio_rate_hz=8_000)
    return tmp_path / "a.mkv"


def follow(url):
    """Returns the estimates of a stream of that talk, having looked at them."""
    with calls.recognizer_of(origin_secs=None, resync_secs=60.0) as call:
        found = list(
            itertools.chain.from_iterable(url_source.UrlSource(url).estimates(call))
        )
    secs = np.array([one.secs for one in found])
    assert len(found) >= 45 and np.ptp(np.diff(secs)) < 1e-6
    seen = np.array([one.video_present for one in found])
    # A camera's first picture comes before its clock is known.
    assert seen[(secs > 0.1) & (secs < 0.5)].mean() > 0.9
    assert not seen[secs > 0.75].any()
    heard = np.array([one.audio_present for one in found])
    assert heard[(secs > 0.2) & (secs < 1.4)].mean() > 0.8


def test_a_stream_is_followed_by_its_own_stamps(talk):
    handler = functools.partial(Quiet, directory=str(talk.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        follow(f"http://127.0.0.1:{server.server_port}/a.mkv")
        missing = f"http://127.0.0.1:{server.server_port}/b.mkv"
        with pytest.raises(errors.DataError, match=f"{missing}: can't be opened"):
            url_source.UrlSource(missing)
        server.shutdown()


def test_a_network_camera_is_followed(talk):
    script = pathlib.Path(__file__).with_name("rtsp_server.py")
    play = ["/usr/bin/python3", str(script)]
    if not os.path.exists(play[0]) or subprocess.run(play).returncode:
        pytest.skip("GStreamer's RTSP server is not installed (see .ci/run)")
    with subprocess.Popen([*play, str(talk)], stdout=subprocess.PIPE) as server:
        try:
            camera = f"rtsp://127.0.0.1:{int(server.stdout.readline())}"
            follow(f"{camera}/call")
            with pytest.raises(errors.DataError, match=f"{camera}/no: can't be opened"):
                url_source.UrlSource(f"{camera}/no")
        finally:
            server.kill()


def test_a_word_is_a_stream_or_a_file():
    assert url_source.is_url("rtsp://camera/1") and url_source.is_url("http://a/b.mp4")
    assert not url_source.is_url("a.mp4") and not url_source.is_url("talk://")


class Noting:
    """A call that only notes what happens to it."""

    def __init__(self):
        self.pictures, self.sound, self.events = [], [], []

    def push_video(self, image, secs):
        self.pictures.append(image)
        self.events.append("push")

    def push_audio(self, samples, secs):
        self.sound.append(samples)
        self.events.append("push")

    def poll(self, now):
        self.events.append("poll")

    def finish(self):
        self.events.append("finish")


def noted(source):
    call = Noting()
    for _ in source.estimates(call):
        pass
    return call


def test_pictures_and_sound_of_a_stream_are_those_of_its_file(tmp_path):
    """Turned as the camera says, and the mean of both channels."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :32] = 255
    sound = np.stack([np.full(3200, 0.5), np.full(3200, 0.3)]).astype(np.float32)
    writer.write(tmp_path / "a.mov", [(0.0, image)], sound, rotation_degrees=90)
    call = noted(url_source.UrlSource(f"file:{tmp_path / 'a.mov'}"))
    (shown,) = call.pictures
    (frame,) = frame_reader.FrameReader(tmp_path / "a.mov")
    np.testing.assert_array_equal(shown, frame.image_bgr())
    assert shown.shape == (64, 32, 3)
    np.testing.assert_allclose(np.concatenate(call.sound), 0.4, atol=1e-3)


def test_a_stream_may_change_its_sound(tmp_path):
    paths = []
    for n_channels, rate_hz in ((1, 16_000), (2, 48_000)):
        paths.append(tmp_path / f"{n_channels}.wav")
        sound = np.full((n_channels, rate_hz // 5), 0.4, np.float32)
        writer.write(paths[-1], audio=sound, audio_rate_hz=rate_hz)
    source = url_source.UrlSource(f"file:{paths[0]}")
    with av.open(str(paths[0])) as one, av.open(str(paths[1])) as other:
        source._container = types.SimpleNamespace(
            demux=lambda streams: itertools.chain(one.demux(), other.demux()),
            close=lambda: None,
        )
        heard = np.concatenate(noted(source).sound)
    assert 6300 < len(heard) <= 6400 and abs(np.median(heard) - 0.4) < 1e-3


def test_all_packets_that_wait_come_before_the_ticks(talk):
    source = url_source.UrlSource(f"file:{talk}")
    source._read = lambda: None
    for k in range(5):
        source._put(url_source._Packet(k / 25, "video", calls.picture(True)))
    source._put(None)
    assert noted(source).events == ["push"] * 5 + ["poll", "finish"]


def test_a_stream_without_anything_is_told(talk):
    def broken(streams):
        raise av.error.InvalidDataError(1, "Invalid data found")

    url = f"file:{talk}"
    message = "a.mkv: broke off before any picture or sound: "
    for demux, said in ((broken, "Invalid data found"), (lambda _: (), "nothing in")):
        source = url_source.UrlSource(url)
        source._container = types.SimpleNamespace(demux=demux, close=lambda: None)
        with pytest.raises(errors.DataError, match=message + said):
            noted(source)
