"""The manifest comes back as it was saved, and a changed one is refused."""

import dataclasses
import json

import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf import typed_json
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifest_lib


def make():
    train = contents.Split(
        shards=(
            contents.Shard("train-00000-of-00002.tfrecord", "aa", (100, 90)),
            contents.Shard("train-00001-of-00002.tfrecord", "bb", (80,)),
        ),
        recordings=(
            contents.Entry("r0", "s0", "g0", (10, 9)),
            contents.Entry('r"1\n', "s1", "g1", (8,)),
        ),
        video_ticks=20,
        audio_ticks=21,
        label_ticks=(22, 0),
    )
    validation = contents.Split(
        shards=(contents.Shard("validation-00000-of-00001.tfrecord", "cc", (70,)),),
        recordings=(contents.Entry("r2", "s0", "g2", (7,)),),
        video_ticks=7,
        audio_ticks=7,
        label_ticks=(7, 0),
    )
    return manifest_lib.Manifest(
        corpus_name="table",
        corpus_config={"any": [1, {"thing": None}]},
        video=recording.FeatureSet("fc6", "1", 4096),
        audio=recording.FeatureSet("IS13", "2.6", 2),
        records=config.RecordsConfig(context_ticks=5, context="centered"),
        has_background=True,
        audio_statistics=contents.AudioStatistics(21, (0.1, -3.0), (1.0, 1e-3)),
        splits={"train": train, "validation": validation},
    )


def test_it_comes_back_as_it_was_saved(tmp_path):
    make().save(tmp_path)
    assert manifest_lib.Manifest.load(tmp_path) == make()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_what_it_tells():
    manifest = make()
    layout = manifest.layout
    assert (layout.video_dim, layout.audio_dim, layout.context_ticks) == (4096, 2, 5)
    assert (layout.context_before, layout.context_after) == (2, 2)
    assert layout.has_background
    train = manifest.split("train")
    assert train.n_ticks == 27
    assert train.segment_ticks == [10, 9, 8]
    assert train.recordings[0].n_ticks == 19
    assert (train.shards[0].n_bytes, train.shards[0].n_records) == (190, 2)
    assert manifest.shard_paths("dir", "train") == [
        "dir/train-00000-of-00002.tfrecord",
        "dir/train-00001-of-00002.tfrecord",
    ]
    with pytest.raises(errors.DataError, match="in the split 'dev'; there is train, v"):
        manifest.split("dev")


def test_settings_are_those_of_the_corpus_it_came_from():
    class Corpus:
        name = "table"
        config = {"any": (1, {"thing": None})}
        video = recording.FeatureSet("fc6", "1", 4096)
        audio = recording.FeatureSet("IS13", "2.6", 2)

    records = config.RecordsConfig(context_ticks=5, context="centered")
    assert manifest_lib.settings(Corpus(), records) == make().settings()


def test_there_is_one_line_per_shard_and_recording(tmp_path):
    make().save(tmp_path)
    lines = (tmp_path / "manifest.json").read_text().splitlines()
    for word in ("train-00000-of-00002", '"r0"', '"r2"'):
        assert len([line for line in lines if word in line]) == 1


def change(tmp_path, where, value, seal=True):
    """Saves a manifest in which one value is another; '' deletes it."""
    make().save(tmp_path)
    path = tmp_path / "manifest.json"
    values = json.loads(path.read_text())
    at = values
    for key in where[:-1]:
        at = at[key]
    if value is Ellipsis:
        del at[where[-1]]
    else:
        at[where[-1]] = value
    if seal:
        del values["sha256"]
        values["sha256"] = typed_json.digest(values)
    path.write_text(json.dumps(values))


