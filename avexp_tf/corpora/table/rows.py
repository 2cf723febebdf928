"""Rows of a table to a block of ticks; empty cells are gaps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.corpora.table import mapping as mapping_lib

# In records video features are float16, descriptors float32.
_LARGEST = {
    "video": float(np.finfo(np.float16).max),
    "audio": float(np.finfo(np.float32).max),
}


def to_block(
    rows: Mapping[str, np.ndarray],
    mapping: mapping_lib.Mapping,
    path: str,
    first_row: int,
    first_tick: int,
    after_secs: float,
) -> recording.Block:
    """Returns some rows as ticks.

    Args:
      rows: {`video`, `audio`, `time` or a target: float64 [n, columns]}; what the
        table does not have is not there. NaN is a gap.
      mapping: What the columns are.
      path: The file, for messages.
      first_row: What the first row is called in it, for messages.
      first_tick: The tick that the first row stands for.
      after_secs: Time of the row before; -inf if there is none.

    Returns:
      The ticks. A modality without a column is one column that is never present.

    Raises:
      errors.DataError: naming file, row and column, if a value is infinite or more than
        a record can hold, a label is outside [-1, 1], or a time is missing or not later
        than the one before.
    """
    n = len(next(iter(rows.values())))

    def error(row: int, what: str, rule: str) -> errors.DataError:
        return errors.DataError(f"{path}: row {first_row + int(row)}, {what} {rule}")

    for key, values in rows.items():
        most = _LARGEST.get(key, np.inf)
        too_large = np.argwhere(np.isinf(values) | (np.abs(values) > most))
        if len(too_large):
            row, column = too_large[0]
            value = values[row, column]
            rule = "finite" if np.isinf(value) else f"from {-most:g} to {most:g}"
            raise error(row, f"{key}[{column}]", f"is {value}, must be {rule}")
    features = {}
    for name in config.MODALITIES:
        values = rows.get(name, np.full((n, 1), np.nan))
        features[name] = values
        features[f"{name}_present"] = ~np.isnan(values).any(axis=1)
    labels = np.full((n, len(config.TARGETS)), np.nan)
    for column, target in enumerate(config.TARGETS):
        if target in rows:
            labels[:, column] = rows[target][:, 0]
    if mapping.invalid_label is not None:
        # As float32, since an array may hold it so.
        invalid = np.float32(mapping.invalid_label)
        labels[labels.astype(np.float32) == invalid] = np.nan
    outside = np.argwhere(np.abs(labels) > 1)
    if len(outside):
        row, column = outside[0]
        name = mapping.labels[config.TARGETS[column]]
        rule = f"is {labels[row, column]}, a label must be in [-1, 1]"
        raise error(row, f"column {name!r}", rule)
    if "time" in rows:
        secs = rows["time"][:, 0]
        wrong = ~(np.diff(secs, prepend=after_secs) > 0)  # so that NaN is wrong too
        if wrong.any():
            row = int(np.argmax(wrong))
            before = secs[row - 1] if row else after_secs
            rule = f"is {secs[row]}, must be later than in the row before ({before})"
            raise error(row, f"column {mapping.time!r}", rule)
    else:
        secs = (first_tick + np.arange(n)) / mapping.rate_hz
    return recording.Block(
        timestamps=secs, labels=labels, label_valid=~np.isnan(labels), **features
    )
