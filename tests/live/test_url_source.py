"""Streams: followed by their own stamps, whatever their senders do."""

import contextlib
import functools
import http.server
import itertools
import os
import pathlib
import re
import subprocess
import threading
import time
import types

import av
import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf.live import url_source
from avexp_tf.media import frame_reader
from avexp_tf.media import writer
from tests.live import calls


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


def test_a_file_in_chunks_is_followed_whole(talk, tmp_path):
    """The sound of a second comes after its pictures, and is not late for that."""
    (tmp_path / "served").mkdir()
    target = tmp_path / "served" / "a.mp4"
    movflags = {"movflags": "empty_moov+default_base_moof", "frag_duration": "900000"}
    with (
        av.open(str(talk)) as source,
        av.open(str(target), "w", options=movflags) as to,
    ):
        copies = {
            "video": to.add_stream_from_template(source.streams.video[0]),
            "audio": to.add_stream("aac", rate=16_000, layout="mono"),
        }
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copies["video"]
                to.mux(packet)
        source.seek(0)
        for frame in source.decode(audio=0):
            to.mux(copies["audio"].encode(frame))
        to.mux(copies["audio"].encode(None))
    handler = functools.partial(Quiet, directory=str(target.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        follow(f"http://127.0.0.1:{server.server_port}/a.mp4")
        server.shutdown()


@pytest.fixture
def paced():
    """Serves MPEG-TS by its own stamps: {path: [bytes, seconds before it is sent]}."""
    served = {}

    class Paced(http.server.BaseHTTPRequestHandler):
        def log_message(self, *unused):
            pass

        def do_GET(self):
            self.send_response(200)
            if "short" in self.path:
                self.send_header("Content-Length", "9999999")
            self.end_headers()
            with contextlib.suppress(OSError):
                start = time.monotonic()
                for due_secs, piece in served[self.path]:
                    time.sleep(max(0.0, start + due_secs - time.monotonic()))
                    self.wfile.write(piece)
                    self.wfile.flush()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Paced) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", served
        server.shutdown()


def pieces(path):
    """The bytes of a stream, each with the seconds at which they are due."""
    with av.open(str(path)) as container:
        places = sorted(
            (packet.pos, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.pos and packet.dts is not None
        )
    content, first = path.read_bytes(), min(secs for _, secs in places)
    starts = [0, *(place for place, _ in places)]
    ends = [*(place for place, _ in places), len(content)]
    secs = [0.0, *(sec - first for _, sec in places)]
    return [
        (sec, content[start:end])
        for sec, start, end in zip(secs, starts, ends, strict=True)
    ]


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """Five seconds of a face and a voice, as MPEG-TS."""
    path = tmp_path_factory.mktemp("stream") / "a.ts"
    frames = [(k / 25, calls.picture(True, 60 + k % 40)) for k in range(125)]
    writer.write(path, frames, calls.voice(5.0), audio_codec="aac")
    return pieces(path)


def followed(url):
    """Returns the estimates of a stream, and how long it took."""
    start = time.monotonic()
    with calls.recognizer_of(origin_secs=None) as call:
        source = url_source.UrlSource(url)
        found = list(itertools.chain.from_iterable(source.estimates(call)))
    return found, time.monotonic() - start


def test_a_stream_that_pauses_goes_on(stream, paced):
    """A sender that is late once is late from then on."""
    url, served = paced
    served["/a.ts"] = [(secs + 2.0 * (secs > 1.5), piece) for secs, piece in stream]
    found, _ = followed(f"{url}/a.ts")
    late = [one for one in found if one.secs > found[-1].secs - 0.8]
    assert np.mean([one.video_present for one in late]) > 0.7
    assert np.mean([one.audio_present for one in late]) > 0.5


def test_a_stream_that_starts_again_goes_on(stream, paced):
    url, served = paced
    again = [(secs + 5.0, piece) for secs, piece in stream]
    served["/a.ts"] = [*stream, *again, *((secs + 5.0, piece) for secs, piece in again)]
    found, _ = followed(f"{url}/a.ts")
    late = found[-20:]
    assert np.mean([one.video_present for one in late]) > 0.7
    assert np.mean([one.audio_present for one in late]) > 0.5


def test_a_file_of_a_server_takes_its_time(stream, paced, talk):
    handler = functools.partial(Quiet, directory=str(talk.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found, took_secs = followed(f"http://127.0.0.1:{server.server_port}/a.mkv")
        server.shutdown()
    assert took_secs > 1.4 and len(found) >= 45


def test_a_stream_does_not_wait_for_who_follows_it(stream, paced):
    """What came before somebody followed it is old."""
    url, served = paced
    served["/a.ts"] = stream
    source = url_source.UrlSource(f"{url}/a.ts")
    time.sleep(1.0)
    with calls.recognizer_of(origin_secs=None) as call:
        found = list(itertools.chain.from_iterable(source.estimates(call)))
        assert call.features.n_resyncs == 0
    assert np.mean([one.video_present for one in found]) > 0.9


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
    source._clock.arrived(0.0, time.monotonic())
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


def broken_off(call, source):
    """Returns what is said of a stream that breaks off, after its last estimate."""
    with pytest.raises(errors.DataError, match="broke off at") as raised:
        for _ in source.estimates(call):
            pass
    assert call.events[-1] == "finish" and len(call.pictures) > 5
    return str(raised.value)


def test_a_server_that_hangs_up_is_told(stream, paced):
    """Where it told a length; else that is how it ends a stream."""
    url, served = paced
    served["/short.ts"] = [one for one in stream if one[0] < 1.5]
    said = broken_off(Noting(), url_source.UrlSource(f"{url}/short.ts"))
    assert re.fullmatch(r"http://.*/short.ts: broke off at 1\.\d s: Input/out.*", said)


def test_a_pause_that_is_too_long_is_told(talk):
    with av.open(str(talk)) as opened:

        def demux(streams):
            yield from itertools.islice(opened.demux(), 30)
            raise av.error.ExitError(1, "Immediate exit requested")

        source = url_source.UrlSource(f"file:{talk}")
        source._container = types.SimpleNamespace(demux=demux, close=lambda: None)
        said = broken_off(Noting(), source)
    assert re.fullmatch(r".*a.mkv: broke off at 0\.\d s: nothing came for 10 s", said)
