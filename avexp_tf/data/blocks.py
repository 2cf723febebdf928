"""Checks what a corpus yields and brings it to the form in which it is stored.

Nothing that breaks a rule gets past here, so everything behind may rely on it: finite
values, zeros where nothing is present, labels in [-1, 1], rising timestamps.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import schema


def check_lengths(block: recording.Block, recording_id: str, first_tick: int) -> None:
    """Raises DataError if the arrays of a block have different lengths.

    Args:
      block: What the corpus yielded.
      recording_id: For the message.
      first_tick: The tick of the block's first row, for the message.

    Raises:
      errors.DataError: naming the array.
    """
    for field in dataclasses.fields(block):
        array = getattr(block, field.name)
        if array is not None and len(array) != len(block):
            raise errors.DataError(
                f"recording {recording_id!r}, tick {first_tick}: {field.name} has "
                f"{len(array)} rows, timestamps has {len(block)}"
            )


def checked(
    block: recording.Block,
    recording_id: str,
    first_tick: int,
    after_secs: float,
    layout: schema.Layout,
) -> recording.Block:
    """Returns a block in the dtypes of the schema, or says what is wrong with it.

    Args:
      block: What the corpus yielded.
      recording_id: For messages.
      first_tick: The tick of the block's first row, for messages.
      after_secs: Timestamp of the tick before; -inf for the first block.
      layout: The sizes that the arrays must have.

    Returns:
      Finite arrays; zeros in rows that are not present and in labels that are not
      valid.

    Raises:
      errors.DataError: naming the recording, the tick, the value and the rule.
    """
    check = _Check(recording_id, first_tick, len(block))
    video_present = check.flags("video_present", block.video_present, ())
    audio_present = check.flags("audio_present", block.audio_present, ())
    label_valid = check.flags("label_valid", block.label_valid, (len(config.TARGETS),))
    timestamps = check.shape("timestamps", block.timestamps, ()).astype(np.float64)
    check.rising(timestamps, after_secs)
    labels = check.values(
        "labels", block.labels, len(config.TARGETS), np.dtype("<f4"), label_valid
    )
    if np.any(np.abs(labels) > 1):
        row, column = np.argwhere(np.abs(labels) > 1)[0]
        raise check.error(
            row,
            f"{config.TARGETS[column]} is {labels[row, column]}, must be in [-1, 1]",
        )
    background = None
    if (block.background is not None) != layout.has_background:
        raise check.error(
            0, "background must be there in all recordings of a corpus, or in none"
        )
    if block.background is not None:
        everywhere = np.ones(len(block), np.uint8)
        background = check.values(
            "background",
            block.background,
            layout.video_dim,
            np.dtype("<f2"),
            everywhere,
        )
    return recording.Block(
        timestamps=timestamps,
        video=check.values(
            "video", block.video, layout.video_dim, np.dtype("<f2"), video_present
        ),
        audio=check.values(
            "audio", block.audio, layout.audio_dim, np.dtype("<f4"), audio_present
        ),
        labels=labels,
        label_valid=label_valid,
        video_present=video_present,
        audio_present=audio_present,
        background=background,
    )


class _Check:
    """The rules for one block's arrays, and the words for a broken one."""

    def __init__(self, recording_id: str, first_tick: int, n_ticks: int):
        self._recording_id = recording_id
        self._first_tick = first_tick
        self._n_ticks = n_ticks

    def error(self, row: Any, rule: str) -> errors.DataError:
        tick = self._first_tick + int(row)
        return errors.DataError(
            f"recording {self._recording_id!r}, tick {tick}: {rule}"
        )

    def shape(self, name: str, array: np.ndarray, columns: tuple) -> np.ndarray:
        array = np.asarray(array)
        expected = (self._n_ticks, *columns)
        if array.shape != expected:
            raise self.error(0, f"{name} has shape {array.shape}, must be {expected}")
        if array.dtype.kind not in "fiub":
            raise self.error(0, f"{name} is {array.dtype}, must be numbers")
        return array

    def flags(self, name: str, array: np.ndarray, columns: tuple) -> np.ndarray:
        array = self.shape(name, array, columns)
        if array.dtype != bool:
            raise self.error(0, f"{name} is {array.dtype}, must be bool")
        return array.astype(np.uint8)

    def rising(self, timestamps: np.ndarray, after_secs: float) -> None:
        if not np.isfinite(timestamps).all():
            row = np.argmin(np.isfinite(timestamps))
            raise self.error(row, f"its time is {timestamps[row]}, must be finite")
        falls = np.diff(timestamps, prepend=after_secs) <= 0
        if falls.any():
            row = np.argmax(falls)
            before = timestamps[row - 1] if row else after_secs
            raise self.error(
                row,
                f"its time is {timestamps[row]} s, must be later than the tick "
                f"before ({before} s)",
            )

    def values(
        self,
        name: str,
        array: np.ndarray,
        n_columns: int,
        dtype: np.dtype,
        wanted: np.ndarray,
    ) -> np.ndarray:
        """Returns `array` as `dtype`, zero where not `wanted`; [n] or [n, columns]."""
        array = self.shape(name, array, (n_columns,))
        mask = wanted.astype(bool)
        stored = np.zeros(array.shape, dtype)
        with np.errstate(over="ignore"):
            stored[mask] = array[mask]
        finite = np.isfinite(stored)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            value = array[row, column]
            rule = f"{name}[{column}] is {value:g}, must be "
            if np.isfinite(value):
                largest = np.finfo(dtype).max
                raise self.error(
                    row, rule + f"at most {largest:g} in size ({dtype.name})"
                )
            raise self.error(row, rule + "finite where it is present")
        return stored
