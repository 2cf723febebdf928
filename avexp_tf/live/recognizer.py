"""Valence and arousal of a call while it goes on."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from avexp_tf import config
from avexp_tf import outputs
from avexp_tf.features import timeline
from avexp_tf.live import clip_window
from avexp_tf.live import feature_stream
from avexp_tf.live import one_euro
from avexp_tf.live import settings as live_settings
from avexp_tf.serving import litert_model
from avexp_tf.serving import media_features
from avexp_tf.serving import model_source
from avexp_tf.serving import predictor as predictors

_RECENT_SECS = 1.0


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What is known of one tick.

    Attributes:
      index: Of the tick: it stands at index / 30 s after the origin.
      secs: Its time, on the clock of the packets.
      values: Valence and arousal, float32 [2]; smoothed if that is asked for.
      raw: The same as the model gave them.
      bounds: Of the values' intervals, float32 [4] in the order of `outputs.BOUNDS`,
        which go along where the values are smoothed; [0] of a model without.
      video_present: A picture of this tick came, and a face was found in it or in the
        one that stands for it.
      audio_present: There was sound.
      confidence: How much of the input of the last seconds was there, in [0, 1]: the
        shares of face (by the detector's score) and sound, where the last second
        counts most. It says nothing about how right the model is with that input.
      box: Of the face: left, top, right, bottom in pixels, float32 [4]; or None.
      score: Of the face, or the highest that was too low for one.
      picture: Number of the picture that was shown, in the order of arrival; or -1.
      restarted: The call started afresh here.
    """

    index: int
    secs: float
    values: np.ndarray
    raw: np.ndarray
    bounds: np.ndarray
    video_present: bool
    audio_present: bool
    confidence: float
    box: np.ndarray | None
    score: float
    picture: int
    restarted: bool


class Estimator:
    """Turns the features of ticks into estimates: window, confidence, smoothing.

    Args:
      predictor: Of the model.
      live: How the call is followed.
    """

    def __init__(self, predictor: predictors.Predictor, live: live_settings.LiveConfig):
        self._window = clip_window.ClipWindow(predictor, live.estimate_every)
        self._filter = None
        if live.smooth:
            self._filter = one_euro.OneEuro(live.smooth_cutoff_hz, live.smooth_speed)
        # Of each modality, what was there; older ticks fade.
        self._keep = math.exp(-1 / (_RECENT_SECS * timeline.TICK_RATE_HZ))
        self._there = np.zeros(len(config.MODALITIES))

    def estimate(self, ticks: Sequence[feature_stream.TickFeatures]) -> list[Estimate]:
        """Returns the estimates of the next ticks.

        Raises:
          errors.AvexpError: if the model can't be run.
        """
        found = []
        n_targets = outputs.N_TARGETS
        for tick, predicted in zip(ticks, self._window.predict(ticks), strict=True):
            values = raw = predicted[:n_targets]
            bounds = predicted[n_targets:]
            if tick.restarted:
                self._there[:] = 0
            if self._filter is not None:
                if tick.restarted:
                    self._filter.reset()
                values = self._filter.smooth(tick.secs, raw).astype(np.float32)
                n_ends = len(bounds) // n_targets
                bounds = bounds + np.repeat(values - raw, n_ends)
            now = [tick.score * tick.video_arrived, float(tick.audio_present)]
            self._there += (1 - self._keep) * (np.array(now) - self._there)
            found.append(
                Estimate(
                    index=tick.index,
                    secs=tick.secs,
                    values=values,
                    raw=raw,
                    bounds=bounds,
                    video_present=tick.video_arrived,
                    audio_present=tick.audio_present,
                    confidence=float(self._there.mean()),
                    box=tick.box,
                    score=tick.score,
                    picture=tick.picture,
                    restarted=tick.restarted,
                )
            )
        return found


