"""From one record to clips: padding, cutting, normalising, and the source maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import manifest as manifests
from avexp_tf.data import schema

Tensors = dict[str, tf.Tensor]

# Arrays that a clip shares with its segment, one row per tick.
_PER_TICK = (
    schema.VIDEO,
    schema.LABELS,
    schema.LABEL_VALID,
    schema.VIDEO_PRESENT,
    schema.AUDIO_PRESENT,
    schema.TIMESTAMPS,
)
_AUDIO_ROW_PRESENT = "audio_row_present"


def clips_per_segment(n_ticks: int, clip_ticks: int) -> int:
    """Returns how many training clips a segment gives per epoch: n / T, rounded."""
    return max(1, (n_ticks + clip_ticks // 2) // clip_ticks)


def training_starts(n_ticks: tf.Tensor, clip_ticks: int, key: tf.Tensor) -> tf.Tensor:
    """Draws where a segment's training clips start.

    The possible starts are cut into as many equal strata as there are clips, and each
    clip starts anywhere in its own: every tick is seen about once per epoch, at an
    offset that changes with the epoch.

    Args:
      n_ticks: int32 [], of the segment.
      clip_ticks: T.
      key: int32 [2], a stateless seed.

    Returns:
      int32 [clips_per_segment(n, T)], in random order.
    """
    n_clips = tf.maximum(1, (n_ticks + clip_ticks // 2) // clip_ticks)
    place_key, order_key = tf.unstack(tf.random.split(key))
    u = tf.random.stateless_uniform([n_clips], place_key)
    n_starts = tf.maximum(n_ticks - clip_ticks + 1, 1)
    share = (tf.cast(tf.range(n_clips), tf.float32) + u) / tf.cast(n_clips, tf.float32)
    starts = tf.cast(share * tf.cast(n_starts, tf.float32), tf.int32)
    starts = tf.minimum(starts, n_starts - 1)
    order = tf.argsort(tf.random.stateless_uniform([n_clips], order_key))
    return tf.gather(starts, order)


def evaluation_starts(n_ticks: tf.Tensor, clip_ticks: int, stride: int) -> tf.Tensor:
    """Returns where a segment's evaluation clips start.

    Args:
      n_ticks: int32 [], of the segment.
      clip_ticks: T.
      stride: Ticks from one start to the next.

    Returns:
      int32 [k]: multiples of the stride, and a last clip that ends with the segment.
    """
    last = tf.maximum(n_ticks - clip_ticks, 0)
    starts = tf.range(0, last + 1, stride)
    at_end = tf.equal(starts[-1], last)
    return tf.cond(at_end, lambda: starts, lambda: tf.concat([starts, [last]], axis=0))


def evaluation_clips(n_ticks: int, clip_ticks: int, stride: int) -> int:
    """Returns how many starts `evaluation_starts` gives."""
    last = max(n_ticks - clip_ticks, 0)
    return last // stride + 1 + (last % stride > 0)


def cutter(
    manifest: manifests.Manifest, clip_ticks: int
) -> Callable[[Tensors, tf.Tensor], Tensors]:
    """Returns a function that cuts all clips of a segment at once.

    One gather per array for all clips of a segment costs half of what cutting them one
    by one does.

    Args:
      manifest: Of the records.
      clip_ticks: T.

    Returns:
      fn(parsed record, starts int32 [k]) -> k clips: `video` float16 [k, T, video_dim]
      (with background, the T background rows follow), `audio` float32 [k, T + C - 1,
      audio_dim] normalised with zeros where there was no sound, `audio_row_present`
      bool [k, T + C - 1], `video_present`, `audio_present` and, with background,
      `background_present` bool [k, T], `labels` float32 [k, T, 2] with NaN where
      invalid, `timestamps` float64 [k, T], `valid` bool [k, T], False in the padding of
      a segment shorter than T, `start`, `n_ticks` int32 [k], `first_tick` int64 [k] in
      the recording, `recording_id` string [k].
    """
    layout = manifest.layout
    mean = tf.constant(np.asarray(manifest.audio_statistics.mean, np.float32))
    scale = tf.constant(1 / np.asarray(manifest.audio_statistics.std, np.float32))
    margin = layout.context_ticks - 1
    before = layout.context_before
    per_tick = _PER_TICK + ((schema.BACKGROUND,) if layout.has_background else ())

    def cut(record: Tensors, starts: tf.Tensor) -> Tensors:
        n_ticks = tf.cast(record[schema.N_TICKS], tf.int32)
        segment = {name: record[name] for name in per_tick}
        segment[schema.AUDIO] = record[schema.AUDIO]
        segment[_AUDIO_ROW_PRESENT] = tf.concat(
            [
                record[schema.MARGIN_PRESENT][:before],
                record[schema.AUDIO_PRESENT],
                record[schema.MARGIN_PRESENT][before:],
            ],
            axis=0,
        )
        segment = _padded(segment, tf.maximum(clip_ticks - n_ticks, 0))

        def rows(name: str, n_rows: int) -> tf.Tensor:
            return tf.gather(segment[name], starts[:, None] + tf.range(n_rows))

        heard = tf.cast(rows(_AUDIO_ROW_PRESENT, clip_ticks + margin), tf.bool)
        audio = (rows(schema.AUDIO, clip_ticks + margin) - mean) * scale
        video = rows(schema.VIDEO, clip_ticks)
        there: Tensors = {}
        if layout.has_background:
            background = rows(schema.BACKGROUND, clip_ticks)
            video = tf.concat([video, background], axis=1)
            # What is not there was written as zeros.
            there = {"background_present": tf.reduce_any(background != 0, axis=-1)}
        valid = starts[:, None] + tf.range(clip_ticks) < n_ticks
        known = tf.cast(rows(schema.LABEL_VALID, clip_ticks), tf.bool)
        known &= valid[..., None]
        labels = rows(schema.LABELS, clip_ticks)
        n_clips = tf.size(starts)
        return there | {
            "video": video,
            "audio": tf.where(heard[..., None], audio, 0.0),
            "audio_row_present": heard,
            "video_present": tf.cast(rows(schema.VIDEO_PRESENT, clip_ticks), tf.bool),
            "audio_present": tf.cast(rows(schema.AUDIO_PRESENT, clip_ticks), tf.bool),
            "labels": tf.where(known, labels, float("nan")),
            "timestamps": rows(schema.TIMESTAMPS, clip_ticks),
            "valid": valid,
            "start": starts,
            "n_ticks": tf.fill([n_clips], n_ticks),
            "first_tick": record[schema.FIRST_TICK] + tf.cast(starts, tf.int64),
            "recording_id": tf.fill([n_clips], record[schema.RECORDING_ID]),
        }

    return cut


def _padded(segment: Tensors, missing: tf.Tensor) -> Tensors:
    """Appends `missing` rows of zeros to each array."""

    def pad(rows: tf.Tensor) -> tf.Tensor:
        empty = tf.zeros([missing, *rows.shape[1:]], rows.dtype)
        return tf.concat([rows, empty], axis=0)

    # A branch, so that segments of full length are not copied.
    return tf.cond(
        missing > 0,
        lambda: {name: pad(rows) for name, rows in segment.items()},
        lambda: segment,
    )


def training_example(clip: Tensors) -> tuple[Tensors, Tensors]:
    """Returns a clip as Keras wants it: a dict of inputs and a dict of labels.

    The video features stay float16, as they are stored: the model widens them, and half
    as much is copied on the way to it.
    """
    inputs = {
        name: clip[name]
        for name in ("video", "audio", "video_source", "audio_source", "valid")
    }
    labels = {name: clip["labels"][..., i] for i, name in enumerate(config.TARGETS)}
    return inputs, labels
