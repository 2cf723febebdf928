"""Draws on one picture what a model says, and what it got to see and hear."""

from __future__ import annotations

import cv2
import numpy as np

from avexp_tf import config
from avexp_tf.serving import media_predictor

BEHIND_SECS = 7.0
AHEAD_SECS = 3.0
_MOST_PICTURE = (1280, 720)  # width and height that a picture is made to fit into
_LEAST_WIDTH = 640
_HEIGHT = 190  # of the panel below the picture
_TEXT_WIDTH = 190  # of the numbers left of the traces
_STRIP = 18  # height of one modality's strip
_PAD = 10

# BGR.
_INK = (235, 235, 235)
_DIM = (95, 95, 95)
_GROUND = (28, 28, 28)
_COLORS = {"valence": (235, 170, 70), "arousal": (60, 150, 250)}
_PRESENT = (95, 175, 80)
_ABSENT = (70, 70, 200)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.6


class OverlayPanel:
    """Lays out pictures of one size with the panel below them.

    Args:
      width: Of the pictures, in pixels.
      height: Of the pictures.

    Attributes:
      width: Of what it draws, even.
      height: Of what it draws, even.
    """

    def __init__(self, width: int, height: int):
        self._scale = min(1.0, _MOST_PICTURE[0] / width, _MOST_PICTURE[1] / height)
        self._picture_width = max(1, round(width * self._scale))
        self._picture_height = max(1, round(height * self._scale))
        self.width = _even(max(self._picture_width, _LEAST_WIDTH))
        self.height = _even(self._picture_height) + _HEIGHT
        self._left = (self.width - self._picture_width) // 2

    def draw(
        self, image_bgr: np.ndarray | None, ticks: media_predictor.Ticks, secs: float
    ) -> np.ndarray:
        """Draws one picture with its panel.

        Args:
          image_bgr: uint8 [height, width, 3]; None where the file shows nothing.
          ticks: Those around the time, at least one.
          secs: The time.

        Returns:
          uint8 [height, width, 3], BGR.
        """
        canvas = np.full((self.height, self.width, 3), _GROUND, np.uint8)
        # The first tick that shows this picture is the one at or after it.
        now = min(int(np.searchsorted(ticks.secs, secs - 1e-6)), len(ticks) - 1)
        if image_bgr is None:
            _text(canvas, "no picture", (self._left + _PAD, 24), _ABSENT)
        else:
            self._draw_picture(canvas, image_bgr, ticks, now)
        self._draw_panel(canvas[-_HEIGHT:], ticks, now, secs)
        return canvas

    def _draw_picture(
        self,
        canvas: np.ndarray,
        image_bgr: np.ndarray,
        ticks: media_predictor.Ticks,
        now: int,
    ) -> None:
        shown = canvas[
            : self._picture_height, self._left : self._left + self._picture_width
        ]
        size = (self._picture_width, self._picture_height)
        # A file may change the size of its pictures; all are made to fit.
        scale = np.array(size) / image_bgr.shape[1::-1]
        shown[:] = cv2.resize(image_bgr, size, interpolation=cv2.INTER_AREA)
        score = f"{ticks.scores[now]:.2f}"
        if not ticks.video_present[now]:
            _text(shown, f"no face ({score})", (_PAD, 24), _ABSENT)
        elif not np.isnan(ticks.boxes[now]).any():
            left, top, right, bottom = (ticks.boxes[now] * np.tile(scale, 2)).astype(
                int
            )
            cv2.rectangle(shown, (left, top), (right, bottom), _PRESENT, 2)
            _text(shown, score, (left, max(top - 6, 14)), _PRESENT)

    def _draw_panel(
        self,
        panel: np.ndarray,
        ticks: media_predictor.Ticks,
        now: int,
        secs: float,
    ) -> None:
        left, right = _TEXT_WIDTH, self.width - _PAD
        strips = _HEIGHT - len(config.MODALITIES) * (_STRIP + 4) - _PAD
        top, bottom = _PAD, strips - _PAD
        first = secs - BEHIND_SECS
        pixels_per_sec = (right - left) / (BEHIND_SECS + AHEAD_SECS)
        x = left + (ticks.secs - first) * pixels_per_sec
        middle = (top + bottom) // 2
        for y in (top, middle, bottom):
            cv2.line(panel, (left, y), (right, y), _DIM, 1)
        _text(panel, _clock(secs), (_PAD, 26), _INK)
        inside = (x >= left) & (x <= right)
        for column, target in enumerate(config.TARGETS):
            value = float(ticks.values[now, column])
            height = (bottom - top) / 2
            y = middle - np.clip(ticks.values[:, column], -1, 1) * height
            points = np.stack([x, y], axis=1)[inside]
            cv2.polylines(
                panel, [np.round(points * 8).astype(np.int32)], False,
                _COLORS[target], 2, cv2.LINE_AA, 3,
            )  # fmt: skip
            place = (_PAD, 56 + 26 * column)
            _text(panel, f"{target} {value:+.2f}", place, _COLORS[target])
        # A tick lasts until the next one.
        ends = np.append(x[1:], x[-1] + pixels_per_sec / 30)
        for row, name in enumerate(config.MODALITIES):
            y0 = strips + row * (_STRIP + 4)
            present = getattr(ticks, f"{name}_present")
            label = name if present[now] else f"no {name}"
            color = _PRESENT if present[now] else _ABSENT
            _text(panel, label, (_PAD, y0 + 14), color)
            for start, stop, there in _runs(present):
                x0, x1 = np.clip([x[start], ends[stop - 1]], left, right)
                if x1 > x0:
                    cv2.rectangle(
                        panel,
                        (round(x0), y0),
                        (round(x1), y0 + _STRIP),
                        _PRESENT if there else _ABSENT,
                        cv2.FILLED,
                    )
        cursor = round(left + BEHIND_SECS * pixels_per_sec)
        cv2.line(panel, (cursor, top), (cursor, _HEIGHT - _PAD), _INK, 1)


def _runs(present: np.ndarray) -> list[tuple[int, int, bool]]:
    """Returns start, stop and value of each stretch of equal values."""
    edges = np.flatnonzero(np.diff(present.astype(np.int8))) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), len(present)]
    return [(a, b, bool(present[a])) for a, b in zip(starts, stops, strict=True)]


def _text(
    image: np.ndarray, text: str, place: tuple[int, int], color: tuple[int, int, int]
) -> None:
    # On a ground of its own: pictures may be bright where the text stands.
    (width, height), below = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    x, y = place
    cv2.rectangle(
        image, (x - 3, y - height - 4), (x + width + 3, y + below), _GROUND, cv2.FILLED
    )
    cv2.putText(image, text, place, _FONT, _FONT_SCALE, color, 1, cv2.LINE_AA)


def _clock(secs: float) -> str:
    minutes, rest = divmod(max(secs, 0.0), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _even(pixels: int) -> int:
    return pixels + pixels % 2
