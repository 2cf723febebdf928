"""Batches are the recordings' own ticks, with losses that depend on their key alone."""

import dataclasses
import functools
import pathlib

import array_corpus
import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import condition
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import pipeline
from avexp_tf.data import prepare
from avexp_tf.data import record_source

# Segments shorter than a clip, segments of several clips, and recordings of several
# segments.
LENGTHS = (130, 7, 20, 95, 60, 33, 41, 88)
RECORDS = config.RecordsConfig(
    context_ticks=6,
    context="centered",
    segment_ticks=40,
    shard_mb=0.004,
    dev_fraction=0.0,
)
T = 12
LOSSES = ("video:frame_zero:0.5", "audio:frame_repeat:0.4")


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    corpus = array_corpus.ArrayCorpus(LENGTHS, split="train")
    prepare.prepare(corpus, folder, RECORDS, report=str)
    return folder


@pytest.fixture(name="source")
def _source(folder):
    return opened(folder)


def opened(folder, **data):
    values = {"clip_ticks": T, "batch_size": 5, "mix_records": 3, "eval_stride": T}
    return record_source.RecordSource.open(
        config.DataConfig(records=str(folder), **(values | data)), "train"
    )


def numpy_of(batches):
    return [tf.nest.map_structure(lambda x: x.numpy(), batch) for batch in batches]


def train(source, losses=LOSSES, seed=1, epoch=0, first_step=0):
    ablations = condition.parse_ablations(losses)
    return numpy_of(
        pipeline.training_batches(source, ablations, seed, epoch, first_step)
    )


def evaluate(source, losses=LOSSES, seeds=(1,), **options):
    ablation = condition.parse_ablation(losses)
    sweep = [(ablation, seed) for seed in seeds]
    return numpy_of(pipeline.evaluation_batches(source, sweep, **options))


def assert_same(first, second):
    assert len(first) == len(second)
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


def rows_of(batches):
    """All clips, one dict of arrays."""
    names = batches[0].keys()
    return {n: np.concatenate([batch[n] for batch in batches]) for n in names}


@functools.cache
def ticks(recording_id):
    return array_corpus.ticks(recording_id, LENGTHS[int(recording_id[1:])])


def stored_video(recording_id):
    """What the records hold: float16, zeros where no face was found."""
    block = ticks(recording_id)
    video = block.video.astype(np.float16).astype(np.float32)
    return np.where(block.video_present[:, None], video, 0)


def check_clip(clip, recording_id, first_tick, manifest):
    """Compares a clip with the recording that it was cut from."""
    block = ticks(recording_id)
    valid = clip["valid"]
    n = int(valid.sum())
    at = np.arange(first_tick, first_tick + n)
    assert valid[:n].all()
    assert clip["video"].dtype == np.float16  # the model widens it
    np.testing.assert_array_equal(clip["video"][:n], stored_video(recording_id)[at])
    expected = np.where(block.label_valid, block.labels, np.nan)[at].astype(np.float32)
    np.testing.assert_array_equal(clip["labels"][:n], expected)
    assert np.isnan(clip["labels"][n:]).all()
    # The rows that the valid ticks' audio vectors are made of.
    statistics = manifest.audio_statistics
    rows = np.arange(n + RECORDS.context_ticks - 1)
    of_tick = first_tick - RECORDS.context_before + rows
    inside = (of_tick >= 0) & (of_tick < len(block))
    heard = inside & block.audio_present[np.where(inside, of_tick, 0)]
    normal = (block.audio - statistics.mean) / statistics.std
    expected = np.where(heard[:, None], normal[np.where(heard, of_tick, 0)], 0)
    np.testing.assert_allclose(clip["audio"][rows], expected, atol=1e-5)
    for name, present in (
        ("video", block.video_present),
        ("audio", block.audio_present),
    ):
        source = clip[f"{name}_source"]
        assert source.dtype == np.int32
        assert (source[..., n:] < n).all()  # padding is never shown as a frame
        shown = source[..., :n]
        assert (shown <= np.arange(n)).all()
        assert present[at][shown[shown >= 0]].all()


def test_training_clips_are_stretches_of_recordings(source):
    found = []
    for inputs, labels in train(source):
        names = [labels[name] for name in config.TARGETS]
        batch = inputs | {"labels": np.stack(names, -1)}
        for row in range(len(inputs["valid"])):
            clip = {name: values[row] for name, values in batch.items()}
            recording_id, first_tick = place_of(clip)
            check_clip(clip, recording_id, first_tick, source.manifest)
            found.append((recording_id, first_tick))
    assert len(found) == source.clips_per_epoch
    assert {name for name, _ in found} == {f"r{i}" for i in range(len(LENGTHS))}


