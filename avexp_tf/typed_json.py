"""Reads typed values out of JSON and says where a wrong one stands; writes JSON.

Manifests and mappings may come from somebody else, so every value is checked before it
is used.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from avexp_tf import errors

_LARGEST_INTEGER = 2**63  # what int64 holds


class Reader:
    """A JSON object whose values are asked for by type.

    Attributes:
      values: The object.
      source: The file, for messages.
      where: The object's place in the file, for messages.
    """

    def __init__(self, values: Any, source: str, where: str = ""):
        self.source = source
        self.where = where
        if not isinstance(values, dict):
            raise self._error(None, "must be a JSON object", values)
        self.values: dict[str, Any] = values

    def child(self, key: str) -> Reader:
        """Returns the object at `key`."""
        return Reader(self._get(key), self.source, self._place(key))

    def children(self, key: str) -> list[Reader]:
        """Returns the objects in the list at `key`."""
        return [
            Reader(item, self.source, f"{self._place(key)}[{index}]")
            for index, item in enumerate(self._list(key))
        ]

    def text(self, key: str) -> str:
        """Returns the string at `key`."""
        value = self._get(key)
        if not isinstance(value, str):
            raise self._error(key, "must be a string", value)
        return value

    def boolean(self, key: str) -> bool:
        """Returns the true or false at `key`."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise self._error(key, "must be true or false", value)
        return value

    def integer(self, key: str, minimum: int = 0) -> int:
        """Returns the whole number at `key`."""
        return self._integer(key, self._get(key), minimum)

    def integers(self, key: str, minimum: int = 0) -> tuple[int, ...]:
        """Returns the whole numbers in the list at `key`."""
        return tuple(self._integer(key, item, minimum) for item in self._list(key))

    def numbers(self, key: str) -> tuple[float, ...]:
        """Returns the finite numbers in the list at `key`."""
        rule = "must hold finite numbers"
        return tuple(self._number(key, item, rule) for item in self._list(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """Returns the strings in the list at `key`."""
        found = self._list(key)
        for item in found:
            if not isinstance(item, str):
                raise self._error(key, "must hold strings", item)
        return tuple(found)

    def number(self, key: str) -> float:
        """Returns the finite number at `key`."""
        return self._number(key, self._get(key), "must be a finite number")

    def only(self, known: Iterable[str]) -> None:
        """Raises DataError if the object has a key that is not known."""
        for key in self.values:
            if key not in known:
                raise errors.DataError(
                    f"{self.source}: {self._place(key)} is unknown; known are "
                    f"{', '.join(sorted(known))}"
                )

    def equal(self, key: str, expected: int) -> None:
        """Raises DataError if the number at `key` is not what the rest adds up to."""
        value = self.integer(key)
        if value != expected:
            raise self._error(key, f"must be {expected}", value)

    def length(self, key: str, expected: int) -> None:
        """Raises DataError if the list at `key` has another length."""
        found = len(self._list(key))
        if found != expected:
            raise errors.DataError(
                f"{self.source}: {self._place(key)} must hold {expected} values, "
                f"holds {found}"
            )

    def _integer(self, key: str, value: Any, minimum: int) -> int:
        if type(value) is not int or not minimum <= value < _LARGEST_INTEGER:
            rule = f"must be a whole number of at least {minimum}"
            raise self._error(key, rule, value)
        return value

    def _number(self, key: str, value: Any, rule: str) -> float:
        if type(value) is int and abs(value) < _LARGEST_INTEGER:
            value = float(value)
        if type(value) is not float or not math.isfinite(value):
            raise self._error(key, rule, value)
        return value

    def _list(self, key: str) -> list[Any]:
        value = self._get(key)
        if not isinstance(value, list):
            raise self._error(key, "must be a list", value)
        return value

    def _get(self, key: str) -> Any:
        if key not in self.values:
            raise errors.DataError(f"{self.source}: {self._place(key)} is missing")
        return self.values[key]

    def _place(self, key: str | None) -> str:
        return ".".join(part for part in (self.where, key) if part)

    def _error(self, key: str | None, rule: str, value: Any) -> errors.DataError:
        place = self._place(key) or "the file"
        return errors.DataError(f"{self.source}: {place} {rule}, is {value!r:.60}")


def load(path: str | os.PathLike[str]) -> Reader:
    """Reads a JSON file that holds an object.

    Raises:
      FileNotFoundError: if there is no such file.
      errors.DataError: if it can't be read, or holds something else.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise errors.DataError(
            f"{path}: can't be read: {error.strerror or error}"
        ) from None
    return loads(content, str(path))


def loads(content: bytes, source: str) -> Reader:
    """Reads JSON that holds an object.

    Args:
      content: UTF-8.
      source: Where it comes from, for error messages.

    Raises:
      errors.DataError: if it holds something else.
    """
    try:
        values = json.loads(content.decode("utf-8-sig"))  # as some editors write
    except (ValueError, RecursionError) as error:
        raise errors.DataError(f"{source}: is not JSON: {error}") from None
    return Reader(values, source)


def digest(values: dict[str, Any]) -> str:
    """Returns the SHA-256 of JSON values, whatever the order of their keys."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def dumps(values: dict[str, Any]) -> str:
    """Returns JSON that people can read: one line per innermost object.

    Args:
      values: Nested dicts; the order of the keys is kept.

    Returns:
      The text, with a newline at its end.
    """
    return _dump(values, "") + "\n"


def _dump(value: Any, indent: str) -> str:
    deeper = indent + " "
    if isinstance(value, dict) and any(map(_is_nested, value.values())):
        rows = [
            f"{deeper}{json.dumps(key)}: {_dump(item, deeper)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        rows = [deeper + json.dumps(item, allow_nan=False) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)
