"""Conditions in words, such as `video:frame_repeat:0.95`; no TensorFlow needed.

    condition  := modality ":" pattern ":" p [":" mean_burst [":" concealment]]
    mixture    := condition ("|" condition)*      one of them is drawn per clip
    ablation   := mixture ("," mixture)*          all are applied, one after the other
    ablations  := ablation ("/" ablation)*        one of them is drawn per train batch

`modality` is video, audio, both (the same draw for both) or each (a draw of its own for
each). `none` is the condition that loses nothing.
"""

from __future__ import annotations

import dataclasses
import math

from avexp_tf import errors

FACE_ZERO = "face_zero"  # the one that needs records with a background
MODALITIES = ("video", "audio", "both", "each")
_CONCEALMENTS = ("zero", "repeat")
_PATTERNS = (
    "clip_zero",
    "frame_zero",
    "frame_repeat",
    FACE_ZERO,
    "subclip_zero",
    "gilbert_elliott",
)


@dataclasses.dataclass(frozen=True)
class Condition:
    """One loss pattern on one or both modalities.

    Attributes:
      modality: none, video, audio, both or each.
      pattern: A name of the pattern registry; none for the unablated pass.
      p: Share of loss in [0, 1].
      mean_burst: Ticks, for gilbert_elliott; 0 elsewhere.
      concealment: zero or repeat for gilbert_elliott, empty elsewhere.
    """

    modality: str
    pattern: str
    p: float
    mean_burst: float = 0.0
    concealment: str = ""

    def __post_init__(self) -> None:
        if self.pattern == FACE_ZERO and self.modality != "video":
            raise errors.ConfigError(
                f"{FACE_ZERO}: modality {self.modality!r} must be video"
            )
        if self.modality != "none":
            check(self.pattern, self.p, self.mean_burst, self.concealment)

    def __str__(self) -> str:
        if self.modality == "none":
            return "none"
        words = [self.modality, self.pattern, f"{self.p:g}"]
        if self.pattern == "gilbert_elliott":
            words += [f"{self.mean_burst:g}", self.concealment]
        return ":".join(words)

    @property
    def pattern_label(self) -> str:
        """The pattern with its concealment, as results and figures name it."""
        if self.concealment:
            return f"{self.pattern}_{self.concealment}"
        return self.pattern

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that it touches."""
        if self.modality in ("both", "each"):
            return ("video", "audio")
        return () if self.modality == "none" else (self.modality,)


NONE = Condition("none", "none", 0.0)

# Mixtures that are applied one after the other; each is a tuple of alternatives.
Ablation = tuple[tuple[Condition, ...], ...]


def parse(text: str) -> Condition:
    """Parses one condition.

    Args:
      text: For example `video:frame_repeat:0.95` or
        `both:gilbert_elliott:0.3:12:repeat`, which may be written
        `both:gilbert_elliott_repeat:0.3:12`.

    Returns:
      The condition.

    Raises:
      errors.ConfigError: if a word is unknown, missing or out of range.
    """
    words = text.strip().split(":")
    if words == ["none"]:
        return NONE
    if len(words) < 3:
        raise errors.ConfigError(
            f"condition {text!r}: must read MODALITY:PATTERN:P, such as "
            "video:frame_repeat:0.95"
        )
    modality, pattern, *parameters = words
    for concealment in _CONCEALMENTS:  # as results name it
        if pattern == f"gilbert_elliott_{concealment}" and len(parameters) == 2:
            pattern = "gilbert_elliott"
            parameters.append(concealment)
    if modality not in MODALITIES:
        raise errors.ConfigError(
            f"condition {text!r}: modality {modality!r} must be one of "
            f"{', '.join(MODALITIES)}"
        )
    if pattern not in _PATTERNS:
        raise errors.ConfigError(
            f"condition {text!r}: pattern {pattern!r} must be one of "
            f"{', '.join(_PATTERNS)}"
        )
    if pattern != "gilbert_elliott":
        if len(parameters) > 1:
            raise errors.ConfigError(
                f"condition {text!r}: {pattern} takes p alone, got {parameters[1:]}"
            )
    elif len(parameters) not in (2, 3):
        raise errors.ConfigError(
            f"condition {text!r}: gilbert_elliott must read P:MEAN_BURST[:zero|repeat]"
        )
    p = _number(text, "p", parameters[0])
    try:
        if pattern != "gilbert_elliott":
            return Condition(modality, pattern, p)
        burst = _number(text, "mean burst", parameters[1])
        concealment = parameters[2] if len(parameters) == 3 else "zero"
        return Condition(modality, pattern, p, burst, concealment)
    except errors.ConfigError as error:
        raise errors.ConfigError(f"condition {text!r}: {error}") from None


def check(
    pattern: str, p: float, mean_burst: float = 0.0, concealment: str = ""
) -> None:
    """Checks a pattern's parameters.

    Args:
      pattern: A name of the pattern registry.
      p: Share of loss.
      mean_burst: Ticks, for gilbert_elliott.
      concealment: For gilbert_elliott.

    Raises:
      errors.ConfigError: naming the parameter and its rule.
    """
    if not 0 <= p <= 1:
        raise errors.ConfigError(f"{pattern}: p = {p:g} must be in [0, 1]")
    if pattern != "gilbert_elliott":
        return
    if not 1 <= mean_burst < math.inf:
        raise errors.ConfigError(
            f"{pattern}: mean burst {mean_burst:g} must be at least 1 tick"
        )
    if p < 1 and p > mean_burst / (mean_burst + 1):
        raise errors.ConfigError(
            f"{pattern}: p = {p:g} must be at most mean_burst / (mean_burst + 1) = "
            f"{mean_burst / (mean_burst + 1):.4g}, or exactly 1"
        )
    if concealment not in _CONCEALMENTS:
        raise errors.ConfigError(
            f"{pattern}: concealment {concealment!r} must be zero or repeat"
        )


def parse_ablation(texts: tuple[str, ...]) -> Ablation:
    """Parses what `--ablation` holds.

    Args:
      texts: Mixtures; each is conditions separated by `|`.

    Returns:
      One tuple of alternatives per mixture.

    Raises:
      errors.ConfigError: if a condition can't be parsed.
    """
    return tuple(
        tuple(parse(alternative) for alternative in text.split("|"))
        for text in texts
        if text.strip()
    )


def parse_ablations(texts: tuple[str, ...]) -> tuple[Ablation, ...]:
    """Parses what `--ablation` of a training holds.

    Args:
      texts: Parts of ablations that are separated by `/`, cut at every comma, as flags
        are.

    Returns:
      At least one ablation; of several, one is drawn per batch.

    Raises:
      errors.ConfigError: if a condition can't be parsed, or an alternative is empty.
    """
    alternatives = ",".join(texts).split("/")
    if len(alternatives) > 1 and not all(text.strip(" ,") for text in alternatives):
        raise errors.ConfigError(
            f"ablation {','.join(texts)!r}: nothing stands before or after a /; none "
            "loses nothing"
        )
    return tuple(parse_ablation(tuple(text.split(","))) for text in alternatives)


def scaled(ablation: Ablation, share: float) -> Ablation:
    """Returns an ablation whose losses are rarer: every p times a share in [0, 1]."""
    return tuple(
        tuple(_scaled(condition, share) for condition in mixture)
        for mixture in ablation
    )


def _scaled(condition: Condition, share: float) -> Condition:
    if condition == NONE or share == 1:
        return condition
    p = condition.p * share
    if condition.mean_burst:
        p = min(p, condition.mean_burst / (condition.mean_burst + 1))
    return dataclasses.replace(condition, p=p)


def _number(text: str, name: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise errors.ConfigError(
            f"condition {text!r}: {name} = {word!r} is not a number"
        ) from None
