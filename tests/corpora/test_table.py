"""Tables: columns by name, gaps where cells are empty, errors that name the cell."""

import dataclasses
import io
import json
import math
import os
import pathlib
import zipfile

import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.corpora.table import corpus as table_corpus
from avexp_tf.corpora.table import mapping as mapping_lib

MAPPING = {
    "video": ["v1", "v2"],
    "audio": ["a"],
    "valence": "val",
    "arousal": "aro",
    "time": "secs",
}
STARS = {"video": ["*"], "audio": None, "arousal": None, "time": "t"}
CSV = """secs,v1,words,a,val,aro,v2
0.0,1,"one, two",10,0.5,-0.5,2
0.5,,x,11,,0.25,3
1.5,4,,NaN,1,,5
1.75,6,y,12,-5,-1,
"""


def make(folder, tables, **mapping):
    """A corpus of {file name: text or arrays} with changes of the mapping."""
    folder.mkdir(exist_ok=True)
    for name, content in tables.items():
        if isinstance(content, dict):
            np.savez_compressed(folder / name, **content)
        else:
            (folder / name).write_bytes(
                content.encode() if isinstance(content, str) else content
            )
    values = {k: v for k, v in (MAPPING | mapping).items() if v is not None}
    path = folder / "mapping.json"
    path.write_text(json.dumps(values))
    return table_corpus.TableCorpus(str(folder), mapping_lib.Mapping.load(path))


def read(corpus, recording_id):
    """All ticks of a recording as one block."""
    blocks = list(corpus.read(recording_id))
    return recording.Block(
        **{
            field.name: np.concatenate([getattr(b, field.name) for b in blocks])
            for field in dataclasses.fields(recording.Block)
            if field.name != "background"
        }
    )


def check_block(block):
    """Compares with the numbers in CSV."""
    nan = math.nan
    np.testing.assert_array_equal(block.timestamps, [0.0, 0.5, 1.5, 1.75])
    np.testing.assert_array_equal(block.video_present, [True, False, True, False])
    np.testing.assert_array_equal(block.video, [[1, 2], [nan, 3], [4, 5], [6, nan]])
    np.testing.assert_array_equal(block.audio_present, [True, True, False, True])
    np.testing.assert_array_equal(block.audio, [[10], [11], [nan], [12]])
    np.testing.assert_array_equal(
        block.label_valid, [[True, True], [False, True], [True, False], [False, True]]
    )
    valid = block.labels[block.label_valid]
    np.testing.assert_array_equal(valid, [0.5, -0.5, 0.25, 1, -1])


def test_empty_cells_are_gaps(tmp_path):
    corpus = make(tmp_path, {"x.csv": CSV}, invalid_label=-5)
    assert (corpus.video.dim, corpus.audio.dim) == (2, 1)
    check_block(read(corpus, "x"))


