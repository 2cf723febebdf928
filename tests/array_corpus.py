"""A corpus of random numbers for tests; it can be sent to worker processes."""

import hashlib
import os
import signal
import time

import numpy as np

from avexp_tf import errors
from avexp_tf import recording


def ticks(recording_id, n, video_dim=3, audio_dim=2):
    """One block with every tick of a recording, gaps included, the same each time."""
    seed = int.from_bytes(hashlib.sha256(recording_id.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    timestamps = np.cumsum(rng.uniform(0.01, 0.05, n))
    video = rng.normal(size=(n, video_dim))
    audio = rng.normal(3.0, 2.0, size=(n, audio_dim))
    audio[::5] = 0  # silence that is heard, as where energy and pitch are described
    return recording.Block(
        timestamps=timestamps,
        video=video,
        audio=audio,
        labels=rng.uniform(-1, 1, (n, 2)),
        label_valid=rng.random((n, 2)) < 0.8,
        video_present=rng.random(n) < 0.7,
        audio_present=rng.random(n) < 0.7,
    )


def rows(block, start, stop):
    """Rows of a block."""
    return recording.Block(
        **{
            name: None if array is None else array[start:stop]
            for name, array in vars(block).items()
        }
    )


class ArrayCorpus:
    """Recordings `r0`, `r1`, ... of given lengths, two per subject.

    Args:
      lengths: Ticks of each recording.
      block_ticks: Ticks of a block.
      fails_at: A recording that can't be read.
      pause_secs: Waits so long before each block.
      background_in: Recordings with a background.
      split: That all recordings ask for.
    """

    name = "array"
    video = recording.FeatureSet("random", "1", 3)
    audio = recording.FeatureSet("noise", "2", 2)

    def __init__(
        self,
        lengths,
        block_ticks=7,
        fails_at=None,
        pause_secs=0.0,
        background_in=(),
        split=None,
    ):
        self.lengths = {f"r{i}": n for i, n in enumerate(lengths)}
        self.config = {"lengths": list(lengths)}
        self._block_ticks = block_ticks
        self._fails_at = fails_at
        self._pause_secs = pause_secs
        self._background_in = background_in
        self._split = split

    def recordings(self):
        return [
            recording.RecordingInfo(name, f"s{i // 2}", f"s{i // 2}", self._split)
            for i, name in enumerate(self.lengths)
        ]

    def read(self, recording_id):
        if recording_id == self._fails_at:
            raise errors.DataError(f"{recording_id}: is broken")
        n = self.lengths[recording_id]
        block = ticks(recording_id, n)
        if recording_id in self._background_in:
            block = recording.Block(**{**vars(block), "background": block.video})
        for start in range(0, n, self._block_ticks):
            time.sleep(self._pause_secs)
            yield rows(block, start, start + self._block_ticks)


class Crashes(ArrayCorpus):
    """A corpus one of whose files kills what decodes it."""

    def read(self, recording_id):
        if recording_id == self._fails_at:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().read(recording_id)


class NeedsExtra(ArrayCorpus):
    """A corpus that needs what is not installed."""

    def read(self, recording_id):
        raise errors.MissingExtraError("this corpus", "nothing", "some")
