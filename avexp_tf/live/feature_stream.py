"""From pictures and sound in any rhythm to features, tick by tick."""

from __future__ import annotations

import dataclasses
import math
import threading
import time

import numpy as np

from avexp_tf.features import backbones
from avexp_tf.features import detection
from avexp_tf.features import settings as feature_settings
from avexp_tf.features import timeline
from avexp_tf.live import live_faces
from avexp_tf.live import live_sound
from avexp_tf.live import picture_buffer
from avexp_tf.live import sender_clock
from avexp_tf.live import settings as live_settings
from avexp_tf.live import visual_budget
from avexp_tf.media import audio_reader
from avexp_tf.media import clock

# With more channels, or many and fewer samples, the axes are the wrong way round.
_MOST_CHANNELS, _USUAL_CHANNELS = 64, 8


@dataclasses.dataclass(frozen=True)
class TickFeatures:
    """One tick of a call.

    Attributes:
      index: Of the tick: it stands at index / 30 s after the origin.
      secs: Its time, on the clock of the packets.
      video: Features of the face, float32 [video_dim]; zeros where not present.
      audio: Mean descriptors, not normalised, float32 [65]; zeros where not present.
      background: Features of the scene without its face, or None.
      video_present: The model sees a face; with `repeat` it can be one from before.
      video_arrived: A picture of this tick came, and shows a face.
      audio_present: There was sound.
      box: Left, top, right, bottom in pixels, float32 [4]; None without a face.
      score: Of the face, or the highest that was too low for one.
      picture: Number of the picture that is shown; -1 for none.
      looked: The networks ran for this tick.
      restarted: The call started afresh here: nothing before counts.
    """

    index: int
    secs: float
    video: np.ndarray
    audio: np.ndarray
    background: np.ndarray | None
    video_present: bool
    video_arrived: bool
    audio_present: bool
    box: np.ndarray | None
    score: float
    picture: int
    looked: bool
    restarted: bool