@pytest.mark.parametrize(
    ("separator", "end", "start"), [(";", "\r\n", "\ufeff"), ("\t", "\n", "")]
)
def test_other_dialects_of_csv(tmp_path, separator, end, start):
    text = CSV.replace("one, two", "one").replace(",", separator).replace("\n", end)
    corpus = make(
        tmp_path, {"x.csv": start + text}, invalid_label=-5, separator=separator
    )
    check_block(read(corpus, "x"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_at_the_end_say_nothing(tmp_path, end):
    text = (CSV + "\n \n\n").replace("\n", end)
    check_block(read(make(tmp_path, {"x.csv": text}, invalid_label=-5), "x"))


def test_a_blank_line_in_the_only_column_is_a_gap(tmp_path, monkeypatch):
    monkeypatch.setattr(table_corpus, "_CELLS", 2)  # two rows at a time
    only = {"audio": None, "valence": None, "arousal": None, "time": None}
    text = 'v\n\n1\n\n\n-nan\n2\n""\n\n\n'
    corpus = make(tmp_path, {"x.csv": text}, video=["v"], rate_hz=25, **only)
    block = read(corpus, "x")
    nan = math.nan
    np.testing.assert_array_equal(block.video[:, 0], [nan, 1, nan, nan, nan, 2, nan])
    make(tmp_path, {"x.csv": text.replace("2", "x")}, video=["v"], rate_hz=25, **only)
    with pytest.raises(errors.DataError, match="row 7, column 'v': 'x' is not a numb"):
        list(corpus.read("x"))


def arrays():
    """The numbers in CSV, with both video columns in one array."""
    nan = math.nan
    return {
        "secs": np.array([0.0, 0.5, 1.5, 1.75]),
        "v": np.array([[1, 2], [nan, 3], [4, 5], [6, nan]], np.float16),
        "a": np.array([[10], [11], [nan], [12]], np.float32),
        "val": np.array([0.5, nan, 1, -5]),
        "aro": np.array([-0.5, 0.25, nan, -1], ">f4"),
    }


@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_arrays_of_one_and_two_dimensions(tmp_path, order):
    values = {name: np.array(a, order=order) for name, a in arrays().items()}
    corpus = make(tmp_path, {"x.npz": values}, video=["v"], invalid_label=-5)
    assert (corpus.video.dim, corpus.audio.dim) == (2, 1)
    check_block(read(corpus, "x"))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_long_tables_come_in_blocks(tmp_path, monkeypatch, kind, order):
    monkeypatch.setattr(table_corpus, "_CELLS", 30)
    n = 23
    numbers = np.array(np.arange(n * 4.0).reshape(n, 4), order=order)
    if kind == "csv":
        table = "t,a,b,c\n" + "".join(f"{t},{a},{b},{c}\n" for t, a, b, c in numbers)
    else:
        table = {"t": numbers[:, 0], "abc": np.asarray(numbers[:, 1:], order=order)}
    columns = ["a", "b", "c"] if kind == "csv" else ["abc"]
    corpus = make(
        tmp_path,
        {f"x.{kind}": table},
        time="t",
        video=columns,
        audio=None,
        valence=None,
        arousal=None,
    )
    blocks = list(corpus.read("x"))
    assert [len(block) for block in blocks] == [7, 7, 7, 2]
    block = read(corpus, "x")
    np.testing.assert_array_equal(block.video, numbers[:, 1:])
    np.testing.assert_array_equal(block.timestamps, numbers[:, 0])


def test_a_modality_or_target_that_is_not_there_is_never_present(tmp_path):
    corpus = make(tmp_path, {"x.csv": CSV}, audio=None, valence=None)
    assert corpus.audio == recording.FeatureSet("none", "1", 1)
    block = read(corpus, "x")
    assert block.audio.shape == (4, 1)
    assert not block.audio_present.any()
    assert not block.label_valid[:, 0].any()
    assert block.label_valid[:, 1].sum() == 3


def test_a_star_stands_for_columns_in_the_order_of_the_file(tmp_path):
    text = "v10,secs,a,v2,v1\n1,0,9,2,3\n"
    corpus = make(tmp_path, {"x.csv": text}, video=["v*"], valence=None, arousal=None)
    assert read(corpus, "x").video.tolist() == [[1, 2, 3]]


def test_a_star_stands_for_no_label_and_no_time(tmp_path):
    corpus = make(tmp_path / "a", {"x.csv": "t,v,val,f\n0,1,0.5,2\n"}, **STARS)
    np.testing.assert_array_equal(read(corpus, "x").video, [[1, 2]])
    with pytest.raises(errors.DataError, match="names 'val', a label or the time"):
        make(tmp_path / "b", {"x.csv": CSV}, video=["v1", "val"])


def test_a_star_stands_for_the_same_in_all_files(tmp_path):
    tables = {"x.csv": "t,v,val\n0,1,0\n", "y.csv": "t,v,w,val\n0,1,2,0\n"}
    with pytest.raises(errors.DataError, match="y.csv: has a column 'w', which"):
        make(tmp_path, tables, **STARS)


def test_the_mark_of_no_label_in_single_precision(tmp_path):
    arrays = {"secs": np.arange(2.0), "v1": np.ones(2), "v2": np.ones(2)}
    arrays |= {"a": np.ones(2), "aro": np.zeros(2)}
    arrays["val"] = np.array([0.5, -0.999], np.float32)
    corpus = make(tmp_path, {"x.npz": arrays}, invalid_label=-0.999)
    assert read(corpus, "x").label_valid[:, 0].tolist() == [True, False]


def test_spaces_in_a_header_and_a_mark_before_a_mapping(tmp_path):
    table = "secs, v1, v2, a, val, aro\n0,1,2,3,0,0\n"
    corpus = make(tmp_path, {"x.csv": table}, video=[" v1", " v2"])
    np.testing.assert_array_equal(read(corpus, "x").video, [[1, 2]])
    path = tmp_path / "mapping.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert mapping_lib.Mapping.load(path).video == ("v1", "v2")


def test_arrays_that_nobody_asked_for_may_be_anything(tmp_path):
    more = {
        "v_fps": np.float64(25),
        "v_names": np.array(["a", "b"]),
        "v_crops": np.zeros((4, 2, 2)),
        "v_any": np.array([object()], object),
    }
    corpus = make(tmp_path, {"x.npz": arrays() | more}, video=["v*"], invalid_label=-5)
    assert (corpus.video.dim, corpus.audio.dim) == (2, 1)
    np.testing.assert_array_equal(read(corpus, "x").video, arrays()["v"])


def test_a_rate_makes_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(table_corpus, "_CELLS", 10)
    corpus = make(tmp_path, {"x.csv": CSV}, time=None, rate_hz=25, invalid_label=-5)
    np.testing.assert_allclose(read(corpus, "x").timestamps, [0, 0.04, 0.08, 0.12])


def test_recordings_are_sorted_by_name_and_keep_what_the_name_tells(tmp_path):
    corpus = make(
        tmp_path,
        {f"S{s}_T{t}.csv": CSV for s, t in ((2, 1), (1, 2), (1, 1))},
        recording=r"S(?P<who>\d)_T(?P<take>\d)",
        subject="subject {who}",
        split_group="{take}",
        splits={"test": ["2"]},
    )
    assert corpus.recordings() == [
        recording.RecordingInfo("S1_T1", "subject 1", "1", "train"),
        recording.RecordingInfo("S1_T2", "subject 1", "2", "test"),
        recording.RecordingInfo("S2_T1", "subject 2", "1", "train"),
    ]


def test_without_a_pattern_each_file_is_a_subject(tmp_path):
    (info,) = make(tmp_path, {"x.csv": CSV}).recordings()
    assert info == recording.RecordingInfo("x", "x", "x", None)


def test_a_pattern_of_files(tmp_path):
    make(tmp_path, {"x1.csv": CSV, "x2.csv": CSV, "y.csv": CSV})
    mapping = mapping_lib.Mapping.load(tmp_path / "mapping.json")
    corpus = table_corpus.TableCorpus(str(tmp_path / "x*.csv"), mapping)
    assert [info.recording_id for info in corpus.recordings()] == ["x1", "x2"]


def test_endings_in_upper_case(tmp_path):
    corpus = make(tmp_path, {"x.CSV": CSV, "y.csv": CSV, "z.txt": "a"})
    assert [info.recording_id for info in corpus.recordings()] == ["x", "y"]
    make(tmp_path / "n", {"x.npz": arrays()}, video=["v"], invalid_label=-5)
    (tmp_path / "n" / "x.npz").rename(tmp_path / "n" / "x.NPZ")
    corpus = make(tmp_path / "n", {}, video=["v"], invalid_label=-5)
    check_block(read(corpus, "x"))


def test_a_link_to_nothing_is_named(tmp_path):
    (tmp_path / "y.csv").symlink_to(tmp_path / "absent")
    with pytest.raises(errors.DataError, match=r"y\.csv: is a link to a file that is"):
        make(tmp_path, {"x.csv": CSV})


def test_a_changed_file_changes_its_own_key_and_the_config(tmp_path):
    tables = {"x.csv": CSV, "y.csv": CSV.replace("0.5,-0.5", "0.5,-0.6")}
    first = make(tmp_path / "first", tables)
    again = make(tmp_path / "again", tables)
    assert isinstance(first, recording.HasContentKeys)
    assert first.config == again.config  # wherever the files lie
    # One digit, so that name and size stay.
    changed = make(tmp_path / "again", {"x.csv": CSV.replace("0.5,-0.5", "0.5,-0.4")})
    assert changed.config != first.config
    assert changed.content_key("x") != first.content_key("x")
    assert changed.content_key("y") == first.content_key("y")
    other = make(tmp_path / "first", {}, invalid_label=-5)
    assert other.content_key("x") != first.content_key("x")
    json.dumps(first.config)


def test_the_feature_set_tells_its_columns(tmp_path):
    first = make(tmp_path, {"x.csv": CSV})
    swapped = make(tmp_path, {}, video=["v2", "v1"])
    assert first.video != swapped.video
    assert first.video == make(tmp_path, {}).video


ROWS = CSV.splitlines(keepends=True)


def with_row(number, text):
    """CSV with another row; the header is row 1."""
    rows = list(ROWS)
    rows[number - 1] = text + "\n"
    return "".join(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_row(3, "0.5,x,,1,0,0,1"), "row 3, column 'v1': 'x' is not a number"),
        (with_row(3, "0.5,NA,,1,0,0,1"), "row 3, column 'v1': 'NA' is not a number"),
        (with_row(3, "0.5,1,,null,0,0,1"), "row 3, column 'a': 'null' is not a numb"),
        (with_row(2, "0,1,,1,0,0,1,8"), "row 2 has 8 cells, the header has 7"),
        (with_row(4, "1.5,1,,1,0,0,1,8"), "row 4 has 8 cells, the header has 7"),
        (with_row(4, "1.5,1,,1,0,0"), "row 4 has 6 cells, the header has 7"),
        (with_row(5, "1.75,1"), "row 5 has 2 cells, the header has 7"),
        (with_row(3, ""), "row 3 has 0 cells, the header has 7"),
        (with_row(3, "\n"), "row 3 has 0 cells, the header has 7"),
        (with_row(4, '1.5,1,",1,0,0,1'), "row 4 has 3 cells, the header has 7"),
        (with_row(4, '1.5,1,,1,0,0,"1'), "is not CSV: .*EOF inside string"),
        (with_row(5, "1.75,1,,1,1.5,0,1"), r"row 5, column 'val' is 1.5, a label must"),
        (with_row(3, "0,1,,1,0,0,1"), r"row 3, column 'secs' is 0.0, must be later th"),
        (with_row(3, ",1,,1,0,0,1"), "row 3, column 'secs' is nan, must be later"),
        (with_row(2, ",1,,1,0,0,1"), "row 2, column 'secs' is nan, must be later"),
        (with_row(3, "0.5,1,,inf,0,0,1"), r"row 3, audio\[0\] is inf"),
        (
            with_row(3, "0.5,70000,,0,0,0,1"),
            r"row 3, video\[0\] is 70000.0, must be from -65504 to 65504",
        ),
        (with_row(3, "0.5,1,,1,0,-1e999,1"), r"row 3, arousal\[0\] is -inf"),
        (ROWS[0], "has no row"),
        (ROWS[0] + "\n \n", "has no row"),
        (
            (ROWS[0] + "".join(f"{i},1,,1,0,0,1\n" for i in range(9999))).encode()
            + b"\xff",
            "is not CSV: 'utf-8' codec can't decode byte 0xff",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr(table_corpus, "_CELLS", 12)  # two rows at a time
    corpus = make(tmp_path, {"x.csv": text}, invalid_label=-5)
    with pytest.raises(errors.DataError, match=rf"x\.csv: {message}") as caught:
        list(corpus.read("x"))
    assert "\n" not in str(caught.value).strip()


@pytest.mark.parametrize(
    ("tables", "mapping", "message"),
    [
        ({"x.csv": ""}, {}, r"x\.csv: is empty"),
        ({"x.csv": b"\xff\xfe\x00"}, {}, r"x\.csv: is not CSV"),
        (
            {"x.csv": CSV},
            {"audio": ["b"]},
            r"x\.csv: has no column 'b', which .* audio",
        ),
        ({"x.csv": CSV}, {"video": ["z*"]}, r"has no column 'z\*', which .* for video"),
        (
            {"x.csv": CSV, "y.csv": CSV.replace("v1", "v3")},
            {},
            r"y\.csv: has no column 'v1'",
        ),
        (
            {"x.csv": CSV.replace("v1", "a")},
            {"video": ["v2"]},
            "more than one column 'a'",
        ),
        ({"x.csv": CSV, "x.npz": {"v": np.zeros(3)}}, {}, r"x\.npz: has no column"),
        ({}, {}, "there is no CSV or NPZ file"),
        (
            {"x.csv": CSV},
            {"recording": r"(?P<subject>\d+)"},
            "the file name 'x' does not match recording",
        ),
        (
            {"x.csv": CSV},
            {"splits": {"test": ["x"], "dev": ["z"]}},
            "splits.dev lists 'z', and no file is of this group; there is x",
        ),
        (
            {"x.csv": CSV, "y.csv": CSV},
            {"splits": {"train": ["x"]}},
            "the group 'y' of 'y' is in no split",
        ),
    ],
)
def test_files_that_do_not_fit_the_mapping(tmp_path, tables, mapping, message):
    with pytest.raises(errors.DataError, match=message):
        make(tmp_path, tables, **mapping)


def test_two_files_of_one_name(tmp_path):
    make(tmp_path / "a", {"x.csv": CSV})
    make(tmp_path / "b", {"x.csv": CSV})
    mapping = mapping_lib.Mapping.load(tmp_path / "a" / "mapping.json")
    with pytest.raises(errors.DataError, match=r"b/x\.csv: has the same name as .*a/x"):
        table_corpus.TableCorpus(str(tmp_path / "*" / "x.csv"), mapping)


NPZ = {"video": ["v"], "invalid_label": -5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v": np.array([object()], object)}, "v is object, must be numbers"),
        ({"v": np.zeros(4, "f4,f4")}, "v is .*, must be numbers"),
        ({"v": np.zeros(4, complex)}, "v is complex128, must be numbers"),
        ({"v": np.zeros((4, 2, 2))}, r"v has shape \(4, 2, 2\), must be \[rows\]"),
        ({"v": np.zeros((4, 0))}, r"v has shape \(4, 0\)"),
        ({"v": np.float64(3)}, r"v has shape \(\)"),
        ({"val": np.zeros((4, 2))}, "valence has 2 columns, must be 1"),
    ],
)
def test_arrays_that_are_no_columns(tmp_path, change, message):
    with pytest.raises(errors.DataError, match=rf"x\.npz: {message}"):
        make(tmp_path, {"x.npz": arrays() | change}, **NPZ)


def test_arrays_of_different_lengths(tmp_path):
    corpus = make(tmp_path, {"x.npz": arrays() | {"a": np.zeros(3)}}, **NPZ)
    with pytest.raises(errors.DataError, match=r"differ in length: a 3, aro 4"):
        list(corpus.read("x"))


def test_files_of_different_widths(tmp_path):
    wider = arrays() | {"v": np.zeros((4, 3))}
    with pytest.raises(
        errors.DataError, match=r"y\.npz: video has 3 columns, 2 in the"
    ):
        make(tmp_path, {"x.npz": arrays(), "y.npz": wider}, **NPZ)


def test_a_damaged_npz_is_named_wherever_the_damage_is(tmp_path):
    make(tmp_path, {"x.npz": arrays()}, **NPZ)
    path = tmp_path / "x.npz"
    whole = path.read_bytes()
    mapping = mapping_lib.Mapping.load(tmp_path / "mapping.json")
    n_found = 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            read(table_corpus.TableCorpus(str(tmp_path), mapping), "x")
        except errors.DataError as error:
            assert str(path) in str(error)
            n_found += 1
    assert n_found > len(whole) // 6  # the rest are fields that nobody reads
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.DataError, match=r"x\.npz: is not NPZ"):
        table_corpus.TableCorpus(str(tmp_path), mapping)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_shorter_than_its_header_says(tmp_path, order):
    make(tmp_path, {"x.npz": arrays()}, **NPZ)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name, array in arrays().items():
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(array, order=order))
            data = buffer.getvalue()
            archive.writestr(f"{name}.npy", data[:-1] if name == "v" else data)
    corpus = make(tmp_path, {}, **NPZ)
    with pytest.raises(errors.DataError, match=r"x\.npz: v ends early"):
        list(corpus.read("x"))


