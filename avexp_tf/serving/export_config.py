"""Settings of exports; free of TensorFlow, so that `--help` answers at once."""

from __future__ import annotations

import dataclasses

from avexp_tf import errors
from avexp_tf import options
from avexp_tf.data import condition

# Every pattern, on either modality and on both; whole losses too.
CONDITIONS = (
    "none",
    "video:clip_zero:1",
    "audio:clip_zero:1",
    "both:clip_zero:1",
    "video:frame_zero:0.5",
    "audio:frame_zero:0.5",
    "each:frame_zero:0.9",
    "video:frame_repeat:0.5",
    "audio:frame_repeat:0.5",
    "each:frame_repeat:0.9",
    "video:subclip_zero:0.5",
    "audio:subclip_zero:0.5",
    "video:gilbert_elliott:0.3:12:zero",
    "audio:gilbert_elliott:0.3:12:zero",
    "both:gilbert_elliott:0.3:12:repeat",
)

LITERT_VARIANTS = ("float32", "float16", "dynamic_int8", "int8")


@dataclasses.dataclass(frozen=True)
class ExportConfig(options.Checked):
    """What goes into an export.

    Attributes: each has its help text; see `avexp-export --help`.
    """

    faces: str = options.option(
        "auto",
        "The signature that takes pictures of faces: auto puts it in where the visual "
        "backbone's weights are at hand, and says where they are not.",
        choices=("auto", "yes", "no"),
    )
    visual_weights: str = options.option(
        "", "Published weights of the visual backbone; empty takes avexp-weights' own."
    )
    warmup: str = options.option(
        "auto",
        "Requests that a server replays on loading: auto writes them where "
        "tensorflow-serving-api is installed, and says where it is not.",
        choices=("auto", "yes", "no"),
    )
    results: str = options.option(
        "",
        "results.csv of avexp-evaluate, for the model card; empty looks in the run "
        "directory's `sweep`.",
    )


@dataclasses.dataclass(frozen=True)
class LiteRtConfig(options.Checked):
    """What is converted to LiteRT.

    Attributes: each has its help text; see `avexp-export --help`.
    """

    litert: tuple[str, ...] = options.option(
        LITERT_VARIANTS,
        "LiteRT variants, separated by commas; empty converts none. Of: "
        f"{', '.join(LITERT_VARIANTS)}.",
    )

    @property
    def variants(self) -> list[str]:
        """The variants in their order."""
        return [name for name in LITERT_VARIANTS if name in self.litert]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.litert:
            if name and name not in LITERT_VARIANTS:
                raise errors.ConfigError(
                    f"--litert={','.join(self.litert)}: {name!r} must be one of "
                    f"{', '.join(LITERT_VARIANTS)}"
                )


@dataclasses.dataclass(frozen=True)
class GateConfig(options.Checked):
    """What the gate compares on.

    Attributes: each has its help text; see `avexp-export --help`.
    """

    records: str = options.option(
        "", "Records to compare and calibrate on; by default those of the training."
    )
    split: str = options.option("validation", "Split to compare on.")
    conditions: tuple[str, ...] = options.option(
        CONDITIONS, "Losses to compare under, separated by commas."
    )
    max_recordings: int = options.option(
        20, "Compare on so many recordings of the split; 0 takes all.", minimum=0
    )
    latency_rounds: int = options.option(
        20, "Clips to time of each candidate.", minimum=1, maximum=100_000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for text in self.conditions:
            condition.parse(text)
        if not self.conditions:
            raise errors.ConfigError("--conditions=: must name at least one")
