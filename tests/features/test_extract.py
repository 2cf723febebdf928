"""From a file to features: what stands at each tick, and what is missing."""

import pickle
import re

import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.features import backbones
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import detection
from avexp_tf.features import extract
from avexp_tf.features import settings
from avexp_tf.features import weights
from avexp_tf.media import writer

RATE = 16_000
FEATURES = recording.FeatureSet("mean_color", "1", 3)


class MeanColor:
    """A backbone whose features are the crop's mean, counted where it is called."""

    features = FEATURES

    def __init__(self):
        self.n_described = 0

    def describe(self, crops):
        self.n_described += len(crops)
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


@pytest.fixture
def made(monkeypatch):
    """Networks that need no files; those that were made."""
    found = []

    def make_backbone(config):
        found.append(MeanColor())
        return found[-1]

    monkeypatch.setattr(backbones, "features", lambda config: FEATURES)
    monkeypatch.setattr(backbones, "make", make_backbone)
    monkeypatch.setattr(detection, "make", lambda config: BrightSquare())
    return found


def picture(gray, with_face):
    image = np.full((96, 128, 3), gray, np.uint8)
    if with_face:
        image[32:64, 48:80] = 230
    return image


def voice(n_secs):
    rng = np.random.default_rng(0)
    return rng.uniform(-0.3, 0.3, round(n_secs * RATE)).astype(np.float32)


def read(path, config=None, **options):
    extractor = extract.Extractor(config or settings.FeatureConfig())
    return extractor, list(extractor.read(path, **options))


def joined(stretches, name):
    blocks = [stretch.block for stretch in stretches]
    if hasattr(blocks[0], name):
        return np.concatenate([getattr(block, name) for block in blocks])
    return np.concatenate([getattr(stretch, name) for stretch in stretches])


def test_ticks_hold_what_is_seen_and_heard(made, tmp_path):
    """25 frames per second, a face from 0.4 to 1.2 s; sound from 0.5 to 1.5 s."""
    frames = [(k / 25, picture(100, 10 <= k < 30)) for k in range(50)]
    writer.write(tmp_path / "a.mov", frames, voice(1.0), audio_start_secs=0.5)
    _, stretches = read(tmp_path / "a.mov")
    secs = joined(stretches, "timestamps")
    np.testing.assert_allclose(secs, np.arange(60) / 30)
    seen = joined(stretches, "video_present")
    shown = np.arange(60) * 25 // 30
    np.testing.assert_array_equal(joined(stretches, "frames"), shown)
    np.testing.assert_array_equal(seen, (shown >= 10) & (shown < 30))
    # The square of 230 without its surroundings, as compression leaves it.
    np.testing.assert_allclose(
        joined(stretches, "video")[seen], 230 / 127.5 - 1, atol=0.05
    )
    assert not joined(stretches, "video")[~seen].any()
    np.testing.assert_allclose(
        joined(stretches, "boxes")[seen], [[48, 32, 80, 64]] * 24
    )
    assert np.isnan(joined(stretches, "boxes")[~seen]).all()
    scores = joined(stretches, "scores")
    assert np.all(scores[seen] == np.float32(0.9))
    assert np.all(scores[~seen] == np.float32(0.3))
    heard = joined(stretches, "audio_present")
    np.testing.assert_array_equal(np.flatnonzero(heard), np.arange(15, 46))
    assert joined(stretches, "audio").shape == (60, 65)
    assert not joined(stretches, "audio")[~heard].any()
    assert not joined(stretches, "label_valid").any()
    # A picture that two ticks show is described once.
    assert made[0].n_described == 20


def test_one_tick_per_frame_on_the_frames_clock(made, tmp_path):
    rng = np.random.default_rng(2)
    secs = np.cumsum(rng.uniform(0.01, 0.08, 600))
    frames = [(sec, picture(100, True)) for sec in secs]
    writer.write(tmp_path / "a.mov", frames, voice(5.0))
    _, stretches = read(tmp_path / "a.mov", clock="frames")
    found = joined(stretches, "timestamps")
    # The start of a stream is rounded to milliseconds in this container.
    np.testing.assert_allclose(found, secs, atol=6e-4)
    np.testing.assert_array_equal(joined(stretches, "frames"), np.arange(600))
    assert [len(stretch.block) for stretch in stretches] == [256, 256, 88]


