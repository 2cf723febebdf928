"""The challenge's files: the right frames in the right order, -5 where none is."""

import numpy as np
import pytest
import small_runs

from avexp_tf import errors
from avexp_tf import submit
from avexp_tf.corpora.affwild2 import labels
from avexp_tf.corpora.affwild2 import submission

HEADER = (
    "model,train_seed,condition,loss_seed,recording_id,tick,time,valence,arousal,"
    "valence_label,arousal_label\n"
)


ROW = "m,0,none,1,{},{},0,0,0,,\n"


def write(path, rows, run="baseline,0,none,1"):
    lines = [f"{run},{name},{tick},0.1,{v},{a},," for name, tick, v, a in rows]
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def predictions(tmp_path):
    rows = [("b_left", k, k / 10, 0.5 - k / 10) for k in range(3)] + [("a", 0, 1.5, -7)]
    return submission.read_predictions(write(tmp_path / "p.csv", rows))


def test_every_predicted_frame_and_none_beyond_one(predictions, tmp_path):
    report = submission.write_file(predictions, tmp_path / "predictions.txt")
    assert (tmp_path / "predictions.txt").read_text().splitlines() == [
        "image_location,valence,arousal",
        "a/00001.jpg,1.000000,-1.000000",
        "b_left/00001.jpg,0.000000,0.500000",
        "b_left/00002.jpg,0.100000,0.400000",
        "b_left/00003.jpg,0.200000,0.300000",
    ]
    assert report == submission.Report(2, 4, 0, ())


def test_the_list_of_frames_rules(predictions, tmp_path):
    frames = tmp_path / "sample.txt"
    frames.write_text(
        "image_location,valence,arousal\nb_left/00002.jpg,0,0\nb_left/00009.jpg,0,0\n"
        "c/00001.jpg,0,0\n\nb_left/00001.jpg\n"
    )
    listed = submission.read_frames(frames)
    places = [(frame.recording_id, frame.tick) for frame in listed]
    assert places == [("b_left", 1), ("b_left", 8), ("c", 0), ("b_left", 0)]
    report = submission.write_file(predictions, tmp_path / "out.txt", listed)
    assert (tmp_path / "out.txt").read_text().splitlines()[1:] == [
        "b_left/00002.jpg,0.100000,0.400000",
        "b_left/00009.jpg,-5,-5",
        "c/00001.jpg,-5,-5",
        "b_left/00001.jpg,0.000000,0.500000",
    ]
    assert report == submission.Report(2, 4, 2, ("a",))


def test_locations_stay_as_they_are_listed(predictions, tmp_path):
    (tmp_path / "f.txt").write_text("b_left/2.png\n")
    listed = submission.read_frames(tmp_path / "f.txt")
    submission.write_file(predictions, tmp_path / "out.txt", listed)
    assert (tmp_path / "out.txt").read_text().splitlines()[1:] == [
        "b_left/2.png,0.100000,0.400000"
    ]


