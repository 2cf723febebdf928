"""What a model says of each tick: the estimates, and around each its interval if asked.

Arrays of outputs have them in their last axis in one order, the estimates first.
"""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Mapping
from typing import Any

import numpy as np

from avexp_tf import config

N_TARGETS = len(config.TARGETS)
BOUNDS = tuple(
    f"{target}_{end}" for target in config.TARGETS for end in ("low", "high")
)


def names(interval: float) -> tuple[str, ...]:
    """Returns the outputs of a model.

    Args:
      interval: Of its `config.ModelConfig`.
    """
    return (*config.TARGETS, *BOUNDS) if interval else config.TARGETS


def target_of(name: str) -> str:
    """Returns the target that an output is about."""
    return name.partition("_")[0]


def words_of(name: str) -> str:
    """Returns what an output is, in words."""
    target, _, end = name.partition("_")
    return f"{end} end of the interval of {target}" if end else f"expressed {target}"


def names_in(found: Container[str]) -> tuple[str, ...]:
    """Returns those outputs that a model has, by what is there under their names."""
    return names(float(BOUNDS[0] in found))


def stacked(found: Mapping[str, Any]) -> np.ndarray:
    """Returns a model's outputs [...] as one array [..., 2], or [..., 6] with bounds.

    Args:
      found: The outputs by name, arrays or tensors.
    """
    return np.stack([np.asarray(found[name]) for name in names_in(found)], axis=-1)