def test_a_picture_shown_across_a_stretch_keeps_its_face(made, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "_BLOCK_TICKS", 4)
    frames = [(k / 10, picture(100, k % 2 == 0)) for k in range(10)]
    writer.write(tmp_path / "a.mov", frames)
    _, stretches = read(tmp_path / "a.mov")
    expected = np.arange(30) // 3 % 2 == 0
    np.testing.assert_array_equal(joined(stretches, "video_present"), expected)
    video = joined(stretches, "video")
    np.testing.assert_allclose(video[expected], 230 / 127.5 - 1, atol=0.05)


def test_background_is_the_picture_with_its_face_blanked(made, tmp_path):
    frames = [(k / 30, picture(40 + 4 * k, k < 15)) for k in range(30)]
    writer.write(tmp_path / "a.mov", frames, voice(2.0), video_codec="png")
    config = settings.FeatureConfig(background=True)
    _, stretches = read(tmp_path / "a.mov", config)
    background = joined(stretches, "background")
    present = joined(stretches, "video_present")
    assert background.shape == (60, 3) and present.sum() == 15
    for k in range(30):
        image = picture(40 + 4 * k, k < 15)
        box = np.array([48, 32, 80, 64]) if k < 15 else None
        by_hand = crop_lib.background(image, box).mean(axis=(0, 1))
        np.testing.assert_allclose(background[k], by_hand, atol=1e-5)
    assert not background[30:].any()  # there is sound, and no picture


def test_sound_without_pictures_and_pictures_without_sound(made, tmp_path):
    writer.write(tmp_path / "a.mov", audio=voice(1.0))
    _, stretches = read(tmp_path / "a.mov")
    assert not joined(stretches, "video_present").any()
    assert joined(stretches, "audio_present").sum() == 30
    assert np.all(joined(stretches, "frames") == -1)
    writer.write(tmp_path / "v.mov", [(k / 30, picture(1, True)) for k in range(30)])
    _, stretches = read(tmp_path / "v.mov")
    assert joined(stretches, "video_present").all()
    assert not joined(stretches, "audio_present").any()
    with pytest.raises(errors.DataError, match="a.mov: holds no pictures that can be"):
        read(tmp_path / "a.mov", clock="frames")


def test_a_face_goes_with_the_last_picture(made, tmp_path):
    frames = [(k / 30, picture(1, True)) for k in range(30)]
    writer.write(tmp_path / "a.mov", frames, voice(2.0))
    _, stretches = read(tmp_path / "a.mov")
    seen = joined(stretches, "video_present")
    assert len(seen) == 60 and seen[:30].all() and not seen[30:].any()
    assert not joined(stretches, "video")[30:].any()
    assert np.isnan(joined(stretches, "boxes")[30:]).all()
    assert not joined(stretches, "scores")[30:].any()


def test_nothing_that_can_be_decoded_ends_in_one_line(made, tmp_path):
    writer.write(tmp_path / "a.mov", [(0.0, picture(1, True))], video_codec="png")
    content = (tmp_path / "a.mov").read_bytes()
    start = content.index(b"\x89PNG")
    broken = content[:start] + bytes(200) + content[start + 200 :]
    (tmp_path / "b.mov").write_bytes(broken)
    with pytest.raises(
        errors.DataError, match="b.mov: holds no pictures or sound that"
    ):
        read(tmp_path / "b.mov")


