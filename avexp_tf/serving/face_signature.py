"""The signature `faces`: pictures in, with the visual backbone in the graph."""

from __future__ import annotations

import os

import keras
import tensorflow as tf

from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import schema
from avexp_tf.features import crop
from avexp_tf.features import vggface
from avexp_tf.features import vggface_file
from avexp_tf.features import weights
from avexp_tf.serving import signatures

_NETWORK = "vggface"
_CHUNK = 16  # pictures at a time: VGG-Face holds 50 MB for each


class FacePredictor:
    """Predicts clips of face crops.

    Args:
      module: Runs the clips; its model must take video.
      backbone: Maps BGR pixels, as `vggface.preprocessed` gives them, to features.
    """

    def __init__(self, module: signatures.ServingModule, backbone: keras.Model):
        self._module = module
        self._backbone = backbone

    @property
    def signature(self) -> signatures.Specs:
        """As `serving_default`, with `faces` instead of `video`."""
        size = crop.CROP_SIZE
        faces = tf.TensorSpec([None, None, size, size, 3], tf.uint8, "faces")
        specs = dict(self._module.signature)
        del specs["video"]
        return {"faces": faces} | specs

    def predict(self, **inputs: tf.Tensor) -> signatures.Tensors:
        """Predicts faces and sound.

        Args:
          **inputs: `faces` uint8 [B, T, 96, 96, 3], RGB; the rest as in
            `ServingModule.predict`. Only pictures that are present are described.

        Returns:
          The model's outputs, float32 [B, T].
        """
        present = inputs["video_present"]
        faces = inputs.pop("faces")
        shape = tf.shape(present)
        check = signatures.require(
            tf.reduce_all(tf.equal(tf.shape(faces)[:2], shape)),
            "faces must be [B, T, 96, 96, 3], where video_present is [B, T]",
        )
        with tf.control_dependencies([check]):
            place = tf.where(present)  # [N, 2]
        rows = self._described(tf.gather_nd(faces, place))
        # Records hold float16: the model has seen nothing finer.
        rows = tf.clip_by_value(rows, 0.0, schema.LARGEST_VIDEO)
        rows = tf.cast(tf.cast(rows, tf.float16), tf.float32)
        full = tf.concat([tf.cast(shape, tf.int64), tf.shape(rows, tf.int64)[1:]], 0)
        video = tf.scatter_nd(place, rows, full)
        return self._module.predict(video=video, **inputs)

    def _described(self, faces: tf.Tensor) -> tf.Tensor:
        """Features of pictures uint8 [N, 96, 96, 3]; N may be 0."""
        count = tf.shape(faces)[0]
        n_chunks = -(-count // _CHUNK)
        padded = tf.pad(faces, [[0, n_chunks * _CHUNK - count], *[[0, 0]] * 3])
        chunks = tf.reshape(padded, [n_chunks, _CHUNK, *faces.shape[1:]])

        def describe(chunk: tf.Tensor) -> tf.Tensor:
            crops = tf.cast(chunk, tf.float32) / 127.5 - 1.0
            return self._backbone(vggface.preprocessed(crops), training=False)

        dim = self._backbone.output_shape[-1]
        found = tf.map_fn(
            describe,
            chunks,
            fn_output_signature=tf.TensorSpec([_CHUNK, dim], tf.float32),
        )
        return tf.reshape(found, [n_chunks * _CHUNK, dim])[:count]


def backbone_for(
    features: recording.FeatureSet, path: str | os.PathLike[str] = ""
) -> keras.Model:
    """Loads the network that a model's video features come from.

    Args:
      features: Of the records that the model was trained on.
      path: Its published weights; empty takes those that avexp-weights keeps.

    Returns:
      The network, up to the features.

    Raises:
      errors.DataError: if the features come from no network that can be part of the
        export, or its weights are not at hand, or are others.
    """
    if features.name != "vggface_fc6":
        raise errors.DataError(
            f"the video features {features.name} can't be computed inside the export: "
            "only vggface_fc6 can"
        )
    path = path or weights.locate(_NETWORK)
    found = vggface.feature_set(path)
    if found != features:
        raise errors.DataError(
            f"{path}: its digest begins {found.version}, the model was trained on "
            f"features of {features.version}"
        )
    network = vggface.build("fc6")
    vggface_file.load(path, network)
    return network
