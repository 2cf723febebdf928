"""What a user's terminal shows: one line and an exit code, no traceback, no noise."""

import os
import pathlib
import subprocess
import sys

import pytest
import small_runs
from absl import flags as absl_flags

from avexp_tf import cli
from avexp_tf import errors
from avexp_tf import flags
from avexp_tf import quiet

ROOT = pathlib.Path(__file__).parents[1]

# Commands of the package that need no extra, as modules.
COMMANDS = (
    "avexp_tf.demo",
    "avexp_tf.evaluate",
    "avexp_tf.predict",
    "avexp_tf.submit",
    "avexp_tf.train",
    "avexp_tf.weights",
    "tfrecords.inspect",
    "tfrecords.prepare",
    "tfrecords.verify",
)


def define_nothing():
    pass


def run(main, capsys, *arguments, define=define_nothing):
    """Runs a main in this process; returns its exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as exit_:
        cli.run(main, define, "the usage", ["program", *arguments])
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def raiser(error):
    def main(_):
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "code", "line"),
    [
        (lambda _: None, 0, ""),
        (lambda _: 1, 1, ""),
        (raiser(errors.DataError("x.csv: is\n  empty")), 2, "error: x.csv: is empty\n"),
        (raiser(FileNotFoundError(2, "No such file", "a/b")), 2, "error: a/b: No suc"),
        (raiser(OSError(28, "No space left on device")), 2, "error: No space left on"),
        (raiser(KeyboardInterrupt()), 130, "interrupted; the same command goes on"),
    ],
)
def test_exit_codes(main, code, line, capsys):
    found, stdout, stderr = run(main, capsys)
    assert (found, stdout) == (code, "")
    assert stderr.startswith(line)
    assert stderr.count("\n") == (1 if line else 0)


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(raiser(ZeroDivisionError()), define_nothing, "", ["program"])


def test_what_is_left_of_the_line_reaches_main(capsys):
    words = []
    assert run(words.extend, capsys, "x")[0] == 0
    assert words == ["program", "x"]
    with pytest.raises(errors.ConfigError, match="'x': not a flag"):
        cli.no_positionals(words)
    cli.no_positionals(words[:1])


@pytest.fixture(name="flag_file")
def _flag_file(tmp_path):
    """A preset; `define` in these tests makes its flag."""
    path = tmp_path / "some.flags"
    path.write_text("# A comment.\n--avexp_test_width=3\n")
    return path


def define_width():
    if "avexp_test_width" not in absl_flags.FLAGS:
        absl_flags.DEFINE_integer(
            "avexp_test_width", 1, "Width.", module_name=flags.MODULE
        )


@pytest.fixture(autouse=True)
def _flags():
    """Finds no flag and leaves none behind."""
    small_runs.forget_flags()
    yield
    small_runs.forget_flags()


@pytest.mark.parametrize("order", [1, -1])
def test_later_flags_come_before_those_of_a_file(flag_file, capsys, order):
    found = []
    words = [f"--flagfile={flag_file}", "--avexp_test_width=4"][::order]
    code, _, _ = run(
        lambda _: found.append(absl_flags.FLAGS.avexp_test_width),
        capsys,
        *words,
        define=define_width,
    )
    assert code == 0
    assert found == [4 if order == 1 else 3]


@pytest.mark.parametrize("words", [["--flagfile=F"], ["--flagfile", "F"]])
def test_presets_are_found_from_any_folder(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seen = []

    def answer(name):
        given = [word.replace("F", name) for word in words]
        return run(
            lambda _: seen.append(absl_flags.FLAGS.avexp_test_width),
            capsys,
            *given,
            define=define_width,
        )

    # The preset is read: its flags are not this command's.
    code, _, stderr = answer("configs/demo.flags")
    assert code == 2 and "Unknown command line flag" in stderr
    code, _, stderr = answer("configs/mine.flags")
    assert code == 2 and "configs/mine.flags" in stderr
    mine = tmp_path / "configs" / "demo.flags"
    mine.parent.mkdir()
    mine.write_text("--avexp_test_width=7\n")
    assert answer("configs/demo.flags")[0] == 0
    assert seen == [7]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--avexp_test_widht=1", "Unknown command line flag 'avexp_test_widht'. Did"),
        ("--avexp_test_width=x", "flag --avexp_test_width=x: invalid literal"),
        ("--flagfile=nowhere.flags", "Unable to open flagfile: [Errno 2] No such file"),
    ],
)
def test_flags_that_cannot_be_read(word, message, capsys):
    code, _, stderr = run(lambda _: 0, capsys, word, define=define_width)
    assert code == 2
    assert stderr.startswith(f"error: {message}")
    assert stderr.count("\n") == 1


def test_a_flag_file_that_is_no_text_is_one_line(tmp_path, capsys):
    (tmp_path / "a.flags").write_bytes(b"\xff\xfe-\x00")
    word = f"--flagfile={tmp_path}/a.flags"
    code, _, stderr = run(lambda _: 0, capsys, word, define=define_width)
    assert code == 2 and stderr.startswith(f"error: {word}: a flag file is no text")
    assert stderr.count("\n") == 1


def test_help_is_the_usage_and_our_flags(capsys):
    for word in ("--help", "-h"):
        code, stdout, _ = run(raiser(OSError()), capsys, word, define=define_width)
        assert code == 0
        assert stdout.startswith("the usage\n")
        assert "--avexp_test_width: Width." in stdout
        assert "--only_check_args" not in stdout  # absl's own


def call(*command, **options):
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **options,
    )


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_has_help_without_tensorflow(module, tmp_path):
    # A TensorFlow that can't be imported: --help must answer at once.
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imported')")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = call(module, "--help", env={**os.environ, "PYTHONPATH": path})
    assert (done.returncode, done.stderr) == (0, "")
    assert f"    avexp-{module.rpartition('.')[2]}" in done.stdout
    assert "\n  --" in done.stdout


@pytest.mark.parametrize(
    ("module", "folder"), [("avexp_tf.reproduce", "out"), ("avexp_tf.train", "run_dir")]
)
@pytest.mark.parametrize("preset", ["demo", "paper_size"])
def test_the_flags_of_a_corpus_serve_what_reads_its_records(
    module, folder, preset, tmp_path
):
    records = f"--records={tmp_path}/none"
    flagfile = f"--flagfile=configs/{preset}.flags"
    done = call(module, flagfile, records, f"--{folder}={tmp_path}/run")
    assert done.stderr.startswith(f"error: {tmp_path}/none/manifest.json: no such file")


@pytest.mark.parametrize("order", [1, -1])
def test_all_commands_fit_into_one_process(order):
    """As in a notebook that imports two of them, and runs a cell again."""
    code = (
        "import importlib, sys\n"
        "mains = [importlib.import_module(name) for name in sys.argv[1:]]\n"
        "for main in mains * 2:\n"
        "    main.define_flags()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMANDS[::order]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("argument", ["--help", "--epochs=0"])
def test_a_reader_that_goes_away_is_no_error(argument):
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "avexp_tf.train", argument],
            cwd=ROOT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
    if argument == "--help":
        assert (done.returncode, done.stderr) == (141, "")
    else:  # what it has to say is not for stdout
        assert done.returncode == 2
        assert done.stderr == "error: --epochs=0: must be at least 1\n"


GREETINGS = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795414140.682853    6223 port.cc:153] oneDNN custom operations are on.
2024-09-01 10:00:00.123456: I external/local_tsl/tsl/cuda/cudart_stub.cc:32] no cuda
E0000 00:00:1795414138.87 6068 cuda_platform.cc:52] failed call to cuInit: (303)
E0000 00:00:1795414222.80 6668 util.cc:131] oneDNN supports DT_HALF only on platforms
"""
KEPT = """\
E0000 00:00:1795414138.87 6068 cuda_platform.cc:52] failed call to cuInit: (999)
F0000 00:00:1795414138.87 6068 cpu.cc:1] compiled to use AVX, which is not available
our own line
"""


