"""Loss patterns: factories that return a function drawing a source map.

A source map is int32 [T]: the frame that the receiver shows at each tick, -1 for none,
and from T on the background of a frame: T + t is that of the frame at tick t.
Features are never touched. Every draw is stateless, keyed on a seed and on the absolute
tick, so the losses are the same on any number of workers. The frames that are lost at p
are lost at every higher p too, but for bursts so short that a loss makes the next one
less likely.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from avexp_tf.data import condition

# draw(key int32 [2], first_tick int64 [], n_ticks T) -> source map int32 [T]
Draw = Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]

_BLOCK_TICKS = 1024
_CLIP_SALT = 1_000_003  # keeps a clip's own draw apart from its first tick's


def tick_uniforms(key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int) -> tf.Tensor:
    """Draws one number in [0, 1) per tick, a function of key and absolute tick alone.

    Args:
      key: int32 [2], a stateless seed.
      first_tick: int64 [], index of the first tick in its recording.
      n_ticks: T.

    Returns:
      float32 [T]; overlapping stretches agree where they overlap.
    """
    first_tick = tf.cast(first_tick, tf.int64)
    first_block = first_tick // _BLOCK_TICKS
    start = first_tick - first_block * _BLOCK_TICKS
    # As many as T ticks can reach into, wherever they start: a loop over just those
    # that they do reach into costs more than a block too many.
    n_blocks = (n_ticks - 2) // _BLOCK_TICKS + 2
    draws = []
    for block in range(n_blocks):
        block_key = tf.random.experimental.stateless_fold_in(key, first_block + block)
        draws.append(tf.random.stateless_uniform([_BLOCK_TICKS], block_key))
    return tf.concat(draws, axis=0)[start : start + n_ticks]


def clip_uniform(key: tf.Tensor, first_tick: tf.Tensor) -> tf.Tensor:
    """Draws one number in [0, 1) per clip, a function of key and first tick.

    Args:
      key: int32 [2], a stateless seed.
      first_tick: int64 [], index of the clip's first tick in its recording.

    Returns:
      float32 [].
    """
    key = tf.random.experimental.stateless_fold_in(key, _CLIP_SALT)
    key = tf.random.experimental.stateless_fold_in(key, tf.cast(first_tick, tf.int64))
    return tf.random.stateless_uniform([], key)


def zeros_where(lost: tf.Tensor) -> tf.Tensor:
    """Returns the source map that shows nothing at lost ticks.

    Args:
      lost: bool [T].

    Returns:
      int32 [T].
    """
    ticks = tf.range(tf.shape(lost)[0])
    return tf.where(lost, -1, ticks)


def repeats_where(lost: tf.Tensor) -> tf.Tensor:
    """Returns the source map that shows the last received frame at lost ticks.

    Args:
      lost: bool [T].

    Returns:
      int32 [T]; -1 before the first received frame.
    """
    received = tf.cast(tf.where(~lost)[:, 0], tf.int32)
    candidates = tf.concat([[-1], received], axis=0)
    return tf.gather(candidates, tf.cumsum(tf.cast(~lost, tf.int32)))


def faces_lost_where(lost: tf.Tensor) -> tf.Tensor:
    """Returns the source map that shows a lost tick's background.

    Args:
      lost: bool [T].

    Returns:
      int32 [T], in 0 .. 2 T - 1.
    """
    n_ticks = tf.shape(lost)[0]
    ticks = tf.range(n_ticks)
    return tf.where(lost, n_ticks + ticks, ticks)


_CONCEAL = {"zero": zeros_where, "repeat": repeats_where}


def clip_zero(p: float) -> Draw:
    """Loses the whole clip with probability p.

    Args:
      p: Probability in [0, 1].

    Returns:
      The draw.

    Raises:
      errors.ConfigError: if p is out of range.
    """
    condition.check("clip_zero", p)

    def draw(key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int) -> tf.Tensor:
        return zeros_where(tf.fill([n_ticks], clip_uniform(key, first_tick) < p))

    return draw


def frame_zero(p: float) -> Draw:
    """Loses each frame with probability p and shows nothing in its place.

    Args:
      p: Probability in [0, 1].

    Returns:
      The draw.

    Raises:
      errors.ConfigError: if p is out of range.
    """
    condition.check("frame_zero", p)

    def draw(key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int) -> tf.Tensor:
        return zeros_where(tick_uniforms(key, first_tick, n_ticks) < p)

    return draw


def frame_repeat(p: float) -> Draw:
    """Loses each frame with probability p and shows the last received one instead.

    Args:
      p: Probability in [0, 1].

    Returns:
      The draw.

    Raises:
      errors.ConfigError: if p is out of range.
    """
    condition.check("frame_repeat", p)

    def draw(key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int) -> tf.Tensor:
        return repeats_where(tick_uniforms(key, first_tick, n_ticks) < p)

    return draw


def face_zero(p: float) -> Draw:
    """Loses each face with probability p and keeps the scene that it was in.

    Args:
      p: Probability in [0, 1].

    Returns:
      The draw, for records with a background.

    Raises:
      errors.ConfigError: if p is out of range.
    """
    condition.check("face_zero", p)

    def draw(key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int) -> tf.Tensor:
        return faces_lost_where(tick_uniforms(key, first_tick, n_ticks) < p)

    return draw


def subclip_zero(p: float) -> Draw:
    """Loses one block of round(p T) ticks at a place drawn uniformly.

    Args:
      p: Share of the clip in [0, 1].

    Returns:
      The draw.

    Raises:
      errors.ConfigError: if p is out of range.
    """
    condition.check("subclip_zero", p)

    def draw(key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int) -> tf.Tensor:
        n_lost = tf.cast(tf.round(p * tf.cast(n_ticks, tf.float32)), tf.int32)
        places = tf.cast(n_ticks - n_lost + 1, tf.float32)
        start = tf.cast(clip_uniform(key, first_tick) * places, tf.int32)
        start = tf.minimum(start, n_ticks - n_lost)
        ticks = tf.range(n_ticks)
        return zeros_where((ticks >= start) & (ticks < start + n_lost))

    return draw


def gilbert_elliott(p: float, mean_burst: float, concealment: str = "zero") -> Draw:
    """Loses bursts of frames: a two-state Markov chain in its stationary state.

    A lost frame is followed by a received one with probability 1 / mean_burst; the
    other transition follows from p.

    Args:
      p: Share of lost frames in [0, 1].
      mean_burst: Mean length of a burst in ticks, at least 1; p must not exceed
        mean_burst / (mean_burst + 1).
      concealment: `zero` or `repeat`.

    Returns:
      The draw.

    Raises:
      errors.ConfigError: if no chain has these parameters.

    Reference:
      E. N. Gilbert, "Capacity of a burst-noise channel", 1960; E. O. Elliott, 1963.
    """
    condition.check("gilbert_elliott", p, mean_burst, concealment)
    stay_lost = 1.0 if p == 1 else 1.0 - 1.0 / mean_burst
    become_lost = 1.0 if p == 1 else p / mean_burst / (1.0 - p)

    def draw(key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int) -> tf.Tensor:
        u = tick_uniforms(key, first_tick, n_ticks)
        # Whatever the state before, u below both thresholds loses the frame and u
        # above both receives it. Between them the state is kept (bursts longer than
        # chance) or flipped (shorter), so it follows from the last tick that decides.
        low, high = sorted((stay_lost, become_lost))
        # At the first tick the state before is drawn from the stationary chain.
        before = clip_uniform(key, first_tick) < p
        first = u[:1] < tf.where(before, stay_lost, become_lost)
        decides = tf.concat([[True], (u[1:] < low) | (u[1:] >= high)], axis=0)
        decided_lost = tf.concat([first, u[1:] < low], axis=0)
        last_decision = repeats_where(~decides)
        lost = tf.gather(decided_lost, last_decision)
        if become_lost > stay_lost:
            since = tf.range(n_ticks) - last_decision
            lost = tf.not_equal(lost, since % 2 == 1)
        return _CONCEAL[concealment](lost)

    return draw


# name -> (factory, names of its parameters in the order of the text form)
PATTERNS: dict[str, tuple[Callable[..., Draw], tuple[str, ...]]] = {
    "clip_zero": (clip_zero, ("p",)),
    "frame_zero": (frame_zero, ("p",)),
    "frame_repeat": (frame_repeat, ("p",)),
    "face_zero": (face_zero, ("p",)),
    "subclip_zero": (subclip_zero, ("p",)),
    "gilbert_elliott": (gilbert_elliott, ("p", "mean_burst", "concealment")),
}