TRAIN = ("splits", "train")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (
            ["schema_version"],
            2,
            "schema_version is 2, this program reads 1; run avexp-",
        ),
        (
            ["schema_version"],
            "1",
            "schema_version must be a whole number of at least 0",
        ),
        (["splits"], {}, "splits is empty"),
        (["splits"], [], r"splits must be a JSON object, is \[\]"),
        (["splits", "trial"], {}, "the split 'trial' must be one of train, dev"),
        (["audio_statistics", "std"], [1.0, 0.0], "std must be above 0, holds 0.0"),
        (["audio_statistics", "mean"], [1.0], "mean must hold 2 values, holds 1"),
        (["audio_statistics", "mean", 0], None, "mean must hold finite numbers, is No"),
        (["audio_statistics", "mean", 0], 10**400, "mean must hold finite numbers"),
        (["audio_statistics"], ..., "audio_statistics is missing"),
        (["features", "video", "dim"], 0, "dim must be a whole number of at least 1"),
        (["background"], 1, "background must be true or false, is 1"),
        (["config", "context_ticks"], -1, "--context_ticks=-1: must be at least 1"),
        (["config", "more"], 1, "unknown setting 'more'"),
        ([*TRAIN, "n_ticks"], 26, "splits.train.n_ticks must be 27, is 26"),
        ([*TRAIN, "label_ticks"], [1], "label_ticks must hold 2 values, holds 1"),
        ([*TRAIN, "video_ticks"], -1, "video_ticks must be a whole number"),
        ([*TRAIN, "shards", 0, "bytes"], 1, r"shards\[0\].bytes must be 190, is 1"),
        ([*TRAIN, "shards", 0, "records"], 1, r"shards\[0\].records must be 2, is 1"),
        ([*TRAIN, "shards", 0, "file"], 3, r"shards\[0\].file must be a string, is 3"),
        (
            [*TRAIN, "shards", 0, "file"],
            "../train-00000-of-00002.tfrecord",
            "is not the name of a shard of train",
        ),
        (
            [*TRAIN, "shards", 0, "file"],
            "dev-00000-of-00002.tfrecord",
            "is not the name of a shard of train",
        ),
        (
            [*TRAIN, "shards", 0, "file"],
            "train-00001-of-00002.tfrecord",
            "train-00001-of-00002.tfrecord is listed twice",
        ),
        (
            [*TRAIN, "recordings", 0, "n_ticks"],
            18,
            r"recordings\[0\].n_ticks must be 19, is 18",
        ),
        (
            [*TRAIN, "recordings", 0, "segments", 0],
            0,
            "segments must be a whole number",
        ),
        ([*TRAIN, "recordings", 0, "segments", 0], True, "segments must be a whole nu"),
        ([*TRAIN, "recordings", 0, "recording_id"], "r2", "'r2' is listed twice"),
        (
            [*TRAIN, "recordings", 0, "split_group"],
            "g2",
            "the group 'g2' is in two splits, train and validation",
        ),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused(tmp_path, where, value, message):
    change(tmp_path, where, value)
    with pytest.raises(errors.AvexpError, match=rf"manifest\.json.*{message}"):
        manifest_lib.Manifest.load(tmp_path)


def test_shards_and_recordings_must_hold_the_same_number_of_records(tmp_path):
    change(tmp_path, [*TRAIN, "recordings", 0, "segments"], [19])
    with pytest.raises(errors.DataError, match="hold 3 records, .* 2 segments"):
        manifest_lib.Manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (["audio_statistics", "mean", 0], 0.2),
        (["features", "audio", "version"], "2.7"),
        (["sha256"], "0"),
    ],
)
def test_a_changed_value_is_noticed(tmp_path, where, value):
    change(tmp_path, where, value, seal=False)
    with pytest.raises(errors.DataError, match="was changed after it was written"):
        manifest_lib.Manifest.load(tmp_path)


def test_files_that_are_no_manifest(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(
        errors.DataError, match=r"manifest\.json: no such file; avexp-p"
    ):
        manifest_lib.Manifest.load(tmp_path)
    for text in ("", "{", "[" * 100_000, '{"a": "\ud800"}', "1" * 10_000):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(errors.DataError, match=r"manifest\.json: is not JSON"):
            manifest_lib.Manifest.load(tmp_path)
    path.write_text("[]")
    with pytest.raises(errors.DataError, match="the file must be a JSON object"):
        manifest_lib.Manifest.load(tmp_path)


def test_shard_names():
    assert contents.shard_name("dev", 3, 12) == "dev-00003-of-00012.tfrecord"
    assert contents.split_of_shard("dev-00003-of-00012.tfrecord") == "dev"
    assert contents.split_of_shard("dev-100000-of-100001.tfrecord") == "dev"
    for name in ("x-00003-of-00012.tfrecord", "dev.tfrecord", "a/dev-00003-of-00012"):
        assert contents.split_of_shard(name) is None


def test_saving_replaces_what_was_there(tmp_path):
    make().save(tmp_path)
    other = dataclasses.replace(make(), corpus_name="other")
    other.save(tmp_path)
    assert manifest_lib.Manifest.load(tmp_path) == other
