"""What a run was made with, for its directory."""

from __future__ import annotations

import pathlib
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

_PACKAGES = ("avexp-tf", "tensorflow", "keras", "numpy")


def describe() -> dict[str, Any]:
    """Returns versions, devices, the git revision and the command line."""
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "git_revision": _git_revision(),
        "command": sys.argv,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git_revision() -> str:
    """The revision of the checkout that the package runs from, empty outside one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
