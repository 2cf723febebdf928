"""The crossmodal transformer.

Importing it lets Keras load models that were saved as `.keras` files.
"""

from avexp_tf.models import crossmodal_transformer
from avexp_tf.models import layers

__all__ = ["crossmodal_transformer", "layers"]
