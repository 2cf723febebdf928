"""From a run directory to a versioned SavedModel, with all that its users must know.

saved_model.pb, variables/   what TensorFlow loads
assets.extra/manifest.json   features, statistics and sizes; names no recording
assets.extra/config.json     the settings of the training
assets.extra/metrics.json    what was measured of the model
assets.extra/model_card.md   for people; model_card.json holds the same
assets.extra/tf_serving_warmup_requests   requests that a server replays on loading
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import remote
from avexp_tf import typed_json
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifests
from avexp_tf.serving import about_signature
from avexp_tf.serving import export_config
from avexp_tf.serving import face_signature
from avexp_tf.serving import measured_results
from avexp_tf.serving import model_card
from avexp_tf.serving import model_source
from avexp_tf.serving import record_signature
from avexp_tf.serving import saved_functions
from avexp_tf.serving import signatures
from avexp_tf.serving import version_folders
from avexp_tf.serving import warmup
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

METRICS = "metrics.json"

ServingModule = signatures.ServingModule


def export(
    run_path: str | os.PathLike[str],
    base_dir: str | os.PathLike[str],
    settings: export_config.ExportConfig | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Writes the next version of a model: `<base>/<int>/`, whole or not at all.

    Args:
      run_path: A run directory with best weights.
      base_dir: Where the versions lie.
      settings: What goes in.
      report: Takes a line about what was left out.

    Returns:
      The folder of the new version.

    Raises:
      errors.RunError: if the run has no weights.
      errors.DataError: if the folder can't be written, or what must go in is missing.
      errors.MissingExtraError: if a package that must be there is not.
    """
    with writing(run_path, base_dir, settings, report) as version:
        pass
    return version.path


@dataclasses.dataclass
class Version:
    """An export that is being written.

    Attributes:
      aside: The folder that it is written to.
      path: Its final folder; valid after the block of `writing`.
    """

    aside: pathlib.Path
    path: pathlib.Path


