"""LiteRT files: all four variants, their metadata, and what the gate ships of them."""

import dataclasses
import importlib
import json
import shutil
import subprocess
import zipfile

import array_corpus
import flatbuffers
import numpy as np
import pytest
import small_runs
from ai_edge_litert import interpreter as interpreters
from ai_edge_litert import schema_py_generated as schema

from avexp_tf import errors
from avexp_tf.data import record_source
from avexp_tf.serving import check
from avexp_tf.serving import export_config
from avexp_tf.serving import litert
from avexp_tf.serving import litert_metadata
from avexp_tf.serving import litert_model
from avexp_tf.serving import model_source
from avexp_tf.serving import parity_result
from avexp_tf.serving import shipping
from tests.serving import small_run

TESTED = ("none", "audio:clip_zero:1", "each:gilbert_elliott:0.3:3:repeat")
GATE = export_config.GateConfig(split="train", conditions=TESTED, latency_rounds=1)


@pytest.fixture(name="shipped", scope="module")
def _shipped(served, tmp_path_factory):
    """All variants with allowances that let every one of them pass."""
    with pytest.MonkeyPatch.context() as patch:
        for name, variant in litert.VARIANTS.items():
            if variant.allowance.output is None:
                wide = dataclasses.replace(
                    variant, allowance=parity_result.Allowance(ccc=2)
                )
                patch.setitem(litert.VARIANTS, name, wide)
        return shipping.ship(
            served.run,
            tmp_path_factory.mktemp("shipped") / "base",
            export_config.ExportConfig(),
            GATE,
            export_config.LITERT_VARIANTS,
        )


@pytest.fixture(name="folder")
def _folder(shipped):
    return shipped.path / "assets.extra" / "litert"


def test_all_variants_ship_with_a_report(shipped, folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "dynamic_int8.tflite",
        "float16.tflite",
        "float32.tflite",
        "int8.tflite",
    ]
    assert shipped.left_out == {}
    values = json.loads((folder.parent / "parity.json").read_text())
    assert values["passed"]
    assert [one["name"] for one in values["candidates"]] == [
        "saved_model",
        *(f"litert_{name}" for name in export_config.LITERT_VARIANTS),
    ]
    assert {row["condition"] for row in values["rows"]} == set(TESTED)
    assert shipped.report == (folder.parent / "parity.md").read_text()


@pytest.mark.parametrize("name", export_config.LITERT_VARIANTS)
def test_only_operators_of_its_own(folder, name):
    content = (folder / f"{name}.tflite").read_bytes()
    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    custom = [code.customCode for code in tree.operatorCodes if code.customCode]
    assert custom == []


def operators_in(path, dtype):
    found = interpreters.Interpreter(model_path=str(path))
    tensors = {one["index"]: one for one in found.get_tensor_details()}
    return {
        one["op_name"]
        for one in found._get_ops_details()
        if one["op_name"] in ("FULLY_CONNECTED", "CONV_2D")
        and all(tensors[index]["dtype"] == dtype for index in one["inputs"][:2])
    }


def test_int8_computes_in_int8(folder):
    both = {"FULLY_CONNECTED", "CONV_2D"}
    assert operators_in(folder / "int8.tflite", np.int8) == both
    assert operators_in(folder / "float32.tflite", np.int8) == set()
    assert operators_in(folder / "float32.tflite", np.float32) == both
    half = interpreters.Interpreter(model_path=str(folder / "float16.tflite"))
    assert np.float16 in {one["dtype"] for one in half.get_tensor_details()}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("float32", 1e-5), ("float16", 0.02), ("dynamic_int8", 1.0), ("int8", 2.0)],
)
def test_recordings_are_predicted_as_by_the_model(served, folder, name, allowed):
    """Of random weights: large outputs, on which quantising costs more."""
    model = litert_model.LiteRt(folder / f"{name}.tflite")
    block = array_corpus.ticks("r0", 70)
    expected = model_source.find(served.run).predictor().predict(block)
    found = model.predictor().predict(block)
    assert np.abs(found - expected).max() < allowed
    assert np.corrcoef(found[:, 0], expected[:, 0])[0, 1] > 0.8


