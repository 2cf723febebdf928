"""Keras layers of the crossmodal transformer."""

from avexp_tf.models.layers.arrivals import Arrivals
from avexp_tf.models.layers.attention import Attention
from avexp_tf.models.layers.calibration import Calibration
from avexp_tf.models.layers.crossmodal import Crossmodal
from avexp_tf.models.layers.encoder_layer import EncoderLayer
from avexp_tf.models.layers.frame_select import FrameSelect
from avexp_tf.models.layers.layer_norm import LayerNormalization
from avexp_tf.models.layers.positions import SinusoidalPositions

__all__ = [
    "Arrivals",
    "Attention",
    "Calibration",
    "Crossmodal",
    "EncoderLayer",
    "FrameSelect",
    "LayerNormalization",
    "SinusoidalPositions",
]
