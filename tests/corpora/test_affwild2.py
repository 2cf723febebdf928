"""Aff-Wild2's official folders, written small, with real names and rates."""

import csv
import logging
import pickle
import shutil

import numpy as np
import pytest
from absl import flags

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.corpora import affwild2
from avexp_tf.corpora.affwild2 import corpus as corpus_lib
from avexp_tf.corpora.affwild2 import labels as labels_lib
from avexp_tf.corpora.affwild2 import layout
from avexp_tf.data import splits
from avexp_tf.features import backbones
from avexp_tf.features import crop_folder
from avexp_tf.features import detection
from avexp_tf.features import extract
from avexp_tf.features import settings
from avexp_tf.media import frame_reader

FEATURES = recording.FeatureSet("mean_color", "1", 3)
ENTRIES = (
    layout.Entry("video2_left", 30.0, "train"),
    layout.Entry("video5_left", 29.97, "train"),
    layout.Entry("video5_right", 29.97, "train"),
    layout.Entry("10-60-1280x720_right", 30.0, "validation", n_lines=37),
    layout.Entry("102", 25.0, "train", n_lines=43),
    layout.Entry("video74_left", 30.0, "train"),
    layout.Entry("video74_right", 30.0, "validation"),
    layout.Entry("video99", 23.976, "test"),
    layout.Entry("49-30-1280x720_right", 30.0, "test"),
)


class MeanColor:
    """A backbone whose features are the crop's mean."""

    features = FEATURES

    def describe(self, crops):
        return crops.mean(axis=(1, 2)).reshape(len(crops), 3)


class TwoPeople:
    """A detector that finds two people, left and right."""

    def detect(self, image_bgr):
        return np.array([[2, 5, 22, 25, 0.9], [40, 5, 62, 27, 0.8]], np.float32)


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch):
    monkeypatch.setattr(backbones, "features", lambda config: FEATURES)
    monkeypatch.setattr(backbones, "make", lambda config: MeanColor())
    monkeypatch.setattr(detection, "make", lambda config: TwoPeople())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("affwild2")
    layout.write(root, ENTRIES)
    return root


def make(root, **options):
    options = {
        "annotations": root / "annotations",
        "crops": root / "crops",
        "test_names": root / "test_names.txt",
        **options,
    }
    extractor = extract.Extractor(settings.FeatureConfig())
    return corpus_lib.AffWild2Corpus(root / "videos", extractor=extractor, **options)


def whole(corpus, name):
    blocks = list(corpus.read(name))
    return {
        field: np.concatenate([getattr(block, field) for block in blocks])
        for field in ("timestamps", "video", "labels", "label_valid", "video_present")
    }


def test_recordings_have_the_official_splits(folder):
    infos = make(folder).recordings()
    assert [info.recording_id for info in infos] == sorted(one.name for one in ENTRIES)
    homes = {info.recording_id: info.split for info in infos}
    assert homes == {one.name: one.split for one in ENTRIES}
    groups = {info.recording_id: info.split_group for info in infos}
    # Two people of one video stay together, unless the official lists part them.
    assert groups["video5_left"] == groups["video5_right"] == "video5"
    assert groups["video74_left"] != groups["video74_right"]
    subjects = {info.subject_id for info in infos}
    assert len(subjects) == len(ENTRIES)
    assigned = splits.assign(infos, config.RecordsConfig())
    assert set(assigned) == {"train", "dev", "validation", "test"}


