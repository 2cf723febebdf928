"""Any media files as a corpus without labels."""

import logging
import pickle

import numpy as np
import pytest
from absl import flags

from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.corpora import media
from avexp_tf.corpora.media import corpus as corpus_lib
from avexp_tf.features import backbones
from avexp_tf.features import detection
from avexp_tf.features import extract
from avexp_tf.features import settings
from avexp_tf.media import writer

FEATURES = recording.FeatureSet("mean_color", "1", 3)


class MeanColor:
    """A backbone whose features are the crop's mean."""

    features = FEATURES

    def describe(self, crops):
        return crops.mean(axis=(1, 2)).reshape(len(crops), 3)


class Everywhere:
    """A detector that takes the whole picture for a face."""

    def detect(self, image_bgr):
        height, width = image_bgr.shape[:2]
        return np.array([[0, 0, width, height, 0.9]], np.float32)


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch):
    monkeypatch.setattr(backbones, "features", lambda config: FEATURES)
    monkeypatch.setattr(backbones, "make", lambda config: MeanColor())
    monkeypatch.setattr(detection, "make", lambda config: Everywhere())


def write(path, n_secs=1.0):
    path.parent.mkdir(exist_ok=True, parents=True)
    frames = [
        (k / 25, np.full((32, 32, 3), 10 * k % 255, np.uint8))
        for k in range(round(25 * n_secs))
    ]
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, round(16_000 * n_secs))
    writer.write(path, frames, noise.astype(np.float32))


def make(*media_paths):
    extractor = extract.Extractor(settings.FeatureConfig())
    return corpus_lib.MediaCorpus([str(path) for path in media_paths], extractor)


def test_files_folders_and_patterns(tmp_path):
    for name in ("a/one.mov", "a/deep/two.MOV", "b/three.mkv", "b/four.mkv"):
        write(tmp_path / name, 0.2)
    (tmp_path / "a" / "notes.txt").write_text("no media")
    corpus = make(tmp_path / "a", tmp_path / "b" / "*.mkv", tmp_path / "b/four.mkv")
    infos = corpus.recordings()
    assert [info.recording_id for info in infos] == ["four", "one", "three", "two"]
    assert all(info.split is None for info in infos)
    with pytest.raises(errors.DataError, match="nothing/\\*.mp4: there is no media"):
        make(tmp_path / "nothing" / "*.mp4")
    write(tmp_path / "b/deep/one.mkv", 0.2)
    with pytest.raises(errors.DataError, match="one.mov: has the same name as .*one"):
        make(tmp_path)


def test_a_file_is_the_same_however_it_is_spelt(tmp_path):
    write(tmp_path / "a" / "one.mov", 0.2)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "two.mov").symlink_to("one.mov")
    first = f"{tmp_path}/a/one.mov"
    spelt = [first, f"{tmp_path}/a/../a/one.mov", f"{tmp_path}/b/one.mov"]
    assert [str(path) for path in corpus_lib.find(spelt)] == [first]
    assert len(make(*spelt, tmp_path / "a" / "two.mov").recordings()) == 2


def test_ticks_at_30_hz_without_labels(tmp_path):
    write(tmp_path / "one.mov")
    corpus = make(tmp_path / "one.mov")
    assert corpus.audio.name == "IS13_lld" and corpus.video == FEATURES
    (block,) = pickle.loads(pickle.dumps(corpus)).read("one")
    np.testing.assert_allclose(block.timestamps, np.arange(30) / 30)
    assert block.video_present[:29].all() and not block.label_valid.any()
    assert block.audio_present.all() and block.background is None


def test_a_wrong_file_ends_in_one_line_and_damage_is_noted(tmp_path, caplog):
    (tmp_path / "bad.mp4").write_bytes(b"nothing" * 100)
    with pytest.raises(errors.DataError, match="bad.mp4: is no media file"):
        list(make(tmp_path / "bad.mp4").read("bad"))
    write(tmp_path / "cut.mkv", 4.0)
    content = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING, logger="avexp_tf"):
        list(make(tmp_path / "cut.mkv").read("cut"))
    assert "cut.mkv: ends at" in caplog.text


def test_keys_hold_the_content_and_no_path(tmp_path):
    write(tmp_path / "one.mov", 0.2)
    write(tmp_path / "two.mov", 0.2)
    before = make(tmp_path)
    write(tmp_path / "two.mov", 0.4)
    after = make(tmp_path)
    assert before.content_key("one") == after.content_key("one")
    assert before.content_key("two") != after.content_key("two")
    assert before.config != after.config
    assert str(tmp_path) not in str(before.config)
    path = tmp_path / "one.mov"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1  # as sound of the same length
    path.write_bytes(content)
    assert make(tmp_path).content_key("one") != after.content_key("one")


def test_flags_describe_the_corpus(tmp_path):
    write(tmp_path / "one.mov", 0.2)
    values = flags.FlagValues()
    media.define_flags(values)
    media.define_flags(values)  # a second time does nothing
    values(["program"])
    with pytest.raises(errors.ConfigError, match="--media must be given"):
        media.from_flags(values)
    values(["program", f"--media={tmp_path}", "--face_threshold=0.8"])
    corpus = media.from_flags(values)
    assert corpus.config["features"]["face_threshold"] == 0.8
    values(["program", f"--media={tmp_path}", "--face_threshold=0.3"])
    with pytest.raises(errors.ConfigError, match="--face_keep=0.5: must be at most"):
        media.from_flags(values)
