"""Every setting of a run, as frozen dataclasses that go to JSON and back unchanged.

See `avexp_tf.options` for how they are declared. Nothing here imports TensorFlow, so
that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing
from typing import Any
from typing import TypeVar

from avexp_tf import errors
from avexp_tf import options

TARGETS = ("valence", "arousal")
MODALITIES = ("video", "audio")
LARGEST_SEED = 2**31 - 1  # stateless draws take an int32
FILE_NAME = "config.json"  # an experiment's settings, in its run and in its export
WEIGHTS_NAME = "best.weights.h5"  # of its model, beside them

_Config = TypeVar("_Config")


@dataclasses.dataclass(frozen=True)
class RecordsConfig(options.Checked):
    """How recordings become records.

    Attributes:
      context_ticks: C, the LLD ticks behind one audio input vector (the paper: 60,
        about 2 s).
      context: Where the context lies; `causal` lets a live call use the same model.
      segment_ticks: Ticks that one record stores.
      shard_mb: Size that a shard file aims at, in 10^6 bytes.
      validation_fraction: Share of the subjects in `validation`, for corpora that bring
        no lists of their own.
      dev_fraction: Share of the train subjects that are set aside to choose models on.
    """

    context_ticks: int = options.option(
        60, "C: LLD ticks behind one audio input vector.", minimum=1, maximum=10_000
    )
    context: str = options.option(
        "causal",
        "Where an audio vector's context lies: the C ticks ending at its tick, or "
        "around it.",
        choices=("causal", "centered"),
    )
    segment_ticks: int = options.option(
        1000, "Ticks that one record stores.", minimum=2, maximum=1_000_000
    )
    shard_mb: float = options.option(
        64.0, "Size that a shard file aims at, in 10^6 bytes.", minimum=0.001
    )
    validation_fraction: float = options.option(
        0.2,
        "Share of the subjects in validation, where the corpus brings no lists; 1 for "
        "records that are only evaluated on.",
        minimum=0.0,
        maximum=1.0,
    )
    dev_fraction: float = options.option(
        0.15,
        "Share of the train subjects set aside to choose models on.",
        minimum=0.0,
        maximum=0.9,
    )

    @property
    def context_before(self) -> int:
        """LLD ticks of context before the current tick; the rest lies after it."""
        if self.context == "causal":
            return self.context_ticks - 1
        return self.context_ticks // 2


@dataclasses.dataclass(frozen=True)
class DataConfig(options.Checked):
    """How records become batches of clips.

    Attributes: each has its help text; see `avexp-train --help`.
    """

    records: str = options.option(
        "", "Folder with manifest.json and the record shards."
    )
    clip_ticks: int = options.option(
        100,
        "T: ticks of one clip (the paper: 100, about 3 s); memory grows with T x T.",
        minimum=1,
        maximum=10_000,  # where one array of attention weights takes 1.6 GB
    )
    batch_size: int = options.option(
        32, "Clips in a global batch.", minimum=1, maximum=1_000_000
    )
    eval_stride: int = options.option(
        100,
        "Ticks between the starts of evaluation clips; below --clip_ticks they overlap "
        "and their predictions are averaged, more than that counts as --clip_ticks.",
        minimum=1,
    )
    mix_records: int = options.option(
        16, "Records whose clips wait in memory to be mixed while training.", minimum=1
    )
    on_corrupt: str = options.option(
        "fail",
        "What a damaged record does: end the run, or be skipped, counted and reported.",
        choices=("fail", "skip"),
    )

    @property
    def clip_stride(self) -> int:
        """Ticks between evaluation clips, such that no tick lies between them."""
        return min(self.eval_stride, self.clip_ticks)


@dataclasses.dataclass(frozen=True)
class ModelConfig(options.Checked):
    """The crossmodal transformer; what the paper leaves open is said in each help text.

    Attributes: each has its help text; see `avexp-train --help`.
    """

    variant: str = options.option(
        "audio_visual",
        "audio_visual, or one branch with its head and no crossmodal layer.",
        choices=("audio_visual", "video_only", "audio_only"),
    )
    d_model: int = options.option(
        512, "Width of the encoders (the paper: 512).", minimum=1
    )
    num_layers: int = options.option(
        2, "Encoder layers per branch (the paper: 2).", minimum=0
    )
    num_heads: int = options.option(4, "Attention heads (the paper: 4).", minimum=1)
    ff_dim: int = options.option(
        2048,
        "Width of the feed-forward blocks; open in the paper, 4 x d_model as in "
        "Vaswani 2017.",
        minimum=1,
    )
    dropout: float = options.option(
        0.1,
        "Dropout after attention and feed-forward blocks; open in the paper, 0.1 as in "
        "Vaswani 2017.",
        minimum=0.0,
        maximum=0.95,
    )
    norm: str = options.option(
        "pre",
        "Layer norm before or after each block; open in the paper, pre trains without "
        "warm-up.",
        choices=("pre", "post"),
    )
    activation: str = options.option(
        "relu",
        "Activation of the feed-forward blocks; open in the paper, ReLU as in Vaswani "
        "2017.",
        choices=("relu", "gelu"),
    )
    positions: str = options.option(
        "sinusoidal",
        "How the model knows positions; open in the paper. sinusoidal: added after the "
        "projection, as in Vaswani 2017. distance: attention falls with the distance "
        "in ticks, which smooth labels reward when training data are few.",
        choices=("sinusoidal", "distance", "none"),
    )
    scale_attention: bool = options.option(
        True,
        "Divide the dot product by sqrt(head width); the paper's equation 1 has no "
        "scale, without one the softmax saturates at this width.",
    )
    head_activation: str = options.option(
        "linear",
        "Activation of the output; open in the paper, linear since CCC sets the scale "
        "and tanh flattens the ends.",
        choices=("linear", "tanh"),
    )
    crossmodal_init: float = options.option(
        1.0,
        "First value of the learnable scalars alpha and beta; open in the paper, 1 "
        "opens both paths from the first step.",
    )
    missing_embedding: bool = options.option(
        False,
        "Put a learned vector in the place of a missing frame (not in the paper).",
    )
    ignore_missing: bool = options.option(
        False, "Let attention ignore missing frames (not in the paper)."
    )
    interval: float = options.option(
        0.0,
        "Give with each estimate an interval that is to hold this share of the labels, "
        "such as 0.9; it changes no estimate. 0 gives none (not in the paper).",
        minimum=0.0,
        maximum=0.99,
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(options.Checked):
    """How a model is trained.

    Attributes: each has its help text; see `avexp-train --help`.
    """

    name: str = options.option("baseline", "Name of the model in results and reports.")
    ablation: tuple[str, ...] = options.option(
        (),
        "Loss drawn on the training clips, e.g. video:frame_repeat:0.5; several, "
        "separated by commas, are applied together. Of losses separated by | one is "
        "drawn per clip, of those separated by / one per batch, which CCC then is of.",
    )
    curriculum_epochs: int = options.option(
        0,
        "Epochs over which the share of loss in --ablation grows from zero to its "
        "value; 0 starts there (not in the paper).",
        minimum=0,
    )
    seed: int = options.option(
        0, "Seed of weights, order and losses.", minimum=0, maximum=LARGEST_SEED
    )
    epochs: int = options.option(20, "Passes over the train split at most.", minimum=1)
    learning_rate: float = options.option(
        1e-4, "Adam's learning rate at its highest (the paper: 1e-4).", minimum=0.0
    )
    schedule: str = options.option(
        "constant",
        "Learning rate after warm-up: constant, or cosine down to zero at the last "
        "step.",
        choices=("constant", "cosine"),
    )
    warmup_steps: int = options.option(
        0, "Steps over which the learning rate rises from zero.", minimum=0
    )
    clip_norm: float = options.option(
        0.0,
        "Largest norm of the gradient of the global batch; 0 leaves it as it is.",
        minimum=0.0,
    )
    patience: int = options.option(
        5,
        "Epochs without a better dev CCC before training stops; 0 never stops early.",
        minimum=0,
    )
    precision: str = options.option(
        "float32",
        "Arithmetic: float32, or bfloat16 with float32 weights and CCC.",
        choices=("float32", "mixed_bfloat16"),
    )
    deterministic: bool = options.option(
        False, "Same bits from the same seed, at some cost in speed."
    )
    checkpoint_secs: float = options.option(
        60.0,
        "Seconds between checkpoints; there is one after every epoch too. 0 counts "
        "steps only.",
        minimum=0.0,
    )
    checkpoint_steps: int = options.option(
        0, "Steps between checkpoints; 0 counts seconds only.", minimum=0
    )
    figure_epochs: int = options.option(
        0,
        "Epochs between figures of dev predictions against labels for TensorBoard; 0 "
        "draws none.",
        minimum=0,
    )
    robustness_epochs: int = options.option(
        0,
        "Epochs between curves of dev CCC against the share of loss for TensorBoard; 0 "
        "draws none.",
        minimum=0,
    )


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """One training run: what the run directory keeps as `config.json`.

    Attributes:
      data: Records and batches.
      model: The network.
      train: The training.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.model.d_model % self.model.num_heads:
            raise errors.ConfigError(
                f"--d_model={self.model.d_model}: must be a multiple of "
                f"--num_heads={self.model.num_heads}"
            )


