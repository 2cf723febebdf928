"""Where the packets of a call come from: a file as if it were live, or this machine."""

from __future__ import annotations

import heapq
import os
import queue
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple
from typing import Protocol

import cv2
import numpy as np

from avexp_tf import errors
from avexp_tf.features import timeline
from avexp_tf.live import arrival_clock
from avexp_tf.live import recognizer
from avexp_tf.media import audio_reader
from avexp_tf.media import damage
from avexp_tf.media import frame as frame_lib
from avexp_tf.media import frame_reader
from avexp_tf.media import probe

_RATE_HZ = audio_reader.SAMPLE_RATE_HZ
_BLOCK = round(0.02 * _RATE_HZ)  # samples
_MOST_WAITING = 256
_STEP_SECS = 1.0  # no call takes so little for a stall


class Source(Protocol):
    """Gives packets to a call as time goes by."""

    def estimates(
        self, call: recognizer.Recognizer
    ) -> Iterator[list[recognizer.Estimate]]:
        """Yields what the call says, at least at every tick, until the source ends.

        Raises:
          errors.DataError: if nothing came, or after all that came an error ended it.
        """
        ...


class _Packet(NamedTuple):
    secs: float  # when it is there: live, at the end of a block of sound
    modality: str
    content: Any  # a frame, a block of sound, or None at the end


