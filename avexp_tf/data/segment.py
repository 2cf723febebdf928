"""A stretch of one recording as a record stores it."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Segment:
    """What one record holds; the arrays are named as in `avexp_tf.data.schema`.

    Attributes:
      recording_id: The recording that it was cut from.
      subject_id: Who is seen and heard.
      segment_index: Its number in the recording, from 0.
      first_tick: The tick of the recording that its first row stands for.
      video: float16 [n, video_dim]; zeros where not present.
      audio: LLDs, not normalised, with their context margin: float32
        [n + C - 1, audio_dim]; zeros where not present. Tick k of the segment is row
        `context_before + k`.
      labels: Valence and arousal, float32 [n, 2]; 0 where not valid.
      label_valid: uint8 [n, 2].
      video_present: uint8 [n].
      audio_present: uint8 [n].
      margin_present: Presence of the margin's audio rows, uint8 [C - 1]: those before
        the first tick, then those after the last. Beyond the recording's ends it is 0.
      timestamps: Seconds since the recording's start, float64 [n].
      background: float16 [n, video_dim], or None.
    """

    recording_id: str
    subject_id: str
    segment_index: int
    first_tick: int
    video: np.ndarray
    audio: np.ndarray
    labels: np.ndarray
    label_valid: np.ndarray
    video_present: np.ndarray
    audio_present: np.ndarray
    margin_present: np.ndarray
    timestamps: np.ndarray
    background: np.ndarray | None = None

    @property
    def n_ticks(self) -> int:
        """Ticks in the segment, without the margin."""
        return len(self.timestamps)

    def stream_present(self, context_before: int) -> np.ndarray:
        """Returns the presence of every row of `audio`, uint8 [n + C - 1].

        Args:
          context_before: Margin rows that lie before the first tick.
        """
        before, after = np.split(self.margin_present, [context_before])
        return np.concatenate([before, self.audio_present, after])
