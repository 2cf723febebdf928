"""A checkpoint is whole or does not count; what is kept; what a stranger's can't do."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf import files
from avexp_tf.training import checkpoints
from avexp_tf.training import progress

SETTINGS = {"seed": 3, "schedule": {"peak": 0.1}}
SHAPES = {"model-0000": (2, 3), "losses": (None,)}
ROWS = ({"epoch": 1, "loss": 0.1 + 0.2, "dev_arousal": float("nan")},)


def arrays(value=1.5):
    return {
        "model-0000": np.full((2, 3), value, np.float32),
        "losses": np.array([0.1, 1 / 3]),
    }


def made(folder, settings=SETTINGS):
    return checkpoints.Checkpoints(folder, settings)


def at(step, best=None):
    return progress.Progress(
        step=step, epoch=1, epoch_step=step, best=best, rows=ROWS, lost=("a",)
    )


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
    best = progress.Best(1, 1 / 3, 1, "00ff")
    made(tmp_path).save(at(7, best), arrays())
    found = made(tmp_path)
    assert found.numbers == [1]
    where, loaded = found.load(1, SHAPES)
    assert repr(where) == repr(at(7, best))  # NaN is not equal to itself
    for name, array in arrays().items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_the_last_two_and_the_best_are_kept(tmp_path):
    folder = made(tmp_path)
    best = None
    for step in range(1, 8):
        if step == 2:
            best = progress.Best(1, 0.5, folder.next_number, "")
        folder.save(at(step, best), arrays())
    assert folder.numbers == made(tmp_path).numbers == [2, 6, 7]
    assert sorted(os.listdir(tmp_path)) == [
        f"0000{number}.{suffix}" for number in (2, 6, 7) for suffix in ("json", "npz")
    ]


def test_the_same_state_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        made(tmp_path / name).save(at(1), arrays())
    a, b = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [path.read_bytes() for path in a] == [path.read_bytes() for path in b]


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_any_changed_byte_is_found(tmp_path, suffix):
    folder = made(tmp_path)
    folder.save(at(1), arrays())
    path = tmp_path / f"00001.{suffix}"
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(errors.DataError, match=str(tmp_path)):
            folder.load(1, SHAPES)
    for n_bytes in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(errors.DataError, match=str(tmp_path)):
            folder.load(1, SHAPES)
    path.unlink()
    with pytest.raises(errors.DataError, match=str(tmp_path)):
        folder.load(1, SHAPES)
    path.write_bytes(whole)
    folder.load(1, SHAPES)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    made(tmp_path).save(at(1), arrays())
    other = made(tmp_path, SETTINGS | {"seed": 4})
    with pytest.raises(errors.DataError, match="is a checkpoint of another run"):
        other.load(1, SHAPES)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"model-0000": (2, 3)}, "holds the arrays of another model"),
        (SHAPES | {"more": ()}, "holds the arrays of another model"),
        (SHAPES | {"model-0000": (3, 2)}, r"is float32 \[2, 3\], must be numbers \[3"),
        (SHAPES | {"losses": ()}, r"losses is float64 \[2\], must be numbers \[\]"),
    ],
)
def test_other_shapes_are_refused(tmp_path, shapes, message):
    folder = made(tmp_path)
    folder.save(at(1), arrays())
    with pytest.raises(errors.DataError, match=message):
        folder.load(1, shapes)


def test_what_a_killed_process_left_does_not_count_and_goes(tmp_path):
    folder = made(tmp_path)
    folder.save(at(1), arrays())
    (tmp_path / f"{files.TEMPORARY}9-00002.npz").write_bytes(b"half")
    (tmp_path / "00002.npz").write_bytes(b"whole, but its JSON was not written")
    found = made(tmp_path)
    assert found.numbers == [1]
    found.remove_after(1)
    assert sorted(os.listdir(tmp_path)) == ["00001.json", "00001.npz"]
    assert found.next_number == 2


def test_newer_ones_are_removed_when_an_older_one_is_taken(tmp_path):
    folder = made(tmp_path)
    for step in (1, 2):
        folder.save(at(step), arrays())
    folder.remove_after(1)
    assert sorted(os.listdir(tmp_path)) == ["00001.json", "00001.npz"]
    folder.save(at(2), arrays())
    assert folder.numbers == [1, 2]


def test_a_full_disk_leaves_the_older_ones(tmp_path, monkeypatch):
    folder = made(tmp_path)
    folder.save(at(1), arrays())
    monkeypatch.setattr(os, "fsync", _no_space)
    with pytest.raises(errors.DataError, match="can't be written: No space left"):
        folder.save(at(2), arrays())
    assert made(tmp_path).numbers == [1]
    assert sorted(os.listdir(tmp_path)) == ["00001.json", "00001.npz"]


def _no_space(descriptor):
    raise OSError(28, os.strerror(28))


class _Runs:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def seal_arrays(folder, change):
    """Puts other bytes in the place of the arrays, with a digest that is right."""
    change(folder / "00001.npz")
    path = folder / "00001.json"
    values = json.loads(path.read_text())
    del values["seal"]
    values["arrays_sha256"] = files.sha256(folder / "00001.npz")
    from avexp_tf import typed_json

    path.write_text(json.dumps(values | {"seal": typed_json.digest(values)}))


def test_nothing_is_ever_unpickled(tmp_path):
    folder, trace = tmp_path / "checkpoints", tmp_path / "trace"
    made(folder).save(at(1), arrays())
    evil = np.array([_Runs(trace)], dtype=object)

    def change(path):
        np.savez(path, **(arrays() | {"losses": evil}))

    seal_arrays(folder, change)
    with pytest.raises(errors.DataError, match="is no checkpoint: .*allow_pickle"):
        made(folder).load(1, SHAPES)
    assert not trace.exists()
    # The pickle itself would have run.
    pickle.loads(pickle.dumps(_Runs(trace)))
    assert trace.exists()


def test_few_bytes_cannot_ask_for_all_of_the_memory(tmp_path):
    made(tmp_path).save(at(1), arrays())

    def bomb(path):
        np.savez_compressed(path, **(arrays() | {"losses": np.zeros(10_000_000)}))

    seal_arrays(tmp_path, bomb)
    with pytest.raises(errors.DataError, match="is compressed"):
        made(tmp_path).load(1, SHAPES)

    def lie(path):
        # A header that announces 10^15 numbers, and none of them.
        np.savez(path, **arrays())
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }"
        text = header % 10**15
        text += b" " * (-(len(text) + 11) % 64) + b"\n"
        data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        with zipfile.ZipFile(path) as archive:
            kept = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (kept | {"losses.npy": data}).items():
                archive.writestr(name, content)

    seal_arrays(tmp_path, lie)
    with pytest.raises(errors.DataError, match="is no checkpoint"):
        made(tmp_path).load(1, SHAPES)
