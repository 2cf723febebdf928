"""The command, from a file to the table, and what stands in for devices."""

import contextlib
import csv
import itertools
import os
import pty
import signal
import sys
import types

import av
import numpy as np
import pytest
from absl import flags

from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.live import __main__ as command
from avexp_tf.live import estimate_table
from avexp_tf.live import recognizer
from avexp_tf.live import sources
from avexp_tf.live import terminal
from avexp_tf.media import writer
from tests.live import calls


@pytest.fixture
def path(tmp_path):
    frames = [(k / 25, calls.picture(k < 15, 60 + k)) for k in range(25)]
    writer.write(tmp_path / "a.mov", frames, calls.voice(1.0))
    return tmp_path / "a.mov"


@pytest.mark.usefixtures("defined_flags")
@pytest.mark.parametrize("model_kind", [calls.Sums, calls.Bounded])
def test_a_file_becomes_a_table(path, tmp_path, monkeypatch, capsys, model_kind):
    def opened(model, live, backbone, weights, origin_secs):
        assert model == "m" and live.visual_budget == "2" and origin_secs == 0
        return calls.recognizer_of(live, model=model_kind())

    monkeypatch.setattr(recognizer.Recognizer, "open", opened)
    monkeypatch.setattr(command.runtime, "set_up", lambda: None)
    table = tmp_path / "a.csv"
    flags.FLAGS.model, flags.FLAGS.csv = "m", str(table)
    flags.FLAGS.visual_budget, flags.FLAGS.in_real_time = "2", False
    assert command.main(["avexp-live", str(path)]) == 0
    assert capsys.readouterr().out == f"30 ticks: {table}\n"
    with open(table) as file:
        rows = list(csv.DictReader(file))
    with calls.recognizer_of(visual_budget="2", model=model_kind()) as call:
        expected = calls.streamed(call, calls.packets_of(path))
    bounds = outputs.BOUNDS if model_kind is calls.Bounded else ()
    assert len(rows) == 30 and tuple(rows[0]) == (*estimate_table.COLUMNS, *bounds)
    for row, one in zip(rows, expected, strict=True):
        assert abs(float(row["valence"]) - one.values[0]) < 1e-5
        ends = [float(row[name]) for name in bounds]
        np.testing.assert_allclose(ends, one.bounds, atol=1e-5)
        assert row["video_present"] == str(int(one.video_present))
        assert (row["face_left"] != "") == (one.box is not None)
    assert {row["video_present"] for row in rows} == {"0", "1"}


def test_a_file_in_real_time_answers_every_tick_in_time(path):
    with calls.recognizer_of(resync_secs=60.0) as call:
        found = list(
            itertools.chain.from_iterable(sources.FileSource(path).estimates(call))
        )
    assert [one.index for one in found] == list(range(30))


def test_long_packets_of_sound_come_in_time(tmp_path):
    """A packet of this codec lasts a second, longer than a tick waits for it."""
    path = tmp_path / "a.tta"
    writer.write(path, audio=calls.voice(1.2), audio_codec="tta")
    with calls.recognizer_of() as call:
        source = sources.FileSource(path)
        found = list(itertools.chain.from_iterable(source.estimates(call)))
        assert call.features.n_dropped_samples == 0
    assert np.mean([one.audio_present for one in found]) > 0.9


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
def test_a_table_replaces_nothing_but_a_table(path, tmp_path, monkeypatch):
    monkeypatch.setattr(
        recognizer.Recognizer, "open", lambda m, live, *_: calls.recognizer_of(live)
    )
    monkeypatch.setattr(command.runtime, "set_up", lambda: None)
    flags.FLAGS.model, flags.FLAGS.in_real_time = "m", False
    before = path.read_bytes()
    for name, message in (
        (path, "is there already, and is no table of a call"),
        (tmp_path, "is a folder, must be a file"),
        (tmp_path / "no" / "a.csv", "can't be written: No such file"),
    ):
        flags.FLAGS.csv = str(name)
        with pytest.raises(errors.DataError, match=message):
            command.main(["avexp-live", str(path)])
    assert path.read_bytes() == before
    flags.FLAGS.csv = str(tmp_path / "a.csv")
    for _ in range(2):  # its own table it replaces
        assert command.main(["avexp-live", str(path)]) == 0


