"""From a media file to predictions, with what was seen and heard at each tick."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np

from avexp_tf import outputs
from avexp_tf import recording
from avexp_tf.features import extract
from avexp_tf.media import probe
from avexp_tf.serving import predictor as predictors


@dataclasses.dataclass(frozen=True)
class Ticks:
    """Consecutive ticks of one recording; all arrays share their first axis.

    Attributes:
      secs: Since the recording's start, float64 [n].
      values: Valence and arousal, float32 [n, 2].
      bounds: Of their intervals, float32 [n, 4] in the order of `outputs.BOUNDS`; [n,
        0] of a model without.
      video_present: A face was found, bool [n].
      audio_present: There was sound, bool [n].
      frames: Which frame of the video is shown, int64 [n]; -1 for none.
      boxes: Of the face, in pixels of the upright picture, float32 [n, 4]: left, top,
        right, bottom; NaN where there is none.
      scores: Of the face, or the highest that was too low for one, float32 [n].
    """

    secs: np.ndarray
    values: np.ndarray
    bounds: np.ndarray
    video_present: np.ndarray
    audio_present: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.secs)


class MediaPredictor:
    """Predicts media files.

    Args:
      predictor: Of the model.
      extractor: Of the model's features.
      clock: Of the model's ticks, see `Extractor.read`; a file without pictures is
        predicted on the clock `30hz`.

    Attributes:
      outputs: Names of the model's outputs.
    """

    def __init__(
        self,
        predictor: predictors.Predictor,
        extractor: extract.Extractor,
        clock: str,
    ):
        self.outputs = predictor.outputs
        self._predictor = predictor
        self._extractor = extractor
        self._clock = clock

    def predict(
        self,
        path: str | os.PathLike[str],
        report: Callable[[str], None] = lambda line: None,
        on_ticks: Callable[[int], object] = lambda n_ticks: None,
    ) -> Iterator[Ticks]:
        """Predicts one file, in memory that does not grow with its length.

        Args:
          path: The file.
          report: Takes a line about what was damaged.
          on_ticks: Called with the number of ticks whenever some have their features.

        Yields:
          Every tick once, in order; at least one.

        Raises:
          errors.DataError: if the file can't be used.
        """
        has_video = probe.probe(path).video_codec is not None
        clock = self._clock if has_video else "30hz"
        waiting = _Waiting()

        def blocks() -> Iterable[recording.Block]:
            for stretch in self._extractor.read(path, clock, report=report):
                waiting.add(stretch)
                on_ticks(len(stretch.block))
                yield stretch.block

        for found in self._predictor.stream(blocks(), os.fspath(path)):
            yield waiting.take(found.values)


class _Waiting:
    """What was seen and heard at ticks that have no prediction yet."""

    def __init__(self) -> None:
        self._pieces: list[dict[str, np.ndarray]] = []

    def add(self, stretch: extract.Features) -> None:
        self._pieces.append(
            {
                "secs": stretch.block.timestamps,
                "video_present": stretch.block.video_present,
                "audio_present": stretch.block.audio_present,
                "frames": stretch.frames,
                "boxes": stretch.boxes,
                "scores": stretch.scores,
            }
        )

    def take(self, values: np.ndarray) -> Ticks:
        """Returns the first ticks, with the model's outputs for them."""
        joined = {
            name: np.concatenate([piece[name] for piece in self._pieces])
            for name in self._pieces[0]
        }
        rest = {name: array[len(values) :] for name, array in joined.items()}
        self._pieces = [rest]
        taken = {name: array[: len(values)] for name, array in joined.items()}
        n_targets = outputs.N_TARGETS
        return Ticks(
            values=values[:, :n_targets], bounds=values[:, n_targets:], **taken
        )
