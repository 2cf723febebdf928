"""A file that kills the process that decodes it costs that file and no other."""

import os
import pathlib
import signal
import threading
import time

import fake_job
import pytest

from avexp_tf import errors
from avexp_tf.serving import client_errors
from avexp_tf.serving import guarded_job


def paths(*names):
    return [pathlib.Path(name) for name in names]


def test_a_crash_costs_one_file(tmp_path, capfd):
    names = ["a", "bad", "crash", "b", "exit", "crash-2", "c"]
    settings = fake_job.FakeSettings(str(tmp_path))
    assert guarded_job.run(settings, paths(*names)) == 4
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]
    said = capfd.readouterr()
    assert said.out.splitlines() == ["a: done", "b: done", "c: done"]
    found = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert found[0] == "error: bad: is bad"
    assert found[1].startswith(
        "error: crash: the process that decoded it was ended by SIGSEGV: the file is "
    )
    assert found[2] == "error: exit: the process that decoded it ended with code 7"
    assert found[3].startswith("error: crash-2: ") and len(found) == 4


def test_all_is_well(tmp_path, capfdbinary):
    other = os.fsdecode(b"b\xff")  # no UTF-8
    assert guarded_job.run(fake_job.FakeSettings(str(tmp_path)), paths("a", other)) == 0
    assert sorted(os.listdir(tmp_path)) == ["a", other]
    assert capfdbinary.readouterr().out == b"a: done\nb\xff: done\n"


def test_a_model_that_is_not_there_ends_all(tmp_path):
    settings = fake_job.FakeSettings(str(tmp_path), refuses="m: no such model")
    with pytest.raises(errors.DataError, match="^m: no such model$"):
        guarded_job.run(settings, paths("a"))
    settings = fake_job.FakeSettings(str(tmp_path), dies=True)
    with pytest.raises(errors.RunError, match="loads the model was ended by SIGKILL"):
        guarded_job.run(settings, paths("a"))


def test_a_model_that_was_replaced_ends_the_rest(tmp_path):
    settings = fake_job.FakeSettings(str(tmp_path))
    with pytest.raises(client_errors.NotFoundError, match="has another model"):
        guarded_job.run(settings, paths("a", "gone", "b"))
    assert os.listdir(tmp_path) == ["a"]


def test_two_files_of_one_name_are_told(tmp_path):
    with pytest.raises(errors.DataError, match="x.mov: has the same name as"):
        guarded_job.run(fake_job.FakeSettings(""), paths("a/x.mp4", "b/x.mov"))


def test_ctrl_c_ends_the_other_process_cleanly(tmp_path):
    half = tmp_path / "half-written"

    def interrupt():
        while not half.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        guarded_job.run(fake_job.FakeSettings(str(tmp_path)), paths("long", "b"))
    assert not list(tmp_path.iterdir())
