"""The face of a call: what its pictures show, with as few looks as the budget says."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from avexp_tf.features import backbones
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import detection
from avexp_tf.features import faces as faces_lib
from avexp_tf.features import settings as feature_settings
from avexp_tf.live import picture_buffer
from avexp_tf.live import visual_budget

_NO_FACE = faces_lib.Sighting(None, None, 0.0)


class LiveFaces:
    """Features of the face that was seen last, in pictures that are shown tick by tick.

    Args:
      config: How faces are found and described.
      budget: Says how many pictures are looked at.
      backbone: What describes faces; None makes it from the settings.
      detector: Likewise.

    Attributes:
      dim: Of the features.
      look_secs: What the last tick's look took; 0 where there was none.
      sighting: The face in the picture that was looked at last.
      video: Its features, float32 [dim]; None without a face.
      scene: Those of the scene without it, where the settings ask for them, or None.
    """

    def __init__(
        self,
        config: feature_settings.FeatureConfig,
        budget: visual_budget.VisualBudget,
        backbone: backbones.Backbone | None = None,
        detector: detection.FaceDetector | None = None,
    ):
        self._config = config
        self._budget = budget
        if backbone is None:
            # It fills its batches up, and here one picture comes at a time.
            backbone = backbones.make(dataclasses.replace(config, visual_batch=1))
        self._backbone = backbone
        self._detector = detector or detection.make(config)
        self.dim = backbone.features.dim
        self.restart()

    def restart(self) -> None:
        """Forgets what was seen."""
        self.look_secs = 0.0
        self.sighting = _NO_FACE
        self.video: np.ndarray | None = None
        self.scene: np.ndarray | None = None
        self._tracked = faces_lib.DetectedFaces(self._detector, self._config)
        self._shown: picture_buffer.LivePicture | None = None
        self._n_passed = 0

    def advance(self, picture: picture_buffer.LivePicture | None) -> bool:
        """Goes on by one tick.

        Args:
          picture: What is shown at it; None for nothing. The next picture after nothing
            is looked at, whatever the budget.

        Returns:
          Whether the networks ran.
        """
        self.look_secs = 0.0
        is_due = picture is not None and self._is_due(picture)
        self._shown = picture
        if picture is None or not is_due:
            return False
        start = time.perf_counter()
        self._look(picture)
        self.look_secs = time.perf_counter() - start
        return True

    def _is_due(self, picture: picture_buffer.LivePicture) -> bool:
        """Returns whether a picture is looked at, and counts those passed over."""
        if self._shown is picture:
            return False
        self._n_passed += 1
        if self._shown is not None and self._n_passed < self._budget.every:
            return False
        self._n_passed = 0
        return True

    def _look(self, picture: picture_buffer.LivePicture) -> None:
        self.sighting = self._tracked.find(picture)
        self.video = None
        if self.sighting.crop is not None:
            self.video = self._described(self.sighting.crop)
        if self._config.background:
            scene = crop_lib.background(picture.image_bgr(), self.sighting.box)
            self.scene = self._described(scene)

    def _described(self, crop: np.ndarray) -> np.ndarray:
        row = self._backbone.describe(crop[None])[0]
        # Records keep float16, and the model was trained on records.
        return row.astype(np.float16).astype(np.float32)