def test_an_npz_cannot_run_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    trap = np.array([Trap()], object)
    with pytest.raises(errors.DataError, match="must be numbers"):
        make(tmp_path, {"x.npz": arrays() | {"v": trap}}, **NPZ)
    assert not (tmp_path / "trapped").exists()


def test_names_in_an_archive_lead_nowhere(tmp_path):
    make(tmp_path, {"x.npz": arrays()}, **NPZ)
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("../../out.txt", "text")
    check_block(read(make(tmp_path, {}, **NPZ), "x"))
    assert not (tmp_path.parent.parent / "out.txt").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vidoe": ["x"]}, "vidoe is unknown; known are arousal, audio"),
        ({"video": None, "audio": None}, "video or audio must name a column"),
        ({"video": "v1"}, "video must be a list, is 'v1'"),
        ({"video": [1]}, "video must hold strings, is 1"),
        ({"video": [""]}, "a column has no name"),
        ({"time": None}, "give one of time and rate_hz"),
        ({"rate_hz": 25}, "give one of time and rate_hz"),
        ({"time": None, "rate_hz": -25}, "rate_hz is -25, must be above 0"),
        ({"time": None, "rate_hz": "25"}, "rate_hz must be a finite number, is '25'"),
        ({"separator": ", "}, "separator is ', ', must be one ASCII character"),
        ({"separator": "\u00a7"}, "separator is '\u00a7', must be one ASCII character"),
        ({"separator": "\n"}, r"separator is '\\n', must be one ASCII character"),
        ({"recording": "(?P<a"}, "recording is no regular expression: .*"),
        ({"subject": "{who}"}, r"{who} in '{who}' is no named group of recording: wri"),
        ({"split_group": "{a.b}{c}"}, "{c} in .* is no named group"),
        ({"splits": {"tset": ["a"]}}, "splits.tset is unknown; known are dev, test"),
        (
            {"splits": {"test": ["a"], "dev": ["a"]}},
            "the group 'a' is in two splits, t",
        ),
        ({"splits": ["a"]}, "splits must be a JSON object"),
        ({"valence": 3}, "valence must be a string, is 3"),
        ({"subject": "{n!r}"}, "'{n!r}' must hold names of groups in braces"),
        ({"invalid_label": True}, "invalid_label must be a finite number, is True"),
    ],
)
def test_a_mapping_that_breaks_a_rule(tmp_path, change, message):
    with pytest.raises(errors.DataError, match=rf"mapping\.json: {message}"):
        make(tmp_path, {"x.csv": CSV}, **change)


