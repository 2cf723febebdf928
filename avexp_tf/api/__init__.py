"""The package in ten lines of a script or a notebook; no flags.

Settings are keyword arguments with the names of the flags (`avexp-train --help` lists
them), what a function shares with a command is the same code, and what can't be done
ends in the same one line, as `avexp_tf.Error`. Tables come back as pandas DataFrames.
Nothing here imports TensorFlow before it is used.
"""

from avexp_tf.api.exports import export
from avexp_tf.api.exports import predict
from avexp_tf.api.models import build_model
from avexp_tf.api.models import evaluate
from avexp_tf.api.models import train
from avexp_tf.api.records import load_records
from avexp_tf.api.records import prepare
from avexp_tf.api.records import simulate

__all__ = [
    "build_model",
    "evaluate",
    "export",
    "load_records",
    "predict",
    "prepare",
    "simulate",
    "train",
]
