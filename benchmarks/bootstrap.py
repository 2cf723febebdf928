"""How honest the intervals and tests are: simulated studies whose truth is known.

    python benchmarks/bootstrap.py --repeats=2000

Labels and two models' predictions are drawn per recording, with effects of the
recording, so that the CCC over infinitely many recordings is known. Printed per number
of recordings: how often the 95% interval holds the true difference, and how often a
test at 5% finds a difference where there is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import flags as avexp_flags
from avexp_tf.evaluation import statistics
from avexp_tf.objectives import moments

_TICKS = 60
_LABEL_BETWEEN, _LABEL_WITHIN = 0.2, 0.3  # deviations between and within recordings


@dataclasses.dataclass(frozen=True)
class Model:
    """How a simulated model errs: prediction = gain label + noise.

    Attributes:
      gain: On the label.
      between: Deviation of a recording's own offset.
      within: Deviation of a tick's error.
    """

    gain: float
    between: float
    within: float

    @property
    def ccc(self) -> float:
        """Over infinitely many recordings."""
        label = _LABEL_BETWEEN**2 + _LABEL_WITHIN**2
        predicted = self.gain**2 * label + self.between**2 + self.within**2
        return 2 * self.gain * label / (label + predicted)


BETTER = Model(0.8, 0.1, 0.2)
WORSE = Model(0.5, 0.15, 0.3)


def simulated(
    models: Sequence[Model], n_recordings: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws one study: float64 [models, R, 2, 6] moments, both targets drawn alike."""
    shape = (n_recordings, 2, _TICKS)
    labels = rng.normal(size=(n_recordings, 2, 1)) * _LABEL_BETWEEN
    labels = labels + rng.normal(size=shape) * _LABEL_WITHIN
    return np.stack(
        [
            moments.moments_of(
                labels,
                model.gain * labels
                + rng.normal(size=(n_recordings, 2, 1)) * model.between
                + rng.normal(size=shape) * model.within,
            )
            for model in models
        ]
    )


def rates(
    models: Sequence[Model], n_recordings: int, repeats: int, n_resamples: int
) -> tuple[float, float]:
    """Returns how often the interval holds the truth, and a 5% test rejects none."""
    rng = np.random.default_rng(n_recordings)
    truth = models[0].ccc - models[1].ccc
    held, rejected = [], []
    for repeat in range(repeats):
        resampler = statistics.Resampler(n_recordings, n_resamples, seed=repeat)
        ccc = resampler.ccc(simulated(models, n_recordings, rng))  # [1 + B, models, 2]
        found = statistics.difference(ccc[:, 0], ccc[:, 1], n_recordings)
        held.append((found.low <= truth) & (truth <= found.high))
        rejected.append(found.p_value < 0.05)
    return float(np.mean(held)), float(np.mean(rejected))


def main(argv: Sequence[str]) -> None:
    """Prints the rates."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    lines = [
        "| recordings | coverage, known difference | coverage, none | test at 5% |"
    ]
    lines.append("|---|---|---|---|")
    found = {}
    for n_recordings in map(int, values.recordings):
        known, _ = rates(
            (BETTER, WORSE), n_recordings, values.repeats, values.resamples
        )
        none, level = rates(
            (BETTER, BETTER), n_recordings, values.repeats, values.resamples
        )
        found[n_recordings] = [round(rate, 3) for rate in (known, none, level)]
        lines.append(f"| {n_recordings} | {known:.3f} | {none:.3f} | {level:.3f} |")
    results.finish(
        "Intervals and tests",
        f"{values.repeats} studies of two targets, {values.resamples} resamples each.",
        lines,
        {"coverage with and without a difference, level": found},
    )


def define_flags() -> None:
    """Defines the flags of this script."""
    module = avexp_flags.MODULE
    flags.DEFINE_list(
        "recordings", "10,20,40,80", "Recordings of a study.", module_name=module
    )
    flags.DEFINE_integer(
        "repeats", 2000, "Studies, of two targets each.", module_name=module
    )
    flags.DEFINE_integer("resamples", 400, "Resamples of each.", module_name=module)
    results.define_flag()


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
