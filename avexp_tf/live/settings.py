"""The settings of a live call: how long to wait, what fills gaps, how to smooth."""

from __future__ import annotations

import dataclasses

from avexp_tf import errors
from avexp_tf import options


@dataclasses.dataclass(frozen=True)
class LiveConfig(options.Checked):
    """How a live call is followed.

    Attributes: each has its help text; see `avexp-live --help`.
    """

    delay_secs: float = options.option(
        0.3,
        "Seconds that a tick waits for packets that are late; 0.12 of them openSMILE "
        "needs for itself, and up to 1.8 where a voice begins or ends.",
        minimum=0.12,
        maximum=10.0,
    )
    resync_secs: float = options.option(
        5.0,
        "After a stall of so many seconds the call starts afresh where it is now, "
        "instead of working off what was missed.",
        minimum=1.0,
        maximum=600.0,
    )
    video_gaps: str = options.option(
        "zero",
        "What the model sees where no picture came for a second: nothing, or the last "
        "picture again.",
        choices=("zero", "repeat"),
    )
    visual_budget: str = options.option(
        "1",
        "Look for the face and describe it in every k-th picture only, and repeat in "
        "between; adaptive chooses k to keep up with real time.",
    )
    estimate_every: int = options.option(
        1,
        "Run the model at every n-th tick only; in between the last estimate stands.",
        minimum=1,
        maximum=30,
    )
    smooth: bool = options.option(
        False, "Smooth the estimates by a One-Euro filter, which looks back only."
    )
    smooth_cutoff_hz: float = options.option(
        0.5, "One-Euro: cutoff frequency at rest.", minimum=0.001, maximum=15.0
    )
    smooth_speed: float = options.option(
        1.0,
        "One-Euro: how much the cutoff rises with speed, in Hz per unit per second.",
        minimum=0.0,
        maximum=1000.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.visual_budget != "adaptive" and not (
            self.visual_budget.isdecimal() and 1 <= int(self.visual_budget) <= 1000
        ):
            raise errors.ConfigError(
                f"--visual_budget={self.visual_budget}: must be adaptive or a whole "
                "number from 1 to 1000"
            )
