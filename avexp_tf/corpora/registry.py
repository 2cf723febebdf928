"""Corpora by name. Each is a module with `define_flags()` and `from_flags()`."""

from __future__ import annotations

import importlib
from typing import Any

from avexp_tf import errors
from avexp_tf import recording

# Imported when they are asked for: one corpus must not need what another one does.
_MODULES = {
    "synthetic": "avexp_tf.corpora.synthetic",
    "table": "avexp_tf.corpora.table",
    "affwild2": "avexp_tf.corpora.affwild2",
    "media": "avexp_tf.corpora.media",
}

NAMES = tuple(_MODULES)


def define_flags() -> None:
    """Defines the flags of all corpora."""
    for name in NAMES:
        _module(name).define_flags()


def from_flags(name: str) -> recording.Corpus:
    """Returns the corpus that the flags describe.

    Args:
      name: One of `NAMES`.

    Raises:
      errors.ConfigError: if there is no such corpus, or a flag of it is missing.
      errors.DataError: if its files can't be used.
    """
    if name not in _MODULES:
        raise errors.ConfigError(f"--corpus={name}: must be one of {', '.join(NAMES)}")
    return _module(name).from_flags()


def _module(name: str) -> Any:
    return importlib.import_module(_MODULES[name])
