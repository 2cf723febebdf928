"""Any record can be read by its place."""

import array_corpus
import numpy as np
import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import prepare
from avexp_tf.data import shard_reader

RECORDS = config.RecordsConfig(
    context_ticks=4, segment_ticks=6, shard_mb=0.001, dev_fraction=0.0
)
LENGTHS = (8, 15, 6, 20, 7, 5)


@pytest.fixture(scope="module", name="records")
def _records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return folder, prepare.prepare(array_corpus.ArrayCorpus(LENGTHS), folder, RECORDS)


def test_the_records_of_each_recording(records):
    folder, manifest = records
    for index, length in enumerate(LENGTHS):
        split, places = shard_reader.indices_of(manifest, f"r{index}")
        segments = [shard_reader.read(folder, manifest, split, i) for i in places]
        assert {segment.recording_id for segment in segments} == {f"r{index}"}
        times = np.concatenate([segment.timestamps for segment in segments])
        expected = array_corpus.ticks(f"r{index}", length).timestamps
        np.testing.assert_array_equal(times, expected)


def test_places_that_are_not_there(records):
    folder, manifest = records
    with pytest.raises(errors.DataError, match="there is no recording 'r6'"):
        shard_reader.indices_of(manifest, "r6")
    n_records = len(manifest.split("train").segment_ticks)
    for index in (n_records, -1):
        message = f"train has no record {index}, they go from 0 to {n_records - 1}"
        with pytest.raises(errors.DataError, match=message):
            shard_reader.read(folder, manifest, "train", index)


def test_a_damaged_record_is_named(records, tmp_path):
    folder, manifest = records
    shard = manifest.split("train").shards[0]
    data = bytearray((folder / shard.file).read_bytes())
    data[shard.record_bytes[0] + 40] ^= 4
    (tmp_path / shard.file).write_bytes(data)
    assert shard_reader.read(tmp_path, manifest, "train", 0).segment_index == 0
    message = f"{shard.file}: record 1 at byte {shard.record_bytes[0]}: the checksum"
    with pytest.raises(errors.DataError, match=message):
        shard_reader.read(tmp_path, manifest, "train", 1)