def test_labels_and_crops_stand_at_their_frames(folder):
    corpus = make(folder)
    assert isinstance(corpus, recording.HasContentKeys)
    found = whole(corpus, "video5_right")
    np.testing.assert_allclose(found["timestamps"], np.arange(40) / 29.97, atol=1e-3)
    path = folder / "annotations/VA_Set/Train_Set/video5_right.txt"
    rows = [line.split(",") for line in path.read_text().split()[1:]]
    by_hand = np.array(rows, np.float32)
    invalid = by_hand == -5
    assert invalid.any()
    np.testing.assert_array_equal(found["label_valid"], ~invalid)
    np.testing.assert_array_equal(found["labels"][~invalid], by_hand[~invalid])
    crops = crop_folder.CropFolder(folder / "crops" / "video5_right")
    there = (folder / "crops" / "video5_right" / "00007.jpg").exists()
    assert found["video_present"][6] == there
    for index in range(40):
        crop = crops.at(index).crop
        assert found["video_present"][index] == (crop is not None)
        if crop is not None:
            np.testing.assert_allclose(
                found["video"][index], crop.mean(axis=(0, 1)), atol=1e-5
            )
    assert 20 < found["video_present"].sum() < 40


def assert_sides(path, left, right):
    """Each has its person's features: the mean colour of a half of the video."""
    for index, frame in enumerate(frame_reader.FrameReader(path)):
        picture = frame.image_bgr()[:, :, ::-1] / 127.5 - 1
        for found, half in ((left, picture[:, 4:24]), (right, picture[:, 38:60])):
            by_hand = half.mean(axis=(0, 1))
            np.testing.assert_allclose(found["video"][index], by_hand, atol=0.1)


def test_two_people_of_one_video_share_time_and_not_faces(folder):
    corpus = make(folder, crops="")
    left, right = whole(corpus, "video5_left"), whole(corpus, "video5_right")
    np.testing.assert_array_equal(left["timestamps"], right["timestamps"])
    assert_sides(folder / "videos/batch1/video5.mp4", left, right)


def test_who_has_the_video_s_own_name_is_on_the_other_side(tmp_path):
    entries = [
        layout.Entry(name, 30.0, "train") for name in ("video2", "video2_left", "102")
    ]
    layout.write(tmp_path, entries)
    corpus = make(tmp_path, crops="")
    left, other = whole(corpus, "video2_left"), whole(corpus, "video2")
    assert_sides(tmp_path / "videos/batch1/video2.mp4", left, other)


def test_too_few_and_too_many_lines_are_reported_and_not_padded(folder, caplog):
    corpus = make(folder)
    with caplog.at_level(logging.WARNING, logger="avexp_tf"):
        short = whole(corpus, "10-60-1280x720_right")
        assert "has 37 lines of labels" in caplog.text
        assert "10-60-1280x720.mp4 has 40 frames" in caplog.text
        long = whole(corpus, "102")
        assert "has 43 lines of labels" in caplog.text
        caplog.clear()
        whole(corpus, "video2_left")
        assert caplog.text == ""
    assert len(short["labels"]) == 40 and not short["label_valid"][37:].any()
    assert short["label_valid"][:37].any() and not short["labels"][37:].any()
    assert len(long["labels"]) == 40
    path = folder / "annotations/VA_Set/Train_Set/102.txt"
    last = float(path.read_text().split()[40].split(",")[0])
    assert long["labels"][39, 0] == np.float32(last if last != -5 else 0)


def test_test_recordings_have_no_labels(folder):
    found = whole(make(folder), "video99")
    assert len(found["labels"]) == 40 and not found["label_valid"].any()
    infos = make(folder, test_names="").recordings()
    assert "video99" not in [info.recording_id for info in infos]


def test_the_folder_of_sets_is_found_from_above(folder):
    for annotations in ("annotations", "annotations/VA_Set"):
        assert len(labels_lib.find(folder / annotations)) == 7


def test_sets_may_be_named_with_a_space(folder, tmp_path):
    shutil.copytree(folder / "annotations", tmp_path / "annotations")
    sets = tmp_path / "annotations" / "VA_Set"
    (sets / "Train_Set").rename(sets / "Train Set")
    for path in (sets / "Train Set").iterdir():
        path.rename(path.with_suffix(".TXT"))
    assert len(labels_lib.find(sets)) == 7


