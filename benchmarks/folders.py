"""What a folder holds, for scripts that compare two of them."""

from __future__ import annotations

import pathlib


def tree(folder: pathlib.Path) -> dict[str, bytes]:
    """Returns {relative path: bytes} of all files of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