def place_of(clip):
    """The recording and first tick of a clip, from its first frame that is no zero."""
    row = int(np.argmax(clip["video"].any(axis=1)))
    for index in range(len(LENGTHS)):
        equal = (stored_video(f"r{index}") == clip["video"][row]).all(axis=1)
        if equal.any():
            return f"r{index}", int(np.argmax(equal)) - row
    raise AssertionError("no recording holds this frame")


def test_evaluation_clips_hold_every_tick_in_order(source):
    clips = rows_of(evaluate(source))
    seen = {f"r{i}": [] for i in range(len(LENGTHS))}
    for row in range(len(clips["valid"])):
        clip = {name: values[row] for name, values in clips.items()}
        recording_id = clip["recording_id"].decode()
        first_tick = int(clip["first_tick"])
        check_clip(clip, recording_id, first_tick, source.manifest)
        n = int(clip["valid"].sum())
        seen[recording_id] += range(first_tick, first_tick + n)
        expected = ticks(recording_id).timestamps[first_tick : first_tick + n]
        np.testing.assert_array_equal(clip["timestamps"][:n], expected)
    for index, n_ticks in enumerate(LENGTHS):
        assert set(seen[f"r{index}"]) == set(range(n_ticks))
    order = [entry.recording_id for entry in source.manifest.split("train").recordings]
    found = [name.decode() for name in clips["recording_id"]]
    assert list(dict.fromkeys(found)) == order


@pytest.mark.parametrize("stride", [1, 5, T, 1000])
def test_no_stride_leaves_a_tick_out(folder, stride):
    clips = rows_of(evaluate(opened(folder, eval_stride=stride)))
    covered = {f"r{i}": set() for i in range(len(LENGTHS))}
    for name, first, valid in zip(
        clips["recording_id"], clips["first_tick"], clips["valid"], strict=True
    ):
        covered[name.decode()] |= set(first + np.flatnonzero(valid))
    for index, n_ticks in enumerate(LENGTHS):
        assert covered[f"r{index}"] == set(range(n_ticks))


def test_parallel_calls_change_nothing(source, monkeypatch):
    trained, evaluated = [], []
    for calls in (1, 2, 7):
        monkeypatch.setattr(tf.data, "AUTOTUNE", calls)
        monkeypatch.setattr(pipeline, "_PARALLEL_READS", calls)
        trained.append(train(source))
        evaluated.append(evaluate(source, seeds=(1, 2)))
    for other in (1, 2):
        assert_same(trained[0], trained[other])
        assert_same(evaluated[0], evaluated[other])


def test_an_epoch_is_the_same_each_time_and_another_each_epoch_and_seed(source):
    first = train(source)
    assert_same(first, train(source))
    ablations = condition.parse_ablations(LOSSES)
    batches = pipeline.training_batches(source, ablations, 1, 0)
    assert_same(numpy_of(batches), numpy_of(batches))
    for other in (train(source, epoch=1), train(source, seed=2)):
        assert len(other) == len(first) == source.steps_per_epoch
        assert (other[0][0]["video"] != first[0][0]["video"]).any()


@pytest.mark.parametrize("first_step", [1, 4])
def test_a_resumed_epoch_skips_to_its_step(source, first_step):
    assert_same(train(source, first_step=first_step), train(source)[first_step:])


def test_of_losses_between_slashes_a_batch_has_one(source):
    losses = ("video:clip_zero:1/audio:clip_zero:1/none",)
    drawn = []
    for epoch in range(3):
        batches = train(source, losses, epoch=epoch)
        assert_same(train(source, losses, epoch=epoch, first_step=2), batches[2:])
        for inputs, _ in batches:
            sources = (inputs["video_source"], inputs["audio_source"])
            drawn.append(tuple(bool((one >= 0).any()) for one in sources))
            for one, some in zip(sources, drawn[-1], strict=True):
                assert (one >= 0).any(axis=1).all() == some
    # What is lost differs from batch to batch, and each alternative comes up.
    assert set(drawn) == {(False, True), (True, False), (True, True)}
    assert len({tuple(drawn[i : i + 3]) for i in range(len(drawn) - 3)}) > 3


