"""One recording's records in a file of their own: the unit of work of `avexp-prepare`.

A part is complete when its JSON sidecar lies beside it: the records are written first,
then the sidecar, each under another name and renamed. So a run can be killed at any
byte, and the next one finds what is done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf import typed_json
from avexp_tf.data import example
from avexp_tf.data import framing
from avexp_tf.data import schema
from avexp_tf.data import segmenter
from avexp_tf.data import statistics


@dataclasses.dataclass(frozen=True)
class Part:
    """What is known of one recording's records: the sidecar.

    Attributes:
      key: Digest of all that the records follow from.
      sha256: Of the records' file.
      segments: Ticks of each record.
      record_bytes: Bytes of each record with its framing.
      has_background: Whether `background` is stored.
      video_ticks: Ticks with video present.
      audio_ticks: Ticks with audio present.
      label_ticks: Ticks with a valid label, one number per target.
      audio: Statistics of the audio rows that are present, each counted once.
    """

    key: str
    sha256: str
    segments: tuple[int, ...]
    record_bytes: tuple[int, ...]
    has_background: bool
    video_ticks: int
    audio_ticks: int
    label_ticks: tuple[int, ...]
    audio: statistics.Statistics

    @property
    def n_ticks(self) -> int:
        """Ticks of the recording."""
        return sum(self.segments)


def paths(parts_dir: str | os.PathLike[str], recording_id: str) -> tuple[str, str]:
    """Returns where a recording's records and its sidecar lie.

    Args:
      parts_dir: The folder of all parts.
      recording_id: Any text; what is no file name in it does no harm.

    Returns:
      The two paths. No folder holds more than some hundred of 100,000 parts.
    """
    digest = digest_of(recording_id)
    stem = os.path.join(parts_dir, digest[:2], digest)
    return f"{stem}.tfrecord", f"{stem}.json"


def digest_of(recording_id: str) -> str:
    """Returns the name of a recording's files: any id is one, whatever is in it."""
    return hashlib.sha256(recording_id.encode()).hexdigest()[:32]


def write(
    corpus: recording.Corpus,
    info: recording.RecordingInfo,
    records: config.RecordsConfig,
    parts_dir: str | os.PathLike[str],
    on_ticks: Callable[[int], None] = lambda n_ticks: None,
) -> Part:
    """Writes the records of one recording, unless that is done already.

    It needs nothing but its arguments, so any number of processes can do it at once.

    Args:
      corpus: Where the recording comes from.
      info: The recording.
      records: How to cut it.
      parts_dir: Where parts lie.
      on_ticks: Called with the number of ticks after each record that is written.

    Returns:
      The part.

    Raises:
      errors.DataError: if the recording can't be read, breaks a rule, or is empty, or
        if the files can't be written.
    """
    key = _key(corpus, info, records)
    path, sidecar = paths(parts_dir, info.recording_id)
    done = _load(path, sidecar, key, corpus.audio.dim)
    if done:
        return done
    files.make_folder(os.path.dirname(path))
    part = _write_records(corpus, info, records, path, key, on_ticks)
    with files.replacing(sidecar) as file:
        file.write(json.dumps(_to_json(part)).encode())
    return part


def load(
    corpus: recording.Corpus,
    info: recording.RecordingInfo,
    records: config.RecordsConfig,
    parts_dir: str | os.PathLike[str],
) -> Part:
    """Returns a part that `write` finished with the same arguments.

    Raises:
      errors.DataError: if there is none.
    """
    path, sidecar = paths(parts_dir, info.recording_id)
    part = _load(path, sidecar, _key(corpus, info, records), corpus.audio.dim)
    if part is None:
        raise errors.DataError(f"{path}: is not complete; run the same command again")
    return part


def is_done(
    corpus: recording.Corpus,
    info: recording.RecordingInfo,
    records: config.RecordsConfig,
    parts_dir: str | os.PathLike[str],
) -> bool:
    """Returns whether `write` finished with the same arguments."""
    path, sidecar = paths(parts_dir, info.recording_id)
    key = _key(corpus, info, records)
    return _load(path, sidecar, key, corpus.audio.dim) is not None


