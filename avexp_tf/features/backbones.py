"""What describes a face: the backbone that the settings name."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from avexp_tf import recording
from avexp_tf.features import settings
from avexp_tf.features import weights


class Backbone(Protocol):
    """Turns crops of faces into features.

    Attributes:
      features: What the columns are.
    """

    features: recording.FeatureSet

    def describe(self, crops: np.ndarray) -> np.ndarray:
        """Returns the features of faces.

        Args:
          crops: float32 [n, 96, 96, 3], RGB in [-1, 1]; n may be 0.

        Returns:
          float32 [n, features.dim].
        """
        ...


def features(config: settings.FeatureConfig) -> recording.FeatureSet:
    """Returns what a backbone's columns are, as cheaply as can be known.

    Args:
      config: `visual_...` and `onnx_...`.

    Raises:
      errors.DataError: if its file is not there, or is not what it should be.
    """
    if config.onnx_path:
        return make(config).features
    from avexp_tf.features import vggface

    return vggface.feature_set(_vggface_path(config), config.visual_precision)


def make(config: settings.FeatureConfig) -> Backbone:
    """Returns the backbone that the settings name.

    Args:
      config: `visual_...` and `onnx_...`.

    Returns:
      The backbone.

    Raises:
      errors.DataError: if its file is not there, or is not what it should be.
    """
    if config.onnx_path:
        from avexp_tf.features import onnx_backbone

        return onnx_backbone.OnnxBackbone(config)
    from avexp_tf.features import vggface

    return vggface.VggFace(
        _vggface_path(config), config.visual_batch, config.visual_precision
    )


def _vggface_path(config: settings.FeatureConfig) -> str:
    return config.visual_weights or str(weights.locate("vggface"))
