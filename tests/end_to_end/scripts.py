"""Loads the scripts of `benchmarks/`, whose shorter versions are tests."""

import importlib.util
import pathlib
import sys
import types

_FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> types.ModuleType:
    """Imports a script without running it."""
    if str(_FOLDER) not in sys.path:
        sys.path.append(str(_FOLDER))  # scripts import from each other
    spec = importlib.util.spec_from_file_location(
        f"benchmark_{name}", _FOLDER / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module