@pytest.mark.usefixtures("defined_flags")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_whatever_ends_a_call_leaves_its_table(tmp_path, monkeypatch, name):
    """A process that a script starts in the background can't be ended by Ctrl-C."""

    class Endless:
        def estimates(self, call):
            with calls.recognizer_of() as other:
                for k in range(1000):
                    other.push_video(calls.picture(True), k / 30)
                    yield other.poll(k / 30)
                    if k == 60:
                        os.kill(os.getpid(), getattr(signal, name))

    def told_again(path, predicted):
        """A terminal that is closed may say so twice."""
        with writing(path, predicted) as write:
            yield write
            os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr(
        recognizer.Recognizer, "open", lambda m, live, *_: calls.recognizer_of(live)
    )
    monkeypatch.setattr(command.runtime, "set_up", lambda: None)
    monkeypatch.setattr(sources, "DeviceSource", lambda *_: Endless())
    writing = estimate_table.writing
    monkeypatch.setattr(
        estimate_table, "writing", contextlib.contextmanager(told_again)
    )
    # Where the tests themselves were started by nohup.
    before = signal.signal(getattr(signal, name), signal.default_int_handler)
    table = tmp_path / "a.csv"
    flags.FLAGS.model, flags.FLAGS.csv = "m", str(table)
    try:
        assert command.main(["avexp-live"]) == 0
    finally:
        signal.signal(getattr(signal, name), before)
    rows = table.read_text().splitlines()
    assert 40 < len(rows) < 100 and list(tmp_path.iterdir()) == [table]


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


@pytest.mark.usefixtures("defined_flags")
def test_what_breaks_off_leaves_its_table(tmp_path, monkeypatch):
    class Breaking:
        def estimates(self, call):
            with calls.recognizer_of() as other:
                for k in range(30):
                    other.push_video(calls.picture(True), k / 30)
                yield other.finish()
            raise errors.DataError("http://a: broke off at 1.0 s: it did")

    monkeypatch.setattr(
        recognizer.Recognizer, "open", lambda m, live, *_: calls.recognizer_of(live)
    )
    monkeypatch.setattr(command.runtime, "set_up", lambda: None)
    monkeypatch.setattr(sources, "DeviceSource", lambda *_: Breaking())
    table = tmp_path / "a.csv"
    flags.FLAGS.model, flags.FLAGS.csv = "m", str(table)
    with pytest.raises(errors.DataError, match="broke off at 1.0 s: it did"):
        command.main(["avexp-live"])
    assert len(table.read_text().splitlines()) == 31


@pytest.mark.usefixtures("defined_flags")
def test_damage_of_a_file_is_told(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        recognizer.Recognizer, "open", lambda m, live, *_: calls.recognizer_of(live)
    )
    monkeypatch.setattr(command.runtime, "set_up", lambda: None)
    table = tmp_path / "a.csv"
    flags.FLAGS.model, flags.FLAGS.csv = "m", str(table)
    flags.FLAGS.in_real_time = False
    blank_pictures(path, 5, 7)
    assert command.main(["avexp-live", str(path)]) == 0
    told = capsys.readouterr().err
    assert told == f"note: {path}: video: 2 damaged packets left out\n"
    before = table.read_bytes()
    writer.write(path, [(k / 25, calls.picture(True)) for k in range(9)])
    blank_pictures(path, 0, 9)
    with pytest.raises(errors.DataError, match="a.mov: holds no pictures or sound th"):
        command.main(["avexp-live", str(path)])
    assert table.read_bytes() == before


