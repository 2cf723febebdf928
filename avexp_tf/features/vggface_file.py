"""The published weights of VGG-Face: what the file holds, and how it is read.

`rcmalli_vggface_tf_vgg16.h5` is a Keras 2 weights file: one HDF5 group per layer, with
the names of its arrays in an attribute. Keras's own `load_weights(by_name=True)` skips
in silence what doesn't match; here nothing is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from avexp_tf import errors

# {layer: output channels}, in order; the convolutions are 3 x 3.
CONVOLUTIONS = {
    "conv1_1": 64,
    "conv1_2": 64,
    "conv2_1": 128,
    "conv2_2": 128,
    "conv3_1": 256,
    "conv3_2": 256,
    "conv3_3": 256,
    "conv4_1": 512,
    "conv4_2": 512,
    "conv4_3": 512,
    "conv5_1": 512,
    "conv5_2": 512,
    "conv5_3": 512,
}
DENSE = {"fc6": 4096, "fc7": 4096, "fc8": 2622}


def shapes() -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Returns {layer: (kernel shape, bias shape)} of the whole network."""
    found: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    before = 3
    for name, channels in CONVOLUTIONS.items():
        found[name] = ((3, 3, before, channels), (channels,))
        before = channels
    before = 7 * 7 * before
    for name, channels in DENSE.items():
        found[name] = ((before, channels), (channels,))
        before = channels
    return found


def check(path: str | os.PathLike[str]) -> None:
    """Compares the layers of a file with those of VGG-Face; reads no weights.

    Args:
      path: The file.

    Raises:
      errors.DataError: if it is no HDF5 file, or a layer is missing, is not one of
        VGG-Face, or has other shapes.
    """
    for _ in _layers(path, shapes()):
        pass


def load(path: str | os.PathLike[str], model: Any) -> None:
    """Puts the published weights into a network.

    Args:
      path: The file.
      model: A `keras.Model`; each of its layers with weights must be in the file.

    Raises:
      errors.DataError: as `check`, and if a layer of the model is not in the file or
        has other shapes.
    """
    wanted = {layer.name: layer for layer in model.layers if layer.weights}
    for name, arrays in _layers(path, shapes()):
        layer = wanted.pop(name, None)
        if layer is None:
            continue
        for variable, array in zip(layer.weights, arrays, strict=True):
            if tuple(variable.shape) != array.shape:
                raise errors.DataError(
                    f"{path}: layer {name}: {array.shape} does not fit "
                    f"{tuple(variable.shape)}"
                )
            variable.assign(array[()])
    if wanted:
        raise errors.DataError(
            f"{path}: has no layer {', '.join(sorted(wanted))}, which the model has"
        )


def _layers(
    path: str | os.PathLike[str],
    expected: dict[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> Iterator[tuple[str, list[Any]]]:
    """Yields (layer, [kernel, bias] as data sets), after all have been compared."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = " ".join(str(error).split())[:160]
        raise errors.DataError(f"{path}: is no HDF5 file: {reason}") from None
    with file:
        # A whole model, saved as .h5, has its weights one group further in.
        root = file.get("model_weights", file)
        found = {}
        for name in root:
            if arrays := _arrays(root[name]):
                found[name] = arrays
        problems = []
        if missing := [name for name in expected if name not in found]:
            problems.append(f"layers {', '.join(missing)} are missing")
        if extra := [name for name in found if name not in expected]:
            problems.append(f"layers {', '.join(extra[:5])} are none of VGG-Face")
        for name, wanted in expected.items():
            have = tuple(array.shape for array in found.get(name, ()))
            if have and have != wanted:
                problems.append(f"layer {name} has the shapes {have}, not {wanted}")
        if problems:
            raise errors.DataError(
                f"{path}: is not VGG-Face: {'; '.join(problems[:4])}"
            )
        try:
            for name in expected:
                yield name, found[name]
        except OSError as error:
            reason = " ".join(str(error).split())[:160]
            raise errors.DataError(f"{path}: is damaged: {reason}") from None


def _arrays(group: Any) -> list[Any]:
    """Returns the data sets of a layer: the larger one, the kernel, first."""
    import h5py

    found: list[Any] = []
    if isinstance(group, h5py.Group):
        group.visititems(
            lambda _, item: found.append(item) if _is_array(item) else None
        )
    return sorted(found, key=lambda item: -len(item.shape))


def _is_array(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset) and np.issubdtype(item.dtype, np.floating)
