"""Calls: the same numbers as files, and steady under every kind of packet loss."""

import numpy as np
import pytest

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.features import timeline
from avexp_tf.live import clip_window
from avexp_tf.live import live_sound
from avexp_tf.live import one_euro
from avexp_tf.live import settings
from avexp_tf.live import visual_budget
from avexp_tf.media import writer
from tests.live import calls

TICK = 1 / timeline.TICK_RATE_HZ


def write(path, n_secs=3.0, rate_hz=25, seen=(0.4, 2.2), sound=(0.5, 2.0)):
    frames = [
        (k / rate_hz, calls.picture(seen[0] <= k / rate_hz < seen[1], 60 + k))
        for k in range(round(n_secs * rate_hz))
    ]
    audio = None if sound is None else calls.voice(sound[1] - sound[0])
    start = 0.0 if sound is None else sound[0]
    writer.write(path, frames, audio, audio_start_secs=start)
    return path


def values(estimates):
    return np.array([one.values for one in estimates])


CASES = {
    "25": {},
    "29.97": {"rate_hz": 30 / 1.001},
    "60": {"rate_hz": 60, "n_secs": 1.5},
    "silent": {"sound": None},
    "sound goes on": {"n_secs": 1.0, "sound": (0.0, 3.0)},
    "pictures go on": {"sound": (0.0, 0.7)},
    "slow": {"rate_hz": 0.8, "n_secs": 6.0, "seen": (0, 9)},
}


