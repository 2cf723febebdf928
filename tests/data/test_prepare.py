"""Same bytes from any number of workers, kills and resumes; nothing else ever."""

import dataclasses
import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import array_corpus
import numpy as np
import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf import remote
from avexp_tf.data import contents
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import parts
from avexp_tf.data import prepare
from avexp_tf.data import records_folder
from avexp_tf.data import verify
from tests.end_to_end import scripts

folders = scripts.load("folders")

# Many shards, several segments per recording, one recording of one tick.
RECORDS = config.RecordsConfig(
    context_ticks=6,
    context="centered",
    segment_ticks=10,
    shard_mb=0.002,
    validation_fraction=0.3,
    dev_fraction=0.3,
)
LENGTHS = (33, 1, 10, 25, 8, 40, 12, 5, 19, 21, 30, 2)


def write(folder, corpus=None, records=RECORDS, **options):
    corpus = corpus or array_corpus.ArrayCorpus(LENGTHS)
    return prepare.prepare(corpus, folder, records, report=str, **options)


@pytest.fixture(scope="module", name="reference")
def _reference(tmp_path_factory):
    """What an undisturbed run writes."""
    folder = tmp_path_factory.mktemp("reference")
    write(folder)
    return folders.tree(folder)


def test_a_finished_folder_holds_shards_and_manifest_only(reference, tmp_path):
    manifest = write(tmp_path)
    assert folders.tree(tmp_path) == reference
    assert os.listdir(tmp_path).count(records_folder.PARTS) == 0
    assert manifest == manifest_lib.Manifest.load(tmp_path)
    named = [s.file for split in manifest.splits.values() for s in split.shards]
    assert sorted([*named, "manifest.json"]) == sorted(reference)
    assert len(named) > 6
    assert list(verify.problems(tmp_path)) == []


def test_every_recording_is_there_once_in_the_order_of_the_corpus(tmp_path):
    manifest = write(tmp_path)
    expected = {f"r{i}": n for i, n in enumerate(LENGTHS)}
    found = {}
    for split in manifest.splits.values():
        ids = [entry.recording_id for entry in split.recordings]
        assert ids == sorted(ids, key=list(expected).index)
        found |= {entry.recording_id: entry.n_ticks for entry in split.recordings}
    assert found == expected


def segments_of(folder, manifest, split):
    """Decodes all records of a split by the lengths in the manifest."""
    for shard in manifest.split(split).shards:
        data = (folder / shard.file).read_bytes()
        for n_bytes in shard.record_bytes:
            yield example.decode(framing.unframe(data[:n_bytes]), manifest.layout)
            data = data[n_bytes:]


def test_records_lie_where_the_manifest_says(tmp_path):
    manifest = write(tmp_path)
    for name, split in manifest.splits.items():
        found = [
            (s.recording_id, s.segment_index, s.first_tick, s.n_ticks)
            for s in segments_of(tmp_path, manifest, name)
        ]
        expected = [
            (entry.recording_id, index, sum(entry.segments[:index]), n_ticks)
            for entry in split.recordings
            for index, n_ticks in enumerate(entry.segments)
        ]
        assert found == expected


def test_statistics_are_those_of_the_present_train_ticks(tmp_path):
    manifest = write(tmp_path)
    rows = []
    for entry in manifest.split("train").recordings:
        block = array_corpus.ticks(entry.recording_id, entry.n_ticks)
        rows.append(block.audio[block.audio_present].astype(np.float32))
    rows = np.concatenate(rows).astype(np.float64)
    statistics = manifest.audio_statistics
    assert statistics.count == len(rows)
    np.testing.assert_allclose(statistics.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.std, rows.std(axis=0), rtol=1e-12)


def test_tick_counts_are_those_of_the_blocks(tmp_path):
    manifest = write(tmp_path)
    for split in manifest.splits.values():
        blocks = [
            array_corpus.ticks(e.recording_id, e.n_ticks) for e in split.recordings
        ]
        assert split.video_ticks == sum(b.video_present.sum() for b in blocks)
        assert split.audio_ticks == sum(b.audio_present.sum() for b in blocks)
        assert split.label_ticks == tuple(sum(b.label_valid.sum(0) for b in blocks))