def test_it_can_be_sent_to_another_process(folder):
    corpus = make(folder)
    again = pickle.loads(pickle.dumps(corpus))
    one, other = whole(corpus, "102"), whole(again, "102")
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_keys_follow_what_a_recording_holds(tmp_path):
    layout.write(tmp_path, ENTRIES[:2])
    before = make(tmp_path)
    path = tmp_path / "annotations/VA_Set/Train_Set/video2_left.txt"
    path.write_text(path.read_text() + "0,0\n")
    after = make(tmp_path)
    changed = [
        name
        for name in ("video2_left", "video5_left")
        if before.content_key(name) != after.content_key(name)
    ]
    assert changed == ["video2_left"] and before.config != after.config
    assert str(tmp_path) not in str(before.config)
    # Crops of which an archive held the rest.
    name = "00099.jpg"
    first = next((tmp_path / "crops" / "video5_left").iterdir())
    (tmp_path / "crops" / "video5_left" / name).write_bytes(first.read_bytes())
    later = make(tmp_path)
    assert later.content_key("video5_left") != after.content_key("video5_left")
    assert later.content_key("video2_left") == after.content_key("video2_left")


def test_real_names_and_rates(data_dir, tmp_path):
    with open(data_dir / "affwild2_frames_fps.csv", newline="") as file:
        rows = [(name, float(rate)) for name, _, rate in csv.reader(file)]
    assert len(rows) == 564
    sides = [row for row in rows if row[0].endswith(("_left", "_right"))]
    odd = [row for row in rows if row[1] < 24][:8]
    chosen = list(dict(sides[:12] + odd + rows[:6]).items())
    entries = [
        layout.Entry(name, rate, "train" if index % 4 else "validation", n_frames=12)
        for index, (name, rate) in enumerate(chosen)
    ]
    layout.write(tmp_path, entries)
    corpus = make(tmp_path, test_names="")
    assert len(corpus.recordings()) == len(entries)
    # Whoever comes first of a video gives it its rate.
    rates = {}
    for entry in entries:
        stem = entry.name.removesuffix("_left").removesuffix("_right")
        rates.setdefault(stem, entry.rate_hz)
    assert len(list((tmp_path / "videos").rglob("*.*"))) == len(rates)
    for info in corpus.recordings():
        found = whole(corpus, info.recording_id)
        stem = info.recording_id.removesuffix("_left").removesuffix("_right")
        np.testing.assert_allclose(
            found["timestamps"], np.arange(12) / rates[stem], atol=2e-3
        )
        assert len(found["labels"]) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("arousal,valence\n0,0\n", "the first line is 'arousal,valence', must be"),
        ("", "the first line is ''"),
        ("valence,arousal\n0.1,x\n", "line 2: '0.1,x': must be two numbers"),
        ("valence,arousal\n0,0\n0.1\n", "line 3: '0.1': must be two numbers"),
        ("valence,arousal\n0,0,0\n", "line 2: '0,0,0': must be two numbers"),
        ("valence,arousal\n0,1.5\n", r"line 2: arousal is 1.5, must be in \[-1, 1\]"),
        ("valence,arousal\n0,0\nnan,0\n", "line 3: valence is nan, must be in"),
        ("valence,arousal\n0,0\n\n0,0\n", "line 3: '': must be two numbers"),
    ],
)
def test_wrong_labels_end_in_one_line(tmp_path, content, message):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(errors.DataError, match=message) as caught:
        labels_lib.read(tmp_path / "a.txt")
    assert "a.txt" in str(caught.value) and "\n" not in str(caught.value)


def test_labels_by_hand(tmp_path):
    (tmp_path / "a.txt").write_text("valence,arousal\n0.5,-0.25\n-5,-5\n-5,1\n\n")
    labels, valid = labels_lib.read(tmp_path / "a.txt")
    np.testing.assert_array_equal(labels, [[0.5, -0.25], [0, 0], [0, 1]])
    np.testing.assert_array_equal(valid, [[True, True], [False, False], [False, True]])
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(errors.DataError, match="is no text file"):
        labels_lib.read(tmp_path / "b.txt")


