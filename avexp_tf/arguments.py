"""Checks what callers of the Python API give, and names it where it is wrong."""

from __future__ import annotations

import numbers
import os
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import options

Path = str | os.PathLike[str]


def sections(kinds: Sequence[type], settings: Mapping[str, Any]) -> list[Any]:
    """Divides settings among the configs that have them.

    Args:
      kinds: Classes of configs.
      settings: Of all of them, by name.

    Returns:
      One config of each class.

    Raises:
      errors.ConfigError: if a setting is unknown or breaks its rule.
    """
    fields = [options.field_kinds(kind) for kind in kinds]
    known = [name for names in fields for name in names]
    for name in settings:
        if name not in known:
            raise unknown(name, known)
    values = {name: plain(value) for name, value in settings.items()}
    return [
        kind(**{name: values[name] for name in names if name in values})
        for kind, names in zip(kinds, fields, strict=True)
    ]


def unknown(name: str, known: Collection[str]) -> errors.ConfigError:
    """Returns the error that says which settings there are."""
    return errors.ConfigError(
        f"setting {name!r}: not known; there is {', '.join(sorted(known))}"
    )


def whole(name: str, value: Any, minimum: int = 0) -> int:
    """Returns a whole number, of a size that stateless draws take."""
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Integral)
        or not minimum <= int(value) <= config.LARGEST_SEED
    ):
        raise errors.ConfigError(
            f"{name}={value!r}: must be a whole number from {minimum} to "
            f"{config.LARGEST_SEED}"
        )
    return int(value)


def listed(name: str, values: Any) -> list[Any]:
    """Returns a list; what is in it is checked where it is used."""
    if type(values).__module__ == "numpy" and getattr(values, "ndim", None) == 1:
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise errors.ConfigError(f"{name}={values!r}: must be a list")
    return list(values)


def texts(name: str, words: Any) -> tuple[str, ...]:
    """Returns one text, with commas between the parts as in a flag, or several."""
    if isinstance(words, str):
        return tuple(words.split(",")) if words else ()
    if not _is_list_of(words, str):
        raise errors.ConfigError(f"{name}={words!r}: must be text, or a list of texts")
    return tuple(words)


def boolean(name: str, value: Any) -> bool:
    """Returns True or False; a text that says no is neither."""
    if not isinstance(plain(value), bool):
        raise errors.ConfigError(f"{name}={value!r}: must be True or False")
    return bool(value)


def text(name: str, value: Any) -> str:
    """Returns a text."""
    if not isinstance(value, str):
        raise errors.ConfigError(f"{name}={value!r}: must be text")
    return value


def path(name: str, value: Any) -> str:
    """Returns a path as text; the empty one is none."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise errors.ConfigError(f"{name}={value!r}: must be a path")
    return os.fspath(value)


def path_or_none(name: str, value: Any) -> str:
    """Returns a path, or the empty text that commands take for none."""
    return "" if value is None else path(name, value)


def paths(name: str, value: Any) -> list[str]:
    """Returns one path or several."""
    if isinstance(value, str | os.PathLike):
        return [path(name, value)]
    if not _is_list_of(value, str | os.PathLike) or not value:
        raise errors.ConfigError(f"{name}: must be a path or a list of at least one")
    return [path(name, one) for one in value]


def plain(value: Any) -> Any:
    """Returns Python's own value of a NumPy scalar, such as a search goes through."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def _is_list_of(value: Any, kind: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(one, kind) for one in value)
