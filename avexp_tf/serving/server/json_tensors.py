"""JSON to arrays and back, by the rules of TensorFlow Serving's REST API.

`{"inputs": {name: value}}` gives whole tensors, `{"instances": [{name: value}, ...]}`
one entry per clip; a signature with one input may leave the name out.

Reference: https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf.serving.server import checks
from avexp_tf.serving.server import failure

_DEEPEST = 8
_LARGEST_EXACT = 2**24 - 1  # of whole numbers in float32, by TensorFlow Serving's count
_INTEGER: set[type] = {int}
_JSON_TYPES: dict[str, set[type]] = {"b": {bool}, "f": {int, float}}  # by dtype kind
_KEYS = ("signature_name", "inputs", "instances")


@dataclasses.dataclass(frozen=True)
class Request:
    """A predict request before its values are looked at.

    Attributes:
      signature: Name of the signature.
      by_row: Whether it came as `instances`.
      values: What stands at `inputs` or `instances`.
    """

    signature: str
    by_row: bool
    values: Any


def parse(body: bytes) -> Request:
    """Reads the body of a predict request.

    Raises:
      failure.Failure: INVALID_ARGUMENT.
    """
    try:
        found = json.loads(body.decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise failure.invalid(f"JSON Parse error: {error}") from None
    except ValueError:  # Python reads no integer of thousands of digits
        raise failure.invalid("JSON Parse error: a number is too long") from None
    if not isinstance(found, dict):
        raise failure.invalid("JSON Parse error: the body must be a JSON object")
    signature = found.get("signature_name", "")
    if not isinstance(signature, str):
        raise failure.invalid("'signature_name' key must be a string value")
    given = [key for key in ("inputs", "instances") if key in found]
    if len(given) != 1:
        raise failure.invalid("there must be one of 'inputs' and 'instances'")
    unknown = [key for key in found if key not in _KEYS]
    if unknown:
        raise failure.invalid(
            f"unknown key {unknown[0][:40]!r}; known are {', '.join(_KEYS)}"
        )
    signature = signature or checks.DEFAULT_SIGNATURE
    return Request(signature, given[0] == "instances", found[given[0]])


def arrays(
    request: Request, wanted: Mapping[str, checks.Input]
) -> dict[str, np.ndarray]:
    """Makes arrays of a request's values, in the dtypes of the signature.

    Args:
      request: Of `parse`.
      wanted: The signature's inputs.

    Returns:
      {name: array}; inputs that the signature does not have are kept out.

    Raises:
      failure.Failure: INVALID_ARGUMENT.
    """
    values = _columns(request.values, wanted) if request.by_row else request.values
    if not isinstance(values, dict) or "b64" in values:
        if len(wanted) != 1:
            raise failure.invalid(
                f"'inputs' must be an object with {', '.join(sorted(wanted))}"
            )
        values = {next(iter(wanted)): values}
    for name in values:
        if name not in wanted:
            raise failure.invalid(
                f"the signature has no input {name[:40]!r}; it has "
                f"{', '.join(sorted(wanted))}"
            )
    return {name: _array(name, value, wanted[name]) for name, value in values.items()}


def outputs(found: Mapping[str, np.ndarray], by_row: bool) -> bytes:
    """Returns the body that answers a predict request.

    Args:
      found: Outputs by name, all of one batch.
      by_row: Whether the request came as `instances`.
    """
    listed = {name: _listed(name, value) for name, value in found.items()}
    if by_row:
        names = list(listed)
        rows: list[Any] = [
            dict(zip(names, row, strict=True))
            for row in zip(*listed.values(), strict=True)
        ]
        if len(names) == 1:
            rows = listed[names[0]]
        return json.dumps({"predictions": rows}).encode()
    values: Any = listed if len(listed) > 1 else next(iter(listed.values()))
    return json.dumps({"outputs": values}).encode()


def _columns(instances: Any, wanted: Mapping[str, checks.Input]) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise failure.invalid("'instances' must be a list with something in it")
    named = [isinstance(one, dict) and "b64" not in one for one in instances]
    if not any(named):
        if len(wanted) != 1:
            raise failure.invalid("each of 'instances' must be an object")
        return {next(iter(wanted)): instances}
    columns: dict[str, list[Any]] = {}
    for index, one in enumerate(instances):
        if not named[index] or set(one) != set(instances[0]):
            raise failure.invalid(
                f"'instances' {index} must be an object with the same names as the "
                "first"
            )
        for name, value in one.items():
            columns.setdefault(name, []).append(value)
    return columns


def _array(name: str, value: Any, rule: checks.Input) -> np.ndarray:
    rank = len(rule.shape)
    kinds: set[type] = set()
    shape = _shape(name, value, 0, kinds)
    if len(shape) != rank:
        raise failure.invalid(
            f"input {name!r} has shape {list(shape)}, must have {rank} dimensions"
        )
    if rule.dtype.hasobject:
        return _strings(name, value, shape)
    allowed = _JSON_TYPES.get(rule.dtype.kind, _INTEGER)
    if not kinds <= allowed:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - allowed))
        raise failure.invalid(
            f"input {name!r} holds {names}, must hold {rule.dtype.name}"
        )
    try:
        with np.errstate(over="ignore"):
            found = np.array(value, np.float64 if rule.dtype.kind == "f" else None)
            exact = found.astype(rule.dtype) if found.size else found
    except (ValueError, OverflowError) as error:
        raise failure.invalid(f"input {name!r}: {error}") from None
    if rule.dtype.kind == "f":
        if found.size and (np.isinf(exact) & ~np.isinf(found)).any():
            raise failure.invalid(f"input {name!r} holds a number beyond float32")
        if int in kinds and found.size and np.abs(found).max() > _LARGEST_EXACT:
            # The rule of TensorFlow Serving; of numbers with a point it has none.
            if any(type(x) is int and abs(x) > _LARGEST_EXACT for x in _leaves(value)):
                raise failure.invalid(
                    f"input {name!r} holds a whole number that {rule.dtype.name} can't "
                    "hold without loss of precision"
                )
    elif found.size and not np.array_equal(exact, found):
        raise failure.invalid(f"input {name!r} holds a number beyond {rule.dtype.name}")
    return exact.reshape(shape).astype(rule.dtype)


def _shape(name: str, value: Any, depth: int, kinds: set[type]) -> tuple[int, ...]:
    """The shape of nested lists; adds the types of what is in them."""
    if not isinstance(value, list):
        kinds.add(type(value))
        return ()
    if depth == _DEEPEST:
        raise failure.invalid(f"input {name!r} is nested too deeply")
    if not any(isinstance(item, list) for item in value):
        kinds |= set(map(type, value))
        return (len(value),)
    shapes = {
        _shape(name, item, depth + 1, kinds) if isinstance(item, list) else None
        for item in value
    }
    if len(shapes) != 1:
        raise failure.invalid(
            f"input {name!r} is ragged: lists at one level must be of one length"
        )
    (rest,) = shapes
    assert rest is not None
    return (len(value), *rest)


def _leaves(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        yield from _leaves(item)


def _strings(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.empty(shape, object)
    for place in np.ndindex(shape):
        item = value
        for index in place:
            item = item[index]
        if isinstance(item, str):
            found[place] = item.encode("utf-8", "surrogatepass")
            continue
        if not isinstance(item, dict) or set(item) != {"b64"}:
            raise failure.invalid(f"input {name!r} must hold strings or {{'b64': ...}}")
        try:
            text = "".join(item["b64"].split())
            # As TensorFlow Serving reads it: white space and a missing end are no harm.
            text += "" if "=" in text else "=" * (-len(text) % 4)
            found[place] = base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError, AttributeError):
            raise failure.invalid(f"input {name!r}: can't decode base64") from None
    return found


def _listed(name: str, value: np.ndarray) -> Any:
    if not value.dtype.hasobject:
        return value.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(item).decode()} for item in value.ravel()]
    return [item.decode("utf-8", "replace") for item in value.ravel()]
