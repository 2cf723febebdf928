"""Holds an export, its LiteRT files and a server against the Keras model."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.data import record_source
from avexp_tf.serving import client
from avexp_tf.serving import export_config
from avexp_tf.serving import litert
from avexp_tf.serving import litert_model
from avexp_tf.serving import parity
from avexp_tf.serving import parity_result
from avexp_tf.serving import predictor
from avexp_tf.serving import requests
from avexp_tf.serving import saved_model
from avexp_tf.training import run_dir as run_dirs
from avexp_tf.training import trained_model

SAVED_MODEL = "saved_model"
LITERT = "litert_"  # and the variant
SERVER = "server"  # and the address

_NOT_TAKEN = {"video_only": ("audio",), "audio_only": ("video", "background")}


def saved_model_candidate(
    version_dir: str | os.PathLike[str],
) -> parity_result.Candidate:
    """Returns an export as a candidate.

    Raises:
      errors.DataError: if it can't be loaded.
    """
    try:
        loaded = tf.saved_model.load(os.fspath(version_dir))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = (str(error).split("\n") or [""])[0]
        raise errors.DataError(f"{version_dir}: can't be loaded: {reason}") from None

    def call(signature: str, request: requests.Arrays) -> np.ndarray:
        function = loaded.signatures[signature]
        names = function.structured_input_signature[1]
        return outputs.stacked(
            function(**{name: tf.constant(request[name]) for name in names})
        )

    return parity_result.Candidate(
        SAVED_MODEL,
        parity_result.FLOAT32,
        call,
        n_bytes=_size_of(pathlib.Path(version_dir)),
    )


def litert_candidates(
    *folders: str | os.PathLike[str],
) -> list[parity_result.Candidate]:
    """Returns LiteRT files as candidates, in the order of `VARIANTS`.

    Args:
      *folders: Where they are; of a variant the file of the first one counts.

    Raises:
      errors.DataError: if one can't be loaded.
    """
    found = []
    for name, variant in litert.VARIANTS.items():
        paths = [pathlib.Path(one) / f"{name}{litert.SUFFIX}" for one in folders]
        path = next((path for path in paths if path.is_file()), None)
        if path:
            model = litert_model.LiteRt(path)
            found.append(
                parity_result.Candidate(
                    f"{LITERT}{name}",
                    variant.allowance,
                    model.call,
                    n_bytes=path.stat().st_size,
                )
            )
    return found


def server_candidate(address: str) -> parity_result.Candidate:
    """Returns the model that a server runs as a candidate.

    Args:
      address: See `client.Client`.

    Raises:
      errors.AvexpError: if the address is none, a package is missing, the server can't
        be reached, or its model is not of this program.
    """
    server = client.Client(address).pinned()
    # A server takes no more than the model does.
    lost = _NOT_TAKEN.get(server.experiment().model.variant, ())

    def call(signature: str, request: requests.Arrays) -> np.ndarray:
        inputs = {
            name: value for name, value in request.items() if not name.startswith(lost)
        }
        n_clips = min(len(value) for value in inputs.values())
        # A whole batch may be more than a server takes at once.
        parts = [
            server.predict(
                signature,
                {
                    name: value[k : k + predictor.BATCH_CLIPS]
                    for name, value in inputs.items()
                },
            )
            for k in range(0, n_clips, predictor.BATCH_CLIPS)
        ]
        return np.concatenate(parts)

    return parity_result.Candidate(f"{SERVER} {address}", parity_result.FLOAT32, call)


def source_of(
    run_dir: run_dirs.RunDir, records: str = "", split: str = "validation"
) -> record_source.RecordSource:
    """Opens the records to compare on.

    Args:
      run_dir: The run, whose own records are taken by default.
      records: Another folder of records with the same features.
      split: Of the records.

    Raises:
      errors.DataError: if they can't be used, or are not of the model's features.
    """
    data = run_dir.config().data
    if records:
        data = dataclasses.replace(data, records=records)
    source = record_source.RecordSource.open(data, split)
    manifest = run_dir.manifest()
    if source.manifest.has_background != manifest.has_background:
        raise errors.DataError(
            f"{data.records}: one of these records and those of the training has "
            "backgrounds, the other has not"
        )
    return trained_model.source_for([manifest], source)


def largest_difference(
    export_dir: str | os.PathLike[str],
    run_path: str | os.PathLike[str],
    data: config.DataConfig,
    tested: Sequence[str] = export_config.CONDITIONS,
    split: str = "validation",
    max_recordings: int = 1,
) -> float:
    """Returns the largest difference of any output between export and Keras.

    Args:
      export_dir: Of `saved_model.export`.
      run_path: The run directory that it came from.
      data: Whose records to compare on.
      tested: Conditions.
      split: Of the records.
      max_recordings: How many to compare on; 0 takes all.

    Returns:
      The largest absolute difference.
    """
    found = parity.measure(
        trained_model.load(run_dirs.RunDir(run_path), precision="float32"),
        [saved_model_candidate(export_dir)],
        record_source.RecordSource.open(data, split),
        tested,
        max_recordings,
        latency_rounds=1,
    )
    if found.broken:
        raise errors.RunError(f"{export_dir}: {found.broken[SAVED_MODEL]}")
    return float(np.max([row.largest for row in found.rows]))


def _size_of(version_dir: pathlib.Path) -> int:
    """Bytes of what a server loads."""
    extra = saved_model.extra(version_dir)
    return sum(
        path.stat().st_size
        for path in version_dir.rglob("*")
        if path.is_file() and extra not in path.parents
    )
