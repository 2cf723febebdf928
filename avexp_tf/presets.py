"""Finds the presets of `configs/`, in a checkout or beside the installed code."""

from __future__ import annotations

import pathlib

from avexp_tf import errors

_PACKAGE = pathlib.Path(__file__).parent


def path(name: str) -> pathlib.Path:
    """Returns the path of a preset.

    Args:
      name: Such as `demo.flags`.

    Raises:
      errors.ConfigError: if there is none of this name.
    """
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if (folder / name).is_file():
            return folder / name
    raise errors.ConfigError(f"preset {name!r}: no such file in {_PACKAGE / 'configs'}")
