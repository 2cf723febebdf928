"""The model card: what a model is, takes, gives and was measured to do.

`model_card.json` and `model_card.md` hold the same; neither names a recording, a person
or a path.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from avexp_tf import config
from avexp_tf import outputs
from avexp_tf.data import manifest as manifests
from avexp_tf.serving import signatures
from avexp_tf.training import run_dir as run_dirs

JSON_NAME = "model_card.json"
MARKDOWN_NAME = "model_card.md"
FORMAT = 1

_PACKAGES = ("avexp-tf", "tensorflow", "keras", "numpy")
# By the clock of the corpus.
_TICKS = {
    "30hz": "30 ticks a second",
    "frames": "a tick at every frame of the video",
    "": "ticks as far apart as those of the training records",
}

REFERENCE = (
    "Parthasarathy and Sundaram, Training Strategies to Handle Missing Modalities for "
    "Audio-Visual Expression Recognition, ICMI 2020"
)
USE = (
    "Valence and arousal that a face and a voice express, tick by tick, in calls and "
    "recordings where the camera or the microphone may drop out."
)
LIMITS = (
    "It estimates expressed, not felt, emotion.",
    "Not for decisions about a person: hiring, insurance, policing, health, schooling.",
    "It knows who and what it was trained on; how well it does on other ages, skins, "
    "languages, cameras and rooms has to be measured before it is used there.",
    "The people in a recording should know of it and agree.",
    "Features must come from the extractors named here, of these versions: others give "
    "numbers that mean nothing, without an error.",
)
# Of the extractors, by how the names of their feature sets begin.
LICENCES = {
    "IS13_lld": "openSMILE, which computes the audio features: no commercial products "
    "without a licence of its own.",
    "vggface_fc6": "VGG-Face, which computes the video features vggface_fc6: "
    "non-commercial research (CC BY-NC).",
}


def card(
    run_dir: run_dirs.RunDir,
    specs: Mapping[str, signatures.Specs],
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the card as JSON values.

    Args:
      run_dir: Where the model came from.
      specs: Inputs of every signature.
      measured: Of `measured_results.load`.
    """
    manifest = run_dir.manifest()
    experiment = run_dir.config()
    layout = manifest.layout
    sets = {
        name: getattr(manifest, name)
        for name in config.MODALITIES
        if name in specs[signatures.DEFAULT]
    }
    features: dict[str, Any] = {
        name: dataclasses.asdict(one) for name, one in sets.items()
    }
    sound: dict[str, Any] = {}
    if "audio" in sets:
        features["context_ticks"] = layout.context_ticks
        features["context_before"] = layout.context_before
        sound["audio_statistics"] = manifest.audio_statistics.to_json()
    labels = manifest.splits["train"].label_ticks
    learned = [name for name, n in zip(config.TARGETS, labels, strict=True) if n]
    return {
        "format": FORMAT,
        "name": experiment.train.name,
        "date": datetime.date.today().isoformat(),
        "use": USE,
        "limits": list(LIMITS),
        "licences": _licences(one.name for one in sets.values()),
        "reference": REFERENCE,
        "signatures": {
            name: {
                "what": signatures.WHAT[name],
                "inputs": {key: _shown(spec, layout) for key, spec in inputs.items()},
            }
            for name, inputs in specs.items()
        },
        "outputs": {
            name: _output(name, learned, experiment.model.interval)
            for name in outputs.names(experiment.model.interval)
        },
        "features": features | {"clip_ticks": experiment.data.clip_ticks},
        **sound,
        "training": {
            "corpus": manifest.corpus_name,
            "ticks": _TICKS[_clock(manifest)],
            "targets": learned,
            "splits": {name: _split(split) for name, split in manifest.splits.items()},
            "model": config.to_dict(experiment.model),
            "train": config.to_dict(experiment.train),
        },
        "metrics": dict(measured),
        "weights_sha256": run_dir.weights_sha256(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def markdown(values: Mapping[str, Any]) -> str:
    """Returns a card for people.

    Args:
      values: Of `card`.
    """
    features = values["features"]
    training = values["training"]
    lines = [
        f"# Model card: {values['name']}",
        "",
        values["use"],
        "",
        f"Exported {values['date']}. Reference: {values['reference']}.",
        "",
        "## Limits",
        "",
        *(f"- {line}" for line in values["limits"]),
        "",
        "## Inputs",
        "",
        f"B clips of T ticks, {training['ticks']}; the model was trained on clips of "
        f"{features['clip_ticks']} ticks." + _rows_of_sound(features),
        "",
        "| signature | what | inputs |",
        "|---|---|---|",
    ]
    for name, signature in values["signatures"].items():
        inputs = "; ".join(
            f"`{key}` {shown}" for key, shown in signature["inputs"].items()
        )
        lines.append(f"| `{name}` | {signature['what']} | {inputs} |")
    lines += [
        "",
        "| features | name | version | columns |",
        "|---|---|---|---|",
        *(
            f"| {name} | {features[name]['name']} | {features[name]['version']} | "
            f"{features[name]['dim']} |"
            for name in config.MODALITIES
            if name in features
        ),
        "",
    ]
    if "audio" in features:
        lines += [
            "LLDs come in as they are; their normalisation, with statistics of "
            f"{values['audio_statistics']['count']} train ticks, is in the graph.",
            "",
        ]
    lines += [
        "## Outputs",
        "",
        *(f"- `{name}`: {what}" for name, what in values["outputs"].items()),
        "",
        "## Training",
        "",
        f"Corpus {training['corpus']}; variant {training['model']['variant']}; losses "
        f"in training: {', '.join(training['train']['ablation']) or 'none'}.",
        "",
        "| split | recordings | subjects | ticks |",
        "|---|---|---|---|",
        *(
            f"| {name} | {split['recordings']} | {split['subjects']} | "
            f"{split['ticks']} |"
            for name, split in training["splits"].items()
        ),
        "",
        "## Measured",
        "",
        *_measured(values["metrics"], training["targets"]),
        "",
        "## Licences",
        "",
        *(f"- {line}" for line in values["licences"]),
        "",
        f"Weights: SHA-256 {values['weights_sha256']}. Made with "
        + ", ".join(f"{name} {found}" for name, found in values["packages"].items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _output(name: str, learned: Sequence[str], interval: float) -> str:
    text = f"float32 [B, T], about -1 to 1: {outputs.words_of(name)}"
    if name in outputs.BOUNDS:
        text += f", which is to hold {interval:.0%} of the labels"
    if outputs.target_of(name) not in learned:
        text += "; not learned, train has no label of it"
    return text


def _rows_of_sound(features: Mapping[str, Any]) -> str:
    if "audio" not in features:
        return ""
    return (
        f" Row k + {features['context_before']} of `audio` belongs to tick k; the "
        f"{features['context_ticks'] - 1} other rows are its context, zeros where "
        "there is none: a row of it that was heard, and is zero all the same, is sent "
        "as 1e-30."
    )


def _licences(feature_names: Iterable[str]) -> list[str]:
    of_features = [
        text
        for name in feature_names
        for start, text in LICENCES.items()
        if name.startswith(start)
    ]
    return [
        "Code: Apache-2.0.",
        *of_features,
        "Weights: those of the data that they were trained on.",
    ]


def _clock(manifest: manifests.Manifest) -> str:
    if manifest.corpus_name == "synthetic":
        return "30hz"
    return str(manifest.corpus_config.get("clock", ""))


def _measured(measured: Mapping[str, Any], targets: Sequence[str]) -> list[str]:
    lines = ["CCC, the concordance correlation coefficient; 1 is perfect."]
    dev = measured["dev"]
    if "best_dev_ccc" in dev:
        lines.append(
            f"On dev, on which the epoch was chosen: {dev['best_dev_ccc']:.3f} "
            f"({' and '.join(targets)}, epoch {dev['best_epoch']})."
        )
    if not measured["test"]:
        return [*lines, "Not tested yet: avexp-evaluate measures it under losses."]
    lines += ["", *_by_condition(measured["test"], {"ccc": "{:.3f}"})]
    if measured["intervals"]:
        lines += [
            "",
            "The share of the labels that the intervals hold (mean width):",
            "",
        ]
        shown = {"coverage": "{:.2f}", "width": "({:.2f})"}
        lines += _by_condition(measured["intervals"], shown)
    return lines


def _by_condition(
    rows: Sequence[Mapping[str, Any]], shown: Mapping[str, str]
) -> list[str]:
    """A table of means over loss seeds.

    Args:
      rows: Of `measured_results.load`.
      shown: {what was measured: its format}.
    """
    table: dict[str, dict[str, list[list[float]]]] = {}
    for row in rows:
        name = "none"
        if row["modality"] != "none":
            name = f"{row['modality']}:{row['pattern']}:{row['p']:g}"
            if row["mean_burst"] is not None:
                name += f", bursts of {row['mean_burst']:g} ticks"
        cells = table.setdefault(name, {target: [] for target in config.TARGETS})
        values = [row[key] for key in shown]
        if None not in values:
            cells[row["target"]].append(values)
    lines = ["| condition | valence | arousal |", "|---|---|---|"]
    for name, cells in table.items():
        texts = [
            " ".join(
                text.format(sum(values) / len(values))
                for text, values in zip(
                    shown.values(), zip(*cells[target], strict=True), strict=False
                )
            )
            for target in config.TARGETS
        ]
        lines.append(f"| {name} | {' | '.join(text or '-' for text in texts)} |")
    return lines


def _split(split: Any) -> dict[str, int]:
    return {
        "recordings": len(split.recordings),
        "subjects": len({entry.subject_id for entry in split.recordings}),
        "ticks": split.n_ticks,
        "video_ticks": split.video_ticks,
        "audio_ticks": split.audio_ticks,
    }


def _shown(spec: Any, layout: manifests.schema.Layout) -> str:
    """A spec in words, such as `float32 [B, T, 4096]`."""
    names = ["B", "T"]
    if spec.name == "audio":
        names[1] = f"T + {layout.context_ticks - 1}"
    sizes = [
        names[axis] if size is None else str(size)
        for axis, size in enumerate(spec.shape)
    ]
    return f"{spec.dtype.name} [{', '.join(sizes)}]"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
