"""Records in words, for `avexp-inspect`."""

from __future__ import annotations

import numpy as np

from avexp_tf import config
from avexp_tf.data import manifest as manifest_lib
from avexp_tf.data import segment as segment_lib


def manifest(found: manifest_lib.Manifest) -> list[str]:
    """Returns lines that say what a records folder holds."""
    records = found.records
    lines = [
        f"corpus: {found.corpus_name}",
        f"video: {found.video.name} {found.video.version}, {found.video.dim} columns",
        f"audio: {found.audio.name} {found.audio.version}, {found.audio.dim} columns",
        f"context: {records.context_ticks} ticks, {records.context}",
    ]
    for name, split in found.splits.items():
        n = split.n_ticks
        labels = zip(config.TARGETS, split.label_ticks, strict=True)
        shares = [("video", split.video_ticks), ("audio", split.audio_ticks), *labels]
        present = ", ".join(f"{what} {ticks / n:.1%}" for what, ticks in shares)
        lines.append(
            f"{name}: {len(split.recordings)} recordings of "
            f"{len({entry.subject_id for entry in split.recordings})} subjects, "
            f"{len(split.segment_ticks)} records in {len(split.shards)} shards, {n} "
            f"ticks; {present}"
        )
    return lines


def record(segment: segment_lib.Segment) -> list[str]:
    """Returns lines that say what one record holds."""
    n = segment.n_ticks
    secs = segment.timestamps
    shapes = {
        name: getattr(segment, name)
        for name in ("video", "audio", "background")
        if getattr(segment, name) is not None
    }
    lines = [
        f"recording: {segment.recording_id}",
        f"subject: {segment.subject_id}",
        f"segment: {segment.segment_index}, ticks {segment.first_tick} to "
        f"{segment.first_tick + n - 1}, {secs[0]:.3f} to {secs[-1]:.3f} s",
        *(f"{name}: {a.dtype.name} {list(a.shape)}" for name, a in shapes.items()),
    ]
    for name in config.MODALITIES:
        present = getattr(segment, f"{name}_present")
        lines.append(f"{name} present: {present.mean():.1%}")
    for column, target in enumerate(config.TARGETS):
        valid = segment.label_valid[:, column].astype(bool)
        values = segment.labels[valid, column].astype(np.float64)
        text = f"{target}: {valid.mean():.1%} valid"
        if len(values):
            text += (
                f", mean {values.mean():.3f}, deviation {values.std():.3f}, "
                f"{values.min():.3f} to {values.max():.3f}"
            )
        lines.append(text)
    return lines
