"""A run directory: what a training run needs, did and gave.

config.json        the experiment's settings
environment.json   versions, devices, git revision, command line
manifest.json      of the records it was trained on: dims, statistics, splits
history.csv        one line per epoch
best.weights.h5    weights of the epoch that was best on dev
checkpoints/       what it takes to go on with an unfinished run
result.json        what was best; written last
tensorboard/       the same curves for TensorBoard, with settings and figures
figures/           those figures, where --figure_epochs or --robustness_epochs ask
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import keras

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import remote
from avexp_tf.data import manifest as manifests
from avexp_tf.training import environment

# A training that was told to end saves first.
_LOCK_SECS = 10.0
# Room that HDF5 is given for each array, beside its numbers; it takes about a third.
_HDF5_BYTES = 8192
# Settings that may change between a run's start and its end: those that change nothing
# in what it gives, and what a damaged record does, since its message names that way on.
_FREE = (
    "checkpoint_secs",
    "checkpoint_steps",
    "figure_epochs",
    "robustness_epochs",
    "on_corrupt",
    "records",  # which they are says the manifest
)


class RunDir:
    """Reads and writes one run directory.

    Args:
      path: The directory; it need not exist before `begin`. One on s3:// is worked on
        in a copy; `publish` uploads.

    Attributes:
      path: The directory, or its copy on this machine.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._copy = remote.Copy.of(path) if remote.is_remote(path) else None
        self.path = self._copy.path if self._copy else pathlib.Path(path)

    def publish(self) -> None:
        """Uploads what has changed, if the directory is on s3://.

        Raises:
          errors.DataError: if it can't be written.
        """
        if self._copy:
            self._copy.publish()

    @property
    def weights_path(self) -> pathlib.Path:
        """The best weights."""
        return self.path / config.WEIGHTS_NAME

    @property
    def history_path(self) -> pathlib.Path:
        """One line per epoch."""
        return self.path / "history.csv"

    @property
    def tensorboard_path(self) -> pathlib.Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def figures_path(self) -> pathlib.Path:
        """Figures of epochs, as PNG files."""
        return self.path / "figures"

    @property
    def checkpoints_path(self) -> pathlib.Path:
        """What it takes to go on with an unfinished run."""
        return self.path / "checkpoints"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the directory and keeps other trainings out of it.

        Raises:
          errors.DataError: if it can't be made, or another training is running in it.
          errors.RunError: if it is a folder of records.
        """
        self._refuse_records()
        files.make_folder(self.path)
        with files.only_one(self.path / ".lock", _LOCK_SECS):
            files.remove_temporaries(self.path)
            yield

    def _refuse_records(self) -> None:
        """Raises RunError in a records folder, before anything is written there."""
        is_run = (self.path / config.FILE_NAME).exists()
        has_manifest = (self.path / manifests.FILE_NAME).exists()
        if (has_manifest and not is_run) or any(self.path.glob("*.tfrecord")):
            raise errors.RunError(
                f"{self.path}: holds records, whose {manifests.FILE_NAME} a run would "
                "replace; choose another --run_dir"
            )

    def begin(
        self, experiment: config.ExperimentConfig, manifest: manifests.Manifest
    ) -> None:
        """Checks that the directory belongs to the same experiment; describes it.

        Raises:
          errors.DataError: if it can't be written.
          errors.RunError: if it holds a run with other settings, or of other records.
        """
        files.make_folder(self.path)
        self.check(experiment, manifest)
        # Of a run that lost its weights; until they are made again it is not finished.
        (self.path / "result.json").unlink(missing_ok=True)
        self._write_json("environment.json", environment.describe())
        # In this order, so that a manifest without settings is never one of a run.
        self._write_json(config.FILE_NAME, config.to_dict(experiment))
        manifest.save(self.path)
        self.publish()

    def check(
        self, experiment: config.ExperimentConfig, manifest: manifests.Manifest
    ) -> None:
        """Checks that what the directory holds, if anything, is this run.

        Raises:
          errors.RunError: if it has other settings, or other records.
        """
        self.check_settings(experiment)
        known = [
            (self.path / name).exists()
            for name in (config.FILE_NAME, manifests.FILE_NAME)
        ]
        if all(known) and self.manifest() != manifest:
            raise errors.RunError(
                f"{self.path}: holds a run on other records, or those of "
                f"{experiment.data.records} were changed since; choose another "
                "--run_dir (of a study, another --out)"
            )

    def check_settings(self, experiment: config.ExperimentConfig) -> None:
        """Checks that what the directory holds, if anything, is this experiment's.

        Raises:
          errors.RunError: naming the first setting that differs.
        """
        if not (self.path / config.FILE_NAME).exists():
            return
        found = config.to_dict(self.config())
        difference = _first_difference(found, config.to_dict(experiment))
        if difference:
            raise errors.RunError(
                f"{self.path}: holds a run with other settings ({difference}); "
                "choose another --run_dir (of a study, another --out)"
            )

    @contextlib.contextmanager
    def copied(self) -> Iterator[RunDir]:
        """Yields a directory for this block alone, which goes on from this one."""
        with tempfile.TemporaryDirectory(prefix="avexp-") as folder:
            other = RunDir(folder)
            for path in (self.checkpoints_path, self.weights_path):
                target = other.path / path.name
                if path.is_dir():
                    shutil.copytree(path, target)
                elif path.exists():
                    shutil.copy(path, target)
            yield other

    def config(self) -> config.ExperimentConfig:
        """Reads the experiment's settings.

        Raises:
          errors.ConfigError: if the file is missing or broken.
        """
        return config.load(config.ExperimentConfig, self.path / config.FILE_NAME)

    def manifest(self) -> manifests.Manifest:
        """Reads the manifest of the records that the run was trained on."""
        return manifests.Manifest.load(self.path)

    def save_weights(self, model: keras.Model) -> str:
        """Replaces the best weights, in one step.

        Returns:
          The SHA-256 of the file.

        Raises:
          errors.DataError: if it can't be written.
        """
        try:
            with tempfile.TemporaryDirectory(
                dir=self.path, prefix=files.TEMPORARY
            ) as folder:
                aside = pathlib.Path(folder) / self.weights_path.name
                # HDF5 does not survive a full disk: see that there is room first.
                _try_room(aside, model)
                model.save_weights(aside)
                with open(aside, "rb+") as file:
                    os.fsync(file.fileno())
                digest = files.sha256(aside)
                os.replace(aside, self.weights_path)
        except OSError as error:
            reason = error.strerror or str(error).split("\n")[0]
            raise errors.DataError(
                f"{self.weights_path}: can't be written: {reason}"
            ) from error
        return digest

    def weights_sha256(self) -> str:
        """Returns the SHA-256 of the best weights.

        Raises:
          errors.RunError: if there are none.
        """
        return files.sha256(self.existing_weights())

    def existing_weights(self) -> pathlib.Path:
        """Returns the path of the best weights.

        Raises:
          errors.RunError: if there are none.
        """
        if not self.weights_path.exists():
            raise errors.RunError(
                f"{self.weights_path}: no such file: this run has not finished an "
                "epoch, or lost them; avexp-train goes on with it"
            )
        return self.weights_path

    def forget(self) -> None:
        """Removes what a run did, so that it can start again.

        Raises:
          errors.DataError: if it can't be removed.
        """
        try:
            for name in ("result.json", self.weights_path.name, "history.csv"):
                (self.path / name).unlink(missing_ok=True)
            for folder in (
                self.checkpoints_path,
                self.tensorboard_path,
                self.figures_path,
            ):
                if folder.exists():
                    shutil.rmtree(folder)
        except OSError as error:
            raise errors.DataError(
                f"{error.filename}: can't be removed: {error.strerror}"
            ) from None

    def forget_settings(self) -> None:
        """Lets the next run in this directory have other settings."""
        for name in (manifests.FILE_NAME, config.FILE_NAME):
            (self.path / name).unlink(missing_ok=True)

    def finish(self, result: dict[str, Any]) -> None:
        """Writes what was best."""
        self._write_json("result.json", result)
        self.publish()

    def result(self) -> dict[str, Any] | None:
        """Returns what was best, or None if the run has not finished.

        Nor has one whose weights are lost or damaged: whoever goes on with it makes
        them again.
        """
        found = self._result() if self.weights_path.exists() else None
        return None if found is None or self._is_damaged(found) else found

    def check_weights(self) -> None:
        """Checks that the weights of a finished run are those that it ended with.

        Raises:
          errors.RunError: if they are not.
        """
        found = self._result()
        if found is not None and self._is_damaged(found):
            raise errors.RunError(
                f"{self.weights_path}: is damaged: its SHA-256 is not that of "
                "result.json; avexp-train with the same settings makes it again"
            )

    def _result(self) -> dict[str, Any] | None:
        path = self.path / "result.json"
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise errors.RunError(f"{path}: is not JSON: {error}") from None

    def _is_damaged(self, result: Any) -> bool:
        wanted = result.get("weights_sha256") if isinstance(result, dict) else None
        return wanted is not None and self.weights_sha256() != wanted

    def _write_json(self, name: str, values: Any) -> None:
        with files.replacing(self.path / name) as file:
            file.write((json.dumps(values, indent=2) + "\n").encode())


def _try_room(path: pathlib.Path, model: keras.Model) -> None:
    """Writes as many bytes as the weights will take; OSError if there is no room."""
    arrays = model.get_weights()
    # HDF5's own needs grow with the number of groups: less than this for each array.
    n_bytes = sum(array.nbytes for array in arrays) + _HDF5_BYTES * len(arrays)
    chunk = bytes(1 << 20)
    with open(path, "wb") as file:
        for start in range(0, n_bytes, len(chunk)):
            file.write(chunk[: n_bytes - start])
        file.flush()
        os.fsync(file.fileno())


def _first_difference(found: Any, wanted: Any, name: str = "") -> str:
    if isinstance(found, dict):
        for key, value in found.items():
            if key in _FREE:
                continue
            difference = _first_difference(value, wanted[key], key)
            if difference:
                return difference
        return ""
    return "" if found == wanted else f"--{name} was {found}, is now {wanted}"