@contextmanager
def writing(
    run_path: str | os.PathLike[str],
    base_dir: str | os.PathLike[str],
    settings: export_config.ExportConfig | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[Version]:
    """Writes an export aside; it takes its name only when the block ends well.

    Args: those of `export`.

    Yields:
      The version, with everything of `export` in it; the block may add files.
    """
    settings = settings or export_config.ExportConfig()
    run_dir = run_dirs.RunDir(run_path)
    if remote.is_remote(base_dir):
        # Its versions come along: the next number follows from them.
        copy = remote.Copy.of(base_dir)
        with writing(run_path, copy.path, settings, report) as version:
            yield version
        copy.publish()
        return
    base = pathlib.Path(base_dir)
    model = trained_model.load(run_dir, precision="float32")
    backbone = _backbone(run_dir.manifest(), settings, report)
    metrics = measured_results.load(run_dir, settings.results)
    files.make_folder(base)
    _next_version(base)  # refuses before the work
    with tempfile.TemporaryDirectory(dir=base, prefix=files.TEMPORARY) as folder:
        version = Version(pathlib.Path(folder) / "export", base)
        try:
            _write(version.aside, run_dir, model, backbone, metrics, settings, report)
            yield version
            version.path = _publish(version.aside, base)
        except OSError as error:
            reason = error.strerror or error
            raise errors.DataError(f"{base}: can't be written: {reason}") from None


def functions(
    run_dir: run_dirs.RunDir, model: keras.Model, backbone: keras.Model | None = None
) -> dict[str, tuple[Callable[..., signatures.Tensors], signatures.Specs]]:
    """Returns all signatures of an export, see `saved_functions.write`.

    Args:
      run_dir: Where the model came from.
      model: With its weights.
      backbone: For `faces`; None leaves it out.
    """
    manifest = run_dir.manifest()
    module = ServingModule(model, manifest)
    found = module.signatures()
    records = record_signature.RecordPredictor(
        module, manifest.layout, run_dir.config().data
    )
    found[signatures.EXAMPLES] = (records.predict, records.signature)
    if backbone is not None:
        faces = face_signature.FacePredictor(module, backbone)
        found[signatures.FACES] = (faces.predict, faces.signature)
    return found


def extra(version_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the folder of an export with what TensorFlow does not read.

    Raises:
      errors.DataError: if there is none: the folder is no export.
    """
    folder = files.local_path(version_dir) / model_source.EXTRA
    if not (folder / manifests.FILE_NAME).is_file():
        raise errors.DataError(
            f"{version_dir}: has no {model_source.EXTRA}/{manifests.FILE_NAME}: not an "
            "export of this program"
        )
    return folder


def _write(
    target: pathlib.Path,
    run_dir: run_dirs.RunDir,
    model: keras.Model,
    backbone: keras.Model | None,
    metrics: dict[str, Any],
    settings: export_config.ExportConfig,
    report: Callable[[str], None],
) -> None:
    found = functions(run_dir, model, backbone)
    specs_of = {name: specs for name, (_, specs) in found.items()}
    specs_of[signatures.ABOUT] = about_signature.SPECS
    described = _description(run_dir, specs_of, metrics)
    about = about_signature.About(described)
    found[signatures.ABOUT] = (about.predict, about_signature.SPECS)
    models = [one for one in (model, backbone) if one is not None]
    try:
        saved_functions.write(target, models, found)
    except tf.errors.OpError as error:  # TensorFlow's own writers, on a full disk say
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise errors.DataError(f"{target}: can't be written: {reason}") from None
    folder = target / model_source.EXTRA
    folder.mkdir()
    for name, content in described.items():
        with files.replacing(folder / name) as file:
            file.write(content)
    _warm_up(folder, run_dir, specs_of, settings, report)


def _description(
    run_dir: run_dirs.RunDir,
    specs: dict[str, signatures.Specs],
    metrics: dict[str, Any],
) -> dict[str, bytes]:
    """The files that say what the model is: {name: content}."""
    experiment = run_dir.config()
    # Where the records lay is nobody's business.
    data = dataclasses.replace(experiment.data, records="")
    values = config.to_dict(dataclasses.replace(experiment, data=data))
    card = model_card.card(run_dir, specs, metrics)
    return {
        manifests.FILE_NAME: without_names(run_dir.manifest()).dumps(),
        config.FILE_NAME: typed_json.dumps(values).encode(),
        METRICS: typed_json.dumps(metrics).encode(),
        model_card.JSON_NAME: typed_json.dumps(card).encode(),
        model_card.MARKDOWN_NAME: model_card.markdown(card).encode(),
    }


def without_names(manifest: manifests.Manifest) -> manifests.Manifest:
    """Returns a manifest that counts recordings and subjects, and names none."""
    settings = dict(manifest.corpus_config)
    if "mapping" in settings:  # of tables, which may list who is in which split
        mapping = dict(settings["mapping"])
        mapping.pop("splits", None)
        settings["mapping"] = mapping
    return dataclasses.replace(
        manifest,
        corpus_config=settings,
        splits={
            name: contents.Split(
                (), (), split.video_ticks, split.audio_ticks, split.label_ticks
            )
            for name, split in manifest.splits.items()
        },
    )


def _backbone(
    manifest: manifests.Manifest,
    settings: export_config.ExportConfig,
    report: Callable[[str], None],
) -> keras.Model | None:
    if settings.faces == "no":
        return None
    try:
        if manifest.has_background:
            raise errors.DataError(
                "the model shows the scene where there is no face, which pictures of "
                "faces don't hold"
            )
        return face_signature.backbone_for(manifest.video, settings.visual_weights)
    except errors.DataError as error:
        if settings.faces == "yes":
            raise
        report(f"without the signature faces: {error}")
        return None


def _warm_up(
    folder: pathlib.Path,
    run_dir: run_dirs.RunDir,
    specs: dict[str, signatures.Specs],
    settings: export_config.ExportConfig,
    report: Callable[[str], None],
) -> None:
    if settings.warmup == "no":
        return
    try:
        warmup.write(folder, run_dir.manifest(), run_dir.config().data, specs)
    except errors.MissingExtraError as error:
        if settings.warmup == "yes":
            raise
        report(f"without warm-up requests: {error}")


def _publish(aside: pathlib.Path, base: pathlib.Path) -> pathlib.Path:
    """Gives an export the next number; another process may be faster."""
    for _ in range(100):
        target = base / str(_next_version(base))
        try:
            os.rename(aside, target)
            return target
        except OSError:
            if not target.exists():
                raise
    raise errors.DataError(f"{base}: other exports take every number before this one")


def _next_version(base: pathlib.Path) -> int:
    found = [version_folders.number_of(path.name) for path in base.iterdir()]
    newest = max((number for number in found if number is not None), default=0)
    if newest == version_folders.LARGEST:
        raise errors.DataError(f"{base}: no version can follow {newest}")
    return newest + 1
