"""Several models side by side on the same call, under the same losses."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import outputs
from avexp_tf.live import call_losses
from avexp_tf.live import feature_stream
from avexp_tf.serving import predictor as predictors
from avexp_tf.serving import requests

HERE = "here"
REPEATED = "repeated"  # an earlier one is shown
LOST = "lost"
OFF = "off"
NOTHING = "nothing"  # it came, and there is no face in it, or no sound


@dataclasses.dataclass(frozen=True)
class Moment:
    """What several models say of one tick.

    Attributes:
      index: Of the tick.
      secs: Its time, on the clock of the packets.
      values: Valence and arousal, float32 [models, 2].
      truth: What is known of them, float32 [2]; or None.
      states: Per modality `HERE`, `REPEATED`, `LOST`, `OFF` or `NOTHING`.
      picture: Number of the picture that is shown; -1 for none.
      box: Of the face in it: left, top, right, bottom in pixels; or None.
      model_secs: What the models took.
    """

    index: int
    secs: float
    values: np.ndarray
    truth: np.ndarray | None
    states: dict[str, str]
    picture: int
    box: np.ndarray | None
    model_secs: float


class Comparison:
    """Predicts ticks with several models that take the same features.

    Each tick is predicted from the clip that ends with it, as in `ClipWindow`; what is
    lost is a source map over the clip, as in training and in `avexp-evaluate`.

    Args:
      models: By what they are called.
      every_ticks: Ticks from one that is predicted to the next.
      seed: Of the losses.

    Attributes:
      losses: What is lost from the next tick on.
      names: Of the models.

    Raises:
      errors.DataError: if a model takes sound from after a tick, or they take different
        features.
    """

    def __init__(
        self,
        models: Mapping[str, predictors.Predictor],
        every_ticks: int = 1,
        seed: int = 0,
    ):
        self.losses = call_losses.LossSettings()
        self.names = tuple(models)
        self._predictors = list(models.values())
        self._every_ticks = every_ticks
        check_same_features(models)
        clip_ticks = max(one.data.clip_ticks for one in self._predictors)
        margin = max(one.manifest.layout.context_ticks - 1 for one in self._predictors)
        self._rows: collections.deque[_Row] = collections.deque(
            maxlen=clip_ticks + margin
        )
        self._draws = call_losses.CallLosses(clip_ticks, seed)

    def estimate(
        self,
        ticks: Sequence[feature_stream.TickFeatures],
        truths: Sequence[np.ndarray | None] | None = None,
    ) -> list[Moment]:
        """Takes the next ticks.

        Args:
          ticks: In order, none left out but where `restarted` says so.
          truths: What is known of valence and arousal at each of them.

        Returns:
          Those ticks that are predicted.

        Raises:
          errors.AvexpError: if a model can't be run.
        """
        losses = self.losses
        found = []
        for tick, truth in zip(ticks, truths or [None] * len(ticks), strict=True):
            if tick.restarted:
                self._rows.clear()
            self._rows.append(_Row(tick, self._draws.shown(tick.index, losses)))
            if tick.index % self._every_ticks == 0:
                found.append(self._moment(truth, losses))
        return found

    def _moment(
        self, truth: np.ndarray | None, losses: call_losses.LossSettings
    ) -> Moment:
        start = time.perf_counter()
        values = []
        for one in self._predictors:
            model: Any = one.model
            clip = self._clip(one)
            newest_outputs = model.predict_sources(clip)[0, -1]
            values.append(newest_outputs[: outputs.N_TARGETS])
        newest = self._rows[-1]
        source = newest.sources["video"]
        place = source - self._rows[0].tick.index
        shown = self._rows[place].tick if source >= 0 and place >= 0 else None
        return Moment(
            index=newest.tick.index,
            secs=newest.tick.secs,
            values=np.array(values, np.float32),
            truth=truth,
            states={name: self._state(name, losses) for name in config.MODALITIES},
            picture=-1 if shown is None else shown.picture,
            box=None if shown is None else shown.box,
            model_secs=time.perf_counter() - start,
        )

    def _state(self, modality: str, losses: call_losses.LossSettings) -> str:
        if modality in losses.off:
            return OFF
        newest = self._rows[-1]
        source = newest.sources[modality]
        place = source - self._rows[0].tick.index
        if source < 0 or place < 0:
            return LOST
        if not getattr(self._rows[place].tick, f"{modality}_present"):
            return NOTHING
        return HERE if source == newest.tick.index else REPEATED

    def _clip(self, predictor: predictors.Predictor) -> dict[str, np.ndarray]:
        """Returns the clip that ends with the newest tick, as a batch of one."""
        layout = predictor.manifest.layout
        margin = layout.context_ticks - 1
        rows = list(self._rows)
        ticks = rows[-predictor.data.clip_ticks :]
        n_ticks, first = len(ticks), ticks[0].tick.index
        audio = np.zeros((n_ticks + margin, layout.audio_dim), np.float32)
        heard = [
            requests.sound_rows(row.tick.audio, np.array(row.tick.audio_present))
            for row in rows[-(n_ticks + margin) :]
        ]
        audio[len(audio) - len(heard) :] = heard
        clip = {
            "video": np.array([row.tick.video for row in ticks], np.float32),
            "audio": audio,
        }
        scenes: np.ndarray = np.zeros(n_ticks, bool)
        if layout.has_background:
            clip["background"] = np.array(
                [
                    np.zeros(layout.video_dim, np.float32)
                    if row.tick.background is None
                    else row.tick.background
                    for row in ticks
                ]
            )
            scenes = np.any(clip["background"], axis=1)
        for name in config.MODALITIES:
            there = np.array([getattr(row.tick, f"{name}_present") for row in ticks])
            places = np.array([row.sources[name] for row in ticks]) - first
            # What would be repeated from before the clip is nothing, as in training.
            shown = np.where(places < 0, call_losses.NONE, places)
            missing = (shown >= 0) & ~there[shown]
            falls_back = missing & scenes[shown] & (name == "video")
            shown[missing] = call_losses.NONE
            shown[falls_back] = n_ticks + places[falls_back]
            clip[f"{name}_source"] = shown.astype(np.int32)
        return {name: rows[None] for name, rows in clip.items()}


@dataclasses.dataclass(frozen=True)
class _Row:
    tick: feature_stream.TickFeatures
    sources: dict[str, int]  # by modality, which tick is shown


def check_same_features(models: Mapping[str, predictors.Predictor]) -> None:
    """Checks that models can follow the same call.

    Args:
      models: By what they are called.

    Raises:
      errors.DataError: if one takes sound from after a tick, or two take different
        features.
    """
    first_name, first = next(iter(models.items()))
    for name, one in models.items():
        if one.manifest.layout.context_after:
            raise errors.DataError(
                f"{name}: trained with --context=centered: a live call needs a model "
                "of --context=causal"
            )
        for what in ("video", "audio", "has_background"):
            mine, other = (getattr(made.manifest, what) for made in (one, first))
            if mine != other:
                raise errors.DataError(
                    f"{name} and {first_name} take different features ({what}: {mine} "
                    f"and {other}): both must be trained on the same kind of records"
                )
        settings = [
            made.manifest.corpus_config.get("features") for made in (one, first)
        ]
        if settings[0] != settings[1]:
            raise errors.DataError(
                f"{name} and {first_name} were trained on features of different "
                "settings (--face_..., --visual_...): one call can't have both"
            )
