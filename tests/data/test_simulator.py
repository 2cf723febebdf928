"""Source maps: rates, bursts, edges, and draws that depend on nothing but their key."""

import numpy as np
import pytest
import tensorflow as tf

from avexp_tf import errors
from avexp_tf.data import condition
from avexp_tf.data import patterns
from avexp_tf.data import simulator

PATTERNS = {
    "clip_zero": patterns.clip_zero,
    "frame_zero": patterns.frame_zero,
    "frame_repeat": patterns.frame_repeat,
    "subclip_zero": patterns.subclip_zero,
    "gilbert_elliott": lambda p: patterns.gilbert_elliott(p, 30.0),
    "gilbert_elliott_repeat": lambda p: patterns.gilbert_elliott(p, 30.0, "repeat"),
}


def draw(pattern, recording=0, n_ticks=100, first_tick=0, seed=5, epoch=0):
    key = simulator.clip_key(seed, epoch, tf.constant(f"recording-{recording}"))
    return pattern(key, tf.constant(first_tick, tf.int64), n_ticks).numpy()


def lost_of(source):
    return source != np.arange(len(source))


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("n_ticks", [1, 2, 100, 1500])
def test_p_zero_is_the_identity_and_p_one_loses_all(name, n_ticks):
    kept = draw(PATTERNS[name](0.0), n_ticks=n_ticks)
    np.testing.assert_array_equal(kept, np.arange(n_ticks))
    assert (draw(PATTERNS[name](1.0), n_ticks=n_ticks) == -1).all()


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("p", [0.3, 0.5, 0.85, 0.95])
def test_realised_rate(name, p):
    n_clips, n_ticks = (300, 20) if name == "clip_zero" else (30, 1000)
    rates = [
        lost_of(draw(PATTERNS[name](p), recording=i, n_ticks=n_ticks)).mean()
        for i in range(n_clips)
    ]
    # Ticks of a burst are one draw: 1000 ticks hold few independent ones.
    independent = {"clip_zero": n_clips, "subclip_zero": 1e9}.get(name, 30 * 1000)
    if name.startswith("gilbert"):
        independent = 30 * 1000 / (2 * 30 * (1 - p) + 1)
    error = np.sqrt(p * (1 - p) / independent) + 5e-4
    assert abs(np.mean(rates) - p) < 4 * error


