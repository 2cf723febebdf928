"""What a media file says about itself, before anything of it is decoded."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import av

from avexp_tf import errors
from avexp_tf.media import container
from avexp_tf.media import frame_reader

# Bare streams: FFmpeg guesses their length from the rate of their first packets.
_BARE_FORMATS = frozenset("aac ac3 amr dts eac3 h264 hevc m4v mjpeg mpegvideo".split())


@dataclasses.dataclass(frozen=True)
class MediaInfo:
    """The streams of a file, as its headers tell; damaged files may lie.

    Attributes:
      path: The file.
      format: Name of the container format.
      duration_secs: Of the longest stream; None where the file doesn't say.
      video_codec: None without a video stream.
      width: As stored, before rotation.
      height: As stored, before rotation.
      frame_rate_hz: On average.
      n_frames: As declared; 0 where the file doesn't say.
      audio_codec: None without an audio stream.
      audio_rate_hz: Samples per second.
      audio_channels: Number of channels.
    """

    path: pathlib.Path
    format: str
    duration_secs: float | None
    video_codec: str | None = None
    width: int = 0
    height: int = 0
    frame_rate_hz: float = 0.0
    n_frames: int = 0
    audio_codec: str | None = None
    audio_rate_hz: int = 0
    audio_channels: int = 0


def probe(path: str | os.PathLike[str]) -> MediaInfo:
    """Reads the headers of a media file.

    Args:
      path: The file.

    Returns:
      What they say.

    Raises:
      errors.DataError: if it can't be opened, or has neither pictures nor sound.
    """
    path = pathlib.Path(path)
    with container.opened(path) as opened:
        video = container.stream(opened, "video")
        audio = container.stream(opened, "audio")
        if video is None and audio is None:
            raise errors.DataError(f"{path}: has neither a video nor an audio stream")
        info = MediaInfo(
            path=path,
            format=opened.format.name,
            duration_secs=_duration_secs(opened),
        )
        if video is not None:
            info = dataclasses.replace(
                info,
                video_codec=video.codec_context.name,
                width=video.codec_context.width,
                height=video.codec_context.height,
                frame_rate_hz=1 / frame_reader.period_secs(video),
                n_frames=video.frames,
            )
        if audio is not None:
            info = dataclasses.replace(
                info,
                audio_codec=audio.codec_context.name,
                audio_rate_hz=audio.codec_context.sample_rate,
                audio_channels=audio.codec_context.channels,
            )
        return info


def _duration_secs(opened: Any) -> float | None:
    names = set(opened.format.name.split(","))
    start = max(opened.start_time or 0, 0)
    # An MP3 that starts at 0 has no header, which would tell the encoder's delay too.
    if names & _BARE_FORMATS or ("mp3" in names and not start):
        return None
    duration = opened.duration or 0
    if "matroska" in names:
        duration -= start  # it tells the last stamp
    return duration / av.time_base if duration > 0 else None
