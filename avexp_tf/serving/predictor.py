"""Predicts recordings of any length with a model that takes clips.

A recording is cut as records are, and clips lie in it as in evaluation: the same
features give the same numbers here as from `avexp-evaluate` on prepared records.
Nothing here needs TensorFlow; what runs the model is a `ClipModel`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from avexp_tf import config
from avexp_tf import outputs
from avexp_tf import recording
from avexp_tf.data import manifest as manifests
from avexp_tf.data import segment as segment_lib
from avexp_tf.data import segmenter
from avexp_tf.serving import requests

BATCH_CLIPS = 8  # at once; a server takes no batch of any size


class ClipModel(Protocol):
    """Runs a model on a batch of clips: a SavedModel, a LiteRT file, a server."""

    def predict(self, clips: Mapping[str, np.ndarray]) -> np.ndarray:
        """Predicts clips, all of one length T.

        Args:
          clips: `video` float32 [B, T, video_dim]; `audio` float32 [B, T + C - 1,
            audio_dim], not normalised; `video_present`, `audio_present` bool [B, T].
            What is not present is zeros. Where the records have one, `background`
            float32 [B, T, video_dim]. A model takes of them what it needs.

        Returns:
          Its outputs, float32 [B, T, 2 or 6]; see `avexp_tf.outputs`.

        Raises:
          errors.AvexpError: if they can't be predicted.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Consecutive ticks of one recording.

    Attributes:
      first_tick: The tick of the recording that row 0 stands for.
      values: The model's outputs, float32 [n, 2 or 6]; see `avexp_tf.outputs`.
    """

    first_tick: int
    values: np.ndarray


class Predictor:
    """Cuts recordings into clips, and averages predictions where clips overlap.

    Args:
      model: Runs the clips.
      manifest: Of the records that the model was trained on.
      data: How it was evaluated: `clip_ticks` and `eval_stride`.
      interval: Of the model; see `config.ModelConfig`.

    Attributes:
      manifest: Likewise.
      data: Likewise.
      model: Likewise.
      outputs: Names of the model's outputs.
    """

    def __init__(
        self,
        model: ClipModel,
        manifest: manifests.Manifest,
        data: config.DataConfig,
        interval: float = 0.0,
    ):
        self.manifest = manifest
        self.data = data
        self.model = model
        self.outputs = outputs.names(interval)

    def predict(self, block: recording.Block) -> np.ndarray:
        """Predicts a recording that is in memory.

        Args:
          block: All of its ticks; labels are ignored.

        Returns:
          The outputs, float32 [n, 2 or 6].

        Raises:
          errors.DataError: if the features are not of the model's widths.
        """
        nothing = np.zeros((0, len(self.outputs)), np.float32)
        found = [prediction.values for prediction in self.stream([block])]
        return np.concatenate([nothing, *found])

    def stream(
        self, blocks: Iterable[recording.Block], name: str = "recording"
    ) -> Iterator[Prediction]:
        """Predicts a recording of any length.

        Holds about three segments of the manifest's `segment_ticks` at a time.

        Args:
          blocks: Its ticks in order; labels are ignored.
          name: Of the recording, for messages.

        Yields:
          Every tick once, in order; nothing for a recording without a tick.

        Raises:
          errors.DataError: if the features break a rule of the records.
        """
        info = recording.RecordingInfo(name, subject_id=name, split_group=name)
        filled = (block for block in blocks if len(block))
        for segment in segmenter.cut(
            filled, info, self.manifest.layout, self.manifest.records.segment_ticks
        ):
            yield Prediction(segment.first_tick, self._segment(segment))

    def _segment(self, segment: segment_lib.Segment) -> np.ndarray:
        # A segment shorter than T is one shorter clip: padding would be masked.
        clip_ticks = min(self.data.clip_ticks, segment.n_ticks)
        starts = clip_starts(segment.n_ticks, clip_ticks, self.data.clip_stride)
        total = np.zeros((segment.n_ticks, len(self.outputs)))
        count = np.zeros((segment.n_ticks, 1))
        for first in range(0, len(starts), BATCH_CLIPS):
            batch = starts[first : first + BATCH_CLIPS]
            predicted = self.model.predict(self._clips(segment, batch, clip_ticks))
            for start, values in zip(batch, predicted, strict=True):
                total[start : start + clip_ticks] += values
                count[start : start + clip_ticks] += 1
        return (total / count).astype(np.float32)

    def _clips(
        self, segment: segment_lib.Segment, starts: list[int], clip_ticks: int
    ) -> dict[str, np.ndarray]:
        margin = self.manifest.layout.context_ticks - 1

        def cut(rows: np.ndarray, n_rows: int, dtype: type) -> np.ndarray:
            clips = [rows[start : start + n_rows] for start in starts]
            return np.stack(clips).astype(dtype, copy=False)

        heard = segment.stream_present(self.manifest.layout.context_before) > 0
        audio = requests.sound_rows(segment.audio, heard)
        clips = {
            "video": cut(segment.video, clip_ticks, np.float32),
            "audio": cut(audio, clip_ticks + margin, np.float32),
            "video_present": cut(segment.video_present, clip_ticks, bool),
            "audio_present": cut(segment.audio_present, clip_ticks, bool),
        }
        if segment.background is not None:
            clips["background"] = cut(segment.background, clip_ticks, np.float32)
        return clips


def for_experiment(
    model: ClipModel,
    manifest: manifests.Manifest,
    experiment: config.ExperimentConfig,
    eval_stride: int = 0,
) -> Predictor:
    """Returns a predictor with clips as in training.

    Args:
      model: Runs the clips.
      manifest: Of the records that the model was trained on.
      experiment: The settings that it was trained with.
      eval_stride: Ticks between clips; 0 as in training.
    """
    data = experiment.data
    if eval_stride:
        data = dataclasses.replace(data, eval_stride=eval_stride)
    return Predictor(model, manifest, data, experiment.model.interval)


def clip_starts(n_ticks: int, clip_ticks: int, stride: int) -> list[int]:
    """Returns where clips start, as `data.clips.evaluation_starts` does.

    Args:
      n_ticks: Of the segment.
      clip_ticks: T.
      stride: Ticks from one start to the next; above T, ticks in between would stay
        without a prediction, and T is taken.

    Returns:
      Multiples of the stride, and a last clip that ends with the segment.
    """
    last = max(n_ticks - clip_ticks, 0)
    starts = list(range(0, last + 1, min(stride, clip_ticks)))
    return starts if starts[-1] == last else [*starts, last]
