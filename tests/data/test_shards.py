"""Shards hold the bytes of the parts, and the cuts follow from lengths alone."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avexp_tf import errors
from avexp_tf.data import shards


@given(st.lists(st.integers(1, 50)), st.integers(1, 120))
def test_a_plan_keeps_the_order_and_fills_each_shard(lengths, aim):
    planned = shards.plan(lengths, aim)
    assert [length for shard in planned for length in shard] == lengths
    for shard, following in zip(planned, planned[1:], strict=False):
        assert sum(shard) + following[0] > aim
    for shard in planned:
        assert sum(shard) <= aim or len(shard) == 1


def write_parts(folder, contents):
    sources = []
    for index, data in enumerate(contents):
        path = folder / f"part{index}"
        path.write_bytes(data)
        sources.append((str(path), hashlib.sha256(data).hexdigest()))
    return sources


def test_shards_are_cut_within_and_across_parts(tmp_path):
    sources = write_parts(tmp_path, [b"abcdef", b"ghi", b"jkl"])
    written = shards.write(tmp_path, "dev", [[2, 2], [2, 3, 1], [2]], sources)
    assert [shard.file for shard in written] == [
        f"dev-0000{i}-of-00003.tfrecord" for i in range(3)
    ]
    for shard, data in zip(written, [b"abcd", b"efghij", b"kl"], strict=True):
        assert (tmp_path / shard.file).read_bytes() == data
        assert shard.sha256 == hashlib.sha256(data).hexdigest()
        assert shard.n_bytes == len(data)
    assert written[1].record_bytes == (2, 3, 1)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("change", [b"xyz", b"xy", b"wxyz"])
def test_a_part_that_changed_is_noticed_and_removed(tmp_path, index, change):
    sources = write_parts(tmp_path, [b"abc", b"def", b"ghi"])
    part = tmp_path / f"part{index}"
    part.write_bytes(change)
    with pytest.raises(errors.DataError, match="has changed since it was written"):
        shards.write(tmp_path, "dev", [[9]], sources)
    assert not part.exists()
    assert not list(tmp_path.glob("*.tfrecord"))
