"""One decoded picture and when it is shown."""

from __future__ import annotations

import dataclasses
from typing import Any
from typing import Protocol

import av
import numpy as np

# Before 17, PyAV has no other way; since then it starts threads for every picture.
_ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


class Picture(Protocol):
    """What a face is looked for in: a frame of a file or of a camera."""

    @property
    def index(self) -> int:
        """Position in the video, from 0."""
        ...

    def image_bgr(self) -> np.ndarray:
        """Returns the upright picture, uint8 [height, width, 3]."""
        ...


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
      index: Position in the video, from 0, in the order of display.
      secs: When it is shown, from its own time stamp, in seconds since the recording's
        start.
      duration_secs: For how long, as the file says, or else one average period.
      lost_before: Pictures between this one and the one before could not be decoded.
      decoded: The `av.VideoFrame`; turned into pixels only when they are asked for.
      reformatter: Turns pixels to BGR. One for all frames of a reader: to set one up
        takes 4 to 7 ms, to use it 0.5 ms (960x540).
      pixel_aspect: Width of a pixel over its height.
    """

    index: int
    secs: float
    duration_secs: float
    lost_before: bool
    decoded: Any
    reformatter: Any
    pixel_aspect: float = 1.0

    def image_bgr(self) -> np.ndarray:
        """Returns the upright picture; see `upright_bgr`."""
        return upright_bgr(self.decoded, self.reformatter, self.pixel_aspect)


def upright_bgr(decoded: Any, reformatter: Any, pixel_aspect: float) -> np.ndarray:
    """Returns a decoded picture as it is to be looked at.

    Args:
      decoded: An `av.VideoFrame`.
      reformatter: An `av.video.reformatter.VideoReformatter`, the same for a stream.
      pixel_aspect: Width of a pixel over its height; those of the result are square.

    Returns:
      uint8 [height, width, 3] in OpenCV's channel order, flipped and turned as the
      frame's display matrix says.
    """
    width = shown_width(decoded, pixel_aspect)
    image = reformatter.reformat(
        decoded, width=width, format="bgr24", **_ONE_THREAD
    ).to_ndarray()
    if _is_mirrored(decoded):
        # The angle is that of the picture's rows, whichever way its columns go.
        image = image[::-1]
    # FFmpeg counts degrees against the clock, as rot90 does; other angles than
    # multiples of 90 occur in no camera and are left alone.
    quarters, rest = divmod(decoded.rotation, 90)
    return np.ascontiguousarray(image if rest else np.rot90(image, quarters))


def shown_width(decoded: Any, pixel_aspect: float) -> int:
    """Returns how wide a decoded picture is in square pixels, before it is turned."""
    return max(1, round(decoded.width * pixel_aspect))


def _is_mirrored(decoded: Any) -> bool:
    matrix = decoded.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return a * d - b * c < 0
