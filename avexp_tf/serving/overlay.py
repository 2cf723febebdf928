"""A copy of a media file with the predictions drawn below its pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np

from avexp_tf.media import audio_reader
from avexp_tf.media import frame as frame_lib
from avexp_tf.media import frame_reader
from avexp_tf.media import probe
from avexp_tf.media import writer
from avexp_tf.serving import media_predictor
from avexp_tf.serving import overlay_panel
from avexp_tf.serving import prediction_table

_CHUNK_TICKS = 256
_BLANK = (640, 360)  # pixels, for a file that shows nothing
_SOUND_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_GAP_PIECE_SECS = 1


def write(
    path: str | os.PathLike[str],
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    on_ticks: Callable[[int], object] = lambda n_ticks: None,
) -> None:
    """Writes an annotated copy of a media file, with its own sound.

    Every picture stays at its own time. Where the file shows nothing, a blank picture
    stands at each tick. Memory does not grow with the length.

    Args:
      path: The file that was predicted.
      table: Its predictions, of `prediction_table`.
      out: The copy, `.mp4`; it takes its name when it is whole.
      on_ticks: Called with the number of ticks that were passed.

    Raises:
      errors.DataError: if one of the files can't be read, or the copy not be written.
    """
    info = probe.probe(path)
    rate_hz = info.audio_rate_hz if info.audio_rate_hz in _SOUND_RATES_HZ else 48_000
    sound = None
    if info.audio_codec is not None:
        layout = "mono" if info.audio_channels == 1 else "stereo"
        blocks = audio_reader.AudioReader(path, rate_hz, layout)
        sound = _without_gaps(blocks, rate_hz)
    writer.write(
        out,
        _drawn(path, table, on_ticks),
        sound,
        audio_rate_hz=rate_hz,
        video_codec="libx264",
        # MP4 can't say how long the last picture lasts where they are out of order.
        video_options={"crf": "23", "preset": "veryfast", "bf": "0"},
        audio_codec="aac",
    )


def _drawn(
    path: str | os.PathLike[str],
    table: str | os.PathLike[str],
    on_ticks: Callable[[int], object],
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields every picture of the copy and when it is shown, times rising."""
    frames = iter(frame_reader.FrameReader(path))
    upcoming = next(frames, None)
    width, height = _BLANK
    if upcoming is not None:
        height, width = upcoming.image_bgr().shape[:2]
    panel = overlay_panel.OverlayPanel(width, height)
    window = _Window(prediction_table.read(table, _CHUNK_TICKS), on_ticks)
    last_secs = -1.0
    for secs, frame in _moments(upcoming, frames, prediction_table.read(table, 1)):
        if secs <= last_secs:
            continue
        image = None if frame is None else frame.image_bgr()
        yield secs, panel.draw(image, window.around(secs), secs)
        last_secs = secs


def _moments(
    upcoming: frame_lib.Frame | None,
    frames: Iterator[frame_lib.Frame],
    ticks: Iterable[media_predictor.Ticks],
) -> Iterator[tuple[float, frame_lib.Frame | None]]:
    """Yields frames at their own times, and None at ticks that show no frame."""
    for tick in ticks:
        secs = float(tick.secs[0])
        while upcoming is not None and upcoming.secs <= secs:
            yield upcoming.secs, upcoming
            upcoming = next(frames, None)
        if tick.frames[0] < 0:
            yield secs, None
    while upcoming is not None:
        yield upcoming.secs, upcoming
        upcoming = next(frames, None)


class _Window:
    """The ticks around a time that goes on, and no others."""

    def __init__(
        self,
        chunks: Iterator[media_predictor.Ticks],
        on_ticks: Callable[[int], object],
    ):
        self._chunks = chunks
        self._on_ticks = on_ticks
        self._held = next(chunks)
        on_ticks(len(self._held))

    def around(self, secs: float) -> media_predictor.Ticks:
        """Returns the ticks that the panel shows at a time."""
        until = secs + overlay_panel.AHEAD_SECS
        while self._held.secs[-1] < until:
            more = next(self._chunks, None)
            if more is None:
                break
            self._on_ticks(len(more))
            # One is always kept: pictures may outlast the ticks.
            since = secs - overlay_panel.BEHIND_SECS
            first = min(
                int(np.searchsorted(self._held.secs, since)), len(self._held) - 1
            )
            self._held = media_predictor.Ticks(
                **{
                    name: np.concatenate([array[first:], getattr(more, name)])
                    for name, array in vars(self._held).items()
                }
            )
        return self._held


def _without_gaps(
    blocks: Iterable[audio_reader.AudioBlock], rate_hz: int
) -> Iterator[np.ndarray]:
    """Yields the sound in pieces, [channels, n]; what is missing is silent."""
    end = 0
    for block in blocks:
        while end < block.start:
            n_missing = min(block.start - end, _GAP_PIECE_SECS * rate_hz)
            yield np.zeros((len(block.samples), n_missing), np.float32)
            end += n_missing
        yield block.samples
        end += block.samples.shape[-1]