def test_two_workers_write_the_same_bytes(reference, tmp_path):
    write(tmp_path, n_workers=2)
    assert folders.tree(tmp_path) == reference


def test_the_blocks_of_the_corpus_do_not_matter(reference, tmp_path):
    write(tmp_path, array_corpus.ArrayCorpus(LENGTHS, block_ticks=1000))
    assert folders.tree(tmp_path) == reference


def test_a_second_call_does_nothing(reference, tmp_path):
    write(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    said = []
    corpus = array_corpus.ArrayCorpus(LENGTHS, fails_at="r0")
    prepare.prepare(corpus, tmp_path, RECORDS, report=said.append)
    assert said == [f"{tmp_path}: these records are complete already; nothing to do"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps
    assert folders.tree(tmp_path) == reference


def test_a_call_where_only_reading_can_be_done(tmp_path, monkeypatch):
    write(tmp_path)

    def make_folder(path):
        raise errors.DataError(f"{path}: Read-only file system")

    monkeypatch.setattr(prepare.os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(prepare.files, "make_folder", make_folder)
    said = []
    corpus = array_corpus.ArrayCorpus(LENGTHS, fails_at="r0")
    prepare.prepare(corpus, tmp_path, RECORDS, report=said.append)
    assert said == [f"{tmp_path}: these records are complete already; nothing to do"]
    with pytest.raises(errors.DataError, match="Read-only file system"):
        write(tmp_path, overwrite=True)


def cut_short(folder):
    """Takes the last byte of a shard."""
    path = min(folder.glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-1])


def remove_one(folder):
    min(folder.glob("*.tfrecord")).unlink()


@pytest.mark.parametrize(
    ("damage", "message"), [(cut_short, "the manifest says"), (remove_one, "no such")]
)
def test_records_without_all_shards_are_written_again(
    reference, tmp_path, damage, message
):
    write(tmp_path)
    damage(tmp_path)
    said = []
    corpus = array_corpus.ArrayCorpus(LENGTHS)
    prepare.prepare(corpus, tmp_path, RECORDS, report=said.append)
    assert message in said[0] and said[0].endswith("; these records are written again")
    assert folders.tree(tmp_path) == reference


def test_the_same_of_records_on_another_file_system(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "check", lambda _: None)  # it takes s3:// alone
    there = tmp_path / "records"
    there.mkdir()
    write(f"file://{there}")
    for damage in (cut_short, remove_one):
        damage(there)
        write(f"file://{there}")
        assert folders.tree(there) == reference
    said = []
    corpus = array_corpus.ArrayCorpus(LENGTHS, fails_at="r0")
    prepare.prepare(corpus, f"file://{there}", RECORDS, report=said.append)
    assert said == [
        f"file://{there}: these records are complete already; nothing to do"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment_ticks": 11}, "config.segment_ticks is 10 there, 11 now"),
        ({"dev_fraction": 0.4}, "config.dev_fraction is 0.3 there, 0.4 now"),
    ],
)
def test_other_settings_are_refused(reference, tmp_path, change, message):
    write(tmp_path)
    with pytest.raises(errors.ConfigError, match=f"{message}; .*--overwrite"):
        write(tmp_path, records=dataclasses.replace(RECORDS, **change))
    assert folders.tree(tmp_path) == reference


def test_another_corpus_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(errors.ConfigError, match=r"config.lengths is \[33, 1, .* now"):
        write(tmp_path, array_corpus.ArrayCorpus(LENGTHS[:-1]))


def test_overwrite_leaves_nothing_of_the_old_records(reference, tmp_path):
    write(tmp_path, records=dataclasses.replace(RECORDS, shard_mb=0.001))
    assert folders.tree(tmp_path) != reference
    write(tmp_path, overwrite=True)
    assert folders.tree(tmp_path) == reference


def test_old_records_stay_whole_when_overwriting_fails(tmp_path, reference):
    write(tmp_path)
    other = array_corpus.ArrayCorpus((5, *LENGTHS), fails_at="r4")
    with pytest.raises(errors.DataError, match="r4: is broken"):
        write(tmp_path, other, overwrite=True)
    assert reference.items() <= folders.tree(tmp_path).items()
    assert manifest_lib.Manifest.load(tmp_path)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_what_is_done_before_an_error_is_not_done_again(reference, tmp_path, n_workers):
    broken = array_corpus.ArrayCorpus(LENGTHS, fails_at="r9")
    with pytest.raises(errors.DataError, match="r9: is broken"):
        write(tmp_path, broken, n_workers=n_workers)
    names = folders.tree(tmp_path)
    assert not [name for name in names if not name.startswith(records_folder.PARTS)]
    assert not [name for name in names if ".tmp-" in name]
    assert parts.load(
        broken, broken.recordings()[0], RECORDS, tmp_path / records_folder.PARTS
    )

    # Now the first recording can't be read: it is not asked for.
    write(tmp_path, array_corpus.ArrayCorpus(LENGTHS, fails_at="r0"))
    assert folders.tree(tmp_path) == reference


def test_damaged_parts_are_written_again(reference, tmp_path):
    broken = array_corpus.ArrayCorpus(LENGTHS, fails_at="r9")
    with pytest.raises(errors.DataError):
        write(tmp_path, broken)
    for recording_id, damage in (
        ("r0", lambda path, sidecar: os.truncate(path, 10)),
        ("r1", lambda path, sidecar: os.truncate(sidecar, 10)),
        ("r2", lambda path, sidecar: os.unlink(path)),
        ("r3", lambda path, sidecar: os.unlink(sidecar)),
        ("r4", lambda path, sidecar: pathlib.Path(sidecar).write_text("[]")),
    ):
        damage(*parts.paths(tmp_path / records_folder.PARTS, recording_id))
    write(tmp_path)
    assert folders.tree(tmp_path) == reference


def test_a_part_with_a_flipped_byte_never_becomes_a_shard(reference, tmp_path):
    broken = array_corpus.ArrayCorpus(LENGTHS, fails_at="r9")
    with pytest.raises(errors.DataError):
        write(tmp_path, broken)
    path, _ = parts.paths(tmp_path / records_folder.PARTS, "r5")
    data = bytearray(pathlib.Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    pathlib.Path(path).write_bytes(data)
    with pytest.raises(errors.DataError, match="has changed since .* run the same"):
        write(tmp_path)
    assert not (tmp_path / manifest_lib.FILE_NAME).exists()
    write(tmp_path)
    assert folders.tree(tmp_path) == reference


def test_parts_of_other_settings_are_not_taken(reference, tmp_path):
    broken = array_corpus.ArrayCorpus(LENGTHS, fails_at="r9")
    with pytest.raises(errors.DataError):
        write(tmp_path, broken, records=dataclasses.replace(RECORDS, context_ticks=7))
    write(tmp_path)
    assert folders.tree(tmp_path) == reference


class KeyedCorpus(array_corpus.ArrayCorpus):
    """A corpus that says which recordings a change touches."""

    def __init__(self, *args, version=1, **options):
        super().__init__(*args, **options)
        self.config = {"version": version}

    def content_key(self, recording_id):
        return {"length": self.lengths[recording_id]}


def test_a_change_of_one_recording_leaves_the_other_parts(tmp_path):
    def attempt(lengths, **options):
        write(tmp_path, KeyedCorpus(lengths, **options), records=records)

    records = dataclasses.replace(RECORDS, validation_fraction=0.0, dev_fraction=0.0)
    with pytest.raises(errors.DataError, match="r2: is broken"):
        attempt((9, 9, 9), version=1, fails_at="r2")
    # r1 is another one now, so it is asked for.
    with pytest.raises(errors.DataError, match="r1: is broken"):
        attempt((9, 8, 9), version=2, fails_at="r1")
    # r0 never was, so it is not.
    attempt((9, 8, 9), version=2, fails_at="r0")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_step_it_ends_with_the_same_bytes(tmp_path):
    corpus = array_corpus.ArrayCorpus((12, 25, 1, 9, 14, 8))
    write(tmp_path / "whole", corpus)
    whole = folders.tree(tmp_path / "whole")
    step = 0
    while True:
        folder = tmp_path / f"killed{step}"
        pid = os.fork()
        if pid == 0:
            _exit_before_step(step, str(folder))
            try:
                write(folder, corpus)
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            break
        assert code == 9
        found = folders.tree(folder)
        if manifest_lib.FILE_NAME in found:  # then everything it names is in place
            assert whole.items() <= found.items()
        write(folder, corpus)
        assert folders.tree(folder) == whole
        step += 1
    # Six recordings of two files each are created, renamed and removed: at least that
    # many steps were tried, so the hook does see them.
    assert step >= 6 * 2 * 3


def _exit_before_step(step, folder):
    """Ends this process before the step-th change of the file system below a folder."""
    seen = 0

    def hook(event, args):
        nonlocal seen
        writes = event == "open" and args[1] is not None and "w" in args[1]
        if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            if str(args[0]).startswith(folder) or event == "os.remove":
                if seen == step:
                    os._exit(9)
                seen += 1

    sys.addaudithook(hook)


_SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import array_corpus
from avexp_tf import config
from avexp_tf.data import prepare
if __name__ == "__main__":
    corpus = array_corpus.ArrayCorpus({lengths!r}, pause_secs=0.05)
    records = config.RecordsConfig(**{records!r})
    prepare.prepare(corpus, {folder!r}, records, n_workers=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
def test_sigkill_takes_the_workers_along_and_the_next_run_goes_on(reference, tmp_path):
    folder = tmp_path / "records"
    script = tmp_path / "run_prepare.py"
    script.write_text(
        _SCRIPT.format(
            here=os.path.dirname(array_corpus.__file__),
            lengths=LENGTHS,
            records=dataclasses.asdict(RECORDS),
            folder=str(folder),
        )
    )
    command = [sys.executable, str(script)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list(folder.glob(f"{records_folder.PARTS}/*/*.json")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    children = _descendants(process.pid)
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while any(map(_is_alive, children)):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.05)
    assert not (folder / manifest_lib.FILE_NAME).exists()
    n_done = len(list(folder.glob(f"{records_folder.PARTS}/*/*.json")))
    assert 0 < n_done < len(LENGTHS)
    subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=True)
    assert folders.tree(folder) == reference


def _descendants(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(word) for path in tasks for word in path.read_text().split()]
    return children + [found for child in children for found in _descendants(child)]


def _is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state[0] != "Z"


def test_a_full_disk_ends_cleanly_and_the_next_run_goes_on(
    reference, tmp_path, monkeypatch
):
    real, calls = os.fsync, 0

    def fsync(descriptor):
        nonlocal calls
        calls += 1
        if calls == 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(errors.DataError, match="can't be written: No space left"):
        write(tmp_path)
    assert not [name for name in folders.tree(tmp_path) if ".tmp-" in name]
    assert not (tmp_path / manifest_lib.FILE_NAME).exists()
    write(tmp_path)
    assert folders.tree(tmp_path) == reference


def test_audio_statistics_from_other_records(tmp_path):
    train = write(tmp_path / "train")
    alone = array_corpus.ArrayCorpus((9, 12), split="test")
    with pytest.raises(errors.DataError, match="no recording is in train.*--statistic"):
        write(tmp_path / "test", alone)
    assert not (tmp_path / "test").exists()
    options = {"statistics_from": str(tmp_path / "train")}
    found = write(tmp_path / "test", alone, **options)
    assert found.audio_statistics == train.audio_statistics
    assert list(found.splits) == ["test"]
    assert write(tmp_path / "test", alone, **options) == found

    other = array_corpus.ArrayCorpus(LENGTHS[::-1])
    write(tmp_path / "other", other)
    with pytest.raises(errors.ConfigError, match="are not those of --statistics_from"):
        write(tmp_path / "test", alone, statistics_from=str(tmp_path / "other"))

    alone.audio = recording.FeatureSet("noise", "3", 2)
    with pytest.raises(
        errors.DataError, match=r"noise 2 \(2 columns\), those of .* noise 3 \(2 colu"
    ):
        write(tmp_path / "test", alone, overwrite=True, **options)


def test_shards_of_somebody_else_are_left_alone(tmp_path):
    path = tmp_path / contents.shard_name("train", 0, 1)
    path.write_text("theirs")
    with pytest.raises(errors.DataError, match="would be replaced"):
        write(tmp_path)
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", [config.FILE_NAME, config.WEIGHTS_NAME])
def test_a_run_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("theirs")
    (tmp_path / manifest_lib.FILE_NAME).write_text("theirs")
    for options in ({}, {"overwrite": True}):
        with pytest.raises(errors.DataError, match=f"holds a run .{name}., whose mani"):
            write(tmp_path, **options)
    assert folders.tree(tmp_path).keys() == {name, manifest_lib.FILE_NAME}
    assert (tmp_path / manifest_lib.FILE_NAME).read_text() == "theirs"


def test_a_run_elsewhere_is_left_alone(monkeypatch):
    monkeypatch.setattr(remote, "check", lambda _: None)
    monkeypatch.setattr(remote, "children", lambda _: [config.FILE_NAME])
    with pytest.raises(errors.DataError, match="s3://b/run: holds a run"):
        write("s3://b/run", overwrite=True)


def test_a_background_is_in_all_recordings_or_in_none(tmp_path):
    everywhere = array_corpus.ArrayCorpus(
        (9, 9, 9, 9, 9, 9), background_in=["r0", "r1", "r2", "r3", "r4", "r5"]
    )
    manifest = write(tmp_path / "all", everywhere)
    assert manifest.has_background
    (segment, *_) = segments_of(tmp_path / "all", manifest, "train")
    block = array_corpus.ticks(segment.recording_id, 9)
    np.testing.assert_array_equal(segment.background, block.video.astype(np.float16))
    some = array_corpus.ArrayCorpus((9, 9, 9, 9, 9, 9), background_in=["r3"])
    with pytest.raises(errors.DataError, match="'r3' has a background, 'r4' has none"):
        write(tmp_path / "some", some)


def test_an_empty_recording_is_named(tmp_path):
    with pytest.raises(errors.DataError, match="recording 'r2': holds no tick"):
        write(tmp_path, array_corpus.ArrayCorpus((9, 9, 0, 9, 9, 9)))


def test_shared_subjects_are_told(tmp_path):
    class ByGroup(array_corpus.ArrayCorpus):
        def recordings(self):
            return [
                dataclasses.replace(info, split_group=info.recording_id)
                for info in super().recordings()
            ]

    said = []
    prepare.prepare(ByGroup(LENGTHS), tmp_path, RECORDS, report=said.append)
    assert len(said) == 1
    assert said[0].startswith("note: this corpus is not split by subject; in more than")


def test_ids_are_no_paths(tmp_path):
    class Odd(array_corpus.ArrayCorpus):
        def __init__(self):
            super().__init__(())
            self.lengths = {
                "../../x": 9,
                "a/b": 9,
                "a\\b": 9,
                "ü\n": 9,
                "C:": 9,
                ".": 9,
            }

    folder = tmp_path / "records"
    manifest = write(folder, Odd())
    assert [path.name for path in tmp_path.iterdir()] == ["records"]
    ids = {
        e.recording_id for split in manifest.splits.values() for e in split.recordings
    }
    assert ids == set(Odd().lengths)
    assert list(verify.problems(folder)) == []


def test_a_missing_extra_reaches_the_parent_process(tmp_path):
    with pytest.raises(errors.MissingExtraError, match=r"avexp-tf\[some\]"):
        write(tmp_path, array_corpus.NeedsExtra(LENGTHS), n_workers=2)


def test_a_worker_that_dies_is_told_with_what_it_had_in_hand(tmp_path):
    corpus = array_corpus.Crashes(LENGTHS, fails_at="r4")
    with pytest.raises(
        errors.DataError, match="a worker process died; .* r4"
    ) as caught:
        write(tmp_path, corpus, n_workers=2)
    said = str(caught.value).split("in hand were ")[1].split(":")[0]
    assert 1 <= len(said.split(", ")) <= 2


def test_records_too_large_for_a_protocol_buffer_are_refused(tmp_path):
    corpus = array_corpus.ArrayCorpus(LENGTHS)
    corpus.video = recording.FeatureSet("fc6", "1", 4096)
    records = dataclasses.replace(RECORDS, segment_ticks=100_000)
    # 100,000 ticks of 4 * 4096 + 4 * 2 + 32 bytes.
    with pytest.raises(errors.ConfigError, match="--segment_ticks=100000: .* 1642 MB"):
        write(tmp_path, corpus, records)
