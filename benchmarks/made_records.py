"""Records of the paper's dimensions, and the same clips as others store them."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib

import numpy as np

from avexp_tf import config

TICKS = 1000  # of a recording: one record, ten clips
CLIPS = 10


def prepare(folder: pathlib.Path, n_recordings: int) -> None:
    """Writes synthetic records whose train split has so many recordings."""
    import avexp_tf

    with contextlib.redirect_stdout(io.StringIO()):
        avexp_tf.prepare(
            "synthetic",
            folder,
            train_speakers=n_recordings,
            dev_speakers=1,
            validation_speakers=1,
            recordings_per_speaker=1,
            min_ticks=TICKS,
            max_ticks=TICKS,
        )


def source(folder: os.PathLike[str] | str, split: str = "train"):
    """Opens a split."""
    from avexp_tf.data import record_source

    return record_source.RecordSource.open(
        config.DataConfig(records=os.fspath(folder)), split
    )


def stacked(audio: np.ndarray, context_ticks: int) -> np.ndarray:
    """Returns [B, T, C x columns]: the context of each tick, oldest row first."""
    windows = np.lib.stride_tricks.sliding_window_view(audio, context_ticks, axis=1)
    windows = np.swapaxes(windows, 2, 3)  # [B, T, C, columns]
    return np.ascontiguousarray(windows).reshape(*windows.shape[:2], -1)


def write_others(records: pathlib.Path, plain: pathlib.Path, npy: pathlib.Path) -> int:
    """Writes the clips of one epoch as float-list records, and as NPY files.

    Args:
      records: The records folder.
      plain: Gets one TFRecord file per batch, each clip an example of float lists.
      npy: Gets one file per array and recording.

    Returns:
      How many clips.
    """
    import tensorflow as tf

    from avexp_tf.data import pipeline

    opened = source(records)
    context = opened.manifest.records.context_ticks
    plain.mkdir()
    npy.mkdir()
    n_clips = 0
    for index, (inputs, labels) in enumerate(
        pipeline.training_batches(opened, [()], 0, 0)
    ):
        video, audio = inputs["video"].numpy(), inputs["audio"].numpy()
        both = np.stack([labels[name].numpy() for name in config.TARGETS], -1)
        np.save(npy / f"{index:04d}-video.npy", video)
        np.save(npy / f"{index:04d}-audio.npy", audio)
        np.save(npy / f"{index:04d}-labels.npy", both)
        wide = stacked(audio, context)
        with tf.io.TFRecordWriter(str(plain / f"{index:04d}.tfrecord")) as writer:
            for one in zip(video, wide, both, strict=True):
                features = {
                    name: tf.train.Feature(
                        float_list=tf.train.FloatList(value=value.reshape(-1))
                    )
                    for name, value in zip(
                        ("video", "audio", "labels"), one, strict=True
                    )
                }
                message = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(message.SerializeToString())
        n_clips += len(video)
    return n_clips


def folder_bytes(folder: pathlib.Path, pattern: str) -> int:
    """Returns the size of all files of a pattern."""
    return sum(path.stat().st_size for path in folder.glob(pattern))
