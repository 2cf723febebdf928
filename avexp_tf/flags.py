"""absl flags made from the config dataclasses, in one place.

`define(DataConfig, ModelConfig)` in a main's flag function, `parsed(DataConfig)` in its
`main`. Defining twice is harmless, so a notebook cell can run again.
"""

from __future__ import annotations

import dataclasses
from typing import Any
from typing import TypeVar

from absl import flags

from avexp_tf import errors
from avexp_tf import options

_Section = TypeVar("_Section")

MODULE = "avexp_tf"  # the heading that `--help` lists our flags under

_DEFINERS: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}
_LISTS: Any = flags.CsvListSerializer(",")


def define(
    *sections: type,
    skip: tuple[str, ...] = (),
    flag_values: flags.FlagValues = flags.FLAGS,
) -> None:
    """Defines one flag per field of each section.

    Args:
      *sections: Dataclasses declared with `options.option`.
      skip: Field names that this main sets by itself.
      flag_values: Where to define them.
    """
    for section in sections:
        kinds = options.field_kinds(section)
        for field in dataclasses.fields(section):
            if field.name not in kinds or field.name in skip:
                continue
            if field.name in flag_values:
                continue
            help_text = field.metadata["help"]
            if field.metadata["choices"]:
                help_text += f" One of: {', '.join(field.metadata['choices'])}."
            default = field.default
            if isinstance(default, tuple):
                default = list(default)
            define_flag = _DEFINERS[kinds[field.name]]
            define_flag(
                field.name,
                default,
                help_text,
                flag_values=flag_values,
                module_name=MODULE,
            )


def define_one(name: str, default: Any, text: str) -> None:
    """Defines a flag of a main's own, unless another main has defined it.

    Args:
      name: Of the flag.
      default: Its default; also says what it holds. A tuple makes a list.
      text: Its help.
    """
    if name in flags.FLAGS:
        return
    define_flag = _DEFINERS[type(default)]
    if isinstance(default, tuple):
        default = list(default)
    define_flag(name, default, text, module_name=MODULE)


def parsed(
    section: type[_Section],
    flag_values: flags.FlagValues = flags.FLAGS,
    **overrides: Any,
) -> _Section:
    """Returns a section with the values that the flags have.

    Args:
      section: A dataclass whose flags were defined.
      flag_values: Where they were defined.
      **overrides: Values that replace those of the flags.

    Returns:
      The section.

    Raises:
      errors.ConfigError: if a value breaks the rule of its field.
    """
    values = {}
    for name, kind in options.field_kinds(section).items():
        if name in overrides:
            values[name] = overrides[name]
        elif name in flag_values:
            value: Any = flag_values[name].value
            values[name] = tuple(value) if kind is tuple else value
    try:
        return section(**values)
    except TypeError as error:
        raise errors.ConfigError(f"{section.__name__}: {error}") from None


def to_args(*sections: object) -> list[str]:
    """Returns the command line that gives these sections again; inverse of `parsed`.

    Args:
      *sections: Dataclasses declared with `options.option`.

    Returns:
      One word per field, `--name=value`.
    """
    words = []
    for section in sections:
        for name, kind in options.field_kinds(type(section)).items():
            value = getattr(section, name)
            if kind is bool:
                words.append(f"--{name}" if value else f"--no{name}")
            elif kind is tuple:
                words.append(f"--{name}={_LISTS.serialize(list(value))}")
            else:
                words.append(
                    f"--{name}={value!r}" if kind is float else f"--{name}={value}"
                )
    return words
