"""Detections are those of cv2.dnn by hand, and what the real recordings show."""

import cv2
import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf.features import detection
from avexp_tf.features import faces
from avexp_tf.features import settings
from avexp_tf.features import weights
from avexp_tf.media import frame_reader


@pytest.fixture(autouse=True)
def _published(monkeypatch, request):
    if "weights_dir" in request.fixturenames:
        folder = request.getfixturevalue("weights_dir")
        monkeypatch.setenv(weights.FOLDER_VARIABLE, str(folder))


def pictures(path, step):
    return [
        frame.image_bgr()
        for frame in frame_reader.FrameReader(path)
        if frame.index % step == 0
    ]


def ssd_by_hand(network, image):
    blob = cv2.dnn.blobFromImage(
        cv2.resize(image, (300, 300)), 1.0, (300, 300), (104, 177, 123)
    )
    network.setInput(blob)
    height, width = image.shape[:2]
    rows = []
    for _, _, score, left, top, right, bottom in network.forward()[0, 0]:
        if score >= 0.1:
            rows.append(
                [
                    *(max(left, 0) * width, max(top, 0) * height),
                    *(min(right, 1) * width, min(bottom, 1) * height),
                    score,
                ]
            )
    rows = [row for row in rows if row[2] - row[0] >= 2 and row[3] - row[1] >= 2]
    return np.array(sorted(rows, key=lambda row: -row[4]), np.float32)


@pytest.mark.parametrize("name", ["talk_short.mp4", "talk_short_noise.mp4"])
def test_ssd_boxes_are_those_of_cv2_by_hand(weights_dir, media_dir, name):
    network = cv2.dnn.readNetFromTensorflow(
        str(weights_dir / "opencv_face_detector_uint8.pb"),
        str(weights_dir / "opencv_face_detector.pbtxt"),
    )
    detector = detection.make(settings.FeatureConfig())
    n_found = 0
    for image in pictures(media_dir / name, 20):
        expected = ssd_by_hand(network, image)
        found = detector.detect(image)
        np.testing.assert_allclose(found, expected.reshape(-1, 5), atol=1e-3)
        n_found += len(found)
    assert n_found > 2


def test_yunet_boxes_are_those_of_cv2_by_hand(weights_dir, media_dir):
    network = cv2.FaceDetectorYN.create(
        str(weights_dir / "face_detection_yunet_2023mar.onnx"), "", (640, 272), 0.1
    )
    detector = detection.make(settings.FeatureConfig(face_detector="yunet"))
    for image in pictures(media_dir / "talk_short.mp4", 30):
        half = cv2.resize(image, (640, 272), interpolation=cv2.INTER_AREA)
        left, top, width, height = 2 * network.detect(half)[1][0][:4]
        score = network.detect(half)[1][0][14]
        by_hand = [left, top, left + width, top + height, score]
        np.testing.assert_allclose(detector.detect(image)[0], by_hand, rtol=1e-4)


def test_caffe_form_is_the_same_network_or_says_what_it_needs(weights_dir, media_dir):
    config = settings.FeatureConfig(face_detector="ssd_caffe")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        with pytest.raises(errors.ConfigError, match="reads no Caffe networks"):
            detection.make(config)
        return
    caffe = detection.make(config)
    tensorflow = detection.make(settings.FeatureConfig())
    for image in pictures(media_dir / "talk_short.mp4", 30):
        one, other = caffe.detect(image)[0], tensorflow.detect(image)[0]
        np.testing.assert_allclose(one, other, atol=3.0)


def sighted(path, config):
    source = faces.DetectedFaces(detection.make(config), config)
    seen = []
    for frame in frame_reader.FrameReader(path):
        sighting = source.find(frame)
        seen.append((frame.secs, sighting.crop is not None, sighting.score))
    secs, present, scores = (np.array(column) for column in zip(*seen, strict=True))
    return secs, present, scores


def switches(secs, present):
    at = np.flatnonzero(np.diff(present.astype(int))) + 1
    return [(secs[index], bool(present[index])) for index in at]


def test_a_face_leaves_when_it_is_seen_to(weights_dir, media_dir):
    secs, present, _ = sighted(
        media_dir / "face_then_none.mov", settings.FeatureConfig()
    )
    ((when, is_there),) = switches(secs, present)
    assert when == pytest.approx(2.4, abs=0.05) and not is_there


def test_a_face_comes_when_it_is_seen_to(weights_dir, media_dir):
    path = media_dir / "none_then_face.mov"
    secs, present, _ = sighted(path, settings.FeatureConfig())
    # The last picture of this file is black.
    last = pictures(path, 168)[-1]
    assert last.max() < 20 and not present[-1]
    ((when, is_there),) = switches(secs[:-1], present[:-1])
    assert when == pytest.approx(3.945, abs=0.05) and is_there


def test_a_face_distorted_beyond_recognition_is_absent_throughout(
    weights_dir, media_dir
):
    path = media_dir / "talk_short_noise.mp4"
    secs, present, scores = sighted(path, settings.FeatureConfig())
    assert len(present) == 94 and not present.any()
    # One picture's noise would pass for a face at 0.5; a score is kept for all.
    assert np.sum(scores > 0.5) == 1 and np.all(scores > 0.1)


def test_talking_heads_are_there_throughout(weights_dir, media_dir):
    _, present, scores = sighted(media_dir / "talk_short.mp4", settings.FeatureConfig())
    assert present.all() and scores.min() > 0.9


def test_looking_less_often_holds_the_last_answer(weights_dir, media_dir, monkeypatch):
    config = settings.FeatureConfig(face_every=5)
    looked = []
    make = detection.make

    class Counting:
        def __init__(self):
            self.detector = make(config)

        def detect(self, image):
            looked.append(1)
            return self.detector.detect(image)

    monkeypatch.setattr(detection, "make", lambda config: Counting())
    secs, present, _ = sighted(media_dir / "face_then_none.mov", config)
    assert len(looked) == 34  # of 169 pictures
    ((when, is_there),) = switches(secs, present)
    # Seen at picture 70 (2.333 s), missed at picture 75 (2.485 s).
    assert when == pytest.approx(2.485, abs=0.01) and not is_there


def test_what_reaches_out_is_cut_and_what_is_too_small_or_low_is_dropped():
    boxes = np.array(
        [
            [-10, -10, 50, 50],
            [90, 40, 130, 80],
            [10, 10, 11, 40],
            [120, 10, 150, 40],
            [10, 10, 40, 40],
            [np.nan, 0, 50, 50],
        ],
        np.float32,
    )
    scores = np.array([0.6, 0.9, 0.9, 0.9, 0.05, 0.9], np.float32)
    found = detection.clipped(boxes, scores, (60, 100, 3))
    np.testing.assert_allclose(found, [[90, 40, 100, 60, 0.9], [0, 0, 50, 50, 0.6]])


@pytest.mark.parametrize("name", ["ssd", "yunet"])
def test_a_damaged_network_ends_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    for network in weights.NETWORKS.values():
        (tmp_path / network.file).write_bytes(b"x" * (network.n_bytes or 100))
    with pytest.raises(errors.DataError, match="OpenCV can't read this") as caught:
        detection.make(settings.FeatureConfig(face_detector=name))
    assert "\n" not in str(caught.value)
