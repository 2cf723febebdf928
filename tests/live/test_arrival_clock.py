"""How a sender's clock is followed."""

import numpy as np
import pytest

from avexp_tf.live import arrival_clock


def placed(clock, arrivals):
    """Returns of each (stamp, arrival) its place on the timeline, and its lateness."""
    found = []
    for secs, now_secs in arrivals:
        place, _ = clock.arrived(secs, now_secs)
        found.append((place, clock.now(now_secs) - place))
    return np.array(found).T


def steady(first, last, start_secs, every=0.04):
    """Stamps that arrive as they are made."""
    return [(secs, start_secs + secs) for secs in np.arange(first, last, every)]


def test_the_least_late_packet_says_how_the_clocks_lie():
    clock = arrival_clock.ArrivalClock()
    assert clock.now(1.0) is None
    late = np.random.default_rng(0).uniform(0, 0.3, 250)
    late[::20] = 0.0
    stamps = np.arange(250) * 0.04
    places, found = placed(clock, zip(stamps, 100 + stamps + late, strict=True))
    np.testing.assert_allclose(places, stamps)
    np.testing.assert_allclose(found, late, atol=1e-9)


@pytest.mark.parametrize("pause_secs", [0.2, 2.0, 4.0, 30.0])
def test_a_sender_that_pauses_is_followed_within_seconds(pause_secs):
    arrivals = steady(0, 10, 100) + steady(10, 20, 100 + pause_secs)
    places, late = placed(arrival_clock.ArrivalClock(5.0), arrivals)
    np.testing.assert_allclose(late[:250], 0.0, atol=1e-9)
    np.testing.assert_allclose(late[-190:], 0.0, atol=1e-9)
    # The pause is a gap on the timeline, which goes on meanwhile.
    np.testing.assert_allclose(
        places[-190:], np.array(arrivals)[-190:, 1] - 100, atol=1e-9
    )


@pytest.mark.parametrize("ahead_secs", [-1000.0, -7.0, -3.0, 7.0, 1e6])
def test_a_clock_that_starts_afresh_is_followed(ahead_secs):
    arrivals = steady(1000, 1010, 100)
    arrivals += steady(1010 + ahead_secs, 1020 + ahead_secs, 100 - ahead_secs)
    places, late = placed(arrival_clock.ArrivalClock(5.0), arrivals)
    np.testing.assert_allclose(late[-190:], 0.0, atol=1e-8)
    np.testing.assert_allclose(places[-190:], 1000 + np.arange(310, 500) * 0.04)


def test_one_wrong_stamp_changes_nothing():
    for wrong_secs in (-1e6, -8.0, 8.0, 1e6):
        clock = arrival_clock.ArrivalClock(5.0)
        arrivals = steady(0, 4, 100)
        arrivals[50] = (arrivals[50][0] + wrong_secs, arrivals[50][1])
        _, late = placed(clock, arrivals)
        np.testing.assert_allclose(np.delete(late, 50), 0.0, atol=1e-9)
        # It is not waited for.
        assert clock.arrived(104 + wrong_secs, 204.0)[1] == 204.0


def test_what_waited_at_the_beginning_comes_at_once():
    clock = arrival_clock.ArrivalClock(5.0)
    stamps = np.arange(0, 3, 0.04)
    places, due_secs = np.array([clock.arrived(secs, 100.0) for secs in stamps]).T
    assert due_secs.max() <= 100.0 + 1e-9
    np.testing.assert_allclose(places, stamps)
    assert clock.now(100.0) == pytest.approx(2.96)


@pytest.mark.parametrize("backlog_secs", [0.0, 2.0])
def test_a_file_that_comes_faster_is_held_back(backlog_secs):
    clock = arrival_clock.ArrivalClock(backlog_secs)
    now_secs = 100.0
    for secs in np.arange(0, 60, 0.04):
        place, due_secs = clock.arrived(secs, now_secs)
        now_secs = max(now_secs, due_secs)
        assert place == pytest.approx(secs)
    assert now_secs - 100.0 == pytest.approx(60 - backlog_secs, abs=0.2)


def test_a_clock_that_drifts_is_followed_for_hours():
    for rate in (1 - 2e-4, 1 + 2e-4):
        now_secs = np.arange(0, 6 * 3600, 0.5)
        _, late = placed(
            arrival_clock.ArrivalClock(0.0), zip(rate * now_secs, now_secs, strict=True)
        )
        assert np.abs(late).max() < 0.06


@pytest.mark.parametrize("stall_secs", [3.0, 8.0])
def test_a_file_that_stalls_goes_on_at_its_own_speed(stall_secs):
    clock, now_secs, places = arrival_clock.ArrivalClock(0.0), 100.0, []
    stamps = np.arange(0, 20, 0.04)
    for secs in stamps:
        if secs == stamps[250]:
            now_secs += stall_secs
        place, due_secs = clock.arrived(secs, now_secs)
        now_secs = max(now_secs, due_secs)
        places.append(place)
    assert now_secs - 100.0 == pytest.approx(20 + stall_secs, abs=0.6)
    assert clock.now(now_secs) == pytest.approx(places[-1], abs=0.1)


def test_slides_of_a_file_wait_for_their_time():
    clock, now_secs = arrival_clock.ArrivalClock(0.0), 100.0
    for secs in np.arange(0, 80, 8.0):
        now_secs = max(now_secs, clock.arrived(secs, now_secs)[1])
    assert now_secs == pytest.approx(172.0, abs=0.1)


def test_what_was_held_up_comes_at_once_and_ends_in_the_present():
    clock = arrival_clock.ArrivalClock(5.0)
    placed(clock, steady(0, 10, 100))
    placed(clock, [(secs, 130.0) for secs in np.arange(10, 30, 0.04)])
    places, late = placed(clock, steady(30, 40, 100))
    np.testing.assert_allclose(late, 0.0, atol=1e-6)
    _, due_secs = clock.arrived(40.0, 140.0)
    assert due_secs == pytest.approx(140.0)


def test_wrong_stamps_that_do_not_agree_are_not_another_clock():
    clock = arrival_clock.ArrivalClock(5.0)
    placed(clock, steady(0, 4, 100))
    placed(clock, [(4 + (-1) ** k * 100.0 * (k + 1), 104.0) for k in range(30)])
    _, late = placed(clock, steady(4, 8, 100))
    np.testing.assert_allclose(late, 0.0, atol=1e-9)