def test_links_and_names_that_are_there_twice(folder, tmp_path):
    videos = tmp_path / "videos"
    (videos / "batch2").mkdir(parents=True)
    (videos / "batch1").symlink_to(folder / "videos" / "batch1")
    (videos / "batch2" / "again").symlink_to(videos)  # leads back
    (videos / "batch2" / "102.mp4").symlink_to(folder / "videos" / "batch1" / "102.mp4")
    for suffix in (".mp4", ".mov"):  # of no recording
        (videos / "batch2" / f"unused{suffix}").write_bytes(b"")
    options = {
        "annotations": folder / "annotations",
        "extractor": extract.Extractor(settings.FeatureConfig()),
    }
    corpus = corpus_lib.AffWild2Corpus(videos, **options)
    assert "102" in {info.recording_id for info in corpus.recordings()}
    (videos / "batch2" / "video2.mov").write_bytes(b"another")
    with pytest.raises(
        errors.DataError, match="video2.* has the same name as .*video2"
    ):
        corpus_lib.AffWild2Corpus(videos, **options)


def test_crops_that_can_not_be_read_are_named(tmp_path, caplog):
    layout.write(tmp_path, ENTRIES[:2])
    crops = tmp_path / "crops" / "video2_left"
    path = sorted(crops.iterdir())[0]
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(errors.DataError, match=f"{path.name}: can't be read: No such"):
        list(make(tmp_path).read("video2_left"))
    for one in crops.iterdir():
        one.unlink()
    with caplog.at_level(logging.WARNING):
        assert not whole(make(tmp_path), "video2_left")["video_present"].any()
    assert "video2_left: holds no crop" in caplog.text


def test_folders_that_do_not_fit_end_in_one_line(folder, tmp_path):
    with pytest.raises(errors.DataError, match="there is no Train_Set and no Valid"):
        make(folder, annotations=folder / "videos")
    with pytest.raises(
        errors.DataError, match="has no folder for 10-60-1280x720_right"
    ):
        make(folder, crops=folder / "videos")
    with pytest.raises(errors.DataError, match="--crops=.*nowhere: no such folder"):
        make(folder, crops=folder / "nowhere")
    (tmp_path / "names.txt").write_text("video5_left\n")
    with pytest.raises(errors.DataError, match="names.txt: video5_left is in .* too"):
        make(folder, test_names=tmp_path / "names.txt")
    (tmp_path / "names.txt").write_text("102_middle\n")
    with pytest.raises(errors.DataError, match="there is no video for 102_middle"):
        make(folder, test_names=tmp_path / "names.txt")
    (tmp_path / "names.txt").write_text("a_left\nb\nc\nd\ne\nf\ng\n")
    with pytest.raises(
        errors.DataError, match="no video for a_left, b, c, d, e and 2 more"
    ):
        make(folder, test_names=tmp_path / "names.txt")
    with pytest.raises(errors.DataError, match="there is no video$"):
        corpus_lib.AffWild2Corpus(
            folder / "annotations",
            folder / "annotations",
            extract.Extractor(settings.FeatureConfig()),
        )


def test_flags_describe_the_corpus(folder):
    values = flags.FlagValues()
    affwild2.define_flags(values)
    affwild2.define_flags(values)  # a second time does nothing
    values(["program", f"--videos={folder}/videos"])
    with pytest.raises(errors.ConfigError, match="--annotations must be given"):
        affwild2.from_flags(values)
    given = [f"--annotations={folder}/annotations", f"--crops={folder}/crops"]
    values(["program", f"--videos={folder}/videos", *given, "--face_every=3"])
    corpus = affwild2.from_flags(values)
    assert len(corpus.recordings()) == 7
    assert corpus.config["features"]["face_every"] == 3
    values(["program", f"--videos={folder}/videos", *given, "--background"])
    with pytest.raises(errors.ConfigError, match="--background can't go with --crops"):
        affwild2.from_flags(values)
