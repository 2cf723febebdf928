"""Faces that somebody has cut out already: `00001.jpg`, `00002.jpg`, ..."""

from __future__ import annotations

import os
import pathlib

import cv2
import numpy as np

from avexp_tf import errors
from avexp_tf import typed_json
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import faces
from avexp_tf.media import frame as frame_lib

_SUFFIXES = (".jpg", ".jpeg", ".png")


class CropFolder:
    """The cropped frames that Aff-Wild2 comes with.

    File `00001.jpg` is the first frame. A number that is missing is a frame in which
    its detector found no face.

    Args:
      path: A folder of numbered pictures.

    Attributes:
      last: The highest number; 0 if there is no picture.

    Raises:
      errors.DataError: if there is no such folder, or it has two pictures of a frame.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._folder = pathlib.Path(path)
        if not self._folder.is_dir():
            raise errors.DataError(f"{path}: no such folder of cropped frames")
        self._files: dict[int, str] = {}
        for name in os.listdir(self._folder):
            number = name.rpartition(".")[0]
            if not name.lower().endswith(_SUFFIXES) or not number.isdecimal():
                continue
            other = self._files.setdefault(int(number), name)
            if other != name:
                first, second = sorted((other, name))
                raise errors.DataError(
                    f"{self._folder / second}: is the same frame as {first}"
                )
        self.last = max(self._files, default=0)

    def names_sha256(self) -> str:
        """Returns a digest of the names of the pictures."""
        return typed_json.digest({"names": sorted(self._files.values())})

    def find(self, frame: frame_lib.Picture) -> faces.Sighting:
        """Returns the crop of a frame.

        Raises:
          errors.DataError: if the picture is damaged.
        """
        return self.at(frame.index)

    def at(self, index: int) -> faces.Sighting:
        """Returns the crop of the frame at a position from 0."""
        name = self._files.get(index + 1)
        if name is None:
            return faces.Sighting(None, None, 0.0)
        path = self._folder / name
        # imdecode and not imread: it says nothing on stderr, and takes any path.
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:  # a folder, or a link that leads nowhere
            reason = error.strerror or error
            raise errors.DataError(f"{path}: can't be read: {reason}") from None
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
        if image is None:
            raise errors.DataError(f"{path}: is no picture, or damaged")
        return faces.Sighting(crop_lib.resized(image), None, 1.0)