class Recognizer:
    """Takes pictures and sound in any rhythm and says valence and arousal per tick.

    Packets may come late, in any order, or not at all. A tick is answered
    `live.delay_secs` after its time. Memory stays the same however long the call.

    Example:
      with Recognizer.open("runs/demo/export") as recognizer:
          recognizer.push_video(image_bgr, secs)
          recognizer.push_audio(samples, secs)
          for estimate in recognizer.poll(now_secs):
              print(estimate.secs, estimate.values)

    Args:
      predictor: Of the model.
      features: The stream of its features.
      live: How the call is followed.

    Attributes:
      features: Likewise.
      outputs: Names of the model's outputs.
    """

    def __init__(
        self,
        predictor: predictors.Predictor,
        features: feature_stream.FeatureStream,
        live: live_settings.LiveConfig,
    ):
        self.features = features
        self.outputs = predictor.outputs
        self._estimator = Estimator(predictor, live)

    @classmethod
    def open(
        cls,
        model: str | os.PathLike[str],
        live: live_settings.LiveConfig | None = None,
        visual_backbone: str = "",
        visual_weights: str = "",
        origin_secs: float | None = None,
    ) -> Recognizer:
        """Loads a model.

        Args:
          model: An export, a folder of exports, a run directory, or a LiteRT file.
          live: How the call is followed.
          visual_backbone: `onnx:PATH` where the network that describes faces is not in
            the folder of weights.
          visual_weights: Where VGG-Face is, if not there.
          origin_secs: When tick 0 stands; None takes the first packet's time.

        Raises:
          errors.AvexpError: if the model or what makes its features can't be loaded.
        """
        live = live or live_settings.LiveConfig()
        predictor = load_predictor(model)
        stream = open_features(
            predictor, live, visual_backbone, visual_weights, origin_secs
        )
        return cls(predictor, stream, live)

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(self, *unused: Any) -> None:
        self.close()

    def push_video(
        self,
        image: np.ndarray,
        secs: float,
        duration_secs: float = 1 / timeline.TICK_RATE_HZ,
        lost_before: bool = False,
    ) -> None:
        """Adds a picture; see `FeatureStream.push_video`."""
        self.features.push_video(image, secs, duration_secs, lost_before)

    def push_audio(self, samples: np.ndarray, secs: float) -> None:
        """Adds a block of sound at 16 kHz; see `FeatureStream.push_audio`."""
        self.features.push_audio(samples, secs)

    def end(self, modality: str) -> None:
        """Says that the camera (`video`) or microphone (`audio`) is off."""
        self.features.end(modality)

    def poll(self, now_secs: float | None = None) -> list[Estimate]:
        """Returns the estimates of all ticks that are due.

        Args:
          now_secs: The time on the clock of the packets; None takes the newest packet.

        Raises:
          errors.AvexpError: if the model can't be run.
          ValueError: if the time is no finite number.
          RuntimeError: after `close`.
        """
        return self._estimator.estimate(self.features.poll(now_secs))

    def finish(self) -> list[Estimate]:
        """Ends the call and returns the estimates that are left; see `poll`."""
        return self._estimator.estimate(self.features.finish())

    def close(self) -> None:
        """Stops what runs beside this process; the call can't be used any more."""
        self.features.close()


def load_predictor(model: str | os.PathLike[str]) -> predictors.Predictor:
    """Loads a model.

    Args:
      model: An export, a folder of exports, a run directory, or a LiteRT file.

    Raises:
      errors.AvexpError: if it can't be loaded.
    """
    if os.fspath(model).endswith(litert_model.SUFFIX):
        return litert_model.LiteRt(model).predictor()
    return model_source.find(model).predictor()


def open_features(
    predictor: predictors.Predictor,
    live: live_settings.LiveConfig,
    visual_backbone: str = "",
    visual_weights: str = "",
    origin_secs: float | None = None,
) -> feature_stream.FeatureStream:
    """Returns the stream of the features that a model takes; see `Recognizer.open`.

    Raises:
      errors.AvexpError: if what makes the features is not here, or is another than in
        training.
    """
    manifest = predictor.manifest
    # It compares what is here with what the model was trained on.
    extractor = media_features.extractor(manifest, visual_backbone, visual_weights)
    return feature_stream.FeatureStream(extractor.config, live, origin_secs)
