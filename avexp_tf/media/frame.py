"""One decoded picture and when it is shown."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


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
    """

    index: int
    secs: float
    duration_secs: float
    lost_before: bool
    decoded: Any

    def image_bgr(self) -> np.ndarray:
        """Returns the upright picture.

        Returns:
          uint8 [height, width, 3] in OpenCV's channel order, turned as the file's
          rotation says.
        """
        image = self.decoded.to_ndarray(format="bgr24")
        # FFmpeg counts degrees against the clock, as rot90 does; other angles than
        # multiples of 90 occur in no camera and are left alone.
        quarters, rest = divmod(self.decoded.rotation, 90)
        if rest or quarters % 4 == 0:
            return image
        return np.ascontiguousarray(np.rot90(image, quarters))
