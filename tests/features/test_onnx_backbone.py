"""Any ONNX network as a backbone: its pictures come as the settings say."""

import cv2
import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf.features import backbones
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import settings
from avexp_tf.features import ssd_detector
from avexp_tf.media import frame_reader


def _field(number, value):
    """One field of a protocol buffer message."""
    if isinstance(value, int):
        return bytes([number << 3]) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _tensor(name, shape):
    dims = b"".join(_field(1, _field(1, size)) for size in shape)
    kind = _field(1, _field(1, 1) + _field(2, dims))
    return _field(1, name) + _field(2, kind)


def flatten_network(path, shape):
    """An ONNX file whose only layer is Flatten: the output is the input."""
    node = _field(1, "x") + _field(2, "y") + _field(4, "Flatten")
    graph = (
        _field(1, node)
        + _field(2, "g")
        + _field(11, _tensor("x", shape))
        + _field(12, _tensor("y", (1, int(np.prod(shape)))))
    )
    opset = _field(1, "") + _field(2, 11)
    path.write_bytes(_field(1, 6) + _field(7, graph) + _field(8, opset))
    return f"onnx:{path}"


@pytest.fixture
def crops():
    """Two crops whose channels are constant: R, G, B = 255, 127.5, 0 and 51, 0, 255."""
    values = np.array([[255, 127.5, 0], [51, 0, 255]], np.float32) / 127.5 - 1
    return np.broadcast_to(values[:, None, None], (2, 96, 96, 3)).copy()


def test_layout_channels_mean_and_scale(tmp_path, crops):
    name = flatten_network(tmp_path / "a.onnx", (1, 3, 16, 16))
    found = backbones.make(settings.FeatureConfig(visual_backbone=name, onnx_size=16))
    assert (found.features.name, found.features.dim) == ("onnx_a", 768)
    assert len(found.features.version) == 16
    rows = found.describe(crops).reshape(2, 3, 256)
    np.testing.assert_allclose(rows[0], np.repeat([[255], [127.5], [0]], 256, 1))
    np.testing.assert_allclose(
        rows[1], np.repeat([[51], [0], [255]], 256, 1), atol=1e-4
    )

    config = settings.FeatureConfig(
        visual_backbone=name,
        onnx_size=16,
        onnx_channels="bgr",
        onnx_mean=("10", "20", "30"),
        onnx_scale=0.5,
    )
    rows = backbones.make(config).describe(crops).reshape(2, 3, 256)
    np.testing.assert_allclose(rows[0, :, 7], [-5.0, 53.75, 112.5])
    assert backbones.make(config).describe(crops[:0]).shape == (0, 768)


def test_nhwc(tmp_path, crops):
    name = flatten_network(tmp_path / "a.onnx", (1, 16, 16, 3))
    config = settings.FeatureConfig(
        visual_backbone=name, onnx_size=16, onnx_layout="nhwc"
    )
    rows = backbones.make(config).describe(crops).reshape(2, 256, 3)
    np.testing.assert_allclose(rows[0], np.broadcast_to([255, 127.5, 0], (256, 3)))


def test_pictures_are_scaled_to_the_input(tmp_path):
    rng = np.random.default_rng(0)
    crop = rng.uniform(-1, 1, (96, 96, 3)).astype(np.float32)
    name = flatten_network(tmp_path / "a.onnx", (1, 3, 48, 48))
    config = settings.FeatureConfig(visual_backbone=name, onnx_size=48)
    row = backbones.make(config).describe(crop[None]).reshape(3, 48, 48)
    by_hand = (crop.reshape(48, 2, 48, 2, 3).mean(axis=(1, 3)) + 1) * 127.5
    np.testing.assert_allclose(row.transpose(1, 2, 0), by_hand, atol=1e-3)


def test_sface_tells_faces_apart(weights_dir, media_dir):
    path = weights_dir / "face_recognition_sface_2021dec.onnx"
    backbone = backbones.make(settings.FeatureConfig(visual_backbone=f"onnx:{path}"))
    assert backbone.features.dim == 128
    assert backbone.features.version == "0ba9fbfa01b5270c"  # the published digest
    detector = ssd_detector.SsdDetector(
        weights_dir / "opencv_face_detector_uint8.pb",
        weights_dir / "opencv_face_detector.pbtxt",
    )
    rows = []
    for name in ("face_then_none.mov", "talk_short.mp4"):
        for frame in frame_reader.FrameReader(media_dir / name):
            if frame.index in (0, 40):
                image = frame.image_bgr()
                box = detector.detect(image)[0, :4]
                rows.append(backbone.describe(crop_lib.face(image, box)[None])[0])
    # By OpenCV's own class for this network, which takes whole numbers.
    pixels = np.round((crop_lib.face(image, box) + 1) * 127.5).astype(np.uint8)
    large = cv2.resize(pixels[:, :, ::-1], (112, 112))
    by_hand = cv2.FaceRecognizerSF.create(str(path), "").feature(large)[0]
    assert similarity(rows[-1], by_hand) > 0.999
    np.testing.assert_allclose(rows[-1], by_hand, atol=0.1)
    same = [similarity(rows[0], rows[1]), similarity(rows[2], rows[3])]
    others = [similarity(one, other) for one in rows[:2] for other in rows[2:]]
    assert min(same) > max(others) + 0.2


def similarity(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_what_does_not_fit_ends_in_one_line(tmp_path):
    name = flatten_network(tmp_path / "a.onnx", (1, 3, 16, 16))
    (tmp_path / "b.onnx").write_bytes(b"no network at all")
    for config, message in (
        ({"visual_backbone": f"onnx:{tmp_path}/b.onnx"}, "b.onnx: OpenCV can't read"),
        ({"visual_backbone": f"onnx:{tmp_path}/c.onnx"}, "c.onnx: no such file"),
    ):
        with pytest.raises(errors.DataError, match=message) as caught:
            backbones.make(settings.FeatureConfig(**config))
        assert "\n" not in str(caught.value)
    for mean in (("1", "2"), ("x",), ("nan",), ("1", "inf", "1")):
        with pytest.raises(errors.ConfigError, match="--onnx_mean="):
            settings.FeatureConfig(visual_backbone=name, onnx_mean=mean)