class FeatureStream:
    """Puts packets on the timeline and makes the features that a model takes.

    Packets may come in any order, late, or not at all, and from several threads. Call
    `poll` often, and `close` when done. It holds a few seconds, however long the call.

    Args:
      config: How faces are found and described.
      live: How the call is followed.
      origin_secs: When tick 0 stands, on the clock of the packets; None takes the
        first packet's time.
      backbone: What describes faces; None makes it from the settings.
      detector: Likewise.

    Attributes:
      n_resyncs: How often the call started afresh.
    """

    def __init__(
        self,
        config: feature_settings.FeatureConfig,
        live: live_settings.LiveConfig,
        origin_secs: float | None = None,
        backbone: backbones.Backbone | None = None,
        detector: detection.FaceDetector | None = None,
    ):
        self._budget = visual_budget.make(live.visual_budget)
        self.n_resyncs = 0
        self._config = config
        self._live = live
        self._faces = live_faces.LiveFaces(config, self._budget, backbone, detector)
        ahead_secs = live.delay_secs + live.resync_secs
        self._clock = sender_clock.SenderClock(
            origin_secs, live.resync_secs, ahead_secs
        )
        most_ahead = math.ceil(ahead_secs * timeline.TICK_RATE_HZ)
        self._pictures = picture_buffer.PictureBuffer(most_ahead)
        self._sound = live_sound.LiveSound(ahead_secs)
        self._lock = threading.Lock()  # of the clock and the buffers
        self._next = 0
        self._n_unbelieved = 0  # samples
        self._closed = False
        self._restarted = True

    @property
    def n_dropped_pictures(self) -> int:
        """Pictures that came too late, or far too early."""
        return self._pictures.n_dropped

    @property
    def n_dropped_samples(self) -> int:
        """Samples that came too late, or far too early."""
        return self._sound.n_dropped + self._n_unbelieved

    @property
    def n_waiting(self) -> int:
        """Pictures in memory."""
        return len(self._pictures)

    def push_video(
        self,
        image: np.ndarray,
        secs: float,
        duration_secs: float = 1 / timeline.TICK_RATE_HZ,
        lost_before: bool = False,
    ) -> None:
        """Adds a picture.

        Args:
          image: uint8 [height, width, 3], BGR; it must not change afterwards.
          secs: When it was taken.
          duration_secs: How long it lasts if the camera stops; at most an hour.
          lost_before: Pictures right before it are known to be lost.

        Raises:
          ValueError: if it is no picture, or a time no finite number or too long.
          RuntimeError: after `close`.
        """
        self._check(secs=secs, duration_secs=duration_secs)
        if duration_secs > clock.LONGEST_STEP_SECS:
            raise ValueError(
                f"duration_secs={duration_secs}: must be at most "
                f"{clock.LONGEST_STEP_SECS:.0f}"
            )
        if not isinstance(image, np.ndarray):
            raise ValueError(f"image: must be an array, is {type(image).__name__}")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"image: {image.dtype} {list(image.shape)}: must be uint8 "
                "[height, width, 3]"
            )
        if not image.size:
            raise ValueError(f"image: {list(image.shape)}: is empty")
        with self._lock:
            place, is_believed = self._clock.place(secs, self._secs(self._next))
            self._pictures.push(image, place, duration_secs, lost_before)
            if is_believed:
                self._clock.heard(secs)

    def push_audio(self, samples: np.ndarray, secs: float) -> None:
        """Adds a block of sound.

        Args:
          samples: float [n] or [channels, n] in [-1, 1], at 16 kHz.
          secs: When the first sample was heard.

        Raises:
          ValueError: if it is no sound, or the time no finite number.
          RuntimeError: after `close`.
        """
        self._check(secs=secs)
        if not isinstance(samples, np.ndarray):
            raise ValueError(f"samples: must be an array, is {type(samples).__name__}")
        if samples.ndim not in (1, 2) or not np.issubdtype(samples.dtype, np.floating):
            raise ValueError(
                f"samples: {samples.dtype} {list(samples.shape)}: must be float [n] or "
                "[channels, n]"
            )
        if samples.ndim == 2:
            n_channels, n = samples.shape
            if not 1 <= n_channels <= _MOST_CHANNELS or (
                0 < n < n_channels and n_channels > _USUAL_CHANNELS
            ):
                raise ValueError(
                    f"samples: {list(samples.shape)}: must be [channels, n] with 1 to "
                    f"{_MOST_CHANNELS} channels; of more than {_USUAL_CHANNELS} with "
                    "as many samples at least"
                )
        mono = samples if samples.ndim == 1 else samples.mean(axis=0)
        mono = np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)
        with self._lock:
            place, is_believed = self._clock.place(secs, self._secs(self._next))
            if is_believed:
                self._sound.push(mono, place)
                self._clock.heard(secs + len(mono) / audio_reader.SAMPLE_RATE_HZ)
            else:
                self._n_unbelieved += len(mono)

    def end(self, modality: str) -> None:
        """Says that a camera or microphone is off; the next packet turns it on again.

        Args:
          modality: `video` or `audio`.
        """
        with self._lock:
            if modality == "video":
                self._pictures.end()
            elif modality == "audio":
                self._sound.end()
            else:
                raise ValueError(f"modality={modality!r}: must be video or audio")

    def poll(self, now_secs: float | None = None) -> list[TickFeatures]:
        """Returns the features of all ticks that are due.

        Args:
          now_secs: The time on the clock of the packets; ticks go by even where nothing
            comes. It must follow where that clock pauses or starts afresh, as
            `arrival_clock.ArrivalClock` does. None takes the newest packet for the
            time, as when a file is read.

        Returns:
          The ticks, in order; none is left out but by a stall.

        Raises:
          ValueError: if the time is no finite number.
          RuntimeError: after `close`.
        """
        self._check(now_secs=0.0 if now_secs is None else now_secs)
        with self._lock:
            self._follow_clock()
            now = self._clock.newest_secs if now_secs is None else now_secs
            if self._clock.origin_secs is None or now == -math.inf:
                return []
            until = now - self._clock.origin_secs - self._live.delay_secs
            if until - self._secs(self._next) > self._live.resync_secs:
                self._restart(math.floor(until * timeline.TICK_RATE_HZ))
        last = math.floor((until + timeline.ROUNDING_SECS) * timeline.TICK_RATE_HZ)
        found = []
        while self._next <= last:
            found.append(self._tick())
        return found

    def finish(self) -> list[TickFeatures]:
        """Ends both streams and returns the ticks that are left.

        Raises:
          RuntimeError: after `close`.
        """
        self._check()
        self.end("video")
        self.end("audio")
        with self._lock:
            self._follow_clock()
        found = []
        while self._clock.origin_secs is not None:
            with self._lock:
                shows = self._pictures.lasts_at(self._next)
                if not (shows or self._sound.lasts_beyond(self._secs(self._next))):
                    break
            found.append(self._tick())
        return found

    def close(self) -> None:
        """Stops openSMILE; nothing can be pushed or polled any more."""
        with self._lock:
            self._closed = True
            self._sound.close()

    def _check(self, **times_secs: float) -> None:
        """Raises what is wrong, before anything of it reaches the timeline."""
        if self._closed:
            raise RuntimeError("this call is closed; open another one")
        for name, secs in times_secs.items():
            if not math.isfinite(secs):
                raise ValueError(f"{name}={secs}: must be a finite number")

    @staticmethod
    def _secs(tick: int) -> float:
        return tick / timeline.TICK_RATE_HZ

    def _follow_clock(self) -> None:
        """Starts afresh where the sender's clock did so."""
        if self._clock.started_afresh():
            # What waits stands where the old clock put it.
            self._pictures.clear()
            self._sound.clear()
            self._restart(0)

    def _restart(self, tick: int) -> None:
        """Goes to a tick without what lies between."""
        self.n_resyncs += 1
        self._next = tick
        self._clock.forget()
        self._restarted = True
        self._pictures.restart(tick)
        self._sound.reset(self._secs(max(tick - 1, 0)))
        self._faces.restart()

    def _tick(self) -> TickFeatures:
        start = time.perf_counter()
        index, secs = self._next, self._secs(self._next)
        with self._lock:
            shown, last = self._pictures.take(index)
        lld, heard = self._advance(secs)
        looked = self._faces.advance(shown)
        has_picture = shown is not None
        if shown is None:
            has_picture = self._live.video_gaps == "repeat" and last is not None
        zeros = np.zeros(self._faces.dim, np.float32)
        video = self._faces.video if has_picture else None
        scene = self._faces.scene if has_picture else None
        if scene is None and self._config.background:
            scene = zeros
        found = TickFeatures(
            index=index,
            secs=secs + (self._clock.origin_secs or 0.0),
            video=zeros if video is None else video,
            audio=lld,
            background=scene,
            video_present=video is not None,
            video_arrived=video is not None and shown is not None,
            audio_present=heard,
            box=self._faces.sighting.box if shown is not None else None,
            score=self._faces.sighting.score if shown is not None else 0.0,
            picture=-1 if shown is None else shown.index,
            looked=looked,
            restarted=self._restarted,
        )
        self._restarted = False
        self._next = index + 1
        other_secs = time.perf_counter() - start - self._faces.look_secs
        self._budget.measured(self._faces.look_secs, other_secs, 1)
        return found

    def _advance(self, secs: float) -> tuple[np.ndarray, bool]:
        with self._lock:
            self._check()  # another thread may have closed it
            return self._sound.advance(secs)
