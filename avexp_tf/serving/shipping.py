"""Ships a model: SavedModel and LiteRT under one version, if the gate allows.

assets.extra/litert/*.tflite   the variants that passed
assets.extra/parity.json, parity.md   what the gate found, of those left out too
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable
from collections.abc import Sequence

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf.data import manifest as manifests
from avexp_tf.data import record_source
from avexp_tf.serving import check
from avexp_tf.serving import export_config
from avexp_tf.serving import litert
from avexp_tf.serving import model_card
from avexp_tf.serving import parity
from avexp_tf.serving import parity_report
from avexp_tf.serving import parity_result
from avexp_tf.serving import saved_model
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

# Behind every LiteRT file: what its inputs depend on, and what it is for.
_PACKED = (
    manifests.FILE_NAME,
    config.FILE_NAME,
    saved_model.METRICS,
    model_card.JSON_NAME,
    model_card.MARKDOWN_NAME,
)


@dataclasses.dataclass(frozen=True)
class Shipped:
    """What became of an export.

    Attributes:
      path: The version; None if it must not ship.
      report: What the gate found, Markdown.
      left_out: Variants that failed: {name: why}.
    """

    path: pathlib.Path | None
    report: str
    left_out: dict[str, str]


class _FailedError(Exception):
    """The model itself failed: nothing may ship."""


def ship(
    run_path: str | os.PathLike[str],
    base_dir: str | os.PathLike[str],
    settings: export_config.ExportConfig,
    gate: export_config.GateConfig,
    variants: Sequence[str],
    report: Callable[[str], None] = lambda line: None,
) -> Shipped:
    """Exports a model, converts it, and ships what passes the gate.

    Args:
      run_path: A run directory with best weights.
      base_dir: Where the versions lie.
      settings: What goes into the SavedModel.
      gate: What to compare on.
      variants: LiteRT variants.
      report: Takes a line about what was left out.

    Returns:
      What became of it. SavedModel and float32 must pass, or nothing ships.

    Raises:
      errors.AvexpError: if the run, the records or the folder can't be used.
    """
    run_dir = run_dirs.RunDir(run_path)
    source = check.source_of(run_dir, gate.records, gate.split)
    try:
        with saved_model.writing(run_path, base_dir, settings, report) as version:
            shipped = add(version.aside, run_dir, source, gate, variants)
            if shipped.path is None:
                raise _FailedError
    except _FailedError:
        return shipped
    return dataclasses.replace(shipped, path=version.path)


def add(
    version_dir: str | os.PathLike[str],
    run_dir: run_dirs.RunDir,
    source: record_source.RecordSource,
    gate: export_config.GateConfig,
    variants: Sequence[str],
) -> Shipped:
    """Adds LiteRT variants to an export: those that pass the gate.

    They are converted and compared aside, together with those that are there already;
    the export changes only if the SavedModel and float32 pass.

    Args:
      version_dir: The export.
      run_dir: Where its model came from.
      source: The split to compare on.
      gate: How many recordings of it.
      variants: LiteRT variants.

    Returns:
      What became of it; the path is that of the export, None if nothing was changed.

    Raises:
      errors.AvexpError: if the export is of another model, or something can't be
        converted, read or written.
    """
    extra = saved_model.extra(version_dir)
    _check_same_model(extra, run_dir)  # before the conversion, which takes its time
    converted = {}
    if variants:
        calibration = source
        if "int8" in variants:  # records that are only evaluated on hold no train
            calibration = record_source.RecordSource.open(source.data, "train")
            calibration = calibration.normalised_by(source.manifest.audio_statistics)
        packed = {name: (extra / name).read_bytes() for name in _PACKED}
        converted = litert.convert(run_dir, calibration, variants, packed)
    folder = extra / litert.FOLDER
    with tempfile.TemporaryDirectory() as aside:
        for name, content in converted.items():
            _variant(aside, name).write_bytes(content)
        candidates = check.litert_candidates(aside, folder)
        found = _measure(version_dir, run_dir, source, gate, candidates)
    left_out = _failed_variants(found)
    rest = [one.name for one in found.candidates if one.name not in left_out]
    if not all(found.passes(name) for name in rest):
        return Shipped(None, parity_report.text(found, left_out), left_out)
    if converted:
        files.make_folder(folder)
    for name, content in converted.items():
        if f"{check.LITERT}{name}" not in left_out:
            with files.replacing(_variant(folder, name)) as file:
                file.write(content)
    for name in left_out:
        _variant(folder, name.removeprefix(check.LITERT)).unlink(missing_ok=True)
    text = parity_report.write(found, extra, left_out)
    return Shipped(pathlib.Path(version_dir), text, left_out)


def compare(
    version_dir: str | os.PathLike[str],
    run_dir: run_dirs.RunDir,
    source: record_source.RecordSource,
    gate: export_config.GateConfig,
    others: Sequence[parity_result.Candidate] = (),
) -> parity_result.Parity:
    """Runs the gate over an export.

    Args:
      version_dir: The export.
      run_dir: Where its model came from.
      source: The split to compare on.
      gate: How many recordings of it.
      others: More candidates, such as a server.

    Returns:
      What the gate found.

    Raises:
      errors.DataError: if the export is of another model, or can't be loaded.
    """
    extra = saved_model.extra(version_dir)
    _check_same_model(extra, run_dir)
    candidates = check.litert_candidates(extra / litert.FOLDER)
    return _measure(version_dir, run_dir, source, gate, [*candidates, *others])


def _measure(
    version_dir: str | os.PathLike[str],
    run_dir: run_dirs.RunDir,
    source: record_source.RecordSource,
    gate: export_config.GateConfig,
    others: Sequence[parity_result.Candidate],
) -> parity_result.Parity:
    return parity.measure(
        trained_model.load(run_dir, precision="float32"),
        [check.saved_model_candidate(version_dir), *others],
        source,
        gate.conditions,
        max_recordings=gate.max_recordings,
        latency_rounds=gate.latency_rounds,
    )


def _variant(folder: str | os.PathLike[str], name: str) -> pathlib.Path:
    return pathlib.Path(folder) / f"{name}{litert.SUFFIX}"


def _failed_variants(found: parity_result.Parity) -> dict[str, str]:
    """The LiteRT variants that may stay behind and must: {name: why}."""
    return {
        one.name: parity_report.why_failed(found, one.name)
        for one in found.candidates
        if one.name.startswith(check.LITERT)
        and one.allowance.output is None
        and not found.passes(one.name)
    }


def _check_same_model(extra: pathlib.Path, run_dir: run_dirs.RunDir) -> None:
    ours = config.load(config.ExperimentConfig, extra / config.FILE_NAME)
    theirs = run_dir.config()
    if (ours.model, ours.train) != (theirs.model, theirs.train):
        raise errors.DataError(
            f"{extra.parent}: was not made of {run_dir.path}: its settings are others"
        )