def test_batches_mix_recordings_and_no_clip_is_lost(source):
    batches = train(source)
    sizes = [len(inputs["valid"]) for inputs, _ in batches]
    assert sizes[:-1] == [5] * (len(sizes) - 1)
    assert sum(sizes) == source.clips_per_epoch
    n_recordings = [
        len({place_of({"video": video})[0] for video in inputs["video"]})
        for inputs, _ in batches
    ]
    assert np.mean(n_recordings) > 2


def lost_ticks(clips, name="video"):
    """{(recording, tick): lost by the simulator}, of ticks that were really there."""
    lost = {}
    for recording_id, first, valid, source in zip(
        clips["recording_id"],
        clips["first_tick"],
        clips["valid"],
        clips[f"{name}_source"][:, 0],
        strict=True,
    ):
        present = getattr(ticks(recording_id.decode()), f"{name}_present")
        for tick in np.flatnonzero(valid):
            if present[first + tick]:
                key = recording_id, first + tick
                is_lost = source[tick] != tick
                # Where clips overlap, both lose the same ticks.
                assert lost.setdefault(key, is_lost) == is_lost
    return lost


def test_evaluation_losses_are_fixed(folder):
    first = lost_ticks(rows_of(evaluate(opened(folder))))
    again = opened(folder, batch_size=3, eval_stride=5, mix_records=1)
    assert lost_ticks(rows_of(evaluate(again))) == first
    assert 0.4 < np.mean(list(first.values())) < 0.6
    other = lost_ticks(rows_of(evaluate(opened(folder), seeds=(2,))))
    agree = np.mean([other[key] == first[key] for key in first])
    assert 0.4 < agree < 0.6


def test_the_maps_of_a_sweep_are_those_of_its_members(source):
    together = rows_of(evaluate(source, seeds=(1, 2)))
    assert together["video_source"].shape[1:] == (2, T)
    for k, seed in enumerate((1, 2)):
        alone = rows_of(evaluate(source, seeds=(seed,)))
        for name in ("video_source", "audio_source"):
            np.testing.assert_array_equal(together[name][:, k], alone[name][:, 0])


def train_losses(source, epoch, seed=1):
    """{(recording, tick): lost} of the video in training."""
    lost = {}
    for inputs, _ in train(source, epoch=epoch, seed=seed):
        for video, shown, valid in zip(
            inputs["video"], inputs["video_source"], inputs["valid"], strict=True
        ):
            recording_id, first = place_of({"video": video})
            present = ticks(recording_id).video_present
            for tick in np.flatnonzero(valid):
                if present[first + tick]:
                    lost[recording_id, first + tick] = shown[tick] < 0
    return lost


def test_training_losses_are_fresh_each_epoch(source):
    first, second = train_losses(source, 0), train_losses(source, 1)
    assert train_losses(source, 0) == first
    both = first.keys() & second.keys()
    assert len(both) > 150
    assert 0.35 < np.mean([first[key] == second[key] for key in both]) < 0.65
    assert 0.4 < np.mean(list(first.values())) < 0.6


def test_without_a_loss_only_real_gaps_are_shown_as_none(source):
    clips = rows_of(evaluate(source, losses=()))
    for name in config.MODALITIES:
        shown = np.arange(T) * np.ones((len(clips["valid"]), 1), int)
        expected = np.where(clips[f"{name}_present"], shown, -1)
        np.testing.assert_array_equal(clips[f"{name}_source"][:, 0], expected)
        assert (expected < 0).any()


def test_the_first_recordings_alone(source):
    clips = rows_of(evaluate(source, max_recordings=3))
    names = [entry.recording_id for entry in source.manifest.split("train").recordings]
    found = [name.decode() for name in clips["recording_id"]]
    assert list(dict.fromkeys(found)) == names[:3]


