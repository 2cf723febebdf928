"""What a folder of records holds already, before and after a preparation.

Nothing of another's is replaced, what is finished is found, and what a preparation that
was stopped left behind is removed.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
from collections.abc import Callable
from collections.abc import Collection
from typing import Any

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import shard_reader

PARTS = ".parts"  # the folder of what each recording has become
LOCK = "lock"  # in it, held while one process prepares


def refuse_run(out: str | os.PathLike[str], names: Collection[str]) -> None:
    """Raises DataError if a folder that holds `names` is a run."""
    for name in (config.FILE_NAME, config.WEIGHTS_NAME):
        if name in names:
            raise errors.DataError(
                f"{out}: holds a run ({name}), whose {manifest_lib.FILE_NAME} would be "
                "replaced; choose another --out"
            )


def refuse_foreign_shards(out: pathlib.Path) -> None:
    """Raises DataError if there are shards that no run of this program left."""
    if (out / manifest_lib.FILE_NAME).exists() or (out / PARTS).exists():
        return
    for path in _shards(out):
        raise errors.DataError(
            f"{path}: would be replaced, and no manifest says that it may: remove it, "
            "or choose another --out"
        )


def finished(
    folder: str | os.PathLike[str],
    corpus: recording.Corpus,
    records: config.RecordsConfig,
    given: contents.AudioStatistics | None,
    report: Callable[[str], None],
) -> manifest_lib.Manifest | None:
    """Returns the manifest that is there; None if its shards are not.

    Args:
      folder: The records folder, or its address on s3://.
      corpus: The recordings that are asked for.
      records: How they are to be cut.
      given: Audio statistics to be used; None if they are computed.
      report: Takes the lines that tell the user something.

    Raises:
      errors.ConfigError: if it is that of other settings.
    """
    found = manifest_lib.Manifest.load(folder)
    asked = manifest_lib.settings(corpus, records)
    difference = _difference(found.settings(), asked, "")
    if not difference and given and given != found.audio_statistics:
        difference = "its audio statistics are not those of --statistics_from"
    if difference:
        raise errors.ConfigError(
            f"{folder}: holds records of other settings: {difference}; choose another "
            "--out (avexp-prepare can replace them: --overwrite)"
        )
    for name, split in found.splits.items():
        for path, shard in zip(
            found.shard_paths(folder, name), split.shards, strict=True
        ):
            problem = shard_reader.size_problem(path, shard)
            if problem:
                report(f"{problem}; these records are written again")
                return None
    report(f"{folder}: these records are complete already; nothing to do")
    return found


def _difference(there: Any, asked: Any, where: str) -> str:
    """Says in what two settings differ first; empty if in nothing."""
    if isinstance(there, dict) and isinstance(asked, dict):
        for key in sorted({*there, *asked}):
            place = f"{where}.{key}" if where else key
            difference = _difference(there.get(key), asked.get(key), place)
            if difference:
                return difference
        return ""
    return (
        "" if there == asked else f"{where} is {there!r:.80} there, {asked!r:.80} now"
    )


def _shards(out: pathlib.Path) -> list[pathlib.Path]:
    return [
        path
        for path in sorted(out.glob("*.tfrecord"))
        if contents.split_of_shard(path.name)
    ]


def remove_temporaries(out: pathlib.Path) -> None:
    """Removes half-written files, of workers that were stopped."""
    for path in itertools.chain(
        out.glob(f"{files.TEMPORARY}*"), (out / PARTS).glob(f"*/{files.TEMPORARY}*")
    ):
        path.unlink(missing_ok=True)


def remove_unused_parts(out: pathlib.Path) -> None:
    """Removes the folder of parts again if nothing but its lock was made."""
    if os.listdir(out / PARTS) == [LOCK]:
        shutil.rmtree(out / PARTS)


def remove_leftovers(out: pathlib.Path, manifest: manifest_lib.Manifest) -> None:
    """Removes what finished records don't need: parts, shards of other settings."""
    listed = {
        shard.file for split in manifest.splits.values() for shard in split.shards
    }
    for path in _shards(out):
        if path.name not in listed:
            path.unlink()
    shutil.rmtree(out / PARTS)
