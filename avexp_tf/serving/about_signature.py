"""The signature `about`: a server tells what its model's inputs depend on.

Neither gRPC nor REST gives the files beside a SavedModel away. As a signature they
travel with the model to every server, and a client needs to know an address alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from avexp_tf.serving import signatures

SPECS: signatures.Specs = {"file": tf.TensorSpec([None], tf.string, "file")}


class About:
    """Gives files of an export by their names.

    Args:
      files: {name: content}.
    """

    def __init__(self, files: Mapping[str, bytes]):
        self._names = list(files)
        self._contents = [files[name] for name in self._names]

    def predict(self, file: tf.Tensor) -> signatures.Tensors:
        """Returns files.

        Args:
          file: Their names, string [N].

        Returns:
          `content`, string [N].
        """
        same = tf.expand_dims(file, 1) == tf.constant(self._names)[None]  # [N, files]
        known = tf.reduce_all(tf.reduce_any(same, axis=1))
        rule = f"file must be one of {', '.join(self._names)}"
        with tf.control_dependencies([signatures.require(known, rule)]):
            place = tf.argmax(tf.cast(same, tf.int32), axis=1)
        content = tf.gather(tf.constant(self._contents), place)
        return {"content": tf.identity(content, "content")}
