"""The losses of a call, drawn as in training: which tick is shown at each tick."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from avexp_tf import config
from avexp_tf.data import condition as conditions
from avexp_tf.data import simulator

NONE = -1
# Of these a clip is the unit; the others follow from tick to tick.
_BY_CLIP = ("clip_zero", "subclip_zero")
_SPAN_TICKS = 1000


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """What is lost of a call.

    Attributes:
      off: Modalities that are switched off.
      condition: What is lost of the others; see `avexp_tf.data.condition`.
    """

    off: tuple[str, ...] = ()
    condition: conditions.Condition = conditions.NONE


def settings(
    off: tuple[str, ...],
    modality: str,
    pattern: str,
    p: float,
    mean_burst: float,
    concealment: str,
) -> LossSettings:
    """Returns the settings for what a page's controls say.

    Args:
      off: Modalities that are switched off.
      modality: video, audio, each or both.
      pattern: A name of the pattern registry.
      p: Share of loss in [0, 1].
      mean_burst: Ticks; no chain loses p in shorter bursts than p / (1 - p), and then
        these are taken.
      concealment: For gilbert_elliott.
    """
    if p <= 0:
        return LossSettings(off)
    if pattern != "gilbert_elliott":
        return LossSettings(off, conditions.Condition(modality, pattern, min(p, 1.0)))
    if p < 1:
        # A little more, so that rounding does not break the chain's rule.
        mean_burst = max(mean_burst, p / (1 - p) * (1 + 1e-9))
    drawn = conditions.Condition(modality, pattern, p, max(mean_burst, 1), concealment)
    return LossSettings(off, drawn)


class CallLosses:
    """Says for one tick after the other which one is shown in its place.

    What was said stays: a change counts for the ticks that follow. A single frame that
    is lost at one rate is lost at every higher one too, as in training.

    Args:
      clip_ticks: Ticks of a clip.
      seed: Of the draws.
    """

    def __init__(self, clip_ticks: int, seed: int = 0):
        self._clip_ticks = clip_ticks
        self._key = simulator.clip_key(seed, 0, tf.constant("call"))
        self._drawn: dict[tuple[conditions.Condition, int], dict[str, list[int]]] = {}

    def shown(self, tick: int, losses: LossSettings) -> dict[str, int]:
        """Returns what is shown at a tick.

        Args:
          tick: Its number in the call.
          losses: What is lost.

        Returns:
          Per modality the tick itself, an earlier one, or `NONE`.
        """
        condition = losses.condition
        if condition == conditions.NONE:
            found = dict.fromkeys(config.MODALITIES, tick)
        else:
            start, n_ticks = self._span(tick, condition)
            maps = self._maps(condition, start, n_ticks)
            found = {}
            for name, sources in maps.items():
                source = sources[tick - start]
                found[name] = source + start if source >= 0 else NONE
        return {
            name: NONE if name in losses.off else source
            for name, source in found.items()
        }

    def _span(self, tick: int, condition: conditions.Condition) -> tuple[int, int]:
        """Returns from where, and how far, the block that holds a tick is drawn."""
        if condition.pattern in _BY_CLIP:
            return tick // self._clip_ticks * self._clip_ticks, self._clip_ticks
        first = tick // _SPAN_TICKS * _SPAN_TICKS
        # From a clip before, so that a frame from there can be repeated here.
        start = max(first - self._clip_ticks, 0)
        return start, first + _SPAN_TICKS - start

    def _maps(
        self, condition: conditions.Condition, start: int, n_ticks: int
    ) -> dict[str, list[int]]:
        if (condition, start) not in self._drawn:
            simulate = simulator.simulator(((condition,),))
            drawn = simulate(self._key, tf.constant(start, tf.int64), n_ticks)
            maps = (source.numpy().tolist() for source in drawn)
            # Only the newest: the past is not asked for again.
            self._drawn = {
                (condition, start): dict(zip(config.MODALITIES, maps, strict=True))
            }
        return self._drawn[condition, start]
