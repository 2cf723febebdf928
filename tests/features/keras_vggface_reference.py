"""Runs the real keras-vggface 0.6, in a process of its own.

It was written for Keras 2 and finds it here under the name of TensorFlow's legacy
package; three modules that were moved since stand where it looks for them.

Usage: python keras_vggface_reference.py FOLDER
Takes FOLDER/pixels.npy (RGB in 0..255, [n, 224, 224, 3]), writes FOLDER/weights.h5 with
random weights, FOLDER/fc6.npy (after the ReLU) and FOLDER/fc8.npy (probabilities).
"""

import pathlib
import sys
import types

import numpy as np
import tf_keras


def stand_in(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)


def main(folder):
    for name in ("", ".layers", ".models", ".backend", ".utils"):
        module = tf_keras
        for part in name.split(".")[1:]:
            module = getattr(module, part)
        sys.modules[f"keras{name}"] = module
    stand_in("keras.utils.layer_utils")
    sys.modules["keras"].utils.layer_utils = sys.modules["keras.utils.layer_utils"]
    stand_in("keras.utils.data_utils", get_file=tf_keras.utils.get_file)
    stand_in("keras.engine")
    stand_in(
        "keras.engine.topology", get_source_inputs=tf_keras.utils.get_source_inputs
    )
    from keras_vggface import models
    from keras_vggface import utils

    network = models.VGG16(include_top=True, weights=None, input_shape=(224, 224, 3))
    rng = np.random.default_rng(0)
    for layer in network.layers:
        for variable in layer.weights:
            shape = tuple(variable.shape)
            # Keeps the signal at the same size through sixteen layers.
            scale = np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0.1
            values = rng.standard_normal(shape, dtype=np.float32)
            variable.assign(values * np.float32(scale))
    network.save_weights(str(folder / "weights.h5"))
    both = tf_keras.Model(
        network.input, [network.get_layer("fc6/relu").output, network.output]
    )
    pixels = np.load(folder / "pixels.npy")
    fc6, fc8 = both.predict(utils.preprocess_input(pixels, version=1), verbose=0)
    np.save(folder / "fc6.npy", fc6)
    np.save(folder / "fc8.npy", fc8)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
