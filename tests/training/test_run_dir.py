"""A run directory is nobody else's folder."""

import os

import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import manifest as manifests
from avexp_tf.training import run_dir as run_dirs


@pytest.mark.parametrize(
    "names",
    [
        [manifests.FILE_NAME],
        ["train-00000-of-00001.tfrecord"],
        [config.FILE_NAME, "train-00000-of-00001.tfrecord"],
    ],
)
def test_records_are_left_alone(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("theirs")
    with pytest.raises(errors.RunError, match=r"holds records, .* another --run_dir"):
        with run_dirs.RunDir(tmp_path).locked():
            pass
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_forgotten_settings_leave_the_directory_to_another_run(tmp_path):
    for name in (config.FILE_NAME, manifests.FILE_NAME):
        (tmp_path / name).write_text("ours")
    run_dir = run_dirs.RunDir(tmp_path)
    run_dir.forget_settings()
    with run_dir.locked():
        pass
