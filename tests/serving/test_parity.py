"""The gate passes what is right, and nothing else."""

import dataclasses
import json

import numpy as np
import pytest

from avexp_tf.data import record_source
from avexp_tf.serving import check
from avexp_tf.serving import parity
from avexp_tf.serving import parity_report
from avexp_tf.serving import parity_result
from avexp_tf.training import trained_model
from tests.serving import small_run

TESTED = ("none", "audio:clip_zero:1", "each:frame_repeat:0.5")


def changed(candidate, name, change, allowance=parity_result.FLOAT32):
    """A candidate that predicts something else."""
    return parity_result.Candidate(
        name, allowance, lambda *request: change(candidate.call(*request))
    )


def not_a_number(values):
    values = values.copy()
    values[0, 0, 0] = np.nan
    return values


def crash(values):
    raise RuntimeError("no memory\nat all")


@pytest.fixture(name="found", scope="module")
def _found(served):
    right = check.saved_model_candidate(served.export)
    loose = parity_result.Allowance(ccc=0.001)
    candidates = [
        right,
        changed(right, "shifted", lambda v: v + 2e-5),
        changed(right, "shifted, little", lambda v: v + 2e-5, loose),
        changed(right, "noisy", lambda v: v + [3.0, 0.0], loose),
        changed(right, "nan", not_a_number),
        changed(right, "nan, loose", not_a_number, loose),
        changed(right, "crashes", crash),
    ]
    data = small_run.data_of(served.records)
    return parity.measure(
        trained_model.load(served.run_dir),
        candidates,
        record_source.RecordSource.open(data, "train"),
        TESTED,
        latency_rounds=2,
    )


def test_only_what_is_right_passes(found):
    assert {one.name: found.passes(one.name) for one in found.candidates} == {
        "saved_model": True,
        "shifted": False,
        "shifted, little": True,
        "noisy": False,
        "nan": False,
        "nan, loose": False,
        "crashes": False,
    }
    assert not found.passed
    assert found.broken == {"crashes": "none: no memory"}


def test_all_conditions_are_compared_by_all_words(found):
    rows = [row for row in found.rows if row.candidate == "saved_model"]
    assert {(row.signature, row.condition) for row in rows} == {
        *(("sources", text) for text in TESTED),
        *(("serving_default", text) for text in TESTED[:2]),  # no word for repeats
    }
    assert found.n_clips == 22  # 9 ticks too, which is less than a clip
    assert all(0 < row.largest < 1e-5 and row.mean < row.largest for row in rows)
    assert set(found.latency_ms) >= {"keras", "saved_model", "noisy"}
    assert all(value > 0 for value in found.latency_ms.values())


def test_differences_and_drops_are_numbers_of_their_own(found):
    (row,) = [
        row
        for row in found.rows
        if (row.candidate, row.signature, row.condition) == ("noisy", "sources", "none")
    ]
    assert row.largest == pytest.approx(3, abs=1e-4)
    assert row.mean == pytest.approx(1.5, abs=1e-4)
    assert row.ccc_drop["valence"] > 0.001
    assert row.ccc_drop["arousal"] == pytest.approx(0, abs=1e-5)


def test_the_report_says_what_failed_and_why(found, tmp_path):
    text = parity_report.write(found, tmp_path, {"nan": "left out on purpose"})
    assert text == (tmp_path / "parity.md").read_text()
    values = json.loads((tmp_path / "parity.json").read_text())
    assert values["passed"] is False
    by_name = {one["name"]: one for one in values["candidates"]}
    assert by_name["saved_model"]["passed"] and not by_name["saved_model"]["why"]
    assert by_name["saved_model"]["n_bytes"] > 10_000
    assert by_name["shifted"]["why"].startswith("differs by 2")
    assert "of the CCC of valence" in by_name["noisy"]["why"]
    assert by_name["crashes"]["why"] == "it can't be run: none: no memory"
    assert by_name["nan"]["ships"] is False
    row = next(row for row in values["rows"] if row["candidate"] == "nan")
    assert row["max_difference"] is None
    assert text.startswith("# Parity: FAILED\n")
    assert "| saved_model | passed | 1e-05 in output |" in text
    assert "| nan | left out |" in text
    assert "- crashes it can't be run" in text


def test_a_later_check_keeps_what_was_said_of_what_did_not_ship(found, tmp_path):
    wrong = {one.name: "x" for one in found.candidates if not found.passes(one.name)}
    parity_report.write(found, tmp_path, wrong)
    shipped = dataclasses.replace(
        found,
        candidates=tuple(one for one in found.candidates if one.name not in wrong),
        rows=tuple(row for row in found.rows if row.candidate not in wrong),
        broken={},
    )
    before = json.loads((tmp_path / "parity.json").read_text())
    text = parity_report.write(shipped, tmp_path, keeps=True)
    after = json.loads((tmp_path / "parity.json").read_text())
    key = str
    assert sorted(after["candidates"], key=key) == sorted(before["candidates"], key=key)
    assert sorted(after["rows"], key=key) == sorted(before["rows"], key=key)
    assert "| nan | left out |" in text and text.startswith("# Parity: passed\n")


def test_without_failures_it_passes(found, tmp_path):
    wrong = {one.name: "x" for one in found.candidates if not found.passes(one.name)}
    text = parity_report.write(found, tmp_path, wrong)
    assert text.startswith("# Parity: passed\n")


def test_the_demo_gets_one_number(served):
    data = small_run.data_of(served.records)
    worst = check.largest_difference(
        served.export, served.run, data, TESTED, split="train"
    )
    assert 0 < worst < 1e-5
