"""What a finished run holds, to be compared with another one's."""

import csv

import numpy as np
import tensorflow as tf


def end_of(folder):
    """All that a run gave and that may not depend on when it was stopped."""
    with open(folder / "history.csv", newline="") as file:
        history = [
            {name: value for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]
    newest = max((folder / "checkpoints").glob("*.npz"))
    with np.load(newest, allow_pickle=False) as arrays:
        state = {name: arrays[name].tobytes() for name in arrays.files}
    return {
        "weights": (folder / "best.weights.h5").read_bytes(),
        "result": (folder / "result.json").read_text(),
        "history": history,
        "state": state,
        "curves": curves_of(folder),
    }


def curves_of(folder):
    """{curve: [(step, value)]} of all event files."""
    found = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                if plugin == "scalars" and value.tag != "seconds":
                    number = float(tf.make_ndarray(value.tensor))
                    found.setdefault(value.tag, []).append((event.step, number))
    return found
