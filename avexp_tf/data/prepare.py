"""From a corpus to a folder of records; what `avexp-prepare` does.

First every recording becomes a part, in any order and any number of processes; then
the parts are put together to shards; the manifest comes last. A run that was stopped
at any point is finished by the same call, and gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf import remote
from avexp_tf.data import assembly as assembly_lib
from avexp_tf.data import contents
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import records_folder
from avexp_tf.data import splits
from avexp_tf.data import workers

# fn(corpus, infos, records, parts_dir)
_PartWriter = Callable[..., None]

# Protocol buffers end at 2 GiB, and a record is in memory several times.
_LARGEST_RECORD = 500_000_000


@dataclasses.dataclass(frozen=True)
class _Job:
    """What is to be written.

    Attributes:
      corpus: The recordings.
      infos: All of them.
      names: The split of each.
      records: How to cut them.
      given: Audio statistics to use; None computes them.
      out: The records folder.
    """

    corpus: recording.Corpus
    infos: Sequence[recording.RecordingInfo]
    names: Sequence[str]
    records: config.RecordsConfig
    given: contents.AudioStatistics | None
    out: pathlib.Path

    def manifest(self, assembly: assembly_lib.Assembly) -> manifest_lib.Manifest:
        """Returns the manifest of what was put together."""
        audio = assembly.train_audio
        return manifest_lib.Manifest(
            corpus_name=self.corpus.name,
            corpus_config=self.corpus.config,
            video=self.corpus.video,
            audio=self.corpus.audio,
            records=self.records,
            has_background=assembly.has_background,
            audio_statistics=self.given
            or contents.AudioStatistics(
                count=audio.count,
                mean=tuple(audio.mean.tolist()),
                std=tuple(audio.std().tolist()),
            ),
            splits=assembly.splits,
        )


def prepare(
    corpus: recording.Corpus,
    out_dir: str | os.PathLike[str],
    records: config.RecordsConfig,
    *,
    n_workers: int = 1,
    overwrite: bool = False,
    statistics_from: str = "",
    runner: str = "",
    beam_flags: str = "",
    report: Callable[[str], None] = print,
) -> manifest_lib.Manifest:
    """Writes the records of a corpus, or finishes what an earlier call began.

    Args:
      corpus: The recordings.
      out_dir: The records folder; it is made if it is not there. On s3://, the records
        are put together on this machine and uploaded, manifest.json last.
      records: How to cut recordings, and into which splits.
      n_workers: Processes that read recordings.
      overwrite: Replace finished records.
      statistics_from: Another records folder whose audio statistics to take; empty
        computes them from the train split.
      runner: Of Apache Beam, to work on many machines; empty works on this one.
      beam_flags: Of Beam, as on its own command line.
      report: Takes the lines that tell the user something.

    Returns:
      The manifest.

    Raises:
      errors.DataError: if the input breaks a rule, or the folder can't be written to.
      errors.ConfigError: if the folder holds records of other settings, or Beam
        doesn't know the runner.
      errors.MissingExtraError: if there is a runner, and no Beam.
    """
    if remote.is_remote(out_dir):
        return _prepare_remote(
            corpus,
            os.fspath(out_dir),
            records,
            statistics_from,
            overwrite,
            report,
            n_workers=n_workers,
            runner=runner,
            beam_flags=beam_flags,
        )
    write_parts = _part_writer(n_workers, runner, beam_flags)
    _check_record_size(corpus, records)
    infos = list(corpus.recordings())
    names = splits.assign(infos, records)
    given = _given_statistics(corpus, statistics_from, names)
    out = pathlib.Path(out_dir)
    job = _Job(corpus, infos, names, records, given, out)
    _tell_shared_subjects(job, report)
    records_folder.refuse_run(out, os.listdir(out) if out.is_dir() else [])
    records_folder.refuse_foreign_shards(out)

    def finished() -> manifest_lib.Manifest | None:
        if overwrite or not (out / manifest_lib.FILE_NAME).exists():
            return None
        return records_folder.finished(out, corpus, records, given, report)

    if out.is_dir() and not os.access(out, os.W_OK):  # where no lock can be made
        manifest = finished()
        if manifest:
            return manifest
    files.make_folder(out / records_folder.PARTS)
    with files.only_one(out / records_folder.PARTS / records_folder.LOCK):
        records_folder.remove_temporaries(out)
        try:
            manifest = finished()
        except errors.AvexpError:
            records_folder.remove_unused_parts(out)
            raise
        manifest = manifest or _write(job, write_parts)
        records_folder.remove_leftovers(out, manifest)
    return manifest


def _prepare_remote(
    corpus: recording.Corpus,
    address: str,
    records: config.RecordsConfig,
    statistics_from: str,
    overwrite: bool,
    report: Callable[[str], None],
    **options: Any,
) -> manifest_lib.Manifest:
    """Prepares on this machine and uploads, unless that is done already."""
    remote.check(address)
    there = remote.children(address)
    records_folder.refuse_run(address, there)
    if not overwrite and manifest_lib.FILE_NAME in there:
        names = splits.assign(list(corpus.recordings()), records)
        given = _given_statistics(corpus, statistics_from, names)
        found = records_folder.finished(address, corpus, records, given, report)
        if found:
            return found
    with tempfile.TemporaryDirectory(prefix="avexp-") as folder:
        manifest = prepare(
            corpus,
            folder,
            records,
            statistics_from=statistics_from,
            report=report,
            **options,
        )
        for name in manifest.splits:
            for path, target in zip(
                manifest.shard_paths(folder, name),
                manifest.shard_paths(address, name),
                strict=True,
            ):
                remote.upload(pathlib.Path(path), target)
        last = pathlib.Path(folder) / manifest_lib.FILE_NAME
        remote.upload(last, remote.join(address, manifest_lib.FILE_NAME))
    report(f"uploaded to {address}")
    return manifest


def _check_record_size(corpus: recording.Corpus, records: config.RecordsConfig) -> None:
    # A background, if there is one, is as large as the video.
    per_tick = 4 * corpus.video.dim + 4 * corpus.audio.dim + 32
    n_bytes = records.segment_ticks * per_tick
    if n_bytes > _LARGEST_RECORD:
        raise errors.ConfigError(
            f"--segment_ticks={records.segment_ticks}: a record would have up to "
            f"{n_bytes / 1e6:.0f} MB, must have at most {_LARGEST_RECORD / 1e6:.0f}"
        )


def _given_statistics(
    corpus: recording.Corpus, statistics_from: str, names: Sequence[str]
) -> contents.AudioStatistics | None:
    if not statistics_from:
        if "train" not in names:
            raise errors.DataError(
                "no recording is in train, and the audio is normalised with statistics "
                "of train: give --statistics_from=OTHER_RECORDS_FOLDER"
            )
        return None
    other = manifest_lib.Manifest.load(statistics_from)
    if other.audio != corpus.audio:
        raise errors.DataError(
            f"{statistics_from}: its audio features are {_words(other.audio)}, those "
            f"of this corpus {_words(corpus.audio)}"
        )
    return other.audio_statistics


def _words(feature_set: recording.FeatureSet) -> str:
    return f"{feature_set.name} {feature_set.version} ({feature_set.dim} columns)"


def _tell_shared_subjects(job: _Job, report: Callable[[str], None]) -> None:
    shared = splits.shared_subjects(job.infos, job.names)
    if shared:
        shown = ", ".join(shared[:5]) + (", ..." if len(shared) > 5 else "")
        report(
            "note: this corpus is not split by subject; in more than one split: "
            f"{shown} ({len(shared)} in all)"
        )


def _part_writer(n_workers: int, runner: str, beam_flags: str) -> _PartWriter:
    if not runner:
        return functools.partial(workers.write_parts, n_workers=n_workers)
    from avexp_tf.data import beam_parts

    return functools.partial(
        beam_parts.write_parts, runner=runner, beam_flags=beam_flags
    )


def _write(job: _Job, write_parts: _PartWriter) -> manifest_lib.Manifest:
    parts_dir = str(job.out / records_folder.PARTS)
    try:
        write_parts(job.corpus, job.infos, job.records, parts_dir)
    finally:
        records_folder.remove_temporaries(job.out)  # of workers that were stopped
    # From here on, what an older manifest says of the shards is no longer true.
    (job.out / manifest_lib.FILE_NAME).unlink(missing_ok=True)
    manifest = job.manifest(
        assembly_lib.assemble(
            job.corpus, job.infos, job.names, job.records, parts_dir, job.out
        )
    )
    manifest.save(job.out)
    return manifest
