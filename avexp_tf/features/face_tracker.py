"""Follows one face through a video."""

from __future__ import annotations

import numpy as np

# Boxes of one face in neighbouring pictures share 0.8 and more of their union; a face
# that is out of reach of this has been cut away.
_OVERLAP = 0.3
# Looks without a face after which the old place means nothing: a second at 30 per
# second, since people who left seldom come back to where they were.
_FORGET = 30


class FaceTracker:
    """Chooses the same face again: by overlap with the last box, then by size.

    A face begins at one score and is kept down to a lower one as long as it stays in
    its place: noise that passes for a face in a single picture doesn't begin one, and
    a head that turns away doesn't flicker.

    It decides by what has been seen so far, never by what comes, so that a file and a
    live call get the same answers. It bridges nothing: a picture in which the detector
    finds no face has none, and the model has learnt what to do about that.

    Args:
      threshold: Score at which a face begins.
      keep: Score down to which it is kept, if it was there at the last look.
      side: `left` or `right` follows the person on that side of the picture, for
        recordings of two; a lone face in the other half is not theirs. Empty follows
        the largest.
    """

    def __init__(self, threshold: float, keep: float, side: str = ""):
        if side not in ("", "left", "right"):
            raise ValueError(f"side={side!r}: must be '', 'left' or 'right'")
        self._threshold = threshold
        self._keep = keep
        self._side = side
        self._last: np.ndarray | None = None
        self._n_missed = 0

    def choose(self, detections: np.ndarray, width: int) -> int | None:
        """Returns which detection is the face.

        Args:
          detections: Of one picture, from `FaceDetector.detect`, float [n, 5].
          width: Of the picture, in pixels.

        Returns:
          The row, or None.
        """
        scores = detections[:, 4]
        kept = self._keep if self._n_missed == 0 else self._threshold
        best = self._nearest(detections, np.flatnonzero(scores >= kept))
        if best is None:
            best = self._first(
                detections, np.flatnonzero(scores >= self._threshold), width
            )
        if best is None:
            self._n_missed += 1
            if self._n_missed > _FORGET:
                self._last = None
            return None
        self._last = detections[best, :4]
        self._n_missed = 0
        return int(best)

    def _nearest(self, detections: np.ndarray, rows: np.ndarray) -> np.intp | None:
        if self._last is None or not len(rows):
            return None
        shares = overlap(self._last, detections[rows, :4])
        best = np.argmax(shares)
        return rows[best] if shares[best] >= _OVERLAP else None

    def _first(
        self, detections: np.ndarray, rows: np.ndarray, width: int
    ) -> np.intp | None:
        if not len(rows):
            return None
        boxes = detections[rows, :4]
        if not self._side:
            sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
            return rows[np.argmax(sizes)]
        middles = (boxes[:, 0] + boxes[:, 2]) / 2
        outwards = -middles if self._side == "left" else middles
        best = np.argmax(outwards)
        is_theirs = (middles[best] < width / 2) == (self._side == "left")
        # Several boxes of one person are no second person.
        somebody_else = overlap(boxes[best], boxes).min() < _OVERLAP
        return rows[best] if is_theirs or somebody_else else None


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns intersection over union.

    Args:
      box: Left, top, right, bottom, [4].
      boxes: [n, 4].

    Returns:
      float [n] in [0, 1].
    """
    corner = np.maximum(box[:2], boxes[:, :2])
    sides = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - corner, 0)
    common = sides.prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = areas + (box[2:] - box[:2]).prod() - common
    return common / np.maximum(union, 1e-9)
