"""Which rows and which samples belong to a tick, worked out by hand."""

import numpy as np
import pytest

from avexp_tf.features import lld_stream
from avexp_tf.features import sound_track
from avexp_tf.media import audio_reader

RATE = 16_000


class Rows:
    """In the place of openSMILE: row i is filled with i, and comes late."""

    def __init__(self):
        self.n_samples = self.n_rows = 0
        self.closed = False

    def feed(self, samples):
        self.n_samples += len(samples)
        return self._until((self.n_samples - 8000) // 160)  # half a second behind

    def finish(self):
        if self.n_samples < 960:
            return self._until(0)
        return self._until((self.n_samples - 960) // 160 + 2)

    def close(self):
        self.closed = True

    def _until(self, n_rows):
        rows = np.arange(self.n_rows, max(n_rows, self.n_rows), dtype=np.float32)
        self.n_rows += len(rows)
        return np.repeat(rows[:, None], 65, axis=1)


@pytest.fixture
def counted(monkeypatch):
    made = []

    def make():
        made.append(Rows())
        return made[-1]

    monkeypatch.setattr(lld_stream, "LldStream", make)
    return made


def blocks(*stretches, value=0.5, size=1000):
    """Sound from one second to another, in small blocks."""
    for start_secs, end_secs in stretches:
        start, end = round(start_secs * RATE), round(end_secs * RATE)
        for first in range(start, end, size):
            n_samples = min(size, end - first)
            yield audio_reader.AudioBlock(first, np.full(n_samples, value, np.float32))


def advance(track, secs):
    means, present = zip(*(track.advance(sec) for sec in secs), strict=True)
    return np.stack(means)[:, 0], np.array(present)


def test_a_tick_has_the_rows_since_the_tick_before(counted):
    with sound_track.SoundTrack(blocks((0, 2))) as track:
        means, present = advance(track, [k / 30 for k in range(31)])
    # Rows at 0.00 | 0.01 0.02 0.03 | 0.04 0.05 0.06 | 0.07 .. 0.10 | ...
    np.testing.assert_allclose(means[:4], [0, 2, 5, 8.5])
    assert means[30] == np.mean([97, 98, 99, 100])
    assert present.all() and counted[0].closed


def test_no_row_is_left_out_or_taken_twice_at_any_frame_rate(counted):
    for rate in (24000 / 1001, 25, 30000 / 1001, 30):
        secs = [k / rate for k in range(200)]
        with sound_track.SoundTrack(blocks((0, 12))) as track:
            means, _ = advance(track, secs)
        last = np.floor(np.array(secs) * 100 + 1e-6)
        # The mean of consecutive numbers is that of the first and the last.
        np.testing.assert_allclose(means[1:], (last[:-1] + 1 + last[1:]) / 2)


def test_a_first_tick_reaches_back_one_thirtieth(counted):
    with sound_track.SoundTrack(blocks((0, 2))) as track:
        means, _ = advance(track, [1.0, 1.05])
    assert means[0] == np.mean([97, 98, 99, 100])
    assert means[1] == np.mean([101, 102, 103, 104, 105])


def test_ticks_faster_than_rows_see_the_newest_row(counted):
    with sound_track.SoundTrack(blocks((0, 2))) as track:
        means, present = advance(track, [k / 240 for k in range(241)])
    np.testing.assert_array_equal(means, np.floor(np.arange(241) / 2.4 + 1e-6))
    assert present.all()


def test_presence_starts_and_ends_with_the_sound(counted):
    with sound_track.SoundTrack(blocks((1.0, 2.0), (3.0, 4.0))) as track:
        _, present = advance(track, [k / 100 for k in range(500)])
    # A tick hears from the tick before to 20 ms after itself; sample 1.0 s is heard
    # at 0.98, and what ends at 2.0 s last at 2.0, from its last hundredth.
    switches = np.flatnonzero(np.diff(present.astype(int))) + 1
    np.testing.assert_array_equal(switches, [98, 201, 298, 401])


def test_digital_silence_is_absence_and_faint_noise_is_not(counted):
    for value, expected in ((0.0, False), (2e-5, False), (4e-5, True), (-4e-5, True)):
        with sound_track.SoundTrack(blocks((0, 2), value=value)) as track:
            means, present = advance(track, [k / 30 for k in range(50)])
        assert present.all() == present.any() == expected
        assert means.any() == expected


def test_no_sound_and_too_little_sound_are_absence(counted):
    for stretch in ((0, 0), (0, 0.059)):
        with sound_track.SoundTrack(blocks(stretch)) as track:
            assert not track.advance(0.0)[1] and not track.advance(0.04)[1]


def test_at_the_end_the_newest_row_stands_in_for_its_window(counted):
    # 1 s: rows 0 .. 95; row 95 stands at 0.95 s and hears up to 60 ms.
    with sound_track.SoundTrack(blocks((0, 1))) as track:
        means, present = advance(track, [0.95, 0.97, 0.99, 1.0, 1.01, 1.02])
    np.testing.assert_array_equal(present, [True, True, True, True, False, False])
    np.testing.assert_array_equal(means[1:4], 95)


def test_rows_that_are_not_finite_do_not_count(counted, monkeypatch):
    plain = Rows._until

    def broken(self, n_rows):
        rows = plain(self, n_rows)
        rows[(rows[:, 0] == 2) | ((rows[:, 0] > 10) & (rows[:, 0] < 30)), 7] = np.nan
        return rows

    monkeypatch.setattr(Rows, "_until", broken)
    with sound_track.SoundTrack(blocks((0, 2))) as track:
        means, present = advance(track, [k / 30 for k in range(20)])
    assert means[1] == 2.0 and present[1]  # of rows 1 and 3
    np.testing.assert_array_equal(np.flatnonzero(~present), [4, 5, 6, 7, 8])


def test_lasts_beyond(counted):
    with sound_track.SoundTrack(blocks((0.5, 1.0))) as track:
        assert track.lasts_beyond(0.0) and track.lasts_beyond(0.99)
        assert not track.lasts_beyond(1.0)
        assert track.advance(0.9)[1]  # asking ahead takes nothing away


def test_memory_does_not_grow_with_the_length(counted):
    def endless():
        index = 0
        while True:
            yield audio_reader.AudioBlock(index * 1000, np.ones(1000, np.float32))
            index += 1

    with sound_track.SoundTrack(endless()) as track:
        for k in range(30 * 60):
            track.advance(k / 30)
            assert (
                len(track._ticks._sounding) < 2 * RATE and len(track._ticks._rows) < 200
            )


def test_a_long_gap_is_taken_in_pieces(counted):
    with sound_track.SoundTrack(blocks((0, 1), (3000, 3001))) as track:
        for k in range(0, 3000, 5):
            track.advance(float(k + 1))
            assert len(track._ticks._sounding) < 30 * RATE
        assert track.advance(3000.5)[1]