def blank_pictures(path, first, end):
    """Writes zeros where some of a file's pictures were."""
    with av.open(str(path)) as opened:
        places = [(one.pos, one.size) for one in opened.demux(video=0) if one.size]
    content = bytearray(path.read_bytes())
    for start, size in places[first:end]:
        content[start : start + size] = bytes(size)
    path.write_bytes(content)


@pytest.mark.usefixtures("defined_flags")
@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        ([], {"page": True, "csv": "a.csv"}, "--csv=a.csv: does nothing with --page"),
        ([], {"page": True, "camera": 1}, "--camera=1: does nothing with --page"),
        ([], {"example": "a"}, "--example=a: does nothing with camera and microphone"),
        (["a.mp4"], {"robust_model": "n"}, "--robust_model=n: does nothing with a fi"),
        (["http://a/b"], {"in_real_time": False}, "--in_real_time=False: does nothin"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(words, given, message):
    for name, value in {"model": "m", **given}.items():
        setattr(flags.FLAGS, name, value)
    with pytest.raises(errors.ConfigError, match=message):
        command.main(["avexp-live", *words])


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


def test_callbacks_that_come_late_and_in_bursts_lose_no_sound(monkeypatch):
    opened = {}
    devices = types.SimpleNamespace(
        InputStream=lambda **settings: opened.update(settings), PortAudioError=OSError
    )
    monkeypatch.setattr(sources, "_sounddevice", lambda: devices)
    source = sources.DeviceSource(-1)
    source._microphone()
    late = np.random.default_rng(0).uniform(0, 0.03, 150)
    for k in range(150):  # in threes, each of them late
        now = 100 + (k // 3 + 1) * 0.06 + late[k // 3]
        monkeypatch.setattr(sources.time, "monotonic", lambda now=now: now)
        opened["callback"](np.zeros((320, 1), np.float32), 320, None, None)
    starts = np.array([source._packets.get().secs for _ in range(150)])
    # What comes first is not yet known to be late.
    np.testing.assert_allclose(np.diff(starts[75:]), 0.02, atol=1e-9)
    assert 0 <= starts[-1] - (100 + 149 * 0.02) < 0.01


def test_a_camera_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(Camera, "isOpened", lambda self: False)
    monkeypatch.setattr(sources.cv2, "VideoCapture", Camera)
    with pytest.raises(errors.DataError, match="camera 3: can't be opened"):
        sources.DeviceSource(3, microphone=False)


def test_a_terminal_that_is_gone_ends_no_call(monkeypatch):
    leading, following = pty.openpty()
    with open(following, "w") as terminal_file:
        monkeypatch.setattr(sys, "stderr", terminal_file)
        os.close(leading)
        written = []
        with calls.recognizer_of() as call:
            for k in range(60):
                call.push_video(calls.picture(True), k / 30)
            found = [call.poll(k / 30) for k in range(60)]
        n_ticks, _ = command._follow(iter(found), written.extend)
        assert n_ticks == len(written) > 40
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            terminal_file.close()


def test_a_call_of_nothing_is_refused():
    with pytest.raises(errors.ConfigError, match="leaves nothing to follow"):
        sources.DeviceSource(-1, microphone=False)


def estimate_of(bounds):
    return recognizer.Estimate(
        index=3,
        secs=0.1,
        values=np.array([-1.0, 0.5], np.float32),
        raw=np.zeros(2),
        bounds=np.float32(bounds),
        video_present=True,
        audio_present=False,
        confidence=0.42,
        box=None,
        score=0.0,
        picture=-1,
        restarted=False,
    )


def test_the_line_shows_both_scales_and_what_is_there():
    assert terminal.line(estimate_of([])) == (
        "     0.1 s  valence -1.00 O---------|----------  "
        "arousal +0.50 ----------|----O-----  face yes  voice no   input  42%"
    )


def test_the_line_shows_intervals_as_far_as_the_scale_goes():
    assert terminal.line(estimate_of([-1.3, -0.8, -0.2, 1.1])) == (
        "     0.1 s  valence -1.00 O==-------|----------  "
        "arousal +0.50 --------==|====O=====  face yes  voice no   input  42%"
    )
