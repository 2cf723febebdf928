"""OpenCV's SSD face detector with a ResNet-10 inside."""

from __future__ import annotations

import os
import pathlib

import cv2
import numpy as np

from avexp_tf import errors
from avexp_tf.features import detection

_SIZE = (300, 300)
_MEAN_BGR = (104, 177, 123)


class SsdDetector:
    """The 300x300 detector of the paper's kind, at about 30 pictures/s on two cores.

    Args:
      weights: `opencv_face_detector_uint8.pb`, or the `.caffemodel`.
      graph: `opencv_face_detector.pbtxt`, or `deploy.prototxt`.

    Raises:
      errors.DataError: if the files are no such network.
      errors.ConfigError: if it is the Caffe form and this OpenCV has no reader for it.

    Reference:
      Liu et al., SSD: Single Shot MultiBox Detector, 2016.
    """

    def __init__(self, weights: str | os.PathLike[str], graph: str | os.PathLike[str]):
        caffe = pathlib.Path(weights).suffix == ".caffemodel"
        if caffe and not hasattr(cv2.dnn, "readNetFromCaffe"):
            raise errors.ConfigError(
                f"--face_detector=ssd_caffe: OpenCV {cv2.__version__} reads no Caffe "
                "networks; OpenCV 4 does, and --face_detector=ssd is the same network"
            )
        try:
            if caffe:
                read = cv2.dnn.readNetFromCaffe  # type: ignore[attr-defined]
                self._network = read(str(graph), str(weights))
            else:
                self._network = cv2.dnn.readNetFromTensorflow(str(weights), str(graph))
        except cv2.error as error:
            raise detection.reading(weights, error) from None

    def detect(self, image_bgr: np.ndarray) -> np.ndarray:
        """Returns the faces; see `detection.FaceDetector`."""
        blob = cv2.dnn.blobFromImage(
            cv2.resize(image_bgr, _SIZE), 1.0, _SIZE, _MEAN_BGR
        )
        self._network.setInput(blob)
        # [1, 1, n, 7]: image, class, score, and the box in shares of the picture
        found = self._network.forward()[0, 0]
        height, width = image_bgr.shape[:2]
        boxes = found[:, 3:7] * np.array([width, height, width, height], np.float32)
        return detection.clipped(boxes, found[:, 2], image_bgr.shape)