def test_a_list_of_other_recordings_is_told(predictions, tmp_path):
    for location in ("test_set/a/00001.jpg", "a/00002.jpg"):
        (tmp_path / "f.txt").write_text(f"{location}\n")
        listed = submission.read_frames(tmp_path / "f.txt")
        message = f"listed is {location}, predicted is a"
        with pytest.raises(errors.DataError, match=message):
            submission.write_file(predictions, tmp_path / "out.txt", listed)
    with pytest.raises(errors.DataError, match="predicted is nothing"):
        submission.write_file({}, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--predictions=p.csv", "--out=p.csv"], "predictions"),
        (["--predictions=p.csv", "--frames=f.txt", "--out=f.txt"], "frames"),
        (["--predictions=a.txt", "--out=.", "--per_recording"], "predictions"),
    ],
)
def test_no_input_is_overwritten(words, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for file in ("p.csv", "a.txt"):
        write(tmp_path / file, [("a", 0, 0.5, 0.5)])
    (tmp_path / "f.txt").write_text("a/00001.jpg\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, _, said = small_runs.call(capsys, submit, *words)
    assert code == 2 and f"is the input --{name}" in said[-1]
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_annotations_are_not_replaced_by_predictions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p.csv", [("a", 0, 0.5, 0.5), ("b", 0, 0.5, 0.5)])
    (tmp_path / "b.txt").write_text("valence,arousal\n0.1,0.2\n")
    (tmp_path / "map.json").write_text("{}")
    words = ["--predictions=p.csv", "--out=.", "--per_recording"]
    code, _, said = small_runs.call(capsys, submit, *words)
    assert code == 2 and "b.txt: is there already; choose another --out" in said[-1]
    code, _, said = small_runs.call(capsys, submit, words[0], "--out=map.json")
    assert code == 2 and "map.json: is there already, and is no submission" in said[-1]
    assert (tmp_path / "b.txt").read_text().endswith("0.1,0.2\n")
    assert not (tmp_path / "a.txt").exists()
    for more in (["--overwrite"], ["--overwrite"]):
        assert small_runs.call(capsys, submit, *words, *more)[0] == 0
    for _ in range(2):
        assert small_runs.call(capsys, submit, words[0], "--out=sent.txt")[0] == 0


def test_files_per_recording_read_as_annotations(tmp_path):
    rows = [("a", 0, 0.5, 0.25), ("a", 2, -0.5, 1.0)]  # tick 1 is not there
    found = submission.read_predictions(write(tmp_path / "p.csv", rows))
    report = submission.write_folder(found, tmp_path / "out")
    assert report == submission.Report(1, 3, 1, ())
    values, valid = labels.read(tmp_path / "out" / "a.txt")
    np.testing.assert_allclose(values, [[0.5, 0.25], [0, 0], [-0.5, 1.0]])
    np.testing.assert_array_equal(valid, [[True] * 2, [False] * 2, [True] * 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("time,valence\n0,1\n", "has no column model: must be a file of avexp-eval"),
        ("", "has no column model"),
        (HEADER, r"p\.csv: holds no prediction"),
        (HEADER + ROW.format("a", "x"), "line 2: is damaged: invalid literal for int"),
        (HEADER + ROW.format("a", 0) + "m,0,none,1,a,1\n", "line 3: is damaged"),
        (HEADER + "m,0,none,1\n", "line 2: is damaged"),
        (HEADER + ROW.format("a", -1), r"line 2: tick is -1, must be in \[0, 1000000"),
        (HEADER + ROW.format("a", 10**14), "line 2: tick is 100000000000000, must be"),
        (HEADER + ROW.format("a", 3) * 2, "line 3: tick 3 of 'a' is there twice"),
        (HEADER + ROW.format("../../x", 0), "line 2: recording_id is '../../x', must"),
        (HEADER + ROW.format("", 0), "line 2: recording_id is '', must be the name"),
        (
            HEADER + "m,0,none,1,a,0,0,0,0,,\nm,1,none,1,a,0,0,0,0,,\n",
            "holds more than one model or condition, such as m,0,none,1 and m,1,none",
        ),
    ],
)
def test_other_files_are_told(tmp_path, content, message):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(errors.DataError, match=message):
        submission.read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize("line", ["00001.jpg", "a/one.jpg", "a/00000.jpg", "a/"])
def test_a_wrong_line_of_the_list_is_named(tmp_path, line):
    (tmp_path / "f.txt").write_text(f"a/00001.jpg\n{line}\n")
    with pytest.raises(errors.DataError, match="f.txt, line 2: .* must be such as"):
        submission.read_frames(tmp_path / "f.txt")


def test_missing_files_are_told(tmp_path):
    for read in (submission.read_predictions, submission.read_frames):
        with pytest.raises(errors.DataError, match="can't be read: No such file"):
            read(tmp_path / "absent")
    (tmp_path / "empty").write_text("image_location,valence,arousal\n")
    with pytest.raises(errors.DataError, match="lists no frame"):
        submission.read_frames(tmp_path / "empty")
