"""Frames and sound of generated files stand where they were put."""

import contextlib
import fractions
import http.server
import itertools
import pathlib
import resource
import struct
import threading
import wave

import av
import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf.media import audio_reader
from avexp_tf.media import clock
from avexp_tf.media import container
from avexp_tf.media import frame_reader
from avexp_tf.media import probe
from avexp_tf.media import splices
from avexp_tf.media import writer

RATE = audio_reader.SAMPLE_RATE_HZ


def pictures(secs, values=None, size=(32, 48)):
    for index, sec in enumerate(secs):
        value = 20 if values is None else values[index]
        yield sec, np.full((*size, 3), value, np.uint8)


def beep(n_secs, at_secs, rate_hz=RATE, n_channels=1):
    audio = np.zeros((n_channels, round(n_secs * rate_hz)), np.float32)
    start = round(at_secs * rate_hz)
    audio[:, start : start + rate_hz // 10] = 0.5
    return audio


def line(path):
    """The whole sound with zeros where there is none, and the gaps as sample ranges."""
    blocks = list(audio_reader.AudioReader(path))
    samples = np.zeros(blocks[-1].start + len(blocks[-1].samples), np.float32)
    gaps, end = [], 0
    for block in blocks:
        if block.start != end:
            gaps.append((end, block.start))
        end = block.start + len(block.samples)
        samples[block.start : end] = block.samples
    return samples, gaps


def test_frames_keep_their_own_stamps_at_a_variable_rate(tmp_path):
    rng = np.random.default_rng(1)
    secs = np.cumsum(rng.uniform(0.01, 0.2, 60)) - 0.01
    writer.write(tmp_path / "a.mov", pictures(secs))
    read = list(frame_reader.FrameReader(tmp_path / "a.mov"))
    np.testing.assert_allclose(
        [frame.secs for frame in read], secs - secs[0], atol=1.1 / 60_000
    )
    np.testing.assert_allclose(
        [frame.duration_secs for frame in read[:-1]], np.diff(secs), atol=2.2 / 60_000
    )
    assert [frame.index for frame in read] == list(range(60))
    assert not any(frame.lost_before for frame in read)


def test_pixels_are_those_that_pyav_gives(tmp_path):
    rng = np.random.default_rng(0)
    some = [
        (k / 25, rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)) for k in range(5)
    ]
    writer.write(tmp_path / "a.mov", some)
    for frame in frame_reader.FrameReader(tmp_path / "a.mov"):
        expected = frame.decoded.to_ndarray(format="bgr24")
        np.testing.assert_array_equal(frame.image_bgr(), expected)