def _key(
    corpus: recording.Corpus,
    info: recording.RecordingInfo,
    records: config.RecordsConfig,
) -> str:
    if isinstance(corpus, recording.HasContentKeys):
        content = corpus.content_key(info.recording_id)
    else:
        content = corpus.config
    values = {
        "schema_version": schema.VERSION,
        "corpus": [corpus.name, content],
        "features": [
            dataclasses.asdict(corpus.video),
            dataclasses.asdict(corpus.audio),
        ],
        "recording": [info.recording_id, info.subject_id],
        "cut": [records.context_ticks, records.context, records.segment_ticks],
    }
    return typed_json.digest(values)


def _write_records(
    corpus: recording.Corpus,
    info: recording.RecordingInfo,
    records: config.RecordsConfig,
    path: str,
    key: str,
    on_ticks: Callable[[int], None],
) -> Part:
    blocks = (block for block in corpus.read(info.recording_id) if len(block))
    first = next(blocks, None)
    if first is None:
        raise errors.DataError(f"recording {info.recording_id!r}: holds no tick")
    layout = schema.Layout(
        video_dim=corpus.video.dim,
        audio_dim=corpus.audio.dim,
        context_ticks=records.context_ticks,
        context_before=records.context_before,
        has_background=first.background is not None,
    )
    digest = hashlib.sha256()
    segments, record_bytes = [], []
    video_ticks, audio_ticks = 0, 0
    label_ticks = np.zeros(len(config.TARGETS), int)
    audio = statistics.Statistics.empty(layout.audio_dim)
    with files.replacing(path) as file:
        whole = itertools.chain([first], blocks)
        for segment in segmenter.cut(whole, info, layout, records.segment_ticks):
            framed = framing.frame(example.encode(segment, layout))
            file.write(framed)
            digest.update(framed)
            segments.append(segment.n_ticks)
            record_bytes.append(len(framed))
            video_ticks += int(segment.video_present.sum())
            audio_ticks += int(segment.audio_present.sum())
            label_ticks += segment.label_valid.sum(axis=0, dtype=int)
            start = layout.context_before
            rows = segment.audio[start : start + segment.n_ticks]
            present = rows[segment.audio_present.astype(bool)]
            audio = audio.merge(statistics.Statistics.of(present))
            on_ticks(segment.n_ticks)
    return Part(
        key=key,
        sha256=digest.hexdigest(),
        segments=tuple(segments),
        record_bytes=tuple(record_bytes),
        has_background=layout.has_background,
        video_ticks=video_ticks,
        audio_ticks=audio_ticks,
        label_ticks=tuple(label_ticks.tolist()),
        audio=audio,
    )


def _to_json(part: Part) -> dict[str, Any]:
    values = {
        field.name: getattr(part, field.name) for field in dataclasses.fields(part)
    }
    return values | {"audio": part.audio.to_json()}


def _load(path: str, sidecar: str, key: str, audio_dim: int) -> Part | None:
    """Returns the finished part with this key, or None."""
    try:
        values = json.loads(pathlib.Path(sidecar).read_bytes())
        reader = typed_json.Reader(values, sidecar)
        if reader.text("key") != key:
            return None
        part = Part(
            key=key,
            sha256=reader.text("sha256"),
            segments=reader.integers("segments", minimum=1),
            record_bytes=reader.integers("record_bytes", minimum=1),
            has_background=reader.boolean("has_background"),
            video_ticks=reader.integer("video_ticks"),
            audio_ticks=reader.integer("audio_ticks"),
            label_ticks=reader.integers("label_ticks"),
            audio=statistics.Statistics.from_json(reader.child("audio"), audio_dim),
        )
        whole = os.path.getsize(path) == sum(part.record_bytes)
    except (OSError, ValueError, RecursionError, errors.DataError):
        return None  # never finished, or damaged since: it is written again
    return part if whole else None