class FileSource:
    """Plays a file as if it were a call.

    Args:
      path: A media file.
      in_real_time: Wait until packets are due, as a call does, or take longer where the
        machine is too slow; else as fast as it goes.
      report: Takes a line, at the end, about what was damaged.

    Raises:
      errors.DataError: if it can't be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        in_real_time: bool = True,
        report: Callable[[str], None] = lambda line: None,
    ):
        self._info = probe.probe(path)
        self._in_real_time = in_real_time
        self._report = report

    def estimates(
        self, call: recognizer.Recognizer
    ) -> Iterator[list[recognizer.Estimate]]:
        """Yields what the call says; see `Source`."""
        frames = frame_reader.FrameReader(self._info.path)
        blocks = audio_reader.AudioReader(self._info.path)
        packets = heapq.merge(
            self._pictures(frames), self._sound(blocks), key=lambda packet: packet.secs
        )
        if self._in_real_time:
            yield from self._as_due(call, packets)
        else:
            yield from self._at_once(call, packets)
        for line in damage.notes(self._info, frames, blocks):
            self._report(line)
        yield call.finish()

    @staticmethod
    def _as_due(
        call: recognizer.Recognizer, packets: Iterable[_Packet]
    ) -> Iterator[list[recognizer.Estimate]]:
        start = time.monotonic()
        for packet in packets:
            while (now := time.monotonic() - start) < packet.secs:
                yield call.poll(now)
                time.sleep(min(packet.secs - now, 1 / timeline.TICK_RATE_HZ))
            _push(call, packet)
            yield call.poll(packet.secs)

    @staticmethod
    def _at_once(
        call: recognizer.Recognizer, packets: Iterable[_Packet]
    ) -> Iterator[list[recognizer.Estimate]]:
        now = 0.0
        for packet in packets:
            while now < packet.secs:  # in steps through what the file leaves empty
                now = min(now + _STEP_SECS, packet.secs)
                yield call.poll(now)
            _push(call, packet)

    def _pictures(self, frames: Iterable[frame_lib.Frame]) -> Iterator[_Packet]:
        secs = 0.0
        for frame in frames:
            secs = frame.secs
            yield _Packet(secs, "video", frame)
        yield _Packet(secs, "video", None)

    def _sound(self, blocks: Iterable[audio_reader.AudioBlock]) -> Iterator[_Packet]:
        secs = 0.0
        for block in blocks:
            # Some codecs pack more than a second, which would come too late as a whole.
            n_piece = _BLOCK if self._in_real_time else len(block.samples)
            for first in range(0, len(block.samples), n_piece):
                start = block.start + first
                piece = audio_reader.AudioBlock(
                    start, block.samples[first : first + n_piece]
                )
                secs = (start + len(piece.samples)) / _RATE_HZ
                comes_secs = secs if self._in_real_time else start / _RATE_HZ
                yield _Packet(comes_secs, "audio", piece)
        yield _Packet(secs, "audio", None)


class DeviceSource:
    """The camera and the microphone of this machine.

    Args:
      camera: Number of the camera; below 0 there is none.
      microphone: Whether to listen.

    Raises:
      errors.ConfigError: if there is neither.
      errors.MissingExtraError: if the microphone's package is not installed.
      errors.DataError: if a device can't be opened.
    """

    def __init__(self, camera: int = 0, microphone: bool = True):
        if camera < 0 and not microphone:
            raise errors.ConfigError(
                f"--camera={camera} --nomicrophone: leaves nothing to follow"
            )
        self._sounddevice = _sounddevice() if microphone else None
        self._capture = None
        if camera >= 0:
            self._capture = cv2.VideoCapture(camera)
            if not self._capture.isOpened():
                raise errors.DataError(f"camera {camera}: can't be opened")
        # Of the microphone's thread and the camera's; what is not fetched is dropped.
        self._packets: queue.Queue[_Packet] = queue.Queue(_MOST_WAITING)

    def estimates(
        self, call: recognizer.Recognizer
    ) -> Iterator[list[recognizer.Estimate]]:
        """Yields what the call says, until the caller stops; see `Source`."""
        stopped = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stopped,), daemon=True)
        microphone = self._microphone()
        try:
            watcher.start()
            if microphone is not None:
                microphone.start()
            while True:
                try:
                    packet = self._packets.get(timeout=1 / timeline.TICK_RATE_HZ)
                    while True:
                        _push(call, packet)
                        packet = self._packets.get_nowait()
                except queue.Empty:
                    pass
                yield call.poll(time.monotonic())
        finally:
            stopped.set()
            watcher.join()
            if microphone is not None:
                microphone.close()
            if self._capture is not None:
                self._capture.release()

    def _put(self, packet: _Packet) -> None:
        try:
            self._packets.put_nowait(packet)
        except queue.Full:
            pass

    def _watch(self, stopped: threading.Event) -> None:
        while self._capture is not None and not stopped.is_set():
            is_there, image = self._capture.read()
            if not is_there:
                self._put(_Packet(time.monotonic(), "video", None))
                return
            self._put(_Packet(time.monotonic(), "video", image))

    def _microphone(self) -> Any:
        if self._sounddevice is None:
            return None

        # Of the device itself nothing is missing between two blocks, but its callbacks
        # come late and in bursts: blocks stand by the count of samples.
        clock = arrival_clock.ArrivalClock()
        n_heard = 0

        def take(samples: np.ndarray, n_samples: int, *unused: Any) -> None:
            nonlocal n_heard
            n_heard += n_samples
            _, end_secs = clock.arrived(n_heard / _RATE_HZ, time.monotonic())
            start_secs = end_secs - n_samples / _RATE_HZ
            self._put(_Packet(start_secs, "audio", samples[:, 0].copy()))

        try:
            return self._sounddevice.InputStream(
                samplerate=_RATE_HZ,
                channels=1,
                dtype="float32",
                blocksize=_BLOCK,
                callback=take,
            )
        except self._sounddevice.PortAudioError as error:
            raise errors.DataError(f"microphone: can't be opened: {error}") from None


def _push(call: recognizer.Recognizer, packet: _Packet) -> None:
    content = packet.content
    if content is None:
        call.end(packet.modality)
    elif isinstance(content, audio_reader.AudioBlock):
        call.push_audio(content.samples, content.start / _RATE_HZ)
    elif isinstance(content, np.ndarray):
        push = call.push_video if packet.modality == "video" else call.push_audio
        push(content, packet.secs)
    else:
        call.push_video(
            content.image_bgr(),
            content.secs,
            content.duration_secs,
            content.lost_before,
        )


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise errors.MissingExtraError(
            "the microphone", "sounddevice", "live"
        ) from None
    except OSError as error:  # its package is there, the system's library is not
        raise errors.DataError(f"microphone: can't be opened: {error}") from None
    return sounddevice
