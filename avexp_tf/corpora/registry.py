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
      errors.ConfigError: if there is no such corpus, a flag of it is missing, or one
        was given that only another corpus has.
      errors.DataError: if its files can't be used.
    """
    if name not in _MODULES:
        raise errors.ConfigError(f"--corpus={name}: must be one of {', '.join(NAMES)}")
    own = _flags_of(name)
    for other in NAMES:
        for flag in sorted(_flags_of(other) - own):
            if flag_values[flag].present:
                raise errors.ConfigError(
                    f"--{flag}: is a setting of --corpus={other}, not of {name}"
                )
    return _module(name).from_flags(flag_values)


def _flags_of(name: str) -> set[str]:
    defined = flags.FlagValues()
    _module(name).define_flags(defined)
    return set(defined)


def _module(name: str) -> Any:
    return importlib.import_module(_MODULES[name])
