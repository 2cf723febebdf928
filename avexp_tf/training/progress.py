"""How far a training run has come: all of its state that is no tensor."""

from __future__ import annotations

import dataclasses
from typing import Any

from avexp_tf import typed_json

Row = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Best:
    """The epoch that was best on dev.

    Attributes:
      epoch: Counted from 1.
      dev_ccc: Its dev CCC.
      checkpoint: Number of the checkpoint that was taken after it.
      weights_sha256: Of `best.weights.h5`.
    """

    epoch: int
    dev_ccc: float
    checkpoint: int
    weights_sha256: str


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run stands between two steps.

    Attributes:
      step: Steps done in all.
      epoch: Epochs done.
      epoch_step: Steps done of the epoch after those.
      epoch_secs: Seconds spent on it.
      best: None before the first epoch with a dev CCC.
      rows: The history, one row per epoch.
      lost: Names of the damaged records that were skipped.
    """

    step: int = 0
    epoch: int = 0
    epoch_step: int = 0
    epoch_secs: float = 0.0
    best: Best | None = None
    rows: tuple[Row, ...] = ()
    lost: tuple[str, ...] = ()

    def out_of_patience(self, patience: int) -> bool:
        """Whether the last `patience` epochs were no better; never with 0."""
        since = self.best.epoch if self.best else 0
        return bool(patience) and self.epoch - since >= patience

    def to_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: typed_json.Reader) -> Progress:
        """The inverse of `to_json`.

        Raises:
          errors.DataError: if a value is missing or of another type.
        """
        best = None
        if values.values.get("best") is not None:
            child = values.child("best")
            best = Best(
                epoch=child.integer("epoch", minimum=1),
                dev_ccc=child.number("dev_ccc"),
                checkpoint=child.integer("checkpoint"),
                weights_sha256=child.text("weights_sha256"),
            )
        return cls(
            step=values.integer("step"),
            epoch=values.integer("epoch"),
            epoch_step=values.integer("epoch_step"),
            epoch_secs=values.number("epoch_secs"),
            best=best,
            rows=tuple(row.values for row in values.children("rows")),
            lost=values.texts("lost"),
        )