def test_any_batch_and_length(folder):
    model = litert_model.LiteRt(folder / "float32.tflite")
    rng = np.random.default_rng(0)
    for n_clips, n_ticks in ((1, 12), (3, 5), (2, 40), (1, 1)):
        clips = {
            "video": np.float32(rng.normal(size=(n_clips, n_ticks, 3))),
            "audio": np.float32(rng.normal(size=(n_clips, n_ticks + 4, 2))),
            "video_present": rng.random((n_clips, n_ticks)) < 0.7,
            "audio_present": rng.random((n_clips, n_ticks)) < 0.7,
        }
        assert model.predict(clips).shape == (n_clips, n_ticks, 2)


def test_the_file_holds_what_its_inputs_depend_on(served, folder):
    path = folder / "float32.tflite"
    manifest, experiment, card = litert_model.metadata(path)
    original = served.run_dir.manifest()
    assert manifest.audio_statistics == original.audio_statistics
    assert (manifest.video, manifest.audio) == (original.video, original.audio)
    assert manifest.layout == original.layout
    assert not any(split.recordings for split in manifest.splits.values())
    assert experiment.data.clip_ticks == small_run.DATA.clip_ticks
    assert experiment.data.records == ""
    assert card["name"] == "baseline"
    names = zipfile.ZipFile(path).namelist()
    assert {"manifest.json", "config.json", "metrics.json", "model_card.md"} <= {*names}


def test_the_metadata_names_tensors_and_files(folder):
    """Read as the schema of LiteRT's metadata says, field by field."""
    content = (folder / "float32.tflite").read_bytes()
    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    (entry,) = [one for one in tree.metadata if one.name == b"TFLITE_METADATA"]
    data = bytearray(bytes(tree.buffers[entry.buffer].data))
    assert data[4:8] == b"M001"
    root = flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0)
    model = flatbuffers.table.Table(data, root)

    def text(table, place):
        offset = table.Offset(4 + 2 * place)
        return table.String(offset + table.Pos).decode()

    def tables(table, place):
        offset = table.Offset(4 + 2 * place)
        start = table.Vector(offset)
        return [
            flatbuffers.table.Table(data, table.Indirect(start + 4 * index))
            for index in range(table.VectorLen(offset))
        ]

    assert text(model, 0) == "avexp_tf baseline, float32"
    (subgraph,) = tables(model, 3)
    found = interpreters.Interpreter(model_content=content)
    order = [one["name"] for one in found.get_input_details()]
    names = [text(tensor, 0) for tensor in tables(subgraph, 2)]
    assert sorted(names) == ["audio", "audio_present", "video", "video_present"]
    assert all(name in full for name, full in zip(names, order, strict=True))
    outputs = [text(tensor, 0) for tensor in tables(subgraph, 3)]
    assert sorted(outputs) == ["arousal", "valence"]
    assert "model_card.md" in [text(file, 0) for file in tables(model, 6)]


def test_no_tensorflow_is_needed(folder):
    code = (
        "import sys\n"
        "from avexp_tf.serving import litert_model\n"
        f"litert_model.LiteRt({str(folder / 'float32.tflite')!r})\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([small_run.PYTHON, "-c", code], check=True)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda content: b"nonsense", "holds no metadata of this program"),
        (lambda content: content[:2000], "holds no metadata of this program"),
        (lambda content: content[content.rindex(b"PK\x01\x02") :], "metadata|loaded"),
        (lambda content: b"TFL3" * 100 + content[400:], "can't be loaded"),
    ],
)
def test_what_is_no_model_is_told(folder, tmp_path, broken, message):
    path = tmp_path / "broken.tflite"
    path.write_bytes(broken((folder / "float32.tflite").read_bytes()))
    with pytest.raises(errors.DataError, match=message):
        litert_model.LiteRt(path)
    with pytest.raises(errors.DataError, match="no such file"):
        litert_metadata.read(tmp_path / "missing.tflite")


