"""YuNet, a small face detector for pictures of any size."""

from __future__ import annotations

import os

import cv2
import numpy as np

from avexp_tf.features import detection

# Larger pictures are scaled down: the network's cost grows with the area, and a face
# that is smaller than 10 pixels afterwards is of no use to a backbone.
_LONGEST_SIDE = 640
_OVERLAP = 0.3
_MOST = 200


class YunetDetector:
    """The modern alternative to the SSD, about three times as fast.

    It still finds faces that are blurred beyond recognition.

    Args:
      weights: `face_detection_yunet_2023mar.onnx`.

    Raises:
      errors.DataError: if the file is no such network.

    Reference:
      Wu, Peng and Yu, YuNet: A Tiny Millisecond-level Face Detector, 2023.
    """

    def __init__(self, weights: str | os.PathLike[str]):
        try:
            # OpenCV 5 warns about a setting that it makes itself.
            with detection.without_warnings():
                self._network = cv2.FaceDetectorYN.create(
                    str(weights), "", (32, 32), detection.LOWEST_SCORE, _OVERLAP, _MOST
                )
        except cv2.error as error:
            raise detection.reading(weights, error) from None

    def detect(self, image_bgr: np.ndarray) -> np.ndarray:
        """Returns the faces; see `detection.FaceDetector`."""
        height, width = image_bgr.shape[:2]
        scale = min(1.0, _LONGEST_SIDE / max(height, width))
        small = image_bgr
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        # [n, 15]: left, top, width, height, ten of the landmarks, score
        found = self._network.detect(small)[1]
        if found is None:
            return np.zeros((0, 5), np.float32)
        ratio = np.array([width / small.shape[1], height / small.shape[0]], np.float32)
        corner = found[:, :2] * ratio
        boxes = np.concatenate([corner, corner + found[:, 2:4] * ratio], axis=1)
        return detection.clipped(boxes, found[:, -1], image_bgr.shape)
