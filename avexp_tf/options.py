"""How a class of settings is declared, and checked when an object of it is made.

A field is declared once, with its default, help text and limits; `avexp_tf.flags` makes
the absl flags from the same declaration. Nothing here imports TensorFlow, so that
`--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import typing
from typing import Any

from avexp_tf import errors

_LARGEST = 2**63  # no setting is a larger whole number
_SHOWN = 200  # characters of a wrong value


def option(
    default: Any,
    help: str,  # noqa: A002 (the word that absl uses)
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Declares one setting: its default, its help text and what it may be.

    Args:
      default: The default value; a tuple of strings becomes a comma-separated flag.
      help: One sentence, with the unit where there is one.
      choices: The values that a string may take.
      minimum: Smallest allowed number.
      maximum: Largest allowed number.

    Returns:
      A dataclass field.
    """
    limits = {"choices": choices, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata={"help": help, **limits})


def _check_value(name: str, kind: type, value: Any, limits: Any) -> Any:
    """Returns `value` as `kind`, or raises ConfigError in the words of the flag."""
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    if kind is float and type(value) is int:
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    if type(value) is not kind:
        raise errors.ConfigError(
            f"--{name}={shown}: must be of type {kind.__name__}, "
            f"is {type(value).__name__}"
        )
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        raise errors.ConfigError(f"--{name}={shown}: must hold strings")
    if isinstance(value, float) and not math.isfinite(value):
        raise errors.ConfigError(f"--{name}={shown}: must be a finite number")
    choices = limits["choices"]
    if choices is not None and value not in choices:
        raise errors.ConfigError(
            f"--{name}={shown}: must be one of {', '.join(choices)}"
        )
    low, high = limits["minimum"], limits["maximum"]
    if kind is int and high is None:
        high = _LARGEST
    if low is not None and value < low:
        raise errors.ConfigError(f"--{name}={shown}: must be at least {low}")
    if high is not None and value > high:
        raise errors.ConfigError(f"--{name}={shown}: must be at most {high}")
    return value


class Checked:
    """Base of every section: values are checked when the object is made."""

    def __post_init__(self) -> None:
        kinds = field_kinds(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if field.name not in kinds:
                continue
            value = getattr(self, field.name)
            value = _check_value(field.name, kinds[field.name], value, field.metadata)
            object.__setattr__(self, field.name, value)


def field_kinds(section: type) -> dict[str, type]:
    """Returns {field name: bool, int, float, str or tuple} of a section class.

    Args:
      section: A dataclass declared with `option`.

    Returns:
      Only the fields that were declared with `option`, in their order.
    """
    hints = typing.get_type_hints(section)
    kinds = {}
    for field in dataclasses.fields(section):
        if "help" in field.metadata:
            hint = hints[field.name]
            kinds[field.name] = typing.get_origin(hint) or hint
    return kinds
