"""What all face detectors give, and how one is made from the settings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from typing import Protocol

import numpy as np

from avexp_tf import errors
from avexp_tf.features import settings
from avexp_tf.features import weights

# Detections below are noise; between here and the threshold they are only reported.
LOWEST_SCORE = 0.1
_SMALLEST_SIDE = 2.0


class FaceDetector(Protocol):
    """Finds the faces in a picture."""

    def detect(self, image_bgr: np.ndarray) -> np.ndarray:
        """Returns the faces of one picture.

        Args:
          image_bgr: uint8 [height, width, 3].

        Returns:
          float32 [n, 5]: left, top, right, bottom in pixels, inside of the picture,
          and the score in [0, 1]; the highest score first.
        """
        ...


def make(config: settings.FeatureConfig) -> FaceDetector:
    """Returns the detector that the settings name, with its published weights.

    Args:
      config: `face_detector`.

    Returns:
      The detector.

    Raises:
      errors.DataError: if the weights are not there or damaged.
      errors.ConfigError: if this OpenCV can't read them.
    """
    from avexp_tf.features import ssd_detector
    from avexp_tf.features import yunet_detector

    if config.face_detector == "yunet":
        return yunet_detector.YunetDetector(weights.locate("yunet"))
    if config.face_detector == "ssd_caffe":
        return ssd_detector.SsdDetector(
            weights.locate("ssd_caffe"), weights.locate("ssd_caffe_graph")
        )
    return ssd_detector.SsdDetector(weights.locate("ssd"), weights.locate("ssd_graph"))


def clipped(boxes: np.ndarray, scores: np.ndarray, shape: Any) -> np.ndarray:
    """Returns detections as `FaceDetector.detect` promises them.

    Args:
      boxes: Left, top, right, bottom in pixels, float [n, 4]; may reach out.
      scores: float [n].
      shape: Of the picture; height and width come first.

    Returns:
      float32 [m, 5], m <= n.
    """
    height, width = shape[:2]
    limits = np.array([width, height, width, height], np.float32)
    found = np.concatenate(
        [np.clip(boxes, 0, limits), scores[:, None]], axis=1, dtype=np.float32
    )
    sides = found[:, 2:4] - found[:, :2]
    # Comparisons with NaN are false: a network fed with nonsense finds nothing.
    kept = (scores >= LOWEST_SCORE) & (sides >= _SMALLEST_SIDE).all(axis=1)
    found = found[kept]
    return found[np.argsort(-found[:, 4], kind="stable")]


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Keeps OpenCV from warning on the terminal while it reads or tries a network."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def reading(path: str | os.PathLike[str], error: Exception) -> errors.DataError:
    """Returns the error for a network file that OpenCV refuses."""
    last = " ".join(str(error).split())[-160:]
    return errors.DataError(f"{path}: OpenCV can't read this network: {last}")
