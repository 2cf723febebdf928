"""VGG-Face is keras-vggface's network, weights and preprocessing."""

import importlib.util
import pathlib
import subprocess
import sys

import cv2
import h5py
import keras
import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf import files
from avexp_tf.features import backbones
from avexp_tf.features import settings
from avexp_tf.features import vggface
from avexp_tf.features import vggface_file
from avexp_tf.features import weights

REFERENCE = pathlib.Path(__file__).with_name("keras_vggface_reference.py")
NEEDED = ("keras_vggface", "keras_applications", "tf_keras")


def faces(n_faces, seed=1):
    """Smooth pictures in [-1, 1]."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(-1, 1, (n_faces, 12, 12, 3)).astype(np.float32)
    large = [cv2.resize(one, (96, 96)) for one in small]
    return np.array(large, np.float32).reshape(-1, 96, 96, 3).clip(-1, 1)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The published form of the weights (580 MB), and fc6 of four faces."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed: pip install 'avexp-tf[vggface]'"
        )
    folder = tmp_path_factory.mktemp("vggface")
    pixels = [cv2.resize((one + 1) * 127.5, (224, 224)) for one in faces(4)]
    np.save(folder / "pixels.npy", np.stack(pixels))
    subprocess.run([sys.executable, str(REFERENCE), str(folder)], check=True)
    yield folder / "weights.h5", np.load(folder / "fc6.npy")
    (folder / "weights.h5").unlink()


@pytest.mark.slow
def test_fc6_is_that_of_keras_vggface(reference):
    path, expected = reference
    weights.check(weights.NETWORKS["vggface"], path)
    network = vggface.VggFace(path, batch=3)
    found = network.describe(faces(4))
    assert found.shape == (4, 4096) and found.dtype == np.float32
    scale = np.abs(expected).max()
    assert 0.2 < np.mean(expected > 0) < 0.8 and scale > 0.1
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)
    # The same face gives the same numbers wherever it stands in a batch.
    np.testing.assert_array_equal(network.describe(faces(4)[3:]), found[3:])
    assert network.describe(faces(0)).shape == (0, 4096)
    assert network.features == vggface.feature_set(path)


@pytest.mark.slow
def test_the_whole_network_is_that_of_keras_vggface(reference):
    path, _ = reference
    network = vggface.build()
    vggface_file.load(path, network)
    found = network.predict(np.asarray(vggface.preprocessed(faces(4))), verbose=0)
    expected = np.load(path.with_name("fc8.npy"))
    assert found.shape == (4, 2622) and expected.max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4)
    names = [layer.name for layer in network.layers]
    assert names[-7:] == [
        *("flatten", "fc6", "fc6_relu", "fc7", "fc7_relu", "fc8", "fc8_softmax")
    ]


@pytest.mark.slow
def test_bfloat16_comes_close(reference):
    path, expected = reference
    found = vggface.VggFace(path, batch=4, precision="bfloat16").describe(faces(4))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()
    assert np.abs(found - expected).max() > 1e-4 * np.abs(expected).max()


@pytest.mark.slow
def test_a_whole_model_saved_as_h5_is_read_too(reference, tmp_path):
    path, _ = reference
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(path), "/")
    vggface_file.check(tmp_path / "model.h5")


def test_preprocessing_by_hand():
    crops = np.zeros((1, 96, 96, 3), np.float32)
    crops[..., 0], crops[..., 1], crops[..., 2] = 1.0, 0.0, -1.0  # R, G, B
    found = np.asarray(vggface.preprocessed(crops))
    assert found.shape == (1, 224, 224, 3)
    by_hand = [0 - 93.5940, 127.5 - 104.7624, 255 - 129.1863]  # B, G, R
    np.testing.assert_allclose(found[0, 100, 100], by_hand, rtol=1e-5)


def test_layers_are_named_and_shaped_as_published():
    shapes = vggface_file.shapes()
    assert list(shapes)[:3] == ["conv1_1", "conv1_2", "conv2_1"]
    assert shapes["conv3_1"] == ((3, 3, 128, 256), (256,))
    assert shapes["fc6"] == ((25088, 4096), (4096,))
    n_weights = sum(np.prod(kernel) + bias[0] for kernel, bias in shapes.values())
    assert n_weights == 145_002_878  # as in Parkhi's network


def skeleton(path, change=None):
    """The published file without its weights: h5py allocates what is written."""
    shapes = {name: list(pair) for name, pair in vggface_file.shapes().items()}
    if change:
        change(shapes)
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in shapes.items():
            file.create_dataset(f"{name}/{name}/kernel:0", kernel, "f4")
            file.create_dataset(f"{name}/{name}/bias:0", bias, "f4")
        file.create_group("pool1")
        file.create_group("fc6/relu")
    return path


def test_the_right_layers_pass(tmp_path):
    vggface_file.check(skeleton(tmp_path / "a.h5"))
    assert (tmp_path / "a.h5").stat().st_size < 100_000


def _transpose(shapes):
    shapes["fc6"][0] = (4096, 25088)


def _rename(shapes):
    shapes["conv9_9"] = shapes.pop("conv4_2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_transpose, r"layer fc6 has the shapes \(\(4096, 25088\), \(4096,\)\), not"),
        (_rename, "layers conv4_2 are missing; layers conv9_9 are none of VGG-Face"),
        (lambda shapes: shapes.pop("fc8"), "layers fc8 are missing"),
    ],
)
def test_another_network_is_refused_with_the_layer_named(tmp_path, change, message):
    path = skeleton(tmp_path / "a.h5", change)
    with pytest.raises(errors.DataError, match=message):
        vggface_file.check(path)
    with pytest.raises(errors.DataError, match=message):
        weights.check(weights.NETWORKS["vggface"], path)


def test_what_is_no_hdf5_is_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"<html>not found</html>")
    for path in (tmp_path / "a.h5", tmp_path / "missing.h5"):
        with pytest.raises(errors.DataError, match="is no HDF5 file") as caught:
            vggface_file.check(path)
        assert "\n" not in str(caught.value)


def test_every_layer_of_the_model_is_assigned_or_loading_fails(tmp_path):
    path = skeleton(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["conv1_1/conv1_1/kernel:0"][...] = 2.0
        file["conv1_1/conv1_1/bias:0"][...] = 3.0
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(64, 3, name="conv1_1")(inputs)
    model = keras.Model(inputs, outputs)
    vggface_file.load(path, model)
    kernel, bias = model.get_layer("conv1_1").get_weights()
    assert np.all(kernel == 2.0) and np.all(bias == 3.0)

    stranger = keras.layers.Conv2D(4, 3, name="conv7_1")(outputs)
    with pytest.raises(errors.DataError, match="has no layer conv7_1, which the model"):
        vggface_file.load(path, keras.Model(inputs, stranger))

    narrow = keras.layers.Conv2D(32, 3, name="conv1_1")(inputs)
    with pytest.raises(errors.DataError, match=r"layer conv1_1: \(3, 3, 3, 64\) does"):
        vggface_file.load(path, keras.Model(inputs, narrow))


def test_settings_choose_the_backbone(tmp_path, monkeypatch):
    path = skeleton(tmp_path / "a.h5")
    found = backbones.features(settings.FeatureConfig(visual_weights=str(path)))
    assert (found.name, found.dim) == ("vggface_fc6", 4096)
    assert found.version == files.sha256(path)[:16]
    bfloat16 = settings.FeatureConfig(
        visual_weights=str(path), visual_precision="bfloat16"
    )
    assert backbones.features(bfloat16).name == "vggface_fc6_bfloat16"
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(errors.DataError, match="avexp-weights download vggface"):
        backbones.make(settings.FeatureConfig())
    with pytest.raises(errors.ConfigError, match="must be vggface or onnx:PATH"):
        settings.FeatureConfig(visual_backbone="resnet")
