"""Any face network that OpenCV reads as ONNX, as a backbone."""

from __future__ import annotations

import pathlib

import cv2
import numpy as np

from avexp_tf import errors
from avexp_tf import files
from avexp_tf import recording
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import detection
from avexp_tf.features import settings


class OnnxBackbone:
    """Describes faces by the first output of an ONNX network.

    Args:
      config: `onnx_...`: the file, and how it takes its pictures.

    Attributes:
      features: What the columns are; the version is that of the file's content.

    Raises:
      errors.DataError: if OpenCV can't read the file, or it doesn't take such pictures.
    """

    def __init__(self, config: settings.FeatureConfig):
        self._config = config
        self._means = np.array(config.onnx_means(), np.float32)
        self._path = path = pathlib.Path(config.onnx_path)
        if not path.is_file():
            raise errors.DataError(f"{path}: no such file")
        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise detection.reading(path, error) from None
        middle = np.zeros((1, crop_lib.CROP_SIZE, crop_lib.CROP_SIZE, 3), np.float32)
        with detection.without_warnings():  # before the error that follows
            dim = len(self._run(middle[0]))
        self.features = recording.FeatureSet(
            f"onnx_{path.stem}", files.sha256(path)[:16], dim
        )

    def describe(self, crops: np.ndarray) -> np.ndarray:
        """Returns the features of faces.

        Args:
          crops: float32 [n, 96, 96, 3], RGB in [-1, 1].

        Returns:
          float32 [n, features.dim].
        """
        # One by one: many published networks have a fixed batch of 1.
        rows = [self._run(crop) for crop in crops]
        return np.array(rows, np.float32).reshape(len(crops), self.features.dim)

    def _run(self, crop: np.ndarray) -> np.ndarray:
        size = self._config.onnx_size
        pixels: np.ndarray = (crop + 1.0) * 127.5
        if size != len(crop):
            shrinks = size < len(crop)
            pixels = cv2.resize(
                pixels,
                (size, size),
                interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
            )
        if self._config.onnx_channels == "bgr":
            pixels = pixels[:, :, ::-1]
        blob = ((pixels - self._means) * self._config.onnx_scale)[None]
        if self._config.onnx_layout == "nchw":
            blob = blob.transpose(0, 3, 1, 2)  # [1, 3, size, size]
        try:
            self._network.setInput(np.ascontiguousarray(blob, np.float32))
            found = np.asarray(self._network.forward(), np.float32).ravel()
        except cv2.error as error:
            last = " ".join(str(error).split())[-160:]
            raise errors.DataError(
                f"{self._path}: does not take pictures of {size}x{size} as "
                f"{self._config.onnx_layout}: {last}"
            ) from None
        return found
