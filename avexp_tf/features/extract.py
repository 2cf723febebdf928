"""From a media file to features, tick by tick: one way for all who have such files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np

from avexp_tf import config as config_lib
from avexp_tf import recording
from avexp_tf.features import backbones
from avexp_tf.features import crop as crop_lib
from avexp_tf.features import detection
from avexp_tf.features import faces as faces_lib
from avexp_tf.features import lld_stream
from avexp_tf.features import settings
from avexp_tf.features import sound_track
from avexp_tf.features import timeline
from avexp_tf.media import audio_reader
from avexp_tf.media import damage
from avexp_tf.media import frame_reader
from avexp_tf.media import probe

_BLOCK_TICKS = 256
_NO_FACE = faces_lib.Sighting(None, None, 0.0)
_N_TARGETS = len(config_lib.TARGETS)


@dataclasses.dataclass(frozen=True)
class Features:
    """A stretch of ticks, and what was seen on the way.

    Attributes:
      block: The features; no label is valid.
      boxes: Of the face, in pixels of the upright picture, float32 [n, 4]: left, top,
        right, bottom; NaN where there is none, or crops came ready-made.
      scores: Of the face, or the highest that was too low for one, float32 [n].
      frames: Which frame of the video is shown, int64 [n]; -1 for none.
    """

    block: recording.Block
    boxes: np.ndarray
    scores: np.ndarray
    frames: np.ndarray


class Extractor:
    """Turns media files into features.

    The networks are made when they are first needed, and stay behind when the object
    is sent to another process.

    Args:
      config: The settings.

    Attributes:
      config: The settings.
      video: What the video columns are.
      audio: What the audio columns are.

    Raises:
      errors.DataError: if a network is not there.
    """

    def __init__(self, config: settings.FeatureConfig):
        self.config = config
        self.video = backbones.features(config)
        self.audio = lld_stream.feature_set()
        self._backbone: backbones.Backbone | None = None
        self._detector: detection.FaceDetector | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_backbone": None, "_detector": None}

    def settings_json(self) -> dict[str, Any]:
        """Returns what the features depend on, without paths of this machine."""
        values = config_lib.to_dict(self.config)
        for name in ("visual_weights", "visual_batch", "visual_backbone"):
            del values[name]
        if not self.config.onnx_path:
            values = {
                name: value
                for name, value in values.items()
                if not name.startswith("onnx_")
            }
        return values

    def read(
        self,
        path: str | os.PathLike[str],
        clock: str = "30hz",
        faces: faces_lib.FaceSource | None = None,
        side: str = "",
        report: Callable[[str], None] = lambda line: None,
    ) -> Iterator[Features]:
        """Yields the features of a file in order, a few hundred ticks at a time.

        Args:
          path: A media file.
          clock: `30hz`, or `frames` for one tick per frame at its own time stamp.
          faces: Where faces come from; None looks for them.
          side: Whom to follow; see `FaceTracker`.
          report: Takes a line about what was damaged.

        Yields:
          At least one stretch, none of them empty.

        Raises:
          errors.DataError: if the file can't be opened, holds nothing that can be
            decoded, or lies about its times; on the clock `frames`, if it has no frame.
        """
        info = probe.probe(path)
        frames = frame_reader.FrameReader(path)
        blocks = audio_reader.AudioReader(path)
        make_ticks = {"30hz": timeline.clock_ticks, "frames": timeline.frame_ticks}
        stretch = _Stretch(self._faces(faces, side), self.config.background)
        pieces = iter(blocks)
        with sound_track.SoundTrack(pieces) as sound:
            for tick in make_ticks[clock](frames, sound):
                stretch.add(tick)
                if len(stretch) == _BLOCK_TICKS:
                    yield self._features(stretch)
                    stretch.clear()
            if len(stretch):
                yield self._features(stretch)
        for _ in pieces:
            pass  # sound beyond the last picture: the file does not end before it
        for line in damage.notes(info, frames, blocks, clock == "frames"):
            report(line)

    def _faces(
        self, faces: faces_lib.FaceSource | None, side: str
    ) -> faces_lib.FaceSource:
        if faces is not None:
            return faces
        if self._detector is None:
            self._detector = detection.make(self.config)
        return faces_lib.DetectedFaces(self._detector, self.config, side)

    def _features(self, stretch: _Stretch) -> Features:
        if self._backbone is None:
            self._backbone = backbones.make(self.config)
        n_ticks = len(stretch)
        video = np.zeros((n_ticks, self.video.dim), np.float32)
        present = stretch.crop_rows >= 0
        if stretch.crops:
            described = self._backbone.describe(np.stack(stretch.crops))
            video[present] = described[stretch.crop_rows[present]]
        background = None
        if self.config.background:
            background = np.zeros_like(video)
            if stretch.scenes:
                described = self._backbone.describe(np.stack(stretch.scenes))
                shown = stretch.scene_rows >= 0
                background[shown] = described[stretch.scene_rows[shown]]
        return Features(
            block=recording.Block(
                timestamps=np.array(stretch.secs, np.float64),
                video=video,
                audio=np.stack(stretch.llds),
                labels=np.zeros((n_ticks, _N_TARGETS), np.float32),
                label_valid=np.zeros((n_ticks, _N_TARGETS), bool),
                video_present=present,
                audio_present=np.array(stretch.heard, bool),
                background=background,
            ),
            boxes=np.stack(stretch.boxes),
            scores=np.array(stretch.scores, np.float32),
            frames=np.array(stretch.frames, np.int64),
        )


class _Stretch:
    """Ticks whose faces have been found and not yet described.

    Each picture is described once, however many ticks show it; the frames themselves
    are let go at once.
    """

    def __init__(self, faces: faces_lib.FaceSource, background: bool):
        self._faces = faces
        self._background = background
        self._frame: Any = None
        self._sighting = _NO_FACE
        self._scene: np.ndarray | None = None
        self.clear()

    def __len__(self) -> int:
        return len(self.secs)

    @property
    def crop_rows(self) -> np.ndarray:
        """Which of `crops` each tick shows, int [n]; -1 for none."""
        return np.array(self._crop_rows, int)

    @property
    def scene_rows(self) -> np.ndarray:
        """Which of `scenes` each tick shows, int [n]; -1 for none."""
        return np.array(self._scene_rows, int)

    def clear(self) -> None:
        self.secs: list[float] = []
        self.llds: list[np.ndarray] = []
        self.heard: list[bool] = []
        self.boxes: list[np.ndarray] = []
        self.scores: list[float] = []
        self.frames: list[int] = []
        self.crops: list[np.ndarray] = []
        self.scenes: list[np.ndarray] = []
        self._crop_rows: list[int] = []
        self._scene_rows: list[int] = []
        self._is_stored = False

    def add(self, tick: timeline.Tick) -> None:
        if tick.frame is not None and tick.frame is not self._frame:
            self._look(tick.frame)
        sighting = self._sighting if tick.frame is not None else _NO_FACE
        if tick.frame is not None and not self._is_stored:
            self._store()
        has_crop = sighting.crop is not None
        has_scene = tick.frame is not None and self._scene is not None
        self._crop_rows.append(len(self.crops) - 1 if has_crop else -1)
        self._scene_rows.append(len(self.scenes) - 1 if has_scene else -1)
        self.secs.append(tick.secs)
        self.llds.append(tick.lld)
        self.heard.append(tick.audio_present)
        no_box = np.full(4, np.nan, np.float32)
        self.boxes.append(no_box if sighting.box is None else sighting.box)
        self.scores.append(sighting.score)
        self.frames.append(-1 if tick.frame is None else tick.frame.index)

    def _look(self, frame: Any) -> None:
        self._frame = frame
        self._sighting = self._faces.find(frame)
        if self._background:
            self._scene = crop_lib.background(frame.image_bgr(), self._sighting.box)
        self._is_stored = False

    def _store(self) -> None:
        if self._sighting.crop is not None:
            self.crops.append(self._sighting.crop)
        if self._scene is not None:
            self.scenes.append(self._scene)
        self._is_stored = True
