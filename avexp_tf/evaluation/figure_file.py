"""Figures as files: PNG for the reports, SVG for papers, the same bytes every time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display needed

import matplotlib.pyplot as plt  # noqa: E402 (the back end comes first)

from avexp_tf import files  # noqa: E402

# Colours that stay apart for colour-blind eyes and in grey (Okabe and Ito 2008).
STYLES = {
    "baseline": ("#000000", "o"),
    "clip_zero": ("#D55E00", "s"),
    "frame_zero": ("#0072B2", "^"),
    "frame_repeat": ("#009E73", "D"),
    "video_only": ("#888888", "v"),
    "audio_only": ("#BBBBBB", "P"),
}
_OTHERS = (
    ("#CC79A7", "x"),
    ("#E69F00", "*"),
    ("#56B4E9", "h"),
    ("#F0E442", "p"),
    ("#7B3F00", "<"),
    ("#6A3D9A", ">"),
)


def styles_of(names: list[str]) -> dict[str, tuple[str, str]]:
    """Returns {name: (colour, marker)}, the same for a model in every figure."""
    others = [name for name in names if name not in STYLES]
    return {
        name: STYLES[name]
        if name in STYLES
        else _OTHERS[others.index(name) % len(_OTHERS)]
        for name in names
    }


@contextlib.contextmanager
def drawn(folder: str | os.PathLike[str], name: str, **layout: Any) -> Iterator[Any]:
    """Gives (figure, axes) to draw on, and writes `name`.png and `name`.svg.

    Args:
      folder: Where to.
      name: Without a suffix.
      **layout: Of `plt.subplots`.

    Yields:
      The figure, and a two-dimensional array of axes.

    Raises:
      errors.DataError: if a file can't be written.
    """
    figure, axes = plt.subplots(**layout, squeeze=False, layout="constrained")
    try:
        yield figure, axes
        for axis in axes.flat:
            axis.spines[["top", "right"]].set_visible(False)
        save(figure, os.path.join(folder, f"{name}.png"))
        save(figure, os.path.join(folder, f"{name}.svg"))
    finally:
        plt.close(figure)


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Writes a figure in the format of the file's suffix.

    Raises:
      errors.DataError: if the file can't be written.
    """
    suffix = os.path.splitext(path)[1].lstrip(".")
    # Neither date nor random names: the same study gives the same file.
    metadata = {"Date": None} if suffix in ("svg", "pdf") else None
    with (
        files.replacing(path) as file,
        matplotlib.rc_context({"svg.hashsalt": "avexp"}),
    ):
        figure.savefig(file, format=suffix, dpi=130, metadata=metadata)