@pytest.fixture(name="damaged")
def _damaged(folder, tmp_path):
    """A copy with one flipped byte, and the name of the record that holds it."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = manifest_lib.Manifest.load(tmp_path)
    shard = manifest.split("train").shards[1]
    path = tmp_path / shard.file
    offset = shard.record_bytes[0]
    data = bytearray(path.read_bytes())
    data[offset + 40] ^= 1
    path.write_bytes(data)
    return tmp_path, f"{path}: record 1 at byte {offset}"


def test_a_damaged_record_ends_the_run_and_is_found(damaged):
    folder, name = damaged
    source = opened(folder)
    with pytest.raises(tf.errors.DataLossError):
        train(source)
    found = source.reader.find_damage()
    assert found == f"{name}: the checksum of its data is wrong"


def test_whole_records_have_no_damage(source):
    assert source.reader.find_damage() is None


def test_a_damaged_record_can_be_skipped_alone(folder, damaged):
    damaged_folder, name = damaged
    whole = rows_of(evaluate(opened(folder)))
    source = opened(damaged_folder, on_corrupt="skip")
    rest = rows_of(evaluate(source))
    lost = [f"{name}: the checksum of its data is wrong"]
    assert source.reader.lost.names == lost
    missing = key_set(whole) - key_set(rest)
    assert not key_set(rest) - key_set(whole)
    # The clips of one segment: neither its file nor its recording is gone.
    assert len({recording_id for recording_id, _ in missing}) == 1
    assert 1 <= len(missing) <= 4
    n_clips = sum(len(inputs["valid"]) for inputs, _ in train(source))
    assert source.clips_per_epoch - 4 <= n_clips < source.clips_per_epoch
    assert source.reader.lost.names == lost


def test_what_a_cut_file_lost_is_told(damaged):
    folder, name = damaged
    path = pathlib.Path(name.partition(": ")[0])
    offset = int(name.rpartition(" ")[2])
    path.write_bytes(path.read_bytes()[: offset // 2])
    source = opened(folder, on_corrupt="skip")
    evaluate(source)
    lost = source.reader.lost.names
    assert f"{name}: the file ends before it" in lost
    assert all(one.startswith(f"{path}: record") for one in lost)


def key_set(clips):
    return set(zip(clips["recording_id"].tolist(), clips["first_tick"], strict=True))


def test_missing_and_cut_shards_are_named_at_once(damaged):
    folder, _ = damaged
    path = sorted(folder.glob("*.tfrecord"))[2]
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-3])
    message = f"{path.name}: has {size - 3} bytes, the manifest says {size}"
    with pytest.raises(errors.DataError, match=message):
        opened(folder)
    path.unlink()
    with pytest.raises(errors.DataError, match=f"{path.name}: no such file, but the"):
        opened(folder)


def test_a_split_that_is_empty_and_records_that_are_not_named(folder):
    data = config.DataConfig(records=str(folder))
    with pytest.raises(errors.DataError, match="no recording is in the split 'dev'"):
        record_source.RecordSource.open(data, "dev")
    with pytest.raises(errors.ConfigError, match="--records: must name a folder"):
        record_source.RecordSource.open(dataclasses.replace(data, records=""), "train")


def test_the_background_follows_the_frames(tmp_path):
    corpus = array_corpus.ArrayCorpus((30,), background_in=["r0"], split="train")
    prepare.prepare(corpus, tmp_path, RECORDS, report=str)
    clips = rows_of(evaluate(opened(tmp_path, eval_stride=5)))
    assert clips["video"].shape[1:] == (2 * T, 3)
    video = array_corpus.ticks("r0", 30).video.astype(np.float16)
    for first, found in zip(clips["first_tick"], clips["video"], strict=True):
        np.testing.assert_array_equal(found[T:], video[first : first + T])


def test_a_lost_face_shows_the_background_of_its_tick(tmp_path):
    corpus = array_corpus.ArrayCorpus((95,), background_in=["r0"], split="train")
    prepare.prepare(corpus, tmp_path, RECORDS, report=str)
    clips = rows_of(evaluate(opened(tmp_path), ("video:face_zero:0.5",)))
    zeroed = rows_of(evaluate(opened(tmp_path), ("video:frame_zero:0.5",)))
    present = array_corpus.ticks("r0", 95).video_present
    n_shown = 0
    for first, source, lost, valid in zip(
        clips["first_tick"],
        clips["video_source"][:, 0],
        zeroed["video_source"][:, 0],
        clips["valid"],
        strict=True,
    ):
        ticks = np.arange(T)
        # Simulated or real, a tick whose face is gone shows its scene.
        np.testing.assert_array_equal(
            source[valid], np.where(lost == ticks, ticks, T + ticks)[valid]
        )
        assert (source[valid] >= T)[~present[first : first + T][valid]].all()
        n_shown += (source[valid] >= T).sum()
    assert n_shown > 40


def test_a_face_can_not_be_lost_without_a_background(source):
    for make in (train, evaluate):
        with pytest.raises(
            errors.ConfigError, match="'video:face_zero:0.5': the records in .* have no"
        ):
            make(source, ("audio:frame_zero:0.1", "none|video:face_zero:0.5"))
