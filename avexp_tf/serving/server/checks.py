"""Inputs against the signature that they are for, before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from avexp_tf.serving.server import failure
from avexp_tf.serving.server import settings

DEFAULT_SIGNATURE = "serving_default"  # what a request without a name is for


@dataclasses.dataclass(frozen=True)
class Input:
    """One input of a signature.

    Attributes:
      dtype: Its dtype; object for strings.
      shape: Its sizes; None where any size goes.
      context_rows: Rows that it has beside one per tick.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...]
    context_rows: int = 0


def inputs(
    given: Mapping[str, np.ndarray],
    wanted: Mapping[str, Input],
    limits: settings.ServerConfig,
) -> None:
    """Checks the inputs of a request.

    Args:
      given: Arrays by name.
      wanted: The signature's inputs.
      limits: `max_batch`, `max_ticks` and `max_body_bytes`.

    Raises:
      failure.Failure: INVALID_ARGUMENT, with the name, what it is and the rule.
    """
    if set(given) != set(wanted):
        raise failure.invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)} "
            f"len({{{_listed(given)}}}) != len({{{_listed(wanted)}}}). Sent extra: "
            f"{{{_listed(set(given) - set(wanted))}}}. Missing but required: "
            f"{{{_listed(set(wanted) - set(given))}}}."
        )
    for name, rule in wanted.items():
        _check(name, given[name], rule, limits)


def _check(
    name: str, value: np.ndarray, rule: Input, limits: settings.ServerConfig
) -> None:
    if value.dtype.newbyteorder("=") != rule.dtype:
        raise failure.invalid(
            f"input {name!r} has dtype {_named(value.dtype)}, must be "
            f"{_named(rule.dtype)}"
        )
    fits = len(value.shape) == len(rule.shape) and all(
        size is None or size == found
        for size, found in zip(rule.shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("?" if size is None else str(size) for size in rule.shape)
        raise failure.invalid(
            f"input {name!r} has shape {list(value.shape)}, must be [{wanted}]"
        )
    if not value.size:
        raise failure.invalid(f"input {name!r} is empty: shape {list(value.shape)}")
    if value.shape[0] > limits.max_batch:
        raise failure.invalid(
            f"input {name!r} holds {value.shape[0]} clips, at most "
            f"{limits.max_batch} are allowed"
        )
    if value.dtype.hasobject:
        # Records become one array, in which each takes the place of the longest.
        longest = max(len(item) for item in value.ravel())
        if longest * value.size > limits.max_body_bytes:
            raise failure.invalid(
                f"input {name!r} holds {value.size} records, the longest of {longest} "
                f"bytes: together at most {limits.max_body_bytes} are allowed, each "
                "counted as the longest"
            )
    n_ticks = value.shape[1] - rule.context_rows if len(rule.shape) > 1 else 0
    if n_ticks > limits.max_ticks and rule.shape[1] is None:
        raise failure.invalid(
            f"input {name!r} holds {n_ticks} ticks, at most {limits.max_ticks} are "
            "allowed"
        )


def _listed(names: object) -> str:
    # Whatever a client calls its inputs, the answer stays short.
    return ",".join(sorted(str(name)[:40] for name in names)[:20])  # type: ignore


def _named(dtype: np.dtype) -> str:
    return "string" if dtype.hasobject else dtype.newbyteorder("=").name
