"""Finds the presets of `configs/`, in a checkout or beside the installed code."""

from __future__ import annotations

import pathlib

from avexp_tf import errors

_PACKAGE = pathlib.Path(__file__).parent
_FOLDER = "configs"


def path(name: str) -> pathlib.Path:
    """Returns the path of a preset.

    Args:
      name: Such as `demo.flags`.

    Raises:
      errors.ConfigError: if there is none of this name.
    """
    for folder in (_PACKAGE / _FOLDER, _PACKAGE.parent / _FOLDER):
        if (folder / name).is_file():
            return folder / name
    raise errors.ConfigError(f"preset {name!r}: no such file in {_PACKAGE / _FOLDER}")


def found(file: str) -> str:
    """Returns a file, or the preset that it names where it is not there.

    Args:
      file: Such as `configs/paper.flags`, which works from any folder so.
    """
    wanted = pathlib.Path(file)
    if wanted.parent != pathlib.Path(_FOLDER) or wanted.exists():
        return file
    try:
        return str(path(wanted.name))
    except errors.ConfigError:
        return file
