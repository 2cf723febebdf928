"""Writes small media files: for tests, samples and annotated copies."""

from __future__ import annotations

import fractions
import itertools
import os
import pathlib
import secrets
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import cast

import av
import numpy as np

from avexp_tf import errors
from avexp_tf.media import container as containers

# Divides 25, 29.97, 30 and 60 frames per second, and MPEG-4 takes no finer one.
_TIME_BASE = fractions.Fraction(1, 60_000)
_AUDIO_FRAME = 1024


def write(
    path: str | os.PathLike[str],
    frames: Iterable[tuple[float, np.ndarray]] = (),
    audio: np.ndarray | Iterable[np.ndarray] | None = None,
    *,
    audio_rate_hz: int = 16_000,
    audio_start_secs: float = 0.0,
    video_codec: str = "mpeg4",
    video_options: Mapping[str, str] | None = None,
    audio_codec: str = "pcm_s16le",
    rotation_degrees: int = 0,
) -> None:
    """Writes a media file under another name and renames it when it is whole.

    Args:
      path: The file; its suffix chooses the container (`.mov` takes raw sound).
      frames: When each frame is shown, in seconds, rising, and the picture, uint8
        [height, width, 3] BGR, all of one size with even sides. None: no video stream.
        The last is shown for as long as the one before.
      audio: float32 [channels, n] or [n] in [-1, 1]; or pieces of it, which are asked
        for as the pictures go on. None, or no piece: no audio stream.
      audio_rate_hz: Samples per second.
      audio_start_secs: When the first sample is heard.
      video_codec: Name of an encoder.
      video_options: Of the encoder.
      audio_codec: Name of an encoder.
      rotation_degrees: Against the clock; what players are told to turn the picture by.

    Raises:
      errors.DataError: if it can't be written.
    """
    path = pathlib.Path(path)
    aside = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        # With its protocol before it, a folder such as `run:1` is still a folder.
        with av.open(f"file:{aside}", "w") as container:
            iterator = iter(frames)
            first = next(iterator, None)
            pictures = None
            if first is not None:
                pictures = _Pictures(
                    container,
                    first[1].shape,
                    video_codec,
                    dict(video_options or {}),
                    rotation_degrees,
                )
            sound = None
            pieces = iter([audio] if isinstance(audio, np.ndarray) else audio or ())
            piece = next(pieces, None)
            if piece is not None:
                sound = _Sound(
                    container,
                    itertools.chain([piece], pieces),
                    len(np.atleast_2d(piece)),
                    audio_rate_hz,
                    audio_start_secs,
                    audio_codec,
                )
            if first is not None and pictures is not None:
                for secs, image in itertools.chain([first], iterator):
                    if sound is not None:
                        sound.write_until(secs)
                    pictures.write(secs, image)
                pictures.close()
            if sound is not None:
                sound.close()
        aside.replace(path)
    except (av.FFmpegError, OSError) as error:
        if error.filename not in (None, str(aside), f"file:{aside}"):
            raise  # what the pictures are read from
        reason = containers.said(error)
        raise errors.DataError(f"{path}: can't be written: {reason}") from None
    finally:
        aside.unlink(missing_ok=True)


class _Pictures:
    def __init__(
        self,
        container: av.container.OutputContainer,
        shape: tuple[int, ...],
        codec: str,
        options: dict[str, str],
        rotation_degrees: int,
    ):
        self._container = container
        # 60 is the rate that rate control counts with; stamps say the truth.
        stream = cast(Any, container.add_stream(codec, rate=60, options=options))
        stream.height, stream.width = shape[:2]
        formats = [one.name for one in stream.codec.video_formats or ()]
        stream.pix_fmt = "yuv420p" if "yuv420p" in formats else formats[0]
        stream.codec_context.time_base = _TIME_BASE
        if rotation_degrees:
            stream.set_display_rotation(rotation_degrees)
        self._stream = stream
        self._secs: float | None = None
        self._step_secs = 0.0
        self._waiting: list[Any] = []  # to be told how long the last picture lasts

    def write(self, secs: float, image: np.ndarray) -> None:
        if self._secs is not None:
            self._step_secs = secs - self._secs
        self._secs = secs
        decoded = av.VideoFrame.from_ndarray(image, format="bgr24")
        decoded.pts = round(secs / _TIME_BASE)
        decoded.time_base = _TIME_BASE
        packets = self._stream.encode(decoded)
        if packets:
            self._container.mux(self._waiting)
            self._waiting = packets

    def close(self) -> None:
        packets = [*self._waiting, *self._stream.encode(None)]
        if self._step_secs:
            packets[-1].duration = round(self._step_secs / packets[-1].time_base)
        self._container.mux(packets)


class _Sound:
    def __init__(
        self,
        container: av.container.OutputContainer,
        pieces: Iterator[np.ndarray],
        n_channels: int,
        rate_hz: int,
        start_secs: float,
        codec: str,
    ):
        self._container = container
        self._pieces = pieces
        self._waiting = np.zeros((n_channels, 0), np.float32)
        self._rate_hz = rate_hz
        self._start = round(start_secs * rate_hz)
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[n_channels]
        self._layout = layout
        self._stream: Any = container.add_stream(codec, rate=rate_hz, layout=layout)
        self._n_written = 0

    def write_until(self, secs: float) -> None:
        """Encodes the whole frames of sound that start before `secs`."""
        while (self._start + self._n_written) / self._rate_hz < secs:
            if not self._write_one():
                return

    def close(self) -> None:
        while self._write_one():
            pass
        self._container.mux(self._stream.encode(None))

    def _write_one(self) -> bool:
        while self._waiting.shape[1] < _AUDIO_FRAME:
            more = next(self._pieces, None)
            if more is None:
                break
            more = np.atleast_2d(np.asarray(more, np.float32))  # [channels, n]
            self._waiting = np.concatenate([self._waiting, more], axis=1)
        piece = self._waiting[:, :_AUDIO_FRAME]
        if piece.shape[1] == 0:
            return False
        self._waiting = self._waiting[:, _AUDIO_FRAME:]
        decoded = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(piece), format="fltp", layout=self._layout
        )
        decoded.sample_rate = self._rate_hz
        decoded.pts = self._start + self._n_written
        decoded.time_base = fractions.Fraction(1, self._rate_hz)
        self._container.mux(self._stream.encode(decoded))
        self._n_written += piece.shape[1]
        return True
