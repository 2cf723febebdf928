"""Finds the model that `--model` names, and makes a `Predictor` of it."""

from __future__ import annotations

import dataclasses
import os
import pathlib

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import remote
from avexp_tf.data import manifest as manifests
from avexp_tf.serving import predictor as predictors
from avexp_tf.serving import version_folders

EXTRA = "assets.extra"  # the folder of an export that holds what TensorFlow ignores
_VARIABLES = "variables/variables.data-00000-of-00001"


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A model on disk, with all that its inputs depend on.

    Attributes:
      path: The folder of one version of an export, or the run directory.
      is_export: Which of the two.
      manifest: Of the records that it was trained on.
      experiment: The settings that it was trained with.
    """

    path: pathlib.Path
    is_export: bool
    manifest: manifests.Manifest
    experiment: config.ExperimentConfig

    def predictor(self, eval_stride: int = 0) -> predictors.Predictor:
        """Loads the model.

        Args:
          eval_stride: Ticks between clips; 0 as in training.

        Raises:
          errors.AvexpError: if it can't be loaded.
        """
        from avexp_tf.serving import clip_models

        make = clip_models.SavedModel if self.is_export else clip_models.RunDir
        return predictors.for_experiment(
            make(self.path), self.manifest, self.experiment, eval_stride
        )

    def digest(self) -> str:
        """Returns the SHA-256 of the model's weights.

        Raises:
          errors.DataError: if they are not there.
        """
        name = _VARIABLES if self.is_export else config.WEIGHTS_NAME
        return files.sha256(self.path / name)


def find(path: str | os.PathLike[str]) -> ModelSource:
    """Finds a model.

    Args:
      path: A run directory; or an export: the folder of a version, or the one above
        it, whose newest version is taken.

    Returns:
      The model; nothing of TensorFlow is loaded yet.

    Raises:
      errors.DataError: if there is neither, or its manifest is missing or damaged.
      errors.ConfigError: if its settings are missing or damaged.
    """
    folder = remote.Copy.of(path).path if remote.is_remote(path) else pathlib.Path(path)
    if not folder.is_dir():
        raise errors.DataError(f"{path}: no such folder")
    is_run = not _is_version(folder) and (folder / config.FILE_NAME).exists()
    if is_run:
        home = folder
    else:
        folder = _newest_version(folder)
        home = folder / EXTRA
        if not home.is_dir():
            raise errors.DataError(
                f"{folder}: has no {EXTRA}: not an export of this program"
            )
    manifest = manifests.Manifest.load(home)
    experiment = config.load(config.ExperimentConfig, home / config.FILE_NAME)
    return ModelSource(folder, not is_run, manifest, experiment)


def _newest_version(folder: pathlib.Path) -> pathlib.Path:
    if _is_version(folder):
        return folder
    versions = version_folders.found(folder)
    if not versions:
        raise errors.DataError(
            f"{folder}: is neither an export (a folder with "
            f"{version_folders.MODEL_FILE}, or with numbered versions of it) nor a run "
            f"directory (with {config.FILE_NAME})"
        )
    return versions[max(versions)]


def _is_version(folder: pathlib.Path) -> bool:
    return (folder / version_folders.MODEL_FILE).exists()
