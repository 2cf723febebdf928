"""The paper's protocol: which models are trained, and what they are tested on.

Reference:
  Parthasarathy and Sundaram 2020, sections 3.3 and 4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from avexp_tf import config
from avexp_tf import errors
from avexp_tf.data import condition as conditions


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one model of the protocol is trained.

    Attributes:
      title: As figures and tables name it.
      variant: Of the network.
      ablation: Losses in training.
    """

    title: str
    variant: str = "audio_visual"
    ablation: tuple[str, ...] = ()


RECIPES = {
    "baseline": Recipe("Baseline"),
    "clip_zero": Recipe("Clip-Zero", ablation=("video:clip_zero:0.5",)),
    "frame_zero": Recipe("Frame-Zero", ablation=("video:frame_zero:0.5",)),
    "frame_repeat": Recipe("Frame-Repeat", ablation=("video:frame_repeat:0.5",)),
    "video_only": Recipe("Video only", variant="video_only"),
    "audio_only": Recipe("Audio only", variant="audio_only"),
}

# Points of the figures; p = 0 is the unablated pass, the same for every pattern.
TEST_POINTS = {
    "clip_zero": (1.0, 0.7, 0.5, 0.3, 0.0),
    "frame_zero": (1.0, 0.95, 0.9, 0.85, 0.0),
    "frame_repeat": (1.0, 0.95, 0.9, 0.85, 0.0),
}


def title_of(name: str) -> str:
    """Returns the title of a model, its name if the protocol does not know it."""
    return RECIPES[name].title if name in RECIPES else name


def experiment_of(
    name: str, base: config.ExperimentConfig, seed: int
) -> config.ExperimentConfig:
    """Returns the experiment that trains a model of the protocol.

    Args:
      name: A key of `RECIPES`.
      base: Everything else.
      seed: Of the training.

    Returns:
      The experiment.

    Raises:
      errors.ConfigError: if the protocol has no such model.
    """
    if name not in RECIPES:
        raise errors.ConfigError(f"model {name!r}: must be one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, variant=recipe.variant),
        train=dataclasses.replace(
            base.train, name=name, ablation=recipe.ablation, seed=seed
        ),
    )


def test_conditions() -> list[conditions.Condition]:
    """Returns all conditions of the protocol, the unablated pass first."""
    return [conditions.NONE] + [
        conditions.Condition(modality, pattern, p)
        for modality in config.MODALITIES
        for pattern, points in TEST_POINTS.items()
        for p in points
        if p > 0
    ]


def parse_conditions(texts: Sequence[str]) -> list[conditions.Condition]:
    """Parses what `--conditions` holds.

    Args:
      texts: Conditions; `protocol` stands for all of the paper's.

    Returns:
      Distinct conditions, the unablated pass always among them and first.

    Raises:
      errors.ConfigError: if a condition can't be parsed.
    """
    found = [conditions.NONE]
    for text in texts:
        if text.strip() == "protocol":
            found += test_conditions()
        else:
            parsed = conditions.parse(text)
            # p = 0 loses nothing, whatever the pattern: it is the unablated pass.
            found.append(parsed if parsed.p else conditions.NONE)
    return list(dict.fromkeys(found))