def to_dict(config: Any) -> dict[str, Any]:
    """Returns a config as nested dicts and lists, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(kind: type[_Config], values: Any, source: str = "config") -> _Config:
    """Builds a config from nested dicts; the inverse of `to_dict`.

    Args:
      kind: The dataclass to build.
      values: What `to_dict` gave.
      source: Name of the file, for the error message.

    Returns:
      The config; fields that are absent keep their defaults.

    Raises:
      errors.ConfigError: if a key is unknown or a value breaks its rule.
    """
    if not isinstance(values, dict):
        raise errors.ConfigError(f"{source}: must be a JSON object, is {values!r:.60}")
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    arguments = {}
    for key, value in values.items():
        if key not in known:
            raise errors.ConfigError(
                f"{source}: unknown setting {key!r}; known are "
                f"{', '.join(sorted(known))}"
            )
        nested = dataclasses.is_dataclass(hints[key])
        arguments[key] = from_dict(hints[key], value, source) if nested else value
    try:
        return kind(**arguments)
    except errors.ConfigError as error:
        raise errors.ConfigError(f"{source}: {error}") from None


def load(kind: type[_Config], path: str | pathlib.Path) -> _Config:
    """Reads a config from a JSON file.

    Args:
      kind: The dataclass to build.
      path: A file that holds what `to_dict` gave.

    Returns:
      The config.

    Raises:
      errors.ConfigError: if the file is missing, is not JSON, or breaks a rule.
    """
    try:
        values = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.ConfigError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise errors.ConfigError(f"{path}: is not JSON: {error}") from None
    return from_dict(kind, values, str(path))