@pytest.mark.parametrize("case", CASES)
def test_a_streamed_file_gives_what_the_file_gives(tmp_path, monkeypatch, case):
    path = write(tmp_path / "a.mov", **CASES[case])
    extractor = calls.small_extractor(monkeypatch)
    expected, block = calls.offline(path, extractor, calls.predictor_of())
    with calls.recognizer_of() as live:
        found = calls.streamed(live, calls.packets_of(path))
    np.testing.assert_allclose([one.secs for one in found], block["timestamps"])
    for name in ("video_present", "audio_present"):
        there = [getattr(one, name) for one in found]
        np.testing.assert_array_equal(there, block[name])
    np.testing.assert_allclose(values(found), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1


def test_blocks_of_sound_of_any_size_give_the_same(tmp_path):
    sound = calls.voice(2.0)

    def run(n_samples):
        with calls.recognizer_of() as live:
            packets = [
                (k / calls.RATE, "audio", sound[k : k + n_samples])
                for k in range(0, len(sound), n_samples)
            ]
            return values(calls.streamed(live, packets))

    one, other = run(160), run(5000)
    assert len(one) == 60
    np.testing.assert_array_equal(one, other)


def call(n_secs, rate_hz=30.0, block_sizes=(320, 320)):
    """A call of a face and a voice, in time; its blocks of sound are of any size."""
    sound = calls.voice(n_secs)
    rng = np.random.default_rng(0)
    packets = []
    start = 0
    while start < len(sound):
        stop = start + int(rng.integers(*block_sizes, endpoint=True))
        packets.append((start / calls.RATE, "audio", sound[start:stop]))
        start = stop
    for k in range(round(n_secs * rate_hz)):
        packets.append((k / rate_hz, "video", calls.picture(True, 60 + k % 99)))
    return packets


def push(live, packet):
    secs, kind, content = packet
    push_one = live.push_video if kind == "video" else live.push_audio
    push_one(content, secs)


def arriving(packets, rng, loss, late_secs):
    """Packets with the time when they arrive, in that order."""
    kept = [one for one in packets if rng.random() >= loss]
    delays = rng.uniform(0, late_secs, len(kept))
    sent = [(one[0] + (0.02 if one[1] == "audio" else 0.0)) for one in kept]
    times = np.array(sent) + delays
    return [(times[k], kept[k]) for k in np.argsort(times, kind="stable")]


@pytest.fixture
def _patient(monkeypatch):
    """However slow the machine, openSMILE is not taken for one that wants sound."""
    monkeypatch.setattr(live_sound, "_GRACE_SECS", 30.0)
    monkeypatch.setattr(live_sound, "_PATIENCE_SECS", 60.0)


@pytest.mark.parametrize("block_sizes", [(320, 320), (200, 600)])
@pytest.mark.usefixtures("_patient")
def test_packets_out_of_order_within_the_delay_change_nothing(block_sizes):
    packets = call(3.0, block_sizes=block_sizes)
    rng = np.random.default_rng(1)
    with calls.recognizer_of(delay_secs=0.7) as live:
        found = []
        for now, packet in arriving(packets, rng, 0.0, 0.5):
            push(live, packet)
            found += live.poll(now)
        found += live.finish()
        assert live.features.n_dropped_pictures == 0
        assert live.features.n_dropped_samples == 0
    with calls.recognizer_of() as live:
        in_time = []
        for packet in sorted(packets, key=lambda one: one[0]):
            push(live, packet)
            in_time += live.poll()
        in_time += live.finish()
    np.testing.assert_array_equal(values(found), values(in_time))
    assert len(found) == 90 and all(one.video_present for one in found)


@pytest.mark.parametrize("delay_secs", [0.15, 0.3, 0.7])
def test_losses_reordering_and_delays_never_stall_it(delay_secs):
    """30% lost, up to 500 ms late: every tick is answered in time, and truly."""
    packets = call(8.0)
    rng = np.random.default_rng(2)
    arrivals = arriving(packets, rng, 0.3, 0.5)
    found, most_waiting, k = [], 0, 0
    with calls.recognizer_of(delay_secs=delay_secs) as live:
        for now in np.arange(0, 9, TICK):
            while k < len(arrivals) and arrivals[k][0] <= now:
                push(live, arrivals[k][1])
                k += 1
            answered = live.poll(now)
            found += answered
            most_waiting = max(most_waiting, live.features.n_waiting)
            # Nothing that is due stays behind.
            assert len(found) == max(
                0, int(np.floor((now - delay_secs + 6e-4) / TICK + 1e-9)) + 1
            )
    np.testing.assert_allclose(
        [one.secs for one in found], np.arange(len(found)) * TICK
    )
    assert most_waiting <= 30 * (delay_secs + 0.2)
    assert np.isfinite(values(found)).all()
    # A tick has a picture if one of the second before it came in time.
    taken = sorted(
        (packet[0], arrived) for arrived, packet in arrivals if packet[1] == "video"
    )
    for one in found:
        due = one.secs + delay_secs
        shown = [
            secs for secs, came in taken if secs <= one.secs + 1e-3 and came <= due
        ]
        certain = [secs for secs in shown if one.secs - secs < 1.0 - TICK]
        assert one.video_present == bool(certain), one.secs
    # Sound: present where any of its packets came before openSMILE had to go on.
    heard = np.array([one.audio_present for one in found])
    if delay_secs >= 0.7:
        sounding = np.zeros(len(found), bool)
        for _, (secs, kind, _) in arrivals:
            if kind == "audio":
                first = int(np.ceil((secs - 0.02) / TICK - 1e-6))
                last = int(np.floor((secs + 0.02 - 1e-4) / TICK)) + 1
                sounding[max(first, 0) : last + 1] = True
        np.testing.assert_array_equal(heard, sounding[: len(heard)])
    assert 0 < heard[:240].mean() <= 1 and not heard[260:].any()


def test_nothing_comes_and_the_ticks_go_by():
    with calls.recognizer_of(origin_secs=None) as live:
        assert live.poll(3.0) == []  # no packet says yet when the call begins
    with calls.recognizer_of() as live:
        found = live.poll(2.0)
    assert len(found) == 52
    assert not any(one.video_present or one.audio_present for one in found)
    assert all(one.confidence == 0 for one in found)
    assert np.isfinite(values(found)).all()


def test_camera_off_and_microphone_off():
    off_secs = {"video": (1.0, 3.0), "audio": (4.0, 5.0)}
    found = []
    with calls.recognizer_of() as live:
        packets = sorted(call(7.0), key=lambda one: one[0])
        for packet in packets:
            start, stop = off_secs[packet[1]]
            if start <= packet[0] < stop:
                live.end(packet[1])
                continue
            push(live, packet)
            found += live.poll(packet[0])
        found += live.finish()
    secs = np.array([one.secs for one in found])
    seen = np.array([one.video_present for one in found])
    heard = np.array([one.audio_present for one in found])
    np.testing.assert_array_equal(seen, (secs < 0.999) | (secs >= 2.999))
    sure = np.abs(secs - 4.0) > 0.06
    sure &= np.abs(secs - 5.0) > 0.06
    expected = (secs < 4.0) | (secs > 5.0)
    np.testing.assert_array_equal(heard[sure], expected[sure])
    sure_of = np.array([one.confidence for one in found])
    assert sure_of[85] < 0.55 and 0.8 < sure_of[-1] <= 1


def test_a_lost_camera_can_be_repeated():
    def run(gaps):
        with calls.recognizer_of(video_gaps=gaps) as live:
            for packet in sorted(call(1.0), key=lambda one: one[0]):
                push(live, packet)
            live.poll(1.0)
            return live.features.poll(4.0)

    repeated, zero = run("repeat"), run("zero")
    assert not any(one.video_arrived for one in repeated[60:])
    assert all(one.video_present for one in repeated)
    assert not any(one.video_present for one in zero[60:])
    np.testing.assert_array_equal(repeated[-1].video, repeated[0].video)
    assert repeated[-1].video.any() and not zero[-1].video.any()


def test_after_a_stall_it_goes_on_where_the_call_is():
    found = []
    with calls.recognizer_of() as live:
        for packet in sorted(call(2.0), key=lambda one: one[0]):
            push(live, packet)
            found += live.poll(packet[0])
        n_before = len(found)
        for packet in sorted(call(2.0), key=lambda one: one[0]):
            push(live, (packet[0] + 1000.0, *packet[1:]))
            found += live.poll(packet[0] + 1000.0)
        assert live.features.n_resyncs == 1
    after = found[n_before:]
    assert after[0].restarted and not after[1].restarted
    assert 999.5 < after[0].secs < 1000.0 and len(after) < 75
    # On the same grid: no drift.
    np.testing.assert_allclose(
        np.array([one.index for one in after]) * TICK, [one.secs for one in after]
    )
    assert after[-1].video_present and after[-1].audio_present
    # Nothing from before the stall is in it.
    fresh = [one for one in after if one.secs > 1000.5]
    assert fresh and np.isfinite(values(fresh)).all()


def test_a_sender_whose_clock_starts_afresh_is_followed():
    found = []
    with calls.recognizer_of(origin_secs=None) as live:
        for offset in (5000.0, 0.0):
            for packet in sorted(call(2.0), key=lambda one: one[0]):
                push(live, (packet[0] + offset, *packet[1:]))
                found += live.poll()
        found += live.finish()
        assert live.features.n_resyncs == 1
    restarts = [k for k, one in enumerate(found) if one.restarted]
    assert len(restarts) == 2
    late = found[restarts[1] :]
    assert late[0].secs < 1 and late[-1].secs > 1.8 and late[-1].video_present


@pytest.mark.parametrize("origin_secs", [0.0, None])
def test_nothing_of_the_clock_before_stays(origin_secs):
    """Pictures and sound that wait when it starts afresh, and a call that ends then."""
    found, first_new = [], 0
    with calls.recognizer_of(origin_secs=origin_secs, delay_secs=2.0) as live:
        for offset in (600.0, 0.0):
            first_new = live.features._pictures._n_pushed
            for packet in sorted(call(2.5), key=lambda one: one[0]):
                push(live, (packet[0] + offset, *packet[1:]))
                found += live.poll()
        found += live.finish()
    restart = max(k for k, one in enumerate(found) if one.restarted)
    new = found[restart:]
    assert 60 < len(new) < 80 and new[-1].secs < 2.6
    assert all(one.picture in (-1, *range(first_new, first_new + 75)) for one in new)
    assert new[-2].video_present and new[-2].audio_present


@pytest.mark.parametrize("ahead_secs", [12.0, 100.0, 1e9, 1e300])
def test_a_call_whose_packets_tell_the_time_takes_no_lone_one_for_now(ahead_secs):
    with calls.recognizer_of() as live:
        found = []
        for k, packet in enumerate(sorted(call(1.0), key=lambda one: one[0])):
            push(live, packet)
            if k == 30:
                live.push_video(calls.picture(False), ahead_secs)
                live.push_audio(calls.voice(0.1), ahead_secs)
            found += live.poll()
        found += live.finish()
        assert live.features.n_resyncs == 0
        assert live.features.n_dropped_pictures == 1
        assert live.features.n_dropped_samples == 1600
    assert len(found) == 30 and all(one.video_present for one in found)


def test_a_picture_that_no_tick_would_show_is_dropped():
    with calls.recognizer_of() as live:
        live.poll(4.0)
        live.push_video(calls.picture(True), 1.0)
        live.push_video(calls.picture(True), 3.0)
        assert (live.features.n_waiting, live.features.n_dropped_pictures) == (1, 1)


def test_one_packet_with_a_wild_stamp_is_only_dropped():
    with calls.recognizer_of() as live:
        found = []
        for k, packet in enumerate(sorted(call(2.0), key=lambda one: one[0])):
            push(live, packet)
            if k % 7 == 0:
                live.push_video(calls.picture(False), packet[0] - 900.0)
                live.push_video(calls.picture(False), packet[0] + 900.0)
            found += live.poll(packet[0])
        assert live.features.n_resyncs == 0
        assert all(one.video_present for one in found)


@pytest.mark.parametrize(("every", "n_looks"), [("1", 60), ("4", 15), ("30", 2)])
def test_the_budget_looks_at_every_kth_picture(every, n_looks):
    with calls.recognizer_of(visual_budget=every) as live:
        found = []
        for packet in sorted(call(2.0), key=lambda one: one[0]):
            push(live, packet)
            found += live.features.poll()
        found += live.features.finish()
        backbone = live.features._faces._backbone
    assert len(found) == 60 and backbone.n_described == n_looks
    assert [one.looked for one in found] == [k % int(every) == 0 for k in range(60)]
    assert all(one.video_arrived for one in found)
    for k, one in enumerate(found):
        np.testing.assert_array_equal(
            one.video, found[k // int(every) * int(every)].video
        )


def test_the_model_can_run_at_every_nth_tick_only():
    def run(every):
        model = calls.Sums()
        with calls.recognizer_of(model=model, estimate_every=every) as live:
            found = []
            for packet in sorted(call(1.0), key=lambda one: one[0]):
                push(live, packet)
                found += live.poll()
            found += live.finish()
        return values(found), sum(n_clips for n_clips, _ in model.lengths)

    (every_tick, n_ticks), (every_third, n_runs) = run(1), run(3)
    assert n_ticks == len(every_tick) == 30 and n_runs == 10
    np.testing.assert_array_equal(every_third, np.repeat(every_tick[::3], 3, axis=0))


def test_a_model_with_a_background_gets_the_scene():
    with calls.recognizer_of(background=True) as live:
        live.push_video(calls.picture(False, 50), 0.0)
        (tick, *_) = live.features.poll(0.5)
    assert not tick.video_present and tick.background.any()


def test_what_is_wrong_is_told():
    made = calls.predictor_of(
        records=config.RecordsConfig(context_ticks=4, context="centered")
    )
    with pytest.raises(errors.DataError, match="--context=centered"):
        clip_window.ClipWindow(made)
    with pytest.raises(errors.ConfigError, match="--visual_budget=0: must be adaptive"):
        settings.LiveConfig(visual_budget="0")
    with calls.recognizer_of() as live:
        with pytest.raises(ValueError, match="must be uint8"):
            live.push_video(np.zeros((3, 4)), 0.0)
        with pytest.raises(ValueError, match="must be float"):
            live.push_audio(np.zeros(3, np.int16), 0.0)
        with pytest.raises(ValueError, match="must be video or audio"):
            live.end("smell")
        for image in (np.zeros((0, 0, 3), np.uint8), np.zeros((0, 5, 3), np.uint8)):
            with pytest.raises(ValueError, match="is empty"):
                live.push_video(image, 0.0)
        for shape in ((640, 2), (0, 640)):
            with pytest.raises(ValueError, match="must be .channels, n. with 1 to 64"):
                live.push_audio(np.zeros(shape), 0.0)


def test_times_that_are_no_numbers_leave_the_call_unharmed():
    with calls.recognizer_of(origin_secs=None) as live:
        for secs in (np.nan, np.inf, -np.inf):
            with pytest.raises(ValueError, match="^secs=.*: must be a finite number$"):
                live.push_video(calls.picture(True), secs)
            with pytest.raises(ValueError, match="^secs=.*: must be a finite number$"):
                live.push_audio(calls.voice(0.1), secs)
            with pytest.raises(ValueError, match="now_secs=.*: must be a finite numb"):
                live.poll(secs)
            with pytest.raises(ValueError, match="duration_secs=.*: must be a finite"):
                live.push_video(calls.picture(True), 0.0, secs)
        with pytest.raises(ValueError, match="duration_secs=.*: must be at most 3600"):
            live.push_video(calls.picture(True), 0.0, duration_secs=1e6)
        packets = sorted(call(0.5), key=lambda one: one[0])
        for packet in packets:
            push(live, packet)
        assert len(live.poll() + live.finish()) == 15


def test_a_closed_call_stays_closed(monkeypatch):
    with calls.recognizer_of() as live:
        live.push_audio(calls.voice(0.5), 0.0)
    live.close()
    monkeypatch.setattr(live_sound.lld_stream, "LldStream", None)  # would be started
    for use in (
        lambda: live.push_video(calls.picture(True), 0.5),
        lambda: live.push_audio(calls.voice(0.1), 0.5),
        live.poll,
        live.finish,
    ):
        with pytest.raises(RuntimeError, match="this call is closed"):
            use()


def test_the_filter_is_steady_at_rest_and_quick_in_motion():
    rng = np.random.default_rng(0)
    steady = one_euro.OneEuro(0.5, 1.0)
    noisy = [
        (k * TICK, np.array([0.3, -0.2]) + rng.normal(0, 0.05, 2)) for k in range(300)
    ]
    found = np.array([steady.smooth(*one) for one in noisy])
    np.testing.assert_array_equal(found[0], noisy[0][1])
    raw = np.array([one for _, one in noisy])
    assert (found[100:].std(axis=0) < 0.5 * raw[100:].std(axis=0)).all()
    np.testing.assert_allclose(found[100:].mean(axis=0), [0.3, -0.2], atol=0.02)
    slow, quick = one_euro.OneEuro(0.5, 0.0), one_euro.OneEuro(0.5, 5.0)
    for one in (slow, quick):
        one.smooth(0.0, np.zeros(1))
    step = [
        [float(one.smooth((k + 1) * TICK, np.ones(1))[0]) for k in range(10)]
        for one in (slow, quick)
    ]
    # By hand: share = 2 pi 0.5 / 30 / (2 pi 0.5 / 30 + 1).
    turns = np.pi / 30
    np.testing.assert_allclose(step[0][0], turns / (turns + 1))
    assert step[1][9] > 0.9 > step[0][9]


def test_smoothing_changes_the_values_and_keeps_what_the_model_said():
    def run(**changes):
        with calls.recognizer_of(**changes) as live:
            for packet in sorted(call(1.5), key=lambda one: one[0]):
                push(live, packet)
            return live.poll()

    plain, smooth = run(), run(smooth=True)
    np.testing.assert_array_equal(values(plain), [one.raw for one in smooth])
    assert np.abs(values(plain) - values(smooth)).max() > 0.01


@pytest.mark.parametrize("changes", [{}, {"smooth": True}, {"estimate_every": 3}])
def test_intervals_go_along_with_the_estimates(changes):
    def run(model):
        with calls.recognizer_of(model=model, **changes) as live:
            for packet in sorted(call(1.5), key=lambda one: one[0]):
                push(live, packet)
            return live.poll()

    plain, bounded = run(calls.Sums()), run(calls.Bounded())
    np.testing.assert_array_equal(values(plain), values(bounded))
    assert {one.bounds.size for one in plain} == {0}
    for one in bounded:
        expected = np.repeat(one.values, 2) + calls.Bounded.distances
        np.testing.assert_allclose(one.bounds, expected, atol=1e-6)


def test_the_adaptive_budget_keeps_up():
    budget = visual_budget.Adaptive(tick_secs=0.1)
    assert budget.every == 1
    for _ in range(50):
        budget.measured(0.2, 0.02, 1)
    # 0.2 s per look, 0.02 s for the rest: 80% of 0.1 s leave 0.06 s for looks.
    assert budget.every == 4
    for _ in range(200):
        budget.measured(0.01, 0.02, 1)
    assert budget.every == 1
    for _ in range(200):
        budget.measured(0.01, 0.2, 1)
    assert budget.every == 300
