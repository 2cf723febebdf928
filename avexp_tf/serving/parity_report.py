"""Writes what the gate found: `parity.json` for programs, `parity.md` for people."""

from __future__ import annotations

import json
import math
import os
import pathlib
import platform
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from avexp_tf import config
from avexp_tf import files
from avexp_tf import typed_json
from avexp_tf.serving import parity_result

JSON_NAME = "parity.json"
MARKDOWN_NAME = "parity.md"


def write(
    found: parity_result.Parity,
    folder: str | os.PathLike[str],
    left_out: Mapping[str, str] | None = None,
    keeps: bool = False,
) -> str:
    """Writes both reports.

    Args:
      found: Of `parity.measure`.
      folder: Where to.
      left_out: Variants that failed and do not ship: {name: why}.
      keeps: What the reports there say of variants that did not ship stays.

    Returns:
      The report for people.
    """
    values = to_json(found, left_out or {})
    if keeps:
        _keep_left_out(values, pathlib.Path(folder) / JSON_NAME)
    told = markdown(values)
    for name, content in (
        (JSON_NAME, typed_json.dumps(values)),
        (MARKDOWN_NAME, told),
    ):
        with files.replacing(pathlib.Path(folder) / name) as file:
            file.write(content.encode())
    return told


def _keep_left_out(values: dict[str, Any], path: pathlib.Path) -> None:
    try:
        before = json.loads(path.read_bytes())
        absent = [one for one in before["candidates"] if not one["ships"]]
        rows = before["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no report of ours
    known = {one["name"] for one in values["candidates"]}
    names = {one["name"] for one in absent} - known
    values["candidates"] += [one for one in absent if one["name"] in names]
    values["rows"] += [row for row in rows if row["candidate"] in names]


def text(found: parity_result.Parity, left_out: Mapping[str, str] | None = None) -> str:
    """Returns the report for people, written nowhere; args as `write` has them."""
    return markdown(to_json(found, left_out or {}))


def to_json(found: parity_result.Parity, left_out: Mapping[str, str]) -> dict[str, Any]:
    """Returns what was found as JSON values; what is not finite becomes null."""
    return {
        "passed": all(
            found.passes(one.name)
            for one in found.candidates
            if one.name not in left_out
        ),
        "split": found.split,
        "n_clips": found.n_clips,
        "clip_ticks": found.clip_ticks,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "keras_latency_ms": found.latency_ms["keras"],
        "candidates": [
            {
                "name": one.name,
                "passed": found.passes(one.name),
                "ships": one.name not in left_out,
                "why": _why(found, one),
                "allowance": str(one.allowance),
                "n_bytes": one.n_bytes,
                "latency_ms": found.latency_ms.get(one.name),
            }
            for one in found.candidates
        ],
        "rows": [
            {
                "candidate": row.candidate,
                "signature": row.signature,
                "condition": row.condition,
                "max_difference": _finite(row.largest),
                "mean_difference": _finite(row.mean),
                "keras_ccc": _finite_of(row.keras_ccc),
                "ccc_drop": _finite_of(row.ccc_drop),
                "passed": row.passed,
            }
            for row in found.rows
        ],
    }


def why_failed(found: parity_result.Parity, name: str) -> str:
    """Returns in one line why a candidate failed; empty if it passed."""
    (one,) = [each for each in found.candidates if each.name == name]
    return "" if found.passes(name) else _why(found, one)


def _why(found: parity_result.Parity, one: parity_result.Candidate) -> str:
    if one.name in found.broken:
        return f"it can't be run: {found.broken[one.name]}"
    rows = [row for row in found.rows if row.candidate == one.name and not row.passed]
    if not rows:
        return ""
    if one.allowance.output is not None:
        row = max(rows, key=lambda each: _order(each.largest))
        what = f"differs by {row.largest:.2g}"
    else:
        row = max(rows, key=lambda each: _order(max(each.ccc_drop.values())))
        target = max(row.ccc_drop, key=lambda each: row.ccc_drop[each])
        what = f"loses {row.ccc_drop[target]:.4f} of the CCC of {target}"
    return f"{what} under {row.condition} ({row.signature}); allowed: {one.allowance}"


def markdown(values: Mapping[str, Any]) -> str:
    """Returns the report for people.

    Args:
      values: Of `to_json`.
    """
    verdict = "passed" if values["passed"] else "FAILED"
    lines = [
        f"# Parity: {verdict}",
        "",
        f"{values['n_clips']} clips of {values['clip_ticks']} ticks of the split "
        f"{values['split']}; reference: the Keras model. {values['machine']}.",
        "",
        "Time is the median of one clip at a time, all taking turns in one process; "
        f"the Keras model takes {values['keras_latency_ms']:.2f} ms.",
        "",
        "| candidate | verdict | allowed | largest difference | largest CCC drop | "
        "MB | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in values["candidates"]:
        rows = [row for row in values["rows"] if row["candidate"] == one["name"]]
        verdict = "passed" if one["passed"] else "FAILED"
        if not one["ships"]:
            verdict = "left out"
        largest = _most(row["max_difference"] for row in rows)
        drop = _most(value for row in rows for value in row["ccc_drop"].values())
        size = f"{one['n_bytes'] / 1e6:.2f}" if one["n_bytes"] else ""
        time_ms = "" if one["latency_ms"] is None else f"{one['latency_ms']:.2f}"
        lines.append(
            f"| {one['name']} | {verdict} | {one['allowance']} | "
            f"{_shown(largest, '.1e')} | {_shown(drop, '.5f')} | {size} | {time_ms} |"
        )
    reasons = [
        f"- {one['name']} {one['why']}" for one in values["candidates"] if one["why"]
    ]
    if reasons:
        lines += ["", "Why:", "", *reasons]
    lines += [
        "",
        "| candidate | signature | condition | largest | mean | "
        + " | ".join(f"{target}: CCC | drop" for target in config.TARGETS)
        + " | |",
        "|---" * (5 + 2 * len(config.TARGETS) + 1) + "|",
    ]
    for row in values["rows"]:
        cells = [
            f"{_shown(row['keras_ccc'][target], '.3f')} | "
            f"{_shown(row['ccc_drop'][target], '.5f')}"
            for target in config.TARGETS
        ]
        lines.append(
            f"| {row['candidate']} | {row['signature']} | {row['condition']} | "
            f"{_shown(row['max_difference'], '.1e')} | "
            f"{_shown(row['mean_difference'], '.1e')} | {' | '.join(cells)} | "
            f"{'' if row['passed'] else 'FAILED'} |"
        )
    return "\n".join(lines) + "\n"


def _most(found: Iterable[float | None]) -> float | None:
    """The largest; None, which stands for what is not finite, is larger than all."""
    values = list(found)
    known = [value for value in values if value is not None]
    return None if not known or len(known) < len(values) else max(known)


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _order(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _finite_of(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in values.items()}
