"""Files are whole or absent."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf import files


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with files.replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]


def test_after_an_exception_all_is_as_before(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with (
        pytest.raises(errors.DataError, match="x: can't be written: No space left on"),
        files.replacing(tmp_path / "x") as file,
    ):
        file.write(b"new")
    assert os.listdir(tmp_path) == []


def test_what_the_block_cannot_read_is_not_blamed_on_the_file(tmp_path):
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "x"):
        open(tmp_path / "missing")
    assert os.listdir(tmp_path) == []


def test_folders_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DataError, match="file/x: can't be written: Not a dir"):
        with files.replacing(tmp_path / "file" / "x"):
            pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.DataError, match="folder: can't be written: Is a dir"):
        with files.replacing(tmp_path / "folder"):
            pass
    with pytest.raises(errors.DataError, match="file/x: this folder can't be made"):
        files.make_folder(tmp_path / "file" / "x")
    with pytest.raises(errors.DataError, match="file/lock: can't be written"):
        with files.only_one(tmp_path / "file" / "lock"):
            pass


def test_a_second_process_is_kept_out_until_the_first_is_gone(tmp_path):
    lock = tmp_path / "lock"
    code = (
        "import sys, time\n"
        "from avexp_tf import files\n"
        f"with files.only_one({str(lock)!r}):\n"
        "    print('in', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"in\n"
        with pytest.raises(errors.DataError, match="another process is writing here"):
            with files.only_one(lock):
                pass
    finally:
        process.kill()
        process.communicate()
    with files.only_one(lock):
        pass


def test_a_fingerprint_tells_files_of_one_size_apart(tmp_path):
    rng = np.random.default_rng(0)
    for n_bytes in (0, 10, 5 << 20):
        content = bytearray(rng.bytes(n_bytes))
        (tmp_path / "a").write_bytes(content)
        (tmp_path / "b").write_bytes(content)
        assert files.fingerprint(tmp_path / "a") == files.fingerprint(tmp_path / "b")
        for place in {0, n_bytes - 1} if n_bytes else ():
            changed = content.copy()
            changed[place] ^= 1
            (tmp_path / "b").write_bytes(changed)
            ours, other = (files.fingerprint(tmp_path / name) for name in "ab")
            assert ours != other
    with pytest.raises(errors.DataError, match="can't be read: No such file"):
        files.fingerprint(tmp_path / "c")


def test_files_below_a_folder_are_found_through_links_once(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.txt").write_text("")
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "deep" / "back").symlink_to(folder)
    (folder / "broken.txt").symlink_to(tmp_path / "nowhere")
    (folder / "deep" / "c.TXT").write_text("")
    (folder / "deep" / "d.csv").write_text("")
    found = files.below(folder, (".txt",))
    assert [str(path.relative_to(folder)) for path in found] == [
        "deep/a.txt",
        "deep/c.TXT",
        "link/b.txt",
    ]


def test_a_folder_below_that_can_not_be_read_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(errors.DataError, match="closed: can't be read: Permission"):
        files.below(tmp_path, (".txt",))


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("n" * 251 + ".csv")
    with files.replacing(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
