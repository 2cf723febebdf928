"""Valence and arousal from face and voice, also when one of them is missing.

The functions of `avexp_tf.api` are here too, imported when they are first used:
`import avexp_tf` is quick and needs no TensorFlow.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING
from typing import Any

from avexp_tf.errors import AvexpError as Error

if TYPE_CHECKING:
    from avexp_tf.api import build_model
    from avexp_tf.api import evaluate
    from avexp_tf.api import export
    from avexp_tf.api import load_records
    from avexp_tf.api import predict
    from avexp_tf.api import prepare
    from avexp_tf.api import simulate
    from avexp_tf.api import train

__version__ = "0.1.0"

_FUNCTIONS = (
    "build_model",
    "evaluate",
    "export",
    "load_records",
    "predict",
    "prepare",
    "simulate",
    "train",
)

__all__ = [
    "Error",
    "build_model",
    "evaluate",
    "export",
    "load_records",
    "predict",
    "prepare",
    "simulate",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module("avexp_tf.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})


class _Package(types.ModuleType):
    """Keeps `avexp_tf.train` the function.

    Python would replace it when something imports the command `avexp_tf/train.py`.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FUNCTIONS and isinstance(value, types.ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