def bursts_of(lost):
    """Lengths of the runs of lost ticks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize(
    ("p", "mean_burst"), [(0.3, 12.0), (0.5, 3.0), (0.5, 1.2), (0.1, 1.0), (0.9, 40)]
)
def test_gilbert_elliott_bursts(p, mean_burst):
    found = [
        bursts_of(
            draw(patterns.gilbert_elliott(p, mean_burst), recording=i, n_ticks=20000)
            == -1
        )
        for i in range(5)
    ]
    lengths = np.concatenate(found)
    error = lengths.std() / np.sqrt(len(lengths)) + 1e-9
    assert abs(lengths.mean() - mean_burst) < 4 * error + 0.01
    ticks = 5 * 20000
    assert abs(lengths.sum() / ticks - p) < 0.06


def test_gilbert_elliott_equals_a_plain_chain():
    for p, mean_burst in ((0.4, 5.0), (0.55, 1.3)):
        key = simulator.clip_key(1, 0, tf.constant("r"))
        first = tf.constant(700, tf.int64)
        u = patterns.tick_uniforms(key, first, 400).numpy()
        lost = bool(patterns.clip_uniform(key, first).numpy() < p)
        expected = []
        for value in u:
            stay, become = 1 - 1 / mean_burst, p / mean_burst / (1 - p)
            lost = bool(value < (stay if lost else become))
            expected.append(lost)
        drawn = patterns.gilbert_elliott(p, mean_burst)(key, first, 400)
        np.testing.assert_array_equal(drawn.numpy() == -1, expected)


def test_repeat_shows_the_last_received_frame():
    lost = tf.constant([True, False, True, True, False, True])
    np.testing.assert_array_equal(patterns.repeats_where(lost), [-1, 1, 1, 1, 4, 4])
    np.testing.assert_array_equal(patterns.zeros_where(lost), [-1, 1, -1, -1, 4, -1])


def test_repeat_and_zero_lose_the_same_frames_and_losses_are_nested():
    zero = draw(patterns.frame_zero(0.5))
    repeat = draw(patterns.frame_repeat(0.5))
    np.testing.assert_array_equal(lost_of(zero), lost_of(repeat))
    received = np.where(lost_of(zero), -1, np.arange(100))
    np.testing.assert_array_equal(repeat, np.maximum.accumulate(received))
    worse = draw(patterns.frame_zero(0.8))
    assert (lost_of(worse) | ~lost_of(zero)).all()


@pytest.mark.parametrize("n_ticks", [1, 100, 1500])
def test_face_zero_shows_the_background_of_the_same_tick(n_ticks):
    lost = draw(patterns.frame_zero(0.5), n_ticks=n_ticks) == -1
    ticks = np.arange(n_ticks)
    source = draw(patterns.face_zero(0.5), n_ticks=n_ticks)
    np.testing.assert_array_equal(source, np.where(lost, n_ticks + ticks, ticks))
    np.testing.assert_array_equal(draw(patterns.face_zero(0.0), n_ticks=n_ticks), ticks)
    np.testing.assert_array_equal(
        draw(patterns.face_zero(1.0), n_ticks=n_ticks), n_ticks + ticks
    )


def test_subclip_is_one_block_at_any_place():
    starts = []
    for i in range(200):
        lost = np.flatnonzero(draw(patterns.subclip_zero(0.9), recording=i) == -1)
        assert len(lost) == 90
        assert lost[-1] - lost[0] == 89
        starts.append(lost[0])
    assert set(starts) == set(range(11))


def test_draws_are_keyed_on_the_tick():
    whole = draw(patterns.frame_zero(0.5), n_ticks=3000) == -1
    for first in (0, 1000, 1023, 1024, 2000):
        part = draw(patterns.frame_zero(0.5), n_ticks=900, first_tick=first) == -1
        np.testing.assert_array_equal(part, whole[first : first + 900])


def test_draws_differ_by_seed_epoch_and_recording():
    base = draw(patterns.frame_zero(0.5), n_ticks=500)
    np.testing.assert_array_equal(base, draw(patterns.frame_zero(0.5), n_ticks=500))
    for change in ({"seed": 6}, {"epoch": 1}, {"recording": 1}):
        other = draw(patterns.frame_zero(0.5), n_ticks=500, **change)
        assert 0.35 < (lost_of(base) == lost_of(other)).mean() < 0.65


@pytest.mark.parametrize("text", ["video:frame_zero:0.5", "both:gilbert_elliott:0.5:4"])
def test_parallel_calls_change_nothing(text):
    simulate = simulator.simulator(((condition.parse(text),),))

    def one(i):
        key = simulator.clip_key(3, 1, tf.strings.as_string(i))
        return simulate(key, i * 100, 100)

    drawn = [
        list(
            tf.data.Dataset.range(40)
            .map(one, num_parallel_calls=calls, deterministic=True)
            .as_numpy_iterator()
        )
        for calls in (1, 2, 7)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


def simulate(text, n_ticks=200, recording="r"):
    ablation = condition.parse_ablation((text,) if isinstance(text, str) else text)
    key = simulator.clip_key(3, 1, tf.constant(recording))
    zero = tf.constant(0, tf.int64)
    pair = simulator.simulator(ablation)(key, zero, n_ticks)
    return [source.numpy() for source in pair]


def test_modalities():
    identity = np.arange(200)
    video, audio = simulate("video:frame_zero:0.5")
    assert lost_of(video).any()
    np.testing.assert_array_equal(audio, identity)
    video, audio = simulate("audio:frame_zero:0.5")
    np.testing.assert_array_equal(video, identity)
    assert lost_of(audio).any()
    video, audio = simulate("both:frame_zero:0.5")
    np.testing.assert_array_equal(video, audio)
    video, audio = simulate("each:frame_zero:0.5")
    assert 0.3 < (lost_of(video) == lost_of(audio)).mean() < 0.7
    video, audio = simulate("none")
    np.testing.assert_array_equal(video, identity)
    np.testing.assert_array_equal(audio, identity)


def test_stages_are_composed():
    first = tf.constant([0, 1, -1, 3, 4])
    then = tf.constant([0, 0, 2, 2, -1])
    np.testing.assert_array_equal(simulator.compose(first, then), [0, 0, -1, -1, -1])
    video, audio = simulate(("video:frame_zero:0.5", "audio:subclip_zero:0.25"))
    assert 60 < lost_of(video).sum() < 140
    assert lost_of(audio).sum() == 50


def test_a_background_goes_through_later_stages():
    # Of four ticks: face, background, nothing, face; what a second stage makes of them.
    first = tf.constant([0, 5, -1, 3])
    for then, expected in (
        ([0, 1, 2, 3], [0, 5, -1, 3]),
        ([4, 5, 6, 7], [4, 5, -1, 7]),  # faces are lost: 4 is the background of 0
        ([-1, -1, -1, -1], [-1, -1, -1, -1]),
        ([0, 0, 1, 1], [0, 0, 5, 5]),  # the last received one is repeated
        ([3, 7, 7, 0], [3, 7, 7, 0]),
    ):
        found = simulator.compose(first, tf.constant(then))
        np.testing.assert_array_equal(found, expected)
    video, _ = simulate(("video:face_zero:1", "video:frame_zero:0.5"))
    assert 60 < (video == -1).sum() < 140
    np.testing.assert_array_equal(video[video >= 0], (200 + np.arange(200))[video >= 0])


def test_a_real_gap_falls_back_on_its_background():
    present = tf.constant([True, False, False, True])
    there = tf.constant([True, True, False, True])
    found = simulator.compose_gaps(tf.constant([0, 1, 2, 7]), present, there)
    np.testing.assert_array_equal(found, [0, 5, -1, 7])
    # A repeated frame without a face is its background too.
    found = simulator.compose_gaps(tf.constant([0, 1, 1, -1]), present, there)
    np.testing.assert_array_equal(found, [0, 5, 5, -1])


def test_two_stages_draw_apart():
    once, _ = simulate("video:frame_zero:0.5", n_ticks=2000)
    twice, _ = simulate(("video:frame_zero:0.5", "video:frame_zero:0.5"), n_ticks=2000)
    assert lost_of(once).mean() == pytest.approx(0.5, abs=0.05)
    assert lost_of(twice).mean() == pytest.approx(0.75, abs=0.05)


def test_a_mixture_draws_one_alternative_per_clip():
    text = "video:clip_zero:1|audio:clip_zero:1|none"
    counts = np.zeros(3)
    for i in range(300):
        video, audio = simulate(text, n_ticks=5, recording=str(i))
        kinds = [(video == -1).all(), (audio == -1).all()]
        assert not all(kinds)
        counts[kinds.index(True) if any(kinds) else 2] += 1
    assert (np.abs(counts - 100) < 4 * np.sqrt(300 * 2 / 9)).all()


def test_real_gaps_are_shown_as_nothing_and_so_are_their_repeats():
    present = tf.constant([True, False, True, True, False])
    shown = simulator.compose_gaps(tf.constant([0, 1, 1, 3, 3]), present)
    np.testing.assert_array_equal(shown, [0, -1, -1, 3, 3])


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: patterns.frame_zero(1.5), r"p = 1.5 must be in \[0, 1\]"),
        (lambda: patterns.frame_zero(float("nan")), "p = nan must be in"),
        (lambda: patterns.gilbert_elliott(0.9, 2), "p = 0.9 must be at most"),
        (lambda: patterns.gilbert_elliott(0.2, 0.5), "mean burst 0.5 must be at least"),
        (lambda: patterns.gilbert_elliott(0.2, 2, "hold"), "concealment 'hold'"),
    ],
)
def test_impossible_parameters(make, rule):
    with pytest.raises(errors.ConfigError, match=rule):
        make()