@pytest.mark.parametrize(
    ("degrees", "corner"),
    [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (-90, (0, 1))],
)
def test_rotation_of_the_file_is_honoured(tmp_path, degrees, corner):
    image = np.zeros((32, 64, 3), np.uint8)
    image[:16, :32] = 255  # the upper left quarter, as stored
    writer.write(tmp_path / "a.mov", [(0.0, image)], rotation_degrees=degrees)
    (read,) = frame_reader.FrameReader(tmp_path / "a.mov")
    shown = read.image_bgr()
    assert shown.shape == ((32, 64, 3) if degrees in (0, 180) else (64, 32, 3))
    height, width = shown.shape[:2]
    # Turned by 90 degrees against the clock, upper left becomes lower left.
    quarters = shown.reshape(2, height // 2, 2, width // 2, 3).mean(axis=(1, 3, 4))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == corner


@pytest.mark.parametrize(
    "matrix",
    [(x, 0, 0, y) for x in (1, -1) for y in (1, -1)]
    + [(0, x, y, 0) for x in (1, -1) for y in (1, -1)],
)
def test_mirrored_pictures_of_the_file_are_flipped(tmp_path, matrix):
    """A front camera's display matrix also mirrors: all eight ways to lie."""
    shades = np.array([[40, 90], [140, 190]], np.uint8)
    image = np.repeat(shades.repeat(16, axis=0).repeat(32, axis=1)[..., None], 3, 2)
    path = tmp_path / "a.mov"
    writer.write(path, [(0.0, image)])
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    a, b, c, d = (round(65536 * one) for one in matrix)
    struct.pack_into(">5i", content, place, a, b, 0, c, d)
    path.write_bytes(content)
    expected = np.zeros_like(shades)
    for row, column in np.ndindex(2, 2):
        # From the center, x to the right and y down: as the file format defines it.
        x, y = 2 * column - 1, 2 * row - 1
        shown_x, shown_y = (matrix[k] * x + matrix[2 + k] * y for k in range(2))
        expected[(shown_y + 1) // 2, (shown_x + 1) // 2] = shades[row, column]
    (read,) = frame_reader.FrameReader(path)
    height, width = read.image_bgr().shape[:2]
    assert (height, width) == ((32, 64) if matrix[0] else (64, 32))
    quarters = read.image_bgr().reshape(2, height // 2, 2, width // 2, 3)
    np.testing.assert_allclose(quarters.mean(axis=(1, 3, 4)), expected, atol=4)


@pytest.mark.parametrize(
    ("aspect", "shape"), [("1", (48, 64)), ("16/11", (70, 64)), ("9", (48, 64))]
)
def test_pixels_that_are_not_square_are_made_so(tmp_path, aspect, shape):
    """The stored width is scaled before the picture is turned; 9 is not believed."""
    with av.open(str(tmp_path / "a.mov"), "w") as opened:
        stream = opened.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(aspect)
        stream.set_display_rotation(90)
        image = np.full((64, 48, 3), 90, np.uint8)
        opened.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        opened.mux(stream.encode(None))
    (read,) = frame_reader.FrameReader(tmp_path / "a.mov")
    assert read.image_bgr().shape == (*shape, 3)


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".ts", ".mp4"])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_sound_and_picture_share_one_clock(tmp_path, suffix, rate_hz):
    secs = np.arange(90) * 1001 / 30_000
    values = [255 if index == 60 else 20 for index in range(90)]
    writer.write(
        tmp_path / f"a{suffix}",
        pictures(secs, values),
        beep(2.0, secs[60] - 0.5, rate_hz),
        audio_rate_hz=rate_hz,
        audio_start_secs=0.5,
        audio_codec="aac" if suffix in (".ts", ".mp4") else "pcm_s16le",
    )
    (flash,) = [
        frame
        for frame in frame_reader.FrameReader(tmp_path / f"a{suffix}")
        if frame.image_bgr().mean() > 120
    ]
    samples, gaps = line(tmp_path / f"a{suffix}")
    heard_secs = np.flatnonzero(np.abs(samples) > 0.25)[0] / RATE
    # The encoder's own delay may stand in front, after the gap of the late start.
    assert gaps[0][0] == 0 and 0.4 < gaps[0][1] / RATE <= 0.501
    assert len(gaps) == 1
    assert abs(heard_secs - flash.secs) < 0.002
    assert abs(flash.secs - secs[60]) < 0.001


def test_every_channel_is_heard_and_none_adds_up_beyond_one(tmp_path):
    audio = np.zeros((2, RATE), np.float32)
    audio[1, :4000] = 0.8  # the right channel alone
    audio[:, 8000:12000] = 0.9  # both at once
    writer.write(tmp_path / "a.mov", audio=audio)
    samples, gaps = line(tmp_path / "a.mov")
    np.testing.assert_allclose(samples[:4000], 0.4, atol=1e-4)
    np.testing.assert_allclose(samples[8000:12000], 0.9, atol=1e-4)
    assert gaps == [] and len(samples) == RATE


@pytest.mark.parametrize("n_channels", [1, 2, 8, 22])
def test_any_number_of_channels_is_read(tmp_path, n_channels):
    """PyAV finds planes that there are not in planar sound of 8 channels and more."""
    samples = np.zeros((4000, n_channels), np.int16)
    samples[:, n_channels - 1] = 16384
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(n_channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    found = np.concatenate(
        [block.samples for block in audio_reader.AudioReader(tmp_path / "a.wav")]
    )
    assert len(found) == 4000
    np.testing.assert_allclose(found, 0.5 / n_channels, atol=1e-4)


def test_channels_are_kept_apart_on_request(tmp_path):
    audio = np.zeros((2, 8000), np.float32)
    audio[1] = 0.25
    writer.write(tmp_path / "a.mov", audio=audio)
    reader = audio_reader.AudioReader(tmp_path / "a.mov", 48_000, "stereo")
    found = np.concatenate([block.samples for block in reader], axis=1)
    assert found.shape == (2, 24_000)
    assert np.abs(found[0]).max() < 1e-3
    np.testing.assert_allclose(found[1, 100:-100], 0.25, atol=0.01)


def test_sound_is_written_in_pieces_of_any_length(tmp_path):
    rng = np.random.default_rng(3)
    audio = rng.uniform(-0.5, 0.5, (2, 9000)).astype(np.float32)
    pieces = iter(
        [audio[:, :1], audio[:, 1:5000], audio[:, 5000:5003], audio[:, 5003:]]
    )
    frames = [(k / 25, np.zeros((16, 16, 3), np.uint8)) for k in range(10)]
    writer.write(tmp_path / "whole.mov", frames, audio)
    writer.write(tmp_path / "pieces.mov", frames, pieces)
    assert (tmp_path / "whole.mov").read_bytes() == (
        tmp_path / "pieces.mov"
    ).read_bytes()


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_the_last_picture_is_shown_as_long_as_the_one_before(tmp_path, codec):
    path = tmp_path / "a.mp4"
    options = {"bf": "0"}
    writer.write(
        path, pictures([0.0, 1.0, 4.0]), video_codec=codec, video_options=options
    )
    with av.open(str(path)) as opened:
        assert opened.duration == 7 * av.time_base
        assert len(list(opened.decode(video=0))) == 3


def test_a_folder_may_have_a_colon_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run:1").mkdir()
    writer.write("run:1/a.mov", pictures([0.0, 0.04]))
    assert len(list(frame_reader.FrameReader("run:1/a.mov"))) == 2


def test_what_can_not_be_written_is_told_by_its_own_name(tmp_path):
    with pytest.raises(errors.DataError, match="no/a.mov: can't be written: No such"):
        writer.write(tmp_path / "no" / "a.mov", pictures([0.0]))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).uniform(-1, 1, 200_000).astype(np.float32)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(errors.DataError, match=r"/a.mov: can't be written: File t"):
            writer.write(tmp_path / "a.mov", audio=noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_resampled_sound_keeps_its_length_and_pitch(tmp_path):
    seconds = np.arange(44_100 * 3) / 44_100
    tone = np.sin(2 * np.pi * 440 * seconds).astype(np.float32) / 2
    writer.write(tmp_path / "a.mov", audio=tone, audio_rate_hz=44_100)
    samples, _ = line(tmp_path / "a.mov")
    assert len(samples) == 3 * RATE
    expected = np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE) / 2
    np.testing.assert_allclose(samples[100:-100], expected[100:-100], atol=2e-3)


def test_streams_that_are_not_there_yield_nothing(tmp_path):
    writer.write(tmp_path / "v.mov", pictures([0.0, 0.04]))
    writer.write(tmp_path / "a.mov", audio=beep(1.0, 0.5))
    assert list(audio_reader.AudioReader(tmp_path / "v.mov")) == []
    assert list(frame_reader.FrameReader(tmp_path / "a.mov")) == []
    seen = probe.probe(tmp_path / "v.mov")
    assert (seen.width, seen.height, seen.audio_codec) == (48, 32, None)
    heard = probe.probe(tmp_path / "a.mov")
    assert (heard.video_codec, heard.audio_rate_hz) == (None, RATE)
    assert heard.duration_secs == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".ts"])
