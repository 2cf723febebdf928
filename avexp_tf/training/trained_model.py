"""The model of a run: built for its records, loaded with its best weights."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Sequence

import keras

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import manifest as manifests
from avexp_tf.data import record_source
from avexp_tf.models import crossmodal_transformer
from avexp_tf.training import run_dir as run_dirs


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A model that finished, with what a result says of it.

    Attributes:
      name: As in results: baseline, clip_zero, ...
      train_seed: Seed of the run.
      variant: audio_visual, video_only or audio_only.
      interval: Of its bounds; see `config.ModelConfig`.
      model: With its best weights.
      run_dir: Where it came from.
    """

    name: str
    train_seed: int
    variant: str
    interval: float
    model: keras.Model
    run_dir: run_dirs.RunDir

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TrainedModel:
        """Loads a model from its run directory.

        Raises:
          errors.RunError: if it has no weights, or not those of its config.
        """
        run_dir = run_dirs.RunDir(path)
        experiment = run_dir.config()
        return cls(
            experiment.train.name,
            experiment.train.seed,
            experiment.model.variant,
            experiment.model.interval,
            load(run_dir),
            run_dir,
        )


def build(
    experiment: config.ExperimentConfig, manifest: manifests.Manifest
) -> keras.Model:
    """Builds the model of an experiment for the records of a manifest."""
    dims = crossmodal_transformer.InputDims(
        manifest.video.dim, manifest.audio.dim, manifest.records.context_ticks
    )
    return crossmodal_transformer.build(
        experiment.model, dims, experiment.train.precision
    )


def load(run_dir: run_dirs.RunDir, precision: str = "") -> keras.Model:
    """Builds the model of a run and loads its best weights.

    Args:
      run_dir: The run's directory.
      precision: A Keras dtype policy; empty takes that of the training. Weights are
        float32 under every one.

    Raises:
      errors.RunError: if there are none, they are damaged, or of another model.
    """
    weights_path = run_dir.existing_weights()
    run_dir.check_weights()
    experiment = run_dir.config()
    if precision:
        train = dataclasses.replace(experiment.train, precision=precision)
        experiment = dataclasses.replace(experiment, train=train)
    model = build(experiment, run_dir.manifest())
    try:
        with warnings.catch_warnings():
            # Of weights that don't fit Keras warns before it fails.
            warnings.simplefilter("ignore", UserWarning)
            model.load_weights(weights_path)
    except (ValueError, OSError, KeyError) as error:
        # Keras's example of what does not fit goes over many lines.
        reason = str(error).split("\n")[0].partition(" Example error")[0]
        raise errors.RunError(
            f"{weights_path}: can't be loaded into the model of config.json: {reason}"
        ) from None
    return model


def source_for(
    trained_on: Sequence[manifests.Manifest], source: record_source.RecordSource
) -> record_source.RecordSource:
    """Returns records as models take them: normalised as those they were trained on.

    Args:
      trained_on: Manifests of the models' runs.
      source: The records, with statistics of their own.

    Raises:
      errors.DataError: if their features are others, or the models' statistics differ.
    """
    for manifest in trained_on:
        check_same_inputs(manifest, source.manifest, source.data.records)
    statistics = {one.audio_statistics for one in trained_on}
    if len(statistics) > 1:
        raise errors.DataError(
            f"{source.data.records}: the models were trained on records with other "
            "statistics of their sound: evaluate them apart"
        )
    return source.normalised_by(statistics.pop()) if statistics else source


def check_same_inputs(
    trained_on: manifests.Manifest, other: manifests.Manifest, records_dir: str
) -> None:
    """Checks that a model can read other records than those it was trained on.

    Raises:
      errors.DataError: naming the first property that differs.
    """
    for name in ("video", "audio"):
        ours, theirs = getattr(trained_on, name), getattr(other, name)
        if ours != theirs:
            raise errors.DataError(
                f"{records_dir}: its {name} features are {theirs.name} "
                f"{theirs.version} [{theirs.dim}], the model takes {ours.name} "
                f"{ours.version} [{ours.dim}]"
            )
    for name in ("context_ticks", "context"):
        ours, theirs = getattr(trained_on.records, name), getattr(other.records, name)
        if ours != theirs:
            raise errors.DataError(
                f"{records_dir}: its {name} is {theirs}, the model takes {ours}"
            )
