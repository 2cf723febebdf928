"""How few pictures a model needs: CCC against the work of looking at them.

    python benchmarks/visual_budget.py --runs=runs/demo --append

Of each model under --runs (a demo makes them) the validation split is predicted as a
live call with `--visual_budget=k` would be: the face is looked for and described in
every k-th picture, and what was seen there stands in between. The work is that of
VGG-Face, in operations per second of a call at 30 pictures per second; it falls as
1 / k. Printed are the CCC at each k and the largest k up to which all CCCs lose less
than 1% of what every picture gives. `--append` adds both to benchmarks/RESULTS.md, and
draws benchmarks/visual_budget.png.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence

import features
import matplotlib.figure
import numpy as np
import results
from absl import flags

from avexp_tf import cli
from avexp_tf import config
from avexp_tf import flags as avexp_flags
from avexp_tf import recording
from avexp_tf import runtime
from avexp_tf.data import manifest as manifests
from avexp_tf.data import shard_reader
from avexp_tf.live import recognizer

EVERY = (1, 2, 3, 5, 8, 10, 15, 20, 30, 45, 60, 90, 150)
MODELS = ("baseline", "frame_repeat")
_PICTURES_PER_SEC = 30
_MOST_LOSS = 0.01


def define_flags() -> None:
    """Defines the flags of this script."""
    runtime.define_flags()
    avexp_flags.define_one("runs", "runs/demo", "Folder with the models' runs.")
    avexp_flags.define_one("models", MODELS, "Names of runs in it.")
    results.define_flag()


def recordings(
    path: str, manifest: manifests.Manifest, split: str = "validation"
) -> Iterator[recording.Block]:
    """Yields the recordings of a split, each as one block.

    Args:
      path: The records folder.
      manifest: Its manifest.
      split: One of its splits.
    """
    before = manifest.layout.context_before
    index = 0
    for entry in manifest.split(split).recordings:
        segments = []
        for _ in entry.segments:
            segments.append(shard_reader.read(path, manifest, split, index))
            index += 1
        found = {
            name: np.concatenate([getattr(one, name) for one in segments])
            for name in ("timestamps", "video", "labels")
        }
        for name in ("label_valid", "video_present", "audio_present"):
            flags_of = [getattr(one, name) > 0 for one in segments]
            found[name] = np.concatenate(flags_of)
        audio = [one.audio[before : before + one.n_ticks] for one in segments]
        yield recording.Block(audio=np.concatenate(audio), **found)


def with_budget(block: recording.Block, every: int) -> recording.Block:
    """Returns what a call sees that looks at every k-th picture.

    Args:
      block: A recording.
      every: k.
    """
    looked = np.arange(len(block)) // every * every
    return recording.Block(
        **{
            **vars(block),
            "video": block.video[looked],
            "video_present": block.video_present[looked],
        }
    )


def concordance(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Returns the CCC of all ticks with biased moments.

    Args:
      predicted: float [n].
      labels: float [n].
    """
    covariance = np.mean((predicted - predicted.mean()) * (labels - labels.mean()))
    apart = (predicted.mean() - labels.mean()) ** 2
    return float(2 * covariance / (predicted.var() + labels.var() + apart))


def measure(run: pathlib.Path) -> dict[int, list[float]]:
    """Returns the CCC of each target by k.

    Args:
      run: A run directory.
    """
    predictor = recognizer.load_predictor(run)
    records = predictor.data.records
    blocks = list(recordings(records, manifests.Manifest.load(records)))
    labels = np.concatenate([block.labels for block in blocks])
    valid = np.concatenate([block.label_valid for block in blocks])
    found = {}
    for every in EVERY:
        predicted = np.concatenate(
            [predictor.predict(with_budget(block, every)) for block in blocks]
        ).astype(np.float64)
        found[every] = [
            concordance(predicted[valid[:, k], k], labels[valid[:, k], k])
            for k in range(len(config.TARGETS))
        ]
    return found


def largest(found: dict[int, list[float]]) -> int:
    """Returns the largest k up to which no target loses 1% of its CCC or more."""
    best = 1
    for every, values in found.items():
        pairs = zip(values, found[1], strict=True)
        if any(value <= (1 - _MOST_LOSS) * whole for value, whole in pairs):
            break
        best = every
    return best


def work(every: int) -> float:
    """Returns billions of operations per second of a call, of VGG-Face alone."""
    return features.vggface_operations() * _PICTURES_PER_SEC / every / 1e9


def table(found: dict[str, dict[int, list[float]]]) -> list[str]:
    """Returns the lines of the results, as Markdown."""
    head = " | ".join(name for name in found)
    lines = [f"| k | GFLOP per second | {head} |", "|---|---|" + "---|" * len(found)]
    for every in EVERY:
        cells = [
            " / ".join(f"{value:.3f}" for value in values[every])
            for values in found.values()
        ]
        lines.append(f"| {every} | {work(every):.0f} | {' | '.join(cells)} |")
    cells = [f"**{largest(values)}**" for values in found.values()]
    lines.append(f"| largest k that loses less than 1% | | {' | '.join(cells)} |")
    return lines


def draw(found: dict[str, dict[int, list[float]]], path: pathlib.Path) -> None:
    """Draws CCC against work, one panel per target.

    Args:
      found: By model and k.
      path: A PNG file.
    """
    figure = matplotlib.figure.Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(config.TARGETS), sharey=True)
    for k, (axis, target) in enumerate(zip(axes, config.TARGETS, strict=True)):
        for style, (name, values) in zip(
            ("o--", "s-", "^:", "v-."), found.items(), strict=False
        ):
            works = [work(every) for every in values]
            cccs = [value[k] for value in values.values()]
            axis.plot(works, cccs, style, label=name, markersize=4)
        axis.set_xscale("log")
        axis.set_title(target)
        axis.set_xlabel("VGG-Face, GFLOP per second of a call")
        axis.grid(alpha=0.3)
        above = axis.secondary_xaxis("top", functions=(_every_of, _every_of))
        above.set_xlabel("k: every k-th picture is looked at")
    axes[0].set_ylabel("CCC")
    axes[0].legend()
    figure.savefig(path, dpi=110)


def _every_of(values: np.ndarray) -> np.ndarray:
    # Its own inverse.
    return work(1) / np.maximum(values, 1e-9)


def main(argv: Sequence[str]) -> int:
    """Measures, prints, and records."""
    cli.no_positionals(argv)
    values = flags.FLAGS
    runtime.set_up()
    found = {}
    for name in values.models:
        found[name] = measure(pathlib.Path(values.runs) / name)
        print(f"{name}: {largest(found[name])}", flush=True)
    lines = table(found)
    if values.append:
        draw(found, results.PATH.with_name("visual_budget.png"))
        lines += ["", "![CCC against work](visual_budget.png)"]
    results.finish(
        "Visual budget",
        f"after `make demo`; {os.cpu_count()} cores. CCC of valence / arousal on the "
        "validation split, where only every k-th picture is looked at and repeated in "
        "between; the work is VGG-Face's on a 30 Hz call. No number depends on the "
        "machine's speed. The demo's pictures are noisy, each by itself, so that every "
        "look adds something; where neighbouring pictures look alike, k can be larger.",
        lines,
        {"largest k": {name: largest(values) for name, values in found.items()}},
    )
    return 0


if __name__ == "__main__":
    cli.run(main, define_flags, __doc__)
