"""Writes the parts of all recordings as an Apache Beam pipeline, on any of its runners.

The workers do what `workers` does, recording by recording, and the shards are put
together where the command was started: so they have to see the media and the records
folder under the same paths, on a shared file system or a mounted bucket.
"""

from __future__ import annotations

import json
import logging
import os
import pathlib
import shlex
import threading
from collections.abc import Iterable
from collections.abc import Sequence

import tqdm

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf.data import parts
from avexp_tf.data import workers

try:
    # Beam warns of clouds whose packages are not there.
    logging.disable(logging.WARNING)
    import apache_beam as beam
    from apache_beam.options import pipeline_options
except ImportError:
    raise errors.MissingExtraError("--runner", "apache-beam", "beam") from None
finally:
    logging.disable(logging.NOTSET)

_POLL_SECS = 2.0
_FAILED = "failed"  # folder beside the parts: one file per recording that failed


def write_parts(
    corpus: recording.Corpus,
    infos: Sequence[recording.RecordingInfo],
    records: config.RecordsConfig,
    parts_dir: str,
    runner: str,
    beam_flags: str = "",
) -> None:
    """Writes the part of every recording that has none, and shows how it goes.

    Args:
      corpus: Where the recordings come from; it is sent to the workers.
      infos: The recordings.
      records: How to cut them.
      parts_dir: Where parts lie; all workers see it under this path.
      runner: Of Beam, such as `DirectRunner`.
      beam_flags: Of Beam, as on its own command line.

    Raises:
      errors.DataError: the first that a recording raised; the parts of the others are
        finished.
      errors.ConfigError: if Beam doesn't know the runner.
      errors.RunError: if the pipeline failed.
    """
    parts_dir = os.path.abspath(parts_dir)
    failed_dir = pathlib.Path(parts_dir) / _FAILED
    waiting = [
        info for info in infos if not parts.is_done(corpus, info, records, parts_dir)
    ]
    with tqdm.tqdm(
        total=len(infos), initial=len(infos) - len(waiting), unit="recording",
        desc="records",
    ) as bar:  # fmt: skip
        if not waiting:
            return
        for path in failed_dir.glob("*"):
            path.unlink()
        watch = _Watch(parts_dir, workers.Progress(bar))
        with watch:
            _run(
                waiting,
                _WritePart(corpus, records, parts_dir, str(failed_dir)),
                [f"--runner={runner}", *shlex.split(beam_flags)],
            )
    for info in waiting:
        path = failed_dir / parts.digest_of(info.recording_id)
        if path.exists():
            raise errors.DataError(path.read_text(encoding="utf-8"))


def _run(
    infos: Iterable[recording.RecordingInfo], write: _WritePart, words: list[str]
) -> None:
    options = pipeline_options.PipelineOptions(words)
    try:
        pipeline = beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise errors.ConfigError(f"{' '.join(words)}: {error}") from None
    # Steps are fused to what feeds them: without a reshuffle, one worker does it all.
    _ = pipeline | beam.Create(list(infos)) | beam.Reshuffle() | beam.ParDo(write)
    try:
        state = pipeline.run().wait_until_finish()
    except (RuntimeError, OSError, ValueError) as error:
        last = (str(error).strip().splitlines() or [""])[-1]
        raise errors.RunError(f"{words[0]}: the pipeline failed: {last}") from error
    if state != "DONE":
        raise errors.RunError(f"{words[0]}: the pipeline ended as {state}")


class _WritePart(beam.DoFn):
    """Writes one recording's part, or why it can't be written."""

    def __init__(
        self,
        corpus: recording.Corpus,
        records: config.RecordsConfig,
        parts_dir: str,
        failed_dir: str,
    ):
        self._corpus = corpus
        self._records = records
        self._parts_dir = parts_dir
        self._failed_dir = failed_dir

    def process(self, info: recording.RecordingInfo) -> None:
        # Runners would try it again, and tell a traceback through several processes.
        try:
            parts.write(self._corpus, info, self._records, self._parts_dir)
        except errors.AvexpError as error:
            files.make_folder(self._failed_dir)
            path = os.path.join(self._failed_dir, parts.digest_of(info.recording_id))
            with files.replacing(path) as file:
                file.write(str(error).encode())


class _Watch:
    """Shows which parts are finished, while any number of machines write them."""

    def __init__(self, parts_dir: str, progress: workers.Progress):
        self._folder = pathlib.Path(parts_dir)
        self._progress = progress
        # Older ones are of other settings, or were counted before.
        self._seen = set(self._sidecars())
        self._n_ticks = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_POLL_SECS):
            self._look()
        self._look()

    def _look(self) -> None:
        new = set(self._sidecars()) - self._seen
        self._seen |= new
        for path, _ in new:
            try:
                segments = json.loads(pathlib.Path(path).read_bytes())["segments"]
            except (OSError, ValueError, KeyError):
                continue  # replaced since
            self._n_ticks += sum(segments)
            self._progress.bar.update()
        self._progress.set_ticks(self._n_ticks)

    def _sidecars(self) -> list[tuple[str, int]]:
        found = []
        for path in self._folder.glob("*/[!.]*.json"):
            try:
                found.append((str(path), path.stat().st_mtime_ns))
            except OSError:
                continue
        return found
