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
      missing_embedding: As `ModelConfig`; None keeps what is set.
      ignore_missing: Likewise.
      curriculum: The share of loss grows over the first half of the epochs.
      epochs_factor: Times the epochs of a model that learns one loss.
      rate_factor: Times its learning rate.
    """

    title: str
    variant: str = "audio_visual"
    ablation: tuple[str, ...] = ()
    missing_embedding: bool | None = None
    ignore_missing: bool | None = None
    curriculum: bool = False
    epochs_factor: int = 1
    rate_factor: float = 1.0


RECIPES = {
    "baseline": Recipe("Baseline"),
    "clip_zero": Recipe("Clip-Zero", ablation=("video:clip_zero:0.5",)),
    "frame_zero": Recipe("Frame-Zero", ablation=("video:frame_zero:0.5",)),
    "frame_repeat": Recipe("Frame-Repeat", ablation=("video:frame_repeat:0.5",)),
    "video_only": Recipe("Video only", variant="video_only"),
    "audio_only": Recipe("Audio only", variant="audio_only"),
}

# One of them is drawn per clip: whole clips, most frames, bursts, of either or both.
_MIXTURE = "|".join(
    [
        "none",
        "video:clip_zero:1",
        "audio:clip_zero:1",
        "each:frame_zero:0.9",
        "video:frame_repeat:0.9",
        "each:gilbert_elliott:0.5:30:zero",
    ]
)

# One of them is drawn per batch, so that CCC takes its scale from this loss alone. The
# whole video is lost to different shares of a batch: a model that is tested with and
# without such clips together needs another scale than one that never has a face. What
# a clip without loss teaches most others teach too, so twice is enough for it.
_PER_BATCH = "/".join(
    [
        "none",
        "none",
        "video:clip_zero:0.5",
        "video:clip_zero:0.7",
        "video:clip_zero:0.9",
        "audio:clip_zero:1",
        "each:frame_zero:0.9",
        "each:frame_repeat:0.9",
        "each:gilbert_elliott:0.5:30:zero",
    ]
)

# What the paper leaves for later, and what goes past it; `--models` adds them.
FURTHER = {
    "audio_clip_zero": Recipe("Audio Clip-Zero", ablation=("audio:clip_zero:0.5",)),
    "audio_frame_zero": Recipe("Audio Frame-Zero", ablation=("audio:frame_zero:0.5",)),
    "both_frame_zero": Recipe("Both Frame-Zero", ablation=("each:frame_zero:0.5",)),
    "bursts": Recipe("Bursts", ablation=("video:gilbert_elliott:0.5:15:zero",)),
    "subclip": Recipe("Sub-clip", ablation=("video:subclip_zero:0.5",)),
    "mixture": Recipe("Mixture", ablation=(_MIXTURE,)),
    "curriculum": Recipe(
        "Curriculum", ablation=("video:frame_zero:0.9",), curriculum=True
    ),
    "missing_embedding": Recipe(
        "Missing embedding", ablation=("video:frame_zero:0.5",), missing_embedding=True
    ),
    "ignore_missing": Recipe(
        "Ignore missing", ablation=("video:frame_zero:0.5",), ignore_missing=True
    ),
    # The rate of a short training, kept up for a long one, closes the crossmodal paths
    # for some seeds: alpha and beta go to zero and stay there.
    "robust": Recipe(
        "Robust",
        ablation=(_PER_BATCH,),
        missing_embedding=True,
        epochs_factor=6,
        rate_factor=0.4,
    ),
}

# Points of the figures; p = 0 is the unablated pass, the same for every pattern.
TEST_POINTS = {
    "clip_zero": (1.0, 0.7, 0.5, 0.3, 0.0),
    "frame_zero": (1.0, 0.95, 0.9, 0.85, 0.0),
    "frame_repeat": (1.0, 0.95, 0.9, 0.85, 0.0),
}


# Mean bursts in ticks at which half of the video is lost: one loss rate, many rhythms.
BURST_P = 0.5
MEAN_BURSTS = (2.0, 8.0, 30.0, 90.0)


# Columns and folders of a report; a model's title heads a column, too.
_NOT_NAMES = frozenset(
    "lost modality pattern p really ticks model target records sweeps export".split()
)


def title_of(name: str) -> str:
    """Returns the title of a model, its name if the protocol does not know it."""
    known = RECIPES | FURTHER
    return known[name].title if name in known else name


def parse_models(texts: Sequence[str]) -> dict[str, Recipe]:
    """Parses what `--models` holds.

    Args:
      texts: Names of `RECIPES` and `FURTHER`; `paper` stands for all of the paper's,
        `all` for all; `NAME=MIXTURE` or `NAME=MIXTURE+MIXTURE` trains with these
        losses, such as `bursty=video:gilbert_elliott:0.3:12:repeat|none`.

    Returns:
      {name: recipe}, those of the paper always among them and first.

    Raises:
      errors.ConfigError: if a name is not known, is taken, or a loss can't be parsed.
    """
    found = dict(RECIPES)
    known = RECIPES | FURTHER
    for text in texts:
        name, equals, losses = text.strip().partition("=")
        if equals:
            taken = {word.lower() for word in (*known, *map(title_of, known))}
            if name.lower() in taken | _NOT_NAMES or not name.isidentifier():
                raise errors.ConfigError(
                    f"--models={text}: {name!r} must be a new name of letters, digits "
                    "and underscores, and no column of a table"
                )
            if name.endswith("_only"):
                raise errors.ConfigError(
                    f"--models={text}: a name ends in _only if the model takes one "
                    "modality"
                )
            ablation = tuple(losses.split("+"))
            if not all(conditions.parse_ablations(ablation)):
                raise errors.ConfigError(f"--models={text}: names no loss after =")
            found[name] = Recipe(name, ablation=ablation)
        elif name == "all":
            found |= FURTHER
        elif name in known:
            found[name] = known[name]
        elif name not in ("paper", ""):
            raise errors.ConfigError(
                f"--models={name}: must be paper, all, NAME=LOSS or one of "
                f"{', '.join(known)}"
            )
    return found


def experiment_of(
    name: str,
    base: config.ExperimentConfig,
    seed: int,
    recipe: Recipe | None = None,
) -> config.ExperimentConfig:
    """Returns the experiment that trains a model of the protocol.

    Args:
      name: A key of `RECIPES` or `FURTHER`.
      base: Everything else.
      seed: Of the training.
      recipe: How it is trained, where the protocol does not know it.

    Returns:
      The experiment.

    Raises:
      errors.ConfigError: if the protocol has no such model.
    """
    known = RECIPES | FURTHER
    if recipe is None:
        if name not in known:
            raise errors.ConfigError(
                f"model {name!r}: must be one of {', '.join(known)}"
            )
        recipe = known[name]
    model, epochs = base.model, base.train.epochs * recipe.epochs_factor
    train = dataclasses.replace(
        base.train,
        name=name,
        ablation=recipe.ablation,
        epochs=epochs,
        learning_rate=base.train.learning_rate * recipe.rate_factor,
        seed=seed,
    )
    if recipe.missing_embedding is not None:
        model = dataclasses.replace(model, missing_embedding=recipe.missing_embedding)
    if recipe.ignore_missing is not None:
        model = dataclasses.replace(model, ignore_missing=recipe.ignore_missing)
    if recipe.curriculum:
        train = dataclasses.replace(train, curriculum_epochs=max(epochs // 2, 1))
    return dataclasses.replace(
        base, model=dataclasses.replace(model, variant=recipe.variant), train=train
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


def study_conditions() -> list[conditions.Condition]:
    """Returns the conditions of the report: the paper's, bursts, and both at once."""
    bursts = [
        conditions.Condition("video", "gilbert_elliott", BURST_P, burst, concealment)
        for concealment in ("zero", "repeat")
        for burst in MEAN_BURSTS
    ]
    further = [
        conditions.parse(text)
        for text in (
            "audio:gilbert_elliott:0.5:30:zero",
            "both:frame_zero:0.9",
            "both:frame_repeat:0.9",
            "both:gilbert_elliott:0.5:30:zero",
        )
    ]
    return [*test_conditions(), *bursts, *further]


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