def test_mappings_that_are_no_json(tmp_path):
    path = tmp_path / "m.json"
    with pytest.raises(errors.DataError, match=r"m\.json: no such file"):
        mapping_lib.Mapping.load(path)
    path.write_text("{'video': 1}")
    with pytest.raises(errors.DataError, match=r"m\.json: is not JSON"):
        mapping_lib.Mapping.load(path)
    with pytest.raises(errors.DataError, match="can't be read: Is a directory"):
        mapping_lib.Mapping.load(tmp_path)


TEST_DATA = os.environ.get("AVEXP_TEST_DATA")
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.mark.skipif(not TEST_DATA, reason="AVEXP_TEST_DATA is not set")
def test_the_real_tables_of_omg_empathy():
    import pandas as pd

    folder = pathlib.Path(TEST_DATA) / "omg_empathy"
    corpus = table_corpus.TableCorpus(
        str(folder), mapping_lib.Mapping.load(CONFIGS / "omg_empathy.json")
    )
    infos = corpus.recordings()
    assert len(infos) == 30
    assert len({info.subject_id for info in infos}) == 6
    splits = [info.split for info in infos]
    assert {name: splits.count(name) for name in set(splits)} == {
        "train": 18,
        "dev": 6,
        "validation": 6,
    }
    assert {i.recording_id[-7:] for i in infos if i.split == "validation"} == {
        "Story_1"
    }
    block = read(corpus, "Subject_3_Story_2")
    frame = pd.read_csv(folder / "Subject_3_Story_2.csv")
    np.testing.assert_allclose(block.labels[:, 0], frame.valence)
    assert block.label_valid[:, 0].all()
    assert not block.label_valid[:, 1].any()
    np.testing.assert_array_equal(block.video_present, frame.image_valence.notna())
    voice = frame[["opensmile_valence", "opensmile_arousal", "polarity", "emo_watson"]]
    np.testing.assert_array_equal(block.audio_present, voice.notna().all(axis=1))
    assert 0 < (~block.audio_present).sum() < len(block)
    np.testing.assert_allclose(block.audio, voice)
    np.testing.assert_allclose(block.timestamps, frame.seconds)
