"""`verify` says nothing of good records, and finds every kind of damage."""

import dataclasses
import hashlib
import json
import os
import re
import shutil

import array_corpus
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from avexp_tf import config
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import prepare
from avexp_tf.data import shard_reader
from avexp_tf.data import verify

RECORDS = config.RecordsConfig(
    context_ticks=8,
    context="centered",
    segment_ticks=6,
    shard_mb=0.003,
    validation_fraction=0.3,
)


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    corpus = array_corpus.ArrayCorpus((20, 15, 16, 20, 17, 25))
    prepare.prepare(corpus, folder, RECORDS)
    return folder


@pytest.fixture(name="folder")
def _folder(whole, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(whole, tmp_path / "records")


def shards(folder):
    return sorted(folder.glob("*.tfrecord"))


def problems(folder):
    return list(verify.problems(folder))


def test_good_records_have_no_problem_and_every_byte_is_read(whole):
    n_bytes = []
    assert list(verify.problems(whole, n_bytes.append)) == []
    assert sum(n_bytes) == sum(path.stat().st_size for path in shards(whole))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_flipped_bit_of_a_shard_is_found(whole, data):
    path = data.draw(st.sampled_from(shards(whole)))
    before = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(before) - 1))
    after = bytearray(before)
    after[bit // 8] ^= 1 << bit % 8
    try:
        path.write_bytes(after)
        found = problems(whole)
    finally:
        path.write_bytes(before)
    assert len(found) == 1
    # The line names the record: the one whose bytes hold the bit.
    offset = int(re.search(r"record \d+ at byte (\d+): the checksum", found[0])[1])
    manifest = manifest_lib.Manifest.load(whole)
    shard = next(
        shard
        for split in manifest.splits.values()
        for shard in split.shards
        if shard.file == path.name
    )
    ends = np.cumsum(shard.record_bytes)
    assert offset == max(0, *(int(end) for end in ends if end <= bit // 8), 0)
    assert str(path) in found[0]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_changed_byte_of_the_manifest_is_found_or_changes_nothing(whole, data):
    path = whole / "manifest.json"
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    after = bytearray(before)
    after[at] = data.draw(st.integers(0, 255))
    try:
        path.write_bytes(after)
        found = problems(whole)
    finally:
        path.write_bytes(before)
    try:
        same = json.loads(after) == json.loads(before)
    except ValueError:
        same = False
    assert bool(found) != same
    assert len(found) < 2


@pytest.mark.parametrize("n_bytes", [0, 1, 11, 100, -1])
def test_a_shard_cut_short_is_found(folder, n_bytes):
    path = shards(folder)[0]
    size = path.stat().st_size
    os.truncate(path, n_bytes % size)
    found = problems(folder)
    assert f"{path}: has {n_bytes % size} bytes, the manifest says {size}" in found


@pytest.mark.parametrize("extra", [b"x", b"x" * 3_000_000, framing.frame(b"record")])
def test_bytes_after_the_last_record_are_found(folder, extra):
    path = shards(folder)[0]
    size = path.stat().st_size
    with open(path, "ab") as file:
        file.write(extra)
    message = f"{path}: has {size + len(extra)} bytes, the manifest says {size}"
    assert problems(folder) == [message]


def test_missing_and_unknown_files_are_found(folder):
    first, *others = shards(folder)
    first.unlink()
    unknown = folder / "train-00000-of-00099.tfrecord"
    shutil.copy(others[0], unknown)
    assert problems(folder) == [
        f"{first}: can't be read: No such file or directory",
        f"{unknown}: is not in the manifest",
    ]


def test_exchanged_shards_are_found(folder):
    first, second = shards(folder)[:2]
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    found = problems(folder)
    assert any(str(first) in line for line in found)
    assert any(str(second) in line for line in found)


def test_a_missing_manifest_is_a_problem(folder):
    (folder / "manifest.json").unlink()
    (line,) = problems(folder)
    assert "manifest.json: no such file" in line


def rewrite(folder, change):
    """Changes the records of train's first shard as if they were written so.

    Args:
      folder: The records.
      change: Takes the list of framed records and the layout, and changes the list.
    """
    manifest = manifest_lib.Manifest.load(folder)
    train = manifest.split("train")
    path = folder / train.shards[0].file
    framed = [data for _, data in shard_reader.framed_records(path, train.shards[0])]
    change(framed, manifest.layout)
    path.write_bytes(b"".join(framed))
    shard = dataclasses.replace(
        train.shards[0],
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        record_bytes=tuple(map(len, framed)),
    )
    train = dataclasses.replace(train, shards=(shard, *train.shards[1:]))
    splits = {**manifest.splits, "train": train}
    dataclasses.replace(manifest, splits=splits).save(folder)


def first_segment(change):
    """Changes the segment in the first record."""

    def change_records(framed, layout):
        segment = example.decode(framing.unframe(framed[0]), layout)
        framed[0] = framing.frame(example.encode(change(segment), layout))

    return change_records


def put(name, value, where=None):
    """Changes an attribute, or the values of an array where `where` says so."""

    def change(segment):
        if where is None:
            return dataclasses.replace(segment, **{name: value})
        array = getattr(segment, name).copy()
        array[where(segment)] = value
        return dataclasses.replace(segment, **{name: array})

    return change


def first_video(segment):
    return int(np.argmax(segment.video_present)), 0


def no_video(segment):
    return segment.video_present == 0


def all_flags(segment):
    return slice(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("recording_id", "r9"), "recording_id is 'r9', the manifest says 'r."),
        (put("subject_id", "x"), "subject_id is 'x', the manifest says 's"),
        (put("segment_index", 3), "segment_index is 3, the manifest says 0"),
        (put("first_tick", 3), "first_tick is 3, the manifest says 0"),
        (put("video", np.nan, first_video), "video holds a value that is not finite"),
        (put("video", 1.0, no_video), "video is not 0 where nothing is present"),
        (put("audio_present", 2, all_flags), "audio_present holds 2, must be 0 or 1"),
        (
            put("margin_present", 0, all_flags),
            "audio is not 0 where nothing is present",
        ),
        (put("labels", 1.5, all_flags), r"labels hold 1.5, must be in \[-1, 1\]"),
        (put("label_valid", 0, all_flags), "labels is not 0 where nothing is present"),
        (put("timestamps", 1.0, all_flags), "record 0 at byte 0: timestamps do not ri"),
        (
            lambda s: dataclasses.replace(s, timestamps=s.timestamps + 1e6),
            "record 1 at byte .*: timestamps do not rise from the record before",
        ),
        (
            lambda s: dataclasses.replace(
                s, video=s.video * 0, video_present=s.video_present * 0
            ),
            "train: the records have video_ticks .*, the manifest says",
        ),
    ],
)
def test_a_record_that_breaks_a_rule_is_found(folder, change, message):
    rewrite(folder, first_segment(change))
    assert any(re.search(message, line) for line in problems(folder))
    assert not any("SHA-256" in line for line in problems(folder))


def test_an_unchanged_rewrite_is_good(folder):
    rewrite(folder, first_segment(lambda segment: segment))
    assert problems(folder) == []


def test_records_in_another_order_are_found(folder):
    rewrite(folder, lambda framed, layout: framed.insert(0, framed.pop(1)))
    found = problems(folder)
    assert any("record 0 at byte 0: segment_index is 1, the man" in x for x in found)
    assert any("first_tick is 0, the manifest says 6" in line for line in found)