def test_a_file_lasts_from_its_first_stamp(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    writer.write(path, pictures(50 + np.arange(26) / 25))
    assert probe.probe(path).duration_secs == pytest.approx(1.0, abs=0.1)


def test_only_a_header_says_how_long_a_file_lasts(tmp_path):
    """The first packets are small here; the guess would be too long."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    noise[:RATE] = 0
    found = {}
    for name, codec in (("a.aac", "aac"), ("a.mp2", "mp2"), ("a.mp3", "mp3")):
        writer.write(tmp_path / name, audio=noise, audio_codec=codec)
        found[name] = probe.probe(tmp_path / name).duration_secs
    assert found == {"a.aac": None, "a.mp2": None, "a.mp3": pytest.approx(3.0)}


def test_a_second_joined_recording_goes_on_where_the_first_ended(tmp_path):
    """Two transport streams one after the other: the stamps start again."""
    for name, value in (("a", 40), ("b", 200)):
        writer.write(
            tmp_path / f"{name}.ts",
            pictures(np.arange(75) / 25, [value] * 75),
            beep(3.0, 1.0),
            audio_codec="aac",
        )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(
        (tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes()
    )
    read = list(frame_reader.FrameReader(joined))
    secs = np.array([frame.secs for frame in read])
    assert np.all(np.diff(secs) > 0)
    assert secs[-1] == pytest.approx(6.0, abs=0.2)
    bright = next(frame for frame in read if frame.image_bgr().mean() > 120)
    assert bright.secs - secs[0] == pytest.approx(3.0, abs=0.1)
    samples, _ = line(joined)
    heard = (np.abs(samples) > 0.3).astype(int)
    onsets = np.flatnonzero(np.diff(heard) == 1) / RATE
    for start_secs, slack_secs in ((secs[0], 0.01), (bright.secs, 0.1)):
        assert np.abs(onsets - start_secs - 1.0).min() < slack_secs


@pytest.mark.parametrize(("video_secs", "audio_secs"), [(1.6, 1.2), (1.2, 1.6)])
def test_pictures_and_sound_stay_together_over_many_joins(
    tmp_path, video_secs, audio_secs
):
    """Parts whose sound is shorter than their pictures, or longer."""
    secs = np.arange(round(video_secs * 25)) / 25
    bright = [200 if 0.8 <= sec < 1.0 else 20 for sec in secs]
    part = tmp_path / "part.ts"
    writer.write(part, pictures(secs, bright), beep(audio_secs, 0.8), audio_codec="aac")
    (tmp_path / "all.ts").write_bytes(part.read_bytes() * 8)
    frames = list(frame_reader.FrameReader(tmp_path / "all.ts"))
    lit = np.array([frame.image_bgr().mean() > 110 for frame in frames]).astype(int)
    flashes = np.array([frame.secs for frame in frames])[1:][np.diff(lit) == 1]
    samples, _ = line(tmp_path / "all.ts")
    heard = (np.abs(samples) > 0.3).astype(int)
    onsets = np.flatnonzero(np.diff(heard) == 1) / RATE
    beeps = onsets[np.diff(onsets, prepend=-1) > 0.5]
    assert len(flashes) == len(beeps) == 8
    np.testing.assert_allclose(beeps, flashes, atol=0.02)
    np.testing.assert_allclose(np.diff(flashes), 1.6, atol=0.1)


def test_clock_by_hand(tmp_path):
    writer.write(tmp_path / "a.mov", pictures([0.0]))  # not spliced: nothing is known
    unknown = splices.Splices(tmp_path / "a.mov", "video", 10.0)
    ticks = clock.StreamClock("f", 10.0, 0.04, unknown)
    assert ticks.read(1000, 1 / 100) == 0.0
    assert ticks.read(1004, 1 / 100) == pytest.approx(0.04)
    assert ticks.read(None, 1 / 100) == pytest.approx(0.08)  # no stamp: one period
    assert ticks.read(1008, 1 / 100) == pytest.approx(0.081)  # the same: a nudge
    assert ticks.read(1300, 1 / 100) == pytest.approx(3.0)
    assert ticks.read(1000, 1 / 100) == pytest.approx(3.04)  # spliced: goes on
    assert ticks.read(1010, 1 / 100) == pytest.approx(3.14)
    with pytest.raises(
        errors.DataError, match=r"f: damaged: time stamps jump from 3\."
    ):
        ticks.read(10_000_000, 1 / 100)


def test_a_gap_in_the_stamps_is_a_gap_in_the_sound(tmp_path, monkeypatch):
    writer.write(tmp_path / "a.mov", audio=np.full(RATE * 2, 0.25, np.float32))
    decode = audio_reader.AudioReader._decoded

    def stretched(self, opened, stream):
        for decoded in decode(self, opened, stream):
            n_before = round(decoded.pts * float(decoded.time_base) * RATE)
            late = 480 if n_before >= RATE else 160 if n_before >= RATE // 2 else 0
            decoded.pts += late  # 10 ms: trembling; 30 ms: a gap
            yield decoded

    monkeypatch.setattr(audio_reader.AudioReader, "_decoded", stretched)
    samples, gaps = line(tmp_path / "a.mov")
    ((start, end),) = gaps
    assert RATE <= start < RATE + 1024 and end - start == 480
    assert np.all(samples[start:end] == 0) and len(samples) == 2 * RATE + 480


def test_after_a_splice_the_new_stamps_count(tmp_path, monkeypatch):
    writer.write(tmp_path / "a.mov", audio=np.full(RATE * 3, 0.25, np.float32))
    decode = audio_reader.AudioReader._decoded

    def spliced(self, opened, stream):
        for index, decoded in enumerate(decode(self, opened, stream)):
            decoded.pts += 100 * RATE if index < 10 else 0
            decoded.pts += RATE // 2 if index >= 20 else 0
            yield decoded

    monkeypatch.setattr(audio_reader.AudioReader, "_decoded", spliced)
    samples, gaps = line(tmp_path / "a.mov")
    (_, late), (start, end) = gaps
    assert late == 100 * RATE and end - start == RATE // 2
    assert len(samples) == 103.5 * RATE


def test_sound_that_can_not_be_resampled_is_a_gap(tmp_path, monkeypatch):
    writer.write(tmp_path / "a.mov", audio=np.full(RATE * 2, 0.25, np.float32))
    resample = av.AudioResampler.resample
    n_calls = 0

    class Failing:
        def __init__(self, **options):
            self.resampler = av.audio.resampler.AudioResampler(**options)

        def resample(self, decoded):
            nonlocal n_calls
            n_calls += 1
            if n_calls in (9, 10):
                raise av.error.ArgumentError(22, "Invalid argument")
            return resample(self.resampler, decoded)

    monkeypatch.setattr(av, "AudioResampler", Failing)
    reader = audio_reader.AudioReader(tmp_path / "a.mov")
    blocks = list(reader)
    starts = [block.start for block in blocks]
    ends = [block.start + len(block.samples) for block in blocks]
    assert reader.n_damaged == 2 and ends[-1] == 2 * RATE
    gaps = np.array(starts[1:]) - np.array(ends[:-1])
    assert np.count_nonzero(gaps) == 1 and gaps.max() == 2 * len(blocks[0].samples)


def test_a_step_back_is_not_written_twice(tmp_path, monkeypatch):
    ramp = np.arange(RATE, dtype=np.float32) / (2 * RATE)
    writer.write(tmp_path / "a.mov", audio=ramp)
    decode = audio_reader.AudioReader._decoded

    def repeated(self, opened, stream):
        for decoded in decode(self, opened, stream):
            decoded.pts = max(0, decoded.pts - 4096)
            yield decoded

    monkeypatch.setattr(audio_reader.AudioReader, "_decoded", repeated)
    blocks = list(audio_reader.AudioReader(tmp_path / "a.mov"))
    ends = [block.start + len(block.samples) for block in blocks]
    assert all(later.start >= end for end, later in zip(ends, blocks[1:], strict=False))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "no such file"),
        ("empty.mp4", b"", r"is empty \(0 bytes\)"),
        ("noise.mp4", bytes(range(256)) * 40, "is no media file"),
        ("words.mp4", b"valence,arousal\n0.1,0.2\n" * 50, "is no media file"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "list.m3u8: "),
        ("list.sdp", b"v=0\nm=audio 9 RTP/AVP 0\nc=IN IP4 127.0.0.1\n", "list.sdp: "),
        ("poem.txt", b"some lines of text\n" * 50, "poem.txt: is a text file"),
    ],
)
def test_what_is_no_recording_ends_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for use in (
        probe.probe,
        lambda path: list(frame_reader.FrameReader(path)),
        lambda path: list(audio_reader.AudioReader(path)),
    ):
        with pytest.raises(errors.DataError, match=message) as caught:
            use(path)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(errors.DataError, match="not a file"):
        probe.probe(tmp_path)


def test_a_name_with_a_colon_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer.write("a.mov", pictures([0.0, 0.04]))
    pathlib.Path("a.mov").rename("http:10%d.mov")
    assert len(list(frame_reader.FrameReader("http:10%d.mov"))) == 2


def test_a_play_list_reaches_for_nothing(tmp_path):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/a.ts"
        (tmp_path / "a.m3u8").write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(errors.DataError, match="a.m3u8: "):
            probe.probe(tmp_path / "a.m3u8")
        server.shutdown()
        thread.join()
    assert asked == []


def test_what_the_decoder_holds_is_read_when_the_file_breaks_off(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    frames = [
        (k / 25, rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for k in range(60)
    ]
    writer.write(tmp_path / "a.mov", frames)
    opened = container.opened

    @contextlib.contextmanager
    def breaking(path):
        with opened(path) as whole:

            class Breaking:
                streams = whole.streams
                start_time = whole.start_time

                def demux(self, stream):
                    yield from itertools.islice(whole.demux(stream), 40)
                    raise av.error.InvalidDataError(1, "broken off")

            yield Breaking()

    monkeypatch.setattr(container, "opened", breaking)
    reader = frame_reader.FrameReader(tmp_path / "a.mov")
    assert len(list(reader)) == 40 and reader.broke_off


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path):
    rng = np.random.default_rng(0)
    frames = [
        (k / 25, rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for k in range(100)
    ]
    writer.write(tmp_path / "a.mkv", frames, np.zeros(RATE * 4, np.float32))
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "half.mkv").write_bytes(whole[: len(whole) // 2])
    assert 20 < len(list(frame_reader.FrameReader(tmp_path / "half.mkv"))) < 80
    samples, _ = line(tmp_path / "half.mkv")
    assert RATE < len(samples) < 3 * RATE


def test_a_damaged_stretch_is_marked_and_the_rest_read(tmp_path):
    rng = np.random.default_rng(0)
    frames = [
        (k / 25, rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for k in range(100)
    ]
    writer.write(tmp_path / "a.mov", frames, video_codec="png")
    content = bytearray((tmp_path / "a.mov").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 30_000] = bytes(30_000)
    (tmp_path / "a.mov").write_bytes(content)
    reader = frame_reader.FrameReader(tmp_path / "a.mov")
    read = list(reader)
    marked = [frame for frame in read if frame.lost_before]
    assert 0 < reader.n_damaged < 10
    assert len(read) == 100 - reader.n_damaged and len(marked) == 1
    assert marked[0].secs > read[marked[0].index - 1].secs + 0.06


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_flipped_bits_never_end_in_a_traceback(tmp_path, kind):
    rng = np.random.default_rng(7)
    frames = [
        (k / 25, rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for k in range(25)
    ]
    writer.write(tmp_path / "a.mp4", frames, beep(1.0, 0.5), audio_codec="aac")
    whole = np.frombuffer((tmp_path / "a.mp4").read_bytes(), np.uint8)
    outcomes = set()
    for _ in range(40):
        content = whole.copy()
        where = rng.integers(0, len(content), rng.integers(1, 60))
        content[where] ^= 1 << rng.integers(0, 8, len(where)).astype(np.uint8)
        (tmp_path / "b.mp4").write_bytes(content.tobytes())
        reader = {
            "video": frame_reader.FrameReader,
            "audio": audio_reader.AudioReader,
        }[kind]
        try:
            secs = [
                one.secs if kind == "video" else one.start
                for one in reader(tmp_path / "b.mp4")
            ]
            assert np.all(np.diff(secs) > 0)
            outcomes.add("read")
        except errors.DataError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert "read" in outcomes


def test_a_cover_picture_is_no_video(tmp_path):
    writer.write(tmp_path / "a.mov", pictures([0.0]), beep(1.0, 0.5))
    with container.opened(tmp_path / "a.mov") as opened:
        stream = container.stream(opened, "video")
        assert stream is not None

        class Cover:
            disposition = av.stream.Disposition.attached_pic
            codec_context = stream.codec_context

        class Streams:
            video = [Cover()]

        class Container:
            streams = Streams()

        assert container.stream(Container(), "video") is None
