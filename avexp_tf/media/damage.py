"""Says what of a media file could not be read, in the words of all commands."""

from __future__ import annotations

from avexp_tf import errors
from avexp_tf.media import audio_reader
from avexp_tf.media import frame_reader
from avexp_tf.media import probe

# Headers round, and count for how long the last picture stands.
_SLACK_SECS = 1.0


def notes(
    info: probe.MediaInfo,
    frames: frame_reader.FrameReader,
    blocks: audio_reader.AudioReader,
    only_pictures: bool = False,
) -> list[str]:
    """Returns a line for all that is missing of a file that was read to its end.

    Args:
      info: What the file's header says.
      frames: Its pictures, read.
      blocks: Its sound, read.
      only_pictures: Sound alone is nothing.

    Raises:
      errors.DataError: if there was nothing.
    """
    if frames.end_secs is None and (only_pictures or blocks.end_secs is None):
        wanted = "pictures" if only_pictures else "pictures or sound"
        raise errors.DataError(f"{info.path}: holds no {wanted} that can be decoded")
    end_secs = max(frames.end_secs or 0.0, blocks.end_secs or 0.0)
    lines = [
        f"{info.path}: {what}: {reader.n_damaged} damaged packets left out"
        for what, reader in (("video", frames), ("audio", blocks))
        if reader.n_damaged
    ]
    if info.duration_secs and info.duration_secs > end_secs + _SLACK_SECS:
        lines.append(
            f"{info.path}: ends at {end_secs:.1f} s; its header says "
            f"{info.duration_secs:.1f} s"
        )
    return lines
