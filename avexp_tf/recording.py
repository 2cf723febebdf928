"""What every corpus yields: a list of recordings, and each one's ticks in blocks.

A block is a stretch of consecutive ticks, of any length, so that a recording of ten
hours never has to fit in memory. All arrays share their first axis, the ticks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import runtime_checkable

import numpy as np

SPLITS = ("train", "dev", "validation", "test")


@dataclasses.dataclass(frozen=True)
class RecordingInfo:
    """One recording, before anything of it is read.

    Attributes:
      recording_id: Unique in the corpus.
      subject_id: Who is seen and heard.
      split_group: No group is ever in two splits: the subject, unless the corpus's
        own protocol splits by something else.
      split: `train`, `dev`, `validation` or `test`, from the corpus's own lists; None
        leaves the choice to a stable digest of the group.
    """

    recording_id: str
    subject_id: str
    split_group: str
    split: str | None = None


@dataclasses.dataclass(frozen=True)
class Block:
    """Consecutive ticks of one recording.

    Attributes:
      timestamps: Seconds, float64 [n], rising: since the recording's start, or what a
        table says.
      video: Features of the frame at each tick, float [n, video_dim]; what stands in
        a row without `video_present` is ignored.
      audio: Mean LLD of each tick, not normalised, float [n, audio_dim]; what stands
        in a row without `audio_present` is ignored.
      labels: Valence and arousal in [-1, 1], float [n, 2]; ignored where not valid.
      label_valid: bool [n, 2].
      video_present: A face was found, bool [n].
      audio_present: There was sound, bool [n].
      background: Features of the frame with its face blanked, float [n, video_dim],
        or None.
    """

    timestamps: np.ndarray
    video: np.ndarray
    audio: np.ndarray
    labels: np.ndarray
    label_valid: np.ndarray
    video_present: np.ndarray
    audio_present: np.ndarray
    background: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.timestamps)


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """What the columns of a modality are.

    Attributes:
      name: For example `vggface_fc6` or `IS13_lld`.
      version: Of the extractor.
      dim: Number of columns.
    """

    name: str
    version: str
    dim: int


class Corpus(Protocol):
    """A source of recordings.

    Attributes:
      name: Name of the kind of corpus, as in `--corpus`.
      video: Video feature set.
      audio: Audio feature set.
      config: The corpus's own settings, JSON; kept in the manifest.
    """

    name: str
    video: FeatureSet
    audio: FeatureSet
    config: dict[str, Any]

    def recordings(self) -> Sequence[RecordingInfo]:
        """Lists all recordings, always in the same order, without reading them."""
        ...

    def read(self, recording_id: str) -> Iterator[Block]:
        """Yields the ticks of one recording in order.

        Raises:
          errors.DataError: if the recording's files can't be used.
        """
        ...


@runtime_checkable
class HasContentKeys(Protocol):
    """A corpus that can tell which recordings a change of its input touches.

    Without it, all recordings are prepared anew when anything in `Corpus.config` is
    another; with it, only those whose key is.
    """

    def content_key(self, recording_id: str) -> dict[str, Any]:
        """Returns the settings and digests that one recording's ticks follow from."""
        ...
