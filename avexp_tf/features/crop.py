"""Cuts faces out of pictures, and blanks them in the rest."""

from __future__ import annotations

import cv2
import numpy as np

CROP_SIZE = 96


def face(image_bgr: np.ndarray, box: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Returns the crop of a face.

    A square around the middle of the box, as long as its longer side, so that faces
    keep their proportions. What it takes in outside of the picture repeats the border.

    Args:
      image_bgr: uint8 [height, width, 3].
      box: Left, top, right, bottom in pixels, float [4]; its middle is inside.
      margin: Taken in on each side, as a share of the longer side.

    Returns:
      float32 [96, 96, 3], RGB in [-1, 1].
    """
    left, top, right, bottom = (float(value) for value in box)
    side = max(right - left, bottom - top) * (1 + 2 * margin)
    side_px = max(int(round(side)), 1)
    x0 = int(round((left + right - side) / 2))
    y0 = int(round((top + bottom - side) / 2))
    height, width = image_bgr.shape[:2]
    inside = image_bgr[
        max(y0, 0) : min(y0 + side_px, height), max(x0, 0) : min(x0 + side_px, width)
    ]
    above, below = max(-y0, 0), max(y0 + side_px - height, 0)
    before, behind = max(-x0, 0), max(x0 + side_px - width, 0)
    if above or below or before or behind:
        inside = cv2.copyMakeBorder(
            inside, above, below, before, behind, cv2.BORDER_REPLICATE
        )
    return resized(inside)


def resized(image_bgr: np.ndarray) -> np.ndarray:
    """Returns a whole picture as a crop.

    Args:
      image_bgr: uint8 [height, width, 3].

    Returns:
      float32 [96, 96, 3], RGB in [-1, 1].
    """
    # AREA takes the mean of what becomes one pixel; where that is less than a pixel,
    # OpenCV does what LINEAR does.
    shrinks = min(image_bgr.shape[:2]) > CROP_SIZE
    small = cv2.resize(
        image_bgr,
        (CROP_SIZE, CROP_SIZE),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    return small[:, :, ::-1].astype(np.float32) / 127.5 - 1.0


def background(image_bgr: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """Returns the whole picture without its face.

    Args:
      image_bgr: uint8 [height, width, 3].
      box: Left, top, right, bottom in pixels, float [4]; None where there is no face.

    Returns:
      float32 [96, 96, 3], RGB in [-1, 1]; 0 where the face was.
    """
    if box is None:
        return resized(image_bgr)
    blanked = image_bgr.copy()
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.ceil(box[2:4]).astype(int)
    blanked[max(top, 0) : bottom, max(left, 0) : right] = 127
    return resized(blanked)
