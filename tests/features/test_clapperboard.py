"""Flashes and beeps of ten minutes of generated media stand at the same tick.

The whole way from a file: container, decoder, resampler, openSMILE, timeline.
"""

import numpy as np
import pytest

from avexp_tf.features import lld_stream
from avexp_tf.features import sound_track
from avexp_tf.features import timeline
from avexp_tf.media import audio_reader
from avexp_tf.media import frame_reader
from avexp_tf.media import writer

RATES = (25, 30000 / 1001, 30, 60, "variable")
FLASH_SECS = 0.1
# pcm_RMSenergy_sma: after 6 of the voice, 2 of loudness.
ENERGY = 8
AUDIO_RATE_HZ = 44_100


def stamps(rate, n_secs):
    if rate != "variable":
        return np.arange(round(n_secs * rate)) / rate
    rng = np.random.default_rng(3)
    secs = np.cumsum(rng.uniform(1 / 60, 1 / 10, n_secs * 30))
    return np.concatenate([[0.0], secs[secs < n_secs]])


class Loudness:
    """In the place of openSMILE: its 20 ms windows and 10 ms steps, energy only."""

    def __init__(self):
        self.kept = np.zeros(0, np.int16)

    def feed(self, samples):
        self.kept = np.concatenate([self.kept, samples])
        n_rows = max((len(self.kept) - 960) // 160, 0)
        rows = np.zeros((n_rows, lld_stream.N_COLUMNS), np.float32)
        for row in range(n_rows):
            window = self.kept[160 * row : 160 * row + 320].astype(np.float32)
            rows[row] = np.sqrt(np.mean(window**2))
        self.kept = self.kept[160 * n_rows :]
        return rows

    def finish(self):
        return self.feed(np.zeros(960, np.int16))

    def close(self):
        pass


def clapped(rate, path, n_secs):
    """Writes a file; returns when each flash and beep starts, in seconds."""
    secs = stamps(rate, n_secs)
    rng = np.random.default_rng(5)
    starts = np.arange(5, n_secs - 5, 10.0)
    # An event is where a frame is, so that picture and sound start together.
    events = secs[np.searchsorted(secs, starts + rng.uniform(0, 3, len(starts)))]
    audio = np.zeros(n_secs * AUDIO_RATE_HZ, np.float32)
    lit = np.zeros(len(secs), bool)
    for event in events:
        first = round(event * AUDIO_RATE_HZ)
        noise = rng.uniform(-0.5, 0.5, round(FLASH_SECS * AUDIO_RATE_HZ))
        audio[first : first + len(noise)] = noise
        lit |= (secs >= event - 1e-9) & (secs < event + FLASH_SECS)
    white = np.full((32, 32, 3), 235, np.uint8)
    black = np.full((32, 32, 3), 20, np.uint8)
    frames = ((sec, white if on else black) for sec, on in zip(secs, lit, strict=True))
    writer.write(path, frames, audio, audio_rate_hz=AUDIO_RATE_HZ)
    return events


def onsets(values, share):
    """At which ticks a trace rises through a share of its highest value."""
    high = values > values.max() * share
    return np.flatnonzero(np.diff(high.astype(int)) == 1) + 1


def assert_in_place(path, events, energy):
    for make_ticks in (timeline.frame_ticks, timeline.clock_ticks):
        secs, light, loudness = [], [], []
        shown, brightness = None, 0.0
        with sound_track.SoundTrack(audio_reader.AudioReader(path)) as sound:
            for tick in make_ticks(frame_reader.FrameReader(path), sound):
                if tick.frame is not shown:
                    shown = tick.frame
                    brightness = shown.image_bgr()[8, 8, 0]
                secs.append(tick.secs)
                light.append(brightness)
                loudness.append(tick.lld[energy])
        # The stamps of this container are 1/60000 s.
        expected = np.searchsorted(np.array(secs), events - 0.0006)
        np.testing.assert_array_equal(onsets(np.array(light), 0.5), expected)
        # A window that ends in the beep begins before it, up to 20 ms.
        heard = onsets(np.array(loudness), 0.25)
        assert len(heard) == len(events)
        assert np.abs(heard - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_every_flash_and_beep_of_ten_minutes(rate, tmp_path, monkeypatch):
    monkeypatch.setattr(lld_stream, "LldStream", Loudness)
    events = clapped(rate, tmp_path / "a.mov", 600)
    assert len(events) == 59
    assert_in_place(tmp_path / "a.mov", events, 0)


def test_every_flash_and_beep_through_opensmile(tmp_path):
    events = clapped(30000 / 1001, tmp_path / "a.mov", 60)
    assert_in_place(tmp_path / "a.mov", events, ENERGY)
