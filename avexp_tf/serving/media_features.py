"""Makes the features that a model was trained on, from what its manifest says."""

from __future__ import annotations

from avexp_tf import config
from avexp_tf import errors
from avexp_tf import recording
from avexp_tf.data import manifest as manifests
from avexp_tf.features import extract
from avexp_tf.features import settings
from avexp_tf.features import weights

_ONNX = "onnx_"


def feature_config(
    manifest: manifests.Manifest, visual_backbone: str = "", visual_weights: str = ""
) -> settings.FeatureConfig:
    """Returns the settings behind a model's features.

    Args:
      manifest: Of the records that it was trained on.
      visual_backbone: `onnx:PATH` where the network is not in the folder of weights.
      visual_weights: Where VGG-Face is, if not in the folder of weights.

    Returns:
      The settings.

    Raises:
      errors.DataError: if the features were not made from media files, or the network
        behind them is not here.
      errors.ConfigError: if the settings are of another version of this program.
    """
    stored = manifest.corpus_config.get("features")
    if stored is None:
        raise errors.DataError(
            f"this model was trained on the corpus {manifest.corpus_name!r}, whose "
            f"features ({manifest.video.name}, {manifest.audio.name}) this program "
            "can't make from pictures and sound: train on records of avexp-prepare "
            "--corpus=affwild2"
        )
    backbone = visual_backbone or _backbone(manifest.video)
    found = {"visual_backbone": backbone, "visual_weights": visual_weights}
    return config.from_dict(
        settings.FeatureConfig, {**stored, **found}, manifests.FILE_NAME
    )


def extractor(
    manifest: manifests.Manifest, visual_backbone: str = "", visual_weights: str = ""
) -> extract.Extractor:
    """Returns what turns media files into the features that a model takes.

    Args:
      manifest: Of the records that it was trained on.
      visual_backbone: See `feature_config`.
      visual_weights: See `feature_config`.

    Raises:
      errors.DataError: if a network is not here, or is another than in training.
      errors.ConfigError: see `feature_config`.
    """
    made = extract.Extractor(feature_config(manifest, visual_backbone, visual_weights))
    for name in config.MODALITIES:
        wanted, here = getattr(manifest, name), getattr(made, name)
        if wanted != here:
            raise errors.DataError(
                f"this model takes the {name} features {_words(wanted)}, here they "
                f"would be {_words(here)}"
            )
    return made


def clock(manifest: manifests.Manifest) -> str:
    """Returns the clock that a model's ticks follow; see `Extractor.read`."""
    return str(manifest.corpus_config.get("clock", "30hz"))


def _backbone(features: recording.FeatureSet) -> str:
    """Returns the `--visual_backbone` that made a feature set."""
    if not features.name.startswith(_ONNX):
        return "vggface"
    file = f"{features.name.removeprefix(_ONNX)}.onnx"
    path = weights.folder() / file
    if not path.is_file():
        raise errors.DataError(
            f"{path}: no such file, and this model describes faces by it: put it "
            f"there, or give --visual_backbone=onnx:PATH_OF_{file}"
        )
    return f"onnx:{path}"


def _words(features: recording.FeatureSet) -> str:
    return f"{features.name} {features.version} ({features.dim} columns)"
