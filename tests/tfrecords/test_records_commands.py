"""The three commands as a user calls them."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TEST_DATA = os.environ.get("AVEXP_TEST_DATA")


def command(name, *arguments):
    return [sys.executable, "-m", f"tfrecords.{name}", *map(str, arguments)]


def call(name, *arguments, **options):
    """Runs a command; returns exit code, stdout, and the lines of stderr."""
    done = subprocess.run(
        command(name, *arguments), cwd=ROOT, capture_output=True, text=True, **options
    )
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.fixture(name="inputs")
def _inputs(tmp_path):
    """Flags of a table corpus with four subjects."""
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in "abcd":
        rows = [f"{i / 25},{i},{-i},{i % 5 / 5}" for i in range(70)]
        (tables / f"{name}.csv").write_text("t,v,a,val\n" + "\n".join(rows) + "\n")
    mapping = tmp_path / "mapping.json"
    values = {"time": "t", "video": ["v"], "audio": ["a"], "valence": "val"}
    mapping.write_text(json.dumps(values))
    return [
        "--corpus=table",
        f"--tables={tables}",
        f"--mapping={mapping}",
        "--segment_ticks=30",
        "--context_ticks=5",
    ]


def test_from_tables_to_verified_records(inputs, tmp_path):
    out = tmp_path / "records"
    code, stdout, _ = call("prepare", *inputs, f"--out={out}")
    assert code == 0
    lines = stdout.splitlines()
    assert lines[-1] == f"records: {out}"
    assert [line.split(":")[0] for line in lines[:-1]] == ["train", "dev", "validation"]
    assert "recordings" in lines[0]

    code, stdout, _ = call("prepare", *inputs, f"--out={out}", "--workers=2")
    assert code == 0
    assert stdout.splitlines()[0].endswith("complete already; nothing to do")

    code, stdout, _ = call("verify", f"--records={out}")
    assert code == 0
    assert stdout.startswith(f"{out}: all good, ")

    code, stdout, _ = call("inspect", f"--records={out}")
    assert code == 0
    assert "context: 5 ticks, causal" in stdout
    assert "train record 0" in stdout
    assert "valence: 100.0% valid, mean 0.400" in stdout  # of 0, .2, .4, .6, .8
    assert "arousal: 0.0% valid" in stdout

    drawing = tmp_path / "b.png"
    code, stdout, _ = call(
        "inspect", f"--records={out}", "--recording=b", f"--out={drawing}"
    )
    assert code == 0
    assert stdout.count("recording: b\n") == 3  # 30 + 20 + 20 ticks
    assert drawing.read_bytes().startswith(b"\x89PNG")


def test_the_same_records_from_beam(inputs, tmp_path):
    pytest.importorskip("apache_beam")
    found = {}
    for name, flags in (("here", []), ("beam", ["--runner=DirectRunner"])):
        code, _, stderr = call("prepare", *inputs, f"--out={tmp_path / name}", *flags)
        assert code == 0, stderr
        found[name] = {
            path.name: path.read_bytes() for path in (tmp_path / name).iterdir()
        }
    assert found["here"] == found["beam"] and "manifest.json" in found["here"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runner=DirectRunner", "--workers=2"], "--workers=2: can't go with --run"),
        (["--beam_flags=--x=1"], "--beam_flags: needs --runner"),
    ],
)
def test_flags_of_beam_that_contradict(inputs, tmp_path, flags, message):
    code, _, stderr = call("prepare", *inputs, f"--out={tmp_path / 'out'}", *flags)
    assert code == 2 and stderr[-1].startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_verify_names_the_damage(inputs, tmp_path):
    out = tmp_path / "records"
    assert call("prepare", *inputs, f"--out={out}")[0] == 0
    shard = sorted(out.glob("*.tfrecord"))[0]
    data = bytearray(shard.read_bytes())
    data[50] ^= 1
    shard.write_bytes(data)
    code, stdout, _ = call("verify", f"--records={out}")
    assert code == 1
    assert stdout.splitlines() == [
        f"{shard}: record 0 at byte 0: the checksum of its data is wrong",
        f"{out}: 1 problem",
    ]
    (out / "manifest.json").unlink()
    code, stdout, _ = call("verify", f"--records={out}")
    assert code == 1
    assert f"{out}/manifest.json: no such file" in stdout


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("prepare", ["--out=x"], "--corpus must be given"),
        ("prepare", ["--corpus=synthetic"], "--out must be given"),
        ("prepare", ["--corpus=x", "--out=x"], "--corpus=x: must be one of synthetic,"),
        ("prepare", ["--corpus=table", "--out=x"], "--tables must be given with --cor"),
        ("prepare", ["--corpus=table", "--out=x", "--tables=x"], "--mapping must be"),
        (
            "prepare",
            ["--corpus=synthetic", "--out=x", "--workers=0"],
            "--workers=0: mu",
        ),
        ("prepare", ["--corpus=synthetic", "--out=x", "y"], "'y': not a flag"),
        (
            "prepare",
            ["--corpus=synthetic", "--out=x", "--segment_ticks=1"],
            "--segment_ticks=1: must be at least 2",
        ),
        ("prepare", ["--segmnt_ticks=1"], "segmnt_ticks"),
        ("inspect", [], "--records must be given"),
        ("inspect", ["--records=nowhere"], "nowhere/manifest.json: no such file"),
        ("inspect", ["--records=x", "--split=dev"], "--split and --index go together"),
        (
            "inspect",
            ["--records=x", "--recording=a", "--index=1"],
            "--recording goes w",
        ),
        ("verify", [], "--records must be given"),
        ("verify", ["--records=nowhere"], "nowhere: no such folder"),
    ],
)
def test_a_wrong_call_ends_in_one_line(name, arguments, message):
    code, stdout, stderr = call(name, *arguments)
    assert code == 2
    assert stdout == ""
    assert len(stderr) == 1
    assert stderr[0].startswith("error: ")
    assert message in stderr[0]
    assert not (ROOT / "x").exists()


@pytest.mark.parametrize("name", ["prepare", "inspect", "verify"])
def test_help_tells_the_usage_and_the_flags(name):
    code, stdout, stderr = call(name, "--help")
    assert (code, stderr) == (0, [])
    assert f"avexp-{name} --" in stdout
    assert ("--segment_ticks" if name == "prepare" else "--records") in stdout


def test_a_bad_cell_ends_in_one_line_and_no_shard(inputs, tmp_path):
    table = tmp_path / "tables" / "c.csv"
    table.write_text(table.read_text().replace("8,-8,0.6", "8,none,0.6"))
    out = tmp_path / "records"
    code, _, stderr = call("prepare", *inputs, f"--out={out}")
    assert code == 2
    errors = [line for line in stderr if line.startswith("error:")]
    assert errors == [f"error: {table}: row 10, column 'a': 'none' is not a number"]
    assert "Traceback" not in "".join(stderr)
    assert [path.name for path in out.iterdir()] == [".parts"]

    table.write_text(table.read_text().replace("8,none,0.6", "8,-8,0.6"))
    assert call("prepare", *inputs, f"--out={out}")[0] == 0
    assert call("verify", f"--records={out}")[0] == 0


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("8,-8,1.5", "row 10, column 'val' is 1.5, a label must be in [-1, 1]"),
        ("8,-8,-5", "row 10, column 'val' is -5.0, a label must be in [-1, 1]"),
        ("inf,-8,0.6", "row 10, video[0] is inf, must be finite"),
        (
            "1e9,-8,0.6",
            "row 10, video[0] is 1000000000.0, must be from -65504 to 65504",
        ),
    ],
)
def test_values_out_of_range_end_in_one_line_and_no_shard(
    inputs, tmp_path, cells, message
):
    table = tmp_path / "tables" / "c.csv"
    table.write_text(table.read_text().replace("8,-8,0.6", cells))
    out = tmp_path / "records"
    code, _, stderr = call("prepare", *inputs, f"--out={out}")
    assert code == 2
    (error,) = [line for line in stderr if line.startswith("error:")]
    assert error.endswith(message)
    assert "'c'" in error or f"{table}:" in error
    assert [path.name for path in out.iterdir()] == [".parts"]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"dev": ["a"], "test": ["a"]}, "'a' is in two splits"),
        ({"dev": ["a", "x"]}, "splits.dev lists 'x', and no file is of this group"),
        ({"tset": ["a"]}, "splits.tset is unknown; known are dev, test, train"),
    ],
)
def test_splits_that_can_not_be_end_in_one_line(inputs, tmp_path, splits, message):
    mapping = tmp_path / "mapping.json"
    values = json.loads(mapping.read_text())
    mapping.write_text(json.dumps(values | {"splits": splits}))
    out = tmp_path / "records"
    code, stdout, stderr = call("prepare", *inputs, f"--out={out}")
    assert (code, stdout) == (2, "")
    (error,) = stderr
    assert error.startswith(f"error: {mapping}: ")
    assert message in error
    assert not out.exists()


def test_a_folder_that_cannot_be_made(inputs, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, stderr = call("prepare", *inputs, f"--out={tmp_path}/file/records")
    assert code == 2
    assert stderr == [
        f"error: {tmp_path}/file/records/.parts: this folder can't be made: Not a "
        "directory"
    ]


def test_no_space_for_a_file_ends_in_one_line(inputs, tmp_path):
    """With a limit on the size of files, writing fails as on a full disk."""
    out = tmp_path / "records"

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    code, _, stderr = call("prepare", *inputs, f"--out={out}", preexec_fn=limit)
    assert code == 2
    errors = [line for line in stderr if line.startswith("error:")]
    assert len(errors) == 1
    assert errors[0].endswith("can't be written: File too large")
    assert "Traceback" not in "".join(stderr)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["lock"]
    assert call("prepare", *inputs, f"--out={out}")[0] == 0


@pytest.mark.parametrize("n_workers", [1, 2])
def test_ctrl_c_says_how_to_go_on(tmp_path, n_workers):
    out = tmp_path / "records"
    arguments = [
        "--corpus=synthetic",
        f"--out={out}",
        "--train_speakers=400",
        f"--workers={n_workers}",
    ]
    process = subprocess.Popen(
        command("prepare", *arguments),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list(out.glob(".parts/*/*.json")):
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == (
        "interrupted; the same command goes on from here"
    )
    assert "Traceback" not in stderr
    assert not list(out.rglob(".tmp-*"))
    assert not list(out.glob("*.tfrecord"))


@pytest.mark.skipif(not TEST_DATA, reason="AVEXP_TEST_DATA is not set")
def test_the_real_tables_become_records(tmp_path):
    out = tmp_path / "records"
    code, stdout, _ = call(
        "prepare",
        "--corpus=table",
        f"--tables={TEST_DATA}/omg_empathy",
        "--mapping=configs/omg_empathy.json",
        f"--out={out}",
    )
    assert code == 0
    lines = stdout.splitlines()
    assert lines[0].startswith("note: this corpus is not split by subject")
    # 233,525 rows in 30 files.
    assert [line.rpartition(",")[0] for line in lines[1:4]] == [
        "train: recordings 18, frames 130975",
        "dev: recordings 6, frames 46750",
        "validation: recordings 6, frames 55800",
    ]
    assert call("verify", f"--records={out}")[0] == 0