@pytest.mark.parametrize("level", ["2", "0"])
def test_greetings_are_dropped_and_errors_kept(level, capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    with pytest.raises(ZeroDivisionError), quiet.start():
        os.write(2, (GREETINGS + KEPT).encode())
        raise ZeroDivisionError
    os.write(2, b"after\n")
    expected = KEPT + "after\n"
    if level == "0":
        expected = GREETINGS + expected
    assert capfd.readouterr().err == expected


def test_tensorflow_starts_without_a_word():
    code = (
        "import sys\n"
        "from absl import flags\n"
        "from avexp_tf import runtime\n"
        "runtime.define_flags()\n"
        "flags.FLAGS(sys.argv)\n"
        "runtime.set_up(virtual_cpus=2)\n"
        "import tensorflow as tf\n"
        "tf.cast(tf.zeros([2], tf.float16), tf.float32)\n"
        "print(len(tf.config.list_logical_devices('CPU')))\n"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code, "--threads=1"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2\n"


def test_avexp_lists_every_command_and_runs_one():
    done = call("avexp_tf.commands", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("demo", "evaluate", "predict", "prepare", "train"):
        assert f"\n    {name} " in done.stdout
    assert "Writes a corpus as TFRecords" in done.stdout
    done = call("avexp_tf.commands", "verify", "--records=nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: nowhere: no such folder\n"
    done = call("avexp_tf.commands", "trian")
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'trian': must be one of demo, ")
