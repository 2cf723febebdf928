"""Finds the face of a recording in its frames, one after the other."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from avexp_tf.features import crop as crop_lib
from avexp_tf.features import detection
from avexp_tf.features import face_tracker
from avexp_tf.features import settings
from avexp_tf.media import frame as frame_lib


@dataclasses.dataclass(frozen=True)
class Sighting:
    """What a frame shows of the face.

    Attributes:
      crop: float32 [96, 96, 3], RGB in [-1, 1]; None if there is no face.
      box: Left, top, right, bottom in pixels, float32 [4]; None without a face, or
        where the crops came ready-made.
      score: Of the face, or where there is none the highest that was found, in [0, 1].
    """

    crop: np.ndarray | None
    box: np.ndarray | None
    score: float


class FaceSource(Protocol):
    """Where the faces of one recording come from; frames are shown to it in order."""

    def find(self, frame: frame_lib.Picture) -> Sighting:
        """Returns what a frame shows of the face."""
        ...


class DetectedFaces:
    """Faces that a detector finds, one of them followed.

    Args:
      detector: Shared by recordings; it keeps nothing from one frame to the next.
      config: Threshold, margin, and how often to look.
      side: See `FaceTracker`.
    """

    def __init__(
        self,
        detector: detection.FaceDetector,
        config: settings.FeatureConfig,
        side: str = "",
    ):
        self._detector = detector
        self._config = config
        self._tracker = face_tracker.FaceTracker(
            config.face_threshold, config.face_keep, side
        )
        self._n_seen = 0
        self._box: np.ndarray | None = None
        self._score = 0.0

    def find(self, frame: frame_lib.Picture) -> Sighting:
        """Returns what a frame shows of the face."""
        image = frame.image_bgr()
        if self._n_seen % self._config.face_every == 0:
            self._look(image)
        self._n_seen += 1
        if self._box is None:
            return Sighting(None, None, self._score)
        crop = crop_lib.face(image, self._box, self._config.face_margin)
        return Sighting(crop, self._box, self._score)

    def _look(self, image_bgr: np.ndarray) -> None:
        found = self._detector.detect(image_bgr)
        chosen = self._tracker.choose(found, image_bgr.shape[1])
        if chosen is not None:
            self._box, self._score = found[chosen, :4], float(found[chosen, 4])
        else:
            self._box = None
            self._score = float(found[0, 4]) if len(found) else 0.0
