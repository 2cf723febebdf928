"""The loss simulator: draws the source maps of a clip and composes real gaps.

One simulator is a list of mixtures, applied one after the other; what it draws is a
function of (seed, epoch, recording, tick) alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from avexp_tf.data import condition as conditions
from avexp_tf.data import patterns

# simulate(key int32 [2], first_tick int64 [], n_ticks T) -> (video_source int32 [T],
# audio_source int32 [T])
Simulator = Callable[[tf.Tensor, tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]

# Salts of the streams of random numbers; "both" shares the video's stream.
_STREAMS = {"video": 1, "audio": 2}
_CHOICE_SALT = 3


def draw_of(condition: conditions.Condition) -> patterns.Draw:
    """Returns the pattern's draw for one condition (not `none`)."""
    factory, names = patterns.PATTERNS[condition.pattern]
    return factory(*(getattr(condition, name) for name in names))


def clip_key(
    seed: tf.Tensor | int, epoch: tf.Tensor | int, recording_id: tf.Tensor
) -> tf.Tensor:
    """Folds what a draw depends on into one stateless seed.

    Args:
      seed: Of the run, or the loss seed in evaluation.
      epoch: 0 in evaluation.
      recording_id: string [].

    Returns:
      int32 [2].
    """
    key = tf.stack([tf.cast(seed, tf.int32), tf.cast(epoch, tf.int32)])
    digest = tf.strings.to_hash_bucket_fast(recording_id, 2**31 - 1)
    return tf.random.experimental.stateless_fold_in(key, digest)


def compose(first: tf.Tensor, then: tf.Tensor) -> tf.Tensor:
    """Applies one source map after another.

    Args:
      first: int32 [T], what the first stage shows.
      then: int32 [T], which of these the second stage shows.

    Returns:
      int32 [T]; -1 where either shows nothing, the background where either does.
    """
    n_ticks = tf.shape(first)[0]
    shown = tf.gather(first, tf.maximum(then, 0) % n_ticks)
    face_lost = (then >= n_ticks) & (shown >= 0) & (shown < n_ticks)
    shown = tf.where(face_lost, shown + n_ticks, shown)
    return tf.where(then < 0, -1, shown)


def compose_gaps(
    source: tf.Tensor, present: tf.Tensor, background_present: tf.Tensor | None = None
) -> tf.Tensor:
    """Puts real gaps into a source map: a frame that shows nothing is shown as none.

    Args:
      source: int32 [T], simulated.
      present: bool [T], whether the frame at each tick was really there.
      background_present: bool [T], whether there is a background to fall back on; None
        where the records have none.

    Returns:
      int32 [T].
    """
    gaps = patterns.zeros_where(~present)
    if background_present is not None:
        fallback = patterns.faces_lost_where(~present)
        gaps = tf.where(background_present, fallback, gaps)
    return compose(gaps, source)


def simulator(
    ablation: conditions.Ablation,
) -> Simulator:
    """Builds the simulator of an ablation.

    Args:
      ablation: Mixtures, applied one after the other; of each, one alternative is drawn
        per clip.

    Returns:
      fn(key int32 [2], first_tick int64 [], n_ticks T) -> (video_source int32 [T],
      audio_source int32 [T]).
    """
    draws = [
        [(c, None if c.modality == "none" else draw_of(c)) for c in alternatives]
        for alternatives in ablation
    ]

    def one(
        condition: conditions.Condition,
        draw: patterns.Draw | None,
        key: tf.Tensor,
        first_tick: tf.Tensor,
        n_ticks: int,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        maps = {name: tf.range(n_ticks) for name in _STREAMS}
        for name in condition.modalities:
            stream = "video" if condition.modality == "both" else name
            stream_key = tf.random.experimental.stateless_fold_in(key, _STREAMS[stream])
            assert draw is not None
            maps[name] = draw(stream_key, first_tick, n_ticks)
        return maps["video"], maps["audio"]

    def simulate(
        key: tf.Tensor, first_tick: tf.Tensor, n_ticks: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        video = audio = tf.range(n_ticks)
        for index, alternatives in enumerate(draws):
            stage_key = tf.random.experimental.stateless_fold_in(key, 100 + index)
            if len(alternatives) == 1:
                stage = one(*alternatives[0], stage_key, first_tick, n_ticks)
            else:
                choice_key = tf.random.experimental.stateless_fold_in(
                    stage_key, _CHOICE_SALT
                )
                u = patterns.clip_uniform(choice_key, first_tick)
                choice = tf.cast(u * len(alternatives), tf.int32)
                branches = [
                    functools.partial(one, *pair, stage_key, first_tick, n_ticks)
                    for pair in alternatives
                ]
                stage = tf.switch_case(choice, branches)
            video = compose(video, stage[0])
            audio = compose(audio, stage[1])
        return video, audio

    return simulate