def test_what_is_damaged_or_cut_off_is_reported(made, tmp_path):
    rng = np.random.default_rng(0)
    frames = [
        (k / 25, rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for k in range(100)
    ]
    writer.write(tmp_path / "a.mkv", frames)
    writer.write(tmp_path / "a.mov", frames, video_codec="png")
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "half.mkv").write_bytes(whole[: len(whole) // 2])
    holed = bytearray((tmp_path / "a.mov").read_bytes())
    starts = [found.start() for found in re.finditer(b"\x89PNG", holed)]
    for index in (30, 31):
        holed[starts[index] : starts[index] + 100] = bytes(100)
    (tmp_path / "hole.mov").write_bytes(holed)
    lines = []
    read(tmp_path / "a.mkv", report=lines.append)
    assert lines == []
    # On the clock of the pictures, sound that goes on is no damage.
    writer.write(tmp_path / "c.mov", frames[:20], np.ones(5 * RATE, np.float32) / 9)
    read(tmp_path / "c.mov", clock="frames", report=lines.append)
    assert lines == []
    read(tmp_path / "half.mkv", report=lines.append)
    assert re.search(r"half.mkv: ends at [12]\.\d s; its header says 4\.0 s", lines[-1])
    _, stretches = read(tmp_path / "hole.mov", report=lines.append)
    assert lines[-1].endswith("hole.mov: video: 2 damaged packets left out")
    # Frames 30 and 31 (1.20 to 1.28 s) are missing: nothing is shown at 1.20, 1.23
    # and 1.27 s.
    np.testing.assert_array_equal(
        np.flatnonzero(joined(stretches, "frames") < 0), [36, 37, 38]
    )


def test_networks_stay_behind_when_it_is_sent_elsewhere(made, tmp_path):
    writer.write(tmp_path / "a.mov", [(k / 30, picture(1, True)) for k in range(3)])
    extractor, before = read(tmp_path / "a.mov")
    assert len(made) == 1
    elsewhere = pickle.loads(pickle.dumps(extractor))
    after = list(elsewhere.read(tmp_path / "a.mov"))
    assert len(made) == 2
    np.testing.assert_array_equal(before[0].block.video, after[0].block.video)
    list(elsewhere.read(tmp_path / "a.mov"))
    assert len(made) == 2


def test_settings_hold_what_features_depend_on_and_no_path(made):
    def kept(**values):
        return extract.Extractor(settings.FeatureConfig(**values)).settings_json()

    plain = kept()
    assert plain == kept(visual_weights="/somewhere/a.h5", visual_batch=7)
    assert not any(name.startswith("onnx") for name in plain)
    assert plain != kept(face_threshold=0.9) and plain != kept(background=True)
    onnx = kept(visual_backbone="onnx:/somewhere/a.onnx", onnx_size=64)
    assert onnx["onnx_size"] == 64 and "somewhere" not in str(onnx)


def test_damaged_files_end_in_a_result_or_one_line(made, tmp_path):
    rng = np.random.default_rng(11)
    frames = [
        (k / 25, rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for k in range(25)
    ]
    outcomes = []
    for suffix, audio_codec in ((".mp4", "aac"), (".mkv", "pcm_s16le"), (".ts", "aac")):
        writer.write(
            tmp_path / f"a{suffix}", frames, voice(1.0), audio_codec=audio_codec
        )
        whole = np.frombuffer((tmp_path / f"a{suffix}").read_bytes(), np.uint8)
        for kind in range(12):
            content = whole.copy()
            if kind < 4:
                content = content[: rng.integers(1, len(content))]
            else:
                where = rng.integers(0, len(content), 4**kind % 997)
                content[where] ^= 1 << rng.integers(0, 8, len(where)).astype(np.uint8)
            (tmp_path / f"b{suffix}").write_bytes(content.tobytes())
            try:
                _, stretches = read(tmp_path / f"b{suffix}")
                secs = joined(stretches, "timestamps")
                assert np.all(np.diff(secs) > 0)
                assert np.isfinite(joined(stretches, "video")).all()
                assert np.isfinite(joined(stretches, "audio")).all()
                outcomes.append("read")
            except errors.DataError as error:
                assert "\n" not in str(error)
                outcomes.append("refused")
    assert {"read", "refused"} == set(outcomes)


@pytest.mark.slow
def test_real_recordings_through_sface(weights_dir, media_dir, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(weights_dir))
    sface = weights_dir / "face_recognition_sface_2021dec.onnx"
    config = settings.FeatureConfig(visual_backbone=f"onnx:{sface}")
    found = {}
    for path in sorted(media_dir.glob("*.mov")) + [
        media_dir / "talk_short.mp4",
        media_dir / "talk_short_noise.mp4",
    ]:
        _, found[path.stem] = read(path, config)
    seen = {name: joined(one, "video_present") for name, one in found.items()}
    heard = {name: joined(one, "audio_present") for name, one in found.items()}
    # The face goes at 2.40 s; the sound starts with what follows it.
    leaving = seen["face_then_none"]
    assert np.all(leaving[:72]) and not np.any(leaving[72:])
    assert not np.any(heard["face_then_none"][:72])
    assert np.all(heard["face_then_none"][74:190])
    # It comes at 3.945 s, and the last picture is black.
    coming = seen["none_then_face"]
    assert not np.any(coming[:118]) and np.all(coming[120:190])
    assert np.all(seen["talk_short"]) and not np.any(seen["talk_short_noise"])
    assert np.all(heard["talk_short_noise"])
    for name, one in found.items():
        video = joined(one, "video")
        assert np.isfinite(video).all()
        assert np.all(video[seen[name]].any(axis=1)) and not video[~seen[name]].any()
        assert np.isfinite(joined(one, "audio")).all()
