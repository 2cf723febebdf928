"""Corpora by name: modules with `define_flags(values)` and `from_flags(values)`."""

from __future__ import annotations

import importlib
from typing import Any

from absl import flags

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


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of all corpora."""
    for name in NAMES:
        _module(name).define_flags(flag_values)


def from_flags(
    name: str, flag_values: flags.FlagValues = flags.FLAGS
) -> recording.Corpus:
    """Returns the corpus that the flags describe.

    Args:
      name: One of `NAMES`.
      flag_values: Where they were defined.

    Raises:
      errors.ConfigError: if there is no such corpus, or a flag of it is missing.
      errors.DataError: if its files can't be used.
    """
    if name not in _MODULES:
        raise errors.ConfigError(f"--corpus={name}: must be one of {', '.join(NAMES)}")
    return _module(name).from_flags(flag_values)


def _module(name: str) -> Any:
    return importlib.import_module(_MODULES[name])
