"""VGG-Face fc6: what the paper feeds to the video branch."""

from __future__ import annotations

import os

import numpy as np

from avexp_tf import files
from avexp_tf import recording
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import vggface_file

SIZE = 224
# Mean of VGG-Face's training pictures, of keras-vggface's `preprocess_input`.
MEAN_BGR = (93.5940, 104.7624, 129.1863)
DIM = 4096


def build(top: str = "fc8", dtype: str = "float32"):
    """Returns VGG16 under the layer names of keras-vggface.

    Args:
      top: The last dense layer: `fc8` for the whole network, `fc6` for the features
        alone, without the 110 MB behind it.
      dtype: Keras policy: `float32` or `mixed_bfloat16`.

    Returns:
      A `keras.Model` from BGR pixels minus `MEAN_BGR`, float [n, 224, 224, 3], to
      probabilities [n, 2622], or to fc6 after its ReLU [n, 4096].

    Reference:
      Parkhi, Vedaldi and Zisserman, Deep Face Recognition, 2015. keras-vggface calls
      the activations `fc6/relu`; Keras 3 takes no slash in a name.
    """
    import keras

    layers = keras.layers
    inputs = keras.Input((SIZE, SIZE, 3), name="bgr")
    x = inputs
    for name, channels in vggface_file.CONVOLUTIONS.items():
        block, index = name.removeprefix("conv").split("_")
        if index == "1" and block != "1":
            x = layers.MaxPooling2D(2, name=f"pool{int(block) - 1}", dtype=dtype)(x)
        x = layers.Conv2D(
            channels, 3, padding="same", activation="relu", name=name, dtype=dtype
        )(x)
    x = layers.MaxPooling2D(2, name="pool5", dtype=dtype)(x)
    x = layers.Flatten(name="flatten", dtype=dtype)(x)
    for name, channels in vggface_file.DENSE.items():
        x = layers.Dense(channels, name=name, dtype=dtype)(x)
        activation = "softmax" if name == "fc8" else "relu"
        x = layers.Activation(activation, name=f"{name}_{activation}", dtype=dtype)(x)
        if name == top:
            break
    return keras.Model(inputs, x, name="vggface_vgg16")


class VggFace:
    """Describes faces by fc6 of VGG-Face, after its ReLU.

    Runs on a GPU where there is one.

    Args:
      path: The published weights.
      batch: Pictures at once; the last ones are filled up, so that the same pictures
        always give the same numbers.
      precision: `float32`, or `bfloat16` arithmetic with float32 weights.

    Attributes:
      features: What the columns are.

    Raises:
      errors.DataError: if the file is not VGG-Face.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        batch: int = 32,
        precision: str = "float32",
    ):
        import tensorflow as tf

        self._batch = batch
        dtype = "float32" if precision == "float32" else "mixed_bfloat16"
        network = build("fc6", dtype)
        vggface_file.load(path, network)
        self.features = feature_set(path, precision)

        @tf.function(
            input_signature=[
                tf.TensorSpec(
                    [batch, crop_lib.CROP_SIZE, crop_lib.CROP_SIZE, 3], tf.float32
                )
            ]
        )
        def describe(crops):
            return tf.cast(network(preprocessed(crops), training=False), tf.float32)

        self._describe = describe

    def describe(self, crops: np.ndarray) -> np.ndarray:
        """Returns the features of faces.

        Args:
          crops: float32 [n, 96, 96, 3], RGB in [-1, 1].

        Returns:
          float32 [n, 4096], zero and above.
        """
        found = np.zeros((len(crops), DIM), np.float32)
        for start in range(0, len(crops), self._batch):
            piece = crops[start : start + self._batch]
            padded = np.zeros((self._batch, *crops.shape[1:]), np.float32)
            padded[: len(piece)] = piece
            rows = self._describe(padded).numpy()
            found[start : start + len(piece)] = rows[: len(piece)]
        return found


def feature_set(
    path: str | os.PathLike[str], precision: str = "float32"
) -> recording.FeatureSet:
    """Returns what the columns are, without making the network.

    Args:
      path: The published weights; their digest is the version.
      precision: The arithmetic is part of the name: it changes the third digit.
    """
    name = "vggface_fc6" if precision == "float32" else f"vggface_fc6_{precision}"
    return recording.FeatureSet(name, files.sha256(path)[:16], DIM)


def preprocessed(crops):
    """Returns crops as VGG-Face takes them.

    Args:
      crops: Tensor [n, height, width, 3], RGB in [-1, 1].

    Returns:
      float32 tensor [n, 224, 224, 3]: BGR in 0..255, minus `MEAN_BGR`.
    """
    from keras import ops

    pixels = (ops.convert_to_tensor(crops, "float32") + 1.0) * 127.5
    pixels = ops.image.resize(pixels, (SIZE, SIZE), interpolation="bilinear")
    return pixels[..., ::-1] - ops.convert_to_tensor(MEAN_BGR, "float32")
