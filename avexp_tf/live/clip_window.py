"""The last ticks of a call, as clips for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.live import feature_stream
from avexp_tf.serving import predictor as predictors
from avexp_tf.serving import requests

_BATCH_CLIPS = 8


class ClipWindow:
    """Predicts each tick from the clip that ends with it.

    The first ticks of a call have shorter clips, as short recordings do.

    Args:
      predictor: Of the model; its context must be causal.
      every_ticks: Ticks from one that is predicted to the next; what lies between has
        the values of the one before.

    Raises:
      errors.DataError: if the model takes sound from after a tick.
    """

    def __init__(self, predictor: predictors.Predictor, every_ticks: int = 1):
        layout = predictor.manifest.layout
        if layout.context_after:
            raise errors.DataError(
                "this model was trained with --context=centered and takes "
                f"{layout.context_after} ticks of sound that are yet to come: a live "
                "call needs one of --context=causal"
            )
        self._model = predictor.model
        self._every_ticks = every_ticks
        self._last = np.zeros(len(predictor.outputs), np.float32)
        self._clip_ticks = predictor.data.clip_ticks
        self._margin = layout.context_ticks - 1
        self._has_background = layout.has_background
        self._dims = {"video": layout.video_dim, "audio": layout.audio_dim}
        if layout.has_background:
            self._dims["background"] = layout.video_dim
        self._restart()

    def _restart(self) -> None:
        self._n_filled = 0
        self._rows: dict[str, np.ndarray] = {
            name: np.zeros((self._n_rows(name), dim), np.float32)
            for name, dim in self._dims.items()
        }
        for name in config.MODALITIES:
            self._rows[f"{name}_present"] = np.zeros(self._clip_ticks, bool)

    def predict(self, ticks: Sequence[feature_stream.TickFeatures]) -> np.ndarray:
        """Takes the next ticks and predicts them.

        Args:
          ticks: In order, none left out but where `restarted` says so.

        Returns:
          The model's outputs, float32 [n, 2 or 6]; see `avexp_tf.outputs`.

        Raises:
          errors.AvexpError: if the model can't be run.
        """
        places: list[int] = []
        values: list[np.ndarray] = []
        clips: list[dict[str, np.ndarray]] = []
        for k, tick in enumerate(ticks):
            clip = self._add(tick)
            if not tick.restarted and tick.index % self._every_ticks:
                continue
            n_ticks = len(clip["video"])
            if clips and (
                len(clips) == _BATCH_CLIPS or n_ticks != len(clips[0]["video"])
            ):
                values.extend(self._run(clips))
                clips = []
            clips.append(clip)
            places.append(k)
        if clips:
            values.extend(self._run(clips))
        found = np.zeros((len(ticks), len(self._last)), np.float32)
        due = dict(zip(places, values, strict=True))
        for k in range(len(ticks)):
            self._last = due.get(k, self._last)
            found[k] = self._last
        return found

    def _n_rows(self, name: str) -> int:
        return self._clip_ticks + (self._margin if name == "audio" else 0)

    def _add(self, tick: feature_stream.TickFeatures) -> dict[str, np.ndarray]:
        if tick.restarted:
            self._restart()
        new: dict[str, Any] = {
            "video": tick.video,
            "audio": requests.sound_rows(tick.audio, np.array(tick.audio_present)),
            "video_present": tick.video_present,
            "audio_present": tick.audio_present,
            "background": tick.background,
        }
        self._n_filled = min(self._n_filled + 1, self._clip_ticks)
        clip = {}
        for name, rows in self._rows.items():
            # A new array each time, so that clips of a batch keep theirs.
            self._rows[name] = rows = np.concatenate([rows[1:], rows[:1]])
            rows[-1] = new[name]
            unfilled = self._clip_ticks - self._n_filled
            clip[name] = rows[unfilled:]
        return clip

    def _run(self, clips: list[dict[str, np.ndarray]]) -> np.ndarray:
        batch = {name: np.stack([clip[name] for clip in clips]) for name in clips[0]}
        return self._model.predict(batch)[:, -1]
