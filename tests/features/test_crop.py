"""What the backbone gets to see of a picture."""

import cv2
import numpy as np
import pytest

from avexp_tf import errors
from avexp_tf.features import crop
from avexp_tf.features import crop_folder


def test_a_square_around_the_box_in_rgb():
    image = np.zeros((300, 400, 3), np.uint8)
    image[100:196, 150:246] = (255, 128, 0)  # BGR
    # The box is narrower than high; the square is 96 wide, as the patch is.
    found = crop.face(image, np.array([170.0, 100.0, 226.0, 196.0]))
    assert found.shape == (96, 96, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], -1.0)
    np.testing.assert_allclose(found[..., 1], 128 / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(found[..., 2], 1.0)


def test_a_margin_takes_in_more():
    image = np.zeros((300, 400, 3), np.uint8)
    image[100:200, 100:200] = 255
    found = crop.face(image, np.array([100.0, 100.0, 200.0, 200.0]), margin=0.5)
    # 200 x 200 from (50, 50): the face is the middle half, 24 .. 72 of 96.
    inner = found[26:70, 26:70]
    np.testing.assert_allclose(inner, 1.0)
    assert found[:22].max() == -1.0 and found[74:].max() == -1.0


@pytest.mark.parametrize(
    "box",
    [
        [-50, -40, 60, 70],
        [350, 250, 460, 360],
        [0, 0, 400, 300],
        [0, 120, 400, 140],
        [390, 0, 399, 300],
        [398.6, 298.6, 400, 300],
    ],
)
def test_outside_of_the_picture_the_border_repeats(box):
    image = np.full((300, 400, 3), 77, np.uint8)
    np.testing.assert_allclose(crop.face(image, np.array(box)), 77 / 127.5 - 1)


def test_the_crop_moves_with_the_box_over_the_border():
    image = np.zeros((300, 400, 3), np.uint8)
    image[:, :40] = 255
    # 96 x 96 from (-48, 100): 48 columns repeat the border, 40 are white.
    found = crop.face(image, np.array([-48.0, 100.0, 48.0, 196.0]))
    np.testing.assert_allclose(found[:, :88], 1.0)
    np.testing.assert_allclose(found[:, 88:], -1.0)


def test_background_has_a_hole_where_the_face_is():
    image = np.full((192, 192, 3), 255, np.uint8)
    found = crop.background(image, np.array([48.0, 96.0, 96.0, 144.0]))
    np.testing.assert_allclose(found[49:71, 25:47], 127 / 127.5 - 1)
    assert np.mean(found == 1.0) == pytest.approx(1 - 24 * 24 / 96**2)
    assert image.min() == 255  # the caller's picture is as it was
    np.testing.assert_allclose(crop.background(image, None), 1.0)


def test_crop_folder_gives_the_numbered_pictures(tmp_path):
    for number, value in ((1, 10), (3, 200), (12, 90)):
        picture = np.full((112, 112, 3), value, np.uint8)
        picture[..., 2] = 250  # red, in BGR
        cv2.imwrite(str(tmp_path / f"{number:05d}.png"), picture)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".DS_Store").write_bytes(b"")
    source = crop_folder.CropFolder(tmp_path)
    assert source.last == 12
    sightings = [source.at(index) for index in range(13)]
    found = [index for index, one in enumerate(sightings) if one.crop is not None]
    assert found == [0, 2, 11]
    assert [one.score for one in sightings[:3]] == [1.0, 0.0, 1.0]
    np.testing.assert_allclose(sightings[2].crop[..., 0], 250 / 127.5 - 1)
    np.testing.assert_allclose(sightings[2].crop[..., 2], 200 / 127.5 - 1)
    assert sightings[2].crop.shape == (96, 96, 3)


def test_damaged_and_missing_crops_end_in_one_line(tmp_path):
    (tmp_path / "00001.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "00002.jpg").write_bytes(b"")
    source = crop_folder.CropFolder(tmp_path)
    for index, name in ((0, "00001.jpg"), (1, "00002.jpg")):
        with pytest.raises(errors.DataError, match=f"{name}: is no picture"):
            source.at(index)
    with pytest.raises(errors.DataError, match="no such folder of cropped frames"):
        crop_folder.CropFolder(tmp_path / "nowhere")
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(errors.DataError, match="2.png: is the same frame as 0"):
        crop_folder.CropFolder(tmp_path)