def test_what_loses_too_much_is_left_out(served, tmp_path, monkeypatch):
    tight = dataclasses.replace(
        litert.VARIANTS["dynamic_int8"], allowance=parity_result.Allowance(ccc=-1.0)
    )
    monkeypatch.setitem(litert.VARIANTS, "dynamic_int8", tight)
    shipped = shipping.ship(
        served.run,
        tmp_path / "base",
        export_config.ExportConfig(warmup="no"),
        GATE,
        ["float32", "dynamic_int8"],
    )
    folder = shipped.path / "assets.extra" / "litert"
    assert [path.name for path in folder.iterdir()] == ["float32.tflite"]
    assert list(shipped.left_out) == ["litert_dynamic_int8"]
    assert "| litert_dynamic_int8 | left out |" in shipped.report


def test_nothing_ships_if_the_model_itself_differs(served, tmp_path, monkeypatch):
    right = check.saved_model_candidate(served.export)
    wrong = dataclasses.replace(right, call=lambda *request: right.call(*request) + 1)
    monkeypatch.setattr(check, "saved_model_candidate", lambda path: wrong)
    shipped = shipping.ship(
        served.run,
        tmp_path / "base",
        export_config.ExportConfig(warmup="no"),
        GATE,
        [],
    )
    assert shipped.path is None
    assert shipped.report.startswith("# Parity: FAILED")
    assert list((tmp_path / "base").iterdir()) == []


@pytest.fixture(name="version")
def _version(served, tmp_path):
    """A version of the small run's model, with a report."""
    version = tmp_path / "base" / "1"
    shutil.copytree(served.export, version)
    extra = version / "assets.extra"
    (extra / "parity.md").write_text("as it was shipped")
    return version


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [({"ff_dim": 8}, 2, "was not made of"), ({}, 1, "nothing was changed")],
)
def test_another_run_changes_nothing(change, code, said, served, version, capsys):
    """Neither one of other settings nor one of other weights."""
    other = dataclasses.replace(small_run.MODEL, **change)
    run = version.parents[1] / "other"
    small_run.make_run(run, served.records, other, seed=1)
    before = content_of(version)
    found, stdout, stderr = add(capsys, run, version, "float32")
    assert found == code
    assert any(said in line for line in (*stdout, *stderr))
    assert content_of(version) == before


def test_variants_join_those_that_are_there(served, version, capsys, monkeypatch):
    folder = version / "assets.extra" / "litert"
    assert add(capsys, served.run, version, "float32")[0] == 0
    before = content_of(folder)
    tight = dataclasses.replace(
        litert.VARIANTS["float16"], allowance=parity_result.Allowance(ccc=-1.0)
    )
    monkeypatch.setitem(litert.VARIANTS, "float16", tight)
    code, stdout, _ = add(capsys, served.run, version, "float16")
    assert code == 0
    assert stdout[-1].startswith("left out: litert_float16: loses")
    assert content_of(folder) == before
    report = (folder.parent / "parity.md").read_text()
    assert "| litert_float32 | passed |" in report
    assert "| litert_float16 | left out |" in report


def add(capsys, run, version, variant):
    """Exit code, stdout and stderr of `export.litert`."""
    return small_runs.call(
        capsys,
        importlib.import_module("export.litert"),
        f"--run_dir={run}",
        f"--export={version}",
        f"--litert={variant}",
        "--split=train",
        f"--conditions={','.join(TESTED)}",
        "--latency_rounds=1",
    )


def test_another_model_is_told(served, tmp_path):
    other = dataclasses.replace(small_run.MODEL, ff_dim=8)
    run_dir = small_run.make_run(tmp_path / "run", served.records, other)
    source = record_source.RecordSource.open(small_run.data_of(served.records), "train")
    with pytest.raises(errors.DataError, match="was not made of .*run: its settings"):
        shipping.compare(served.export, run_dir, source, GATE)
