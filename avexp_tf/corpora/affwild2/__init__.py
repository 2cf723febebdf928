"""Aff-Wild2 in its official folders.

Videos, `VA_Set/{Train_Set,Validation_Set}/<name>.txt`, and if wanted the cropped frames
that come with it, `<crops>/<name>/00001.jpg`.
"""

from __future__ import annotations

from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf.features import settings


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines --videos, --annotations, --crops and --test_names."""
    avexp_flags.define(settings.FeatureConfig, flag_values=flag_values)
    if "videos" in flag_values:
        return
    for name, text in (
        ("videos", "affwild2: folder with the videos, at any depth."),
        (
            "annotations",
            "affwild2: folder with Train_Set and Validation_Set, or one above it.",
        ),
        (
            "crops",
            "affwild2: folder with the cropped frames, one folder per recording; empty "
            "looks for faces in the videos.",
        ),
        (
            "test_names",
            "affwild2: file with the names of test recordings, one per line; their "
            "labels are not known.",
        ),
    ):
        flags.DEFINE_string(
            name, "", text, flag_values=flag_values, module_name=avexp_flags.MODULE
        )


def from_flags(flag_values: flags.FlagValues = flags.FLAGS):
    """Returns the corpus that the flags describe.

    Raises:
      errors.ConfigError: if --videos or --annotations is missing, or flags contradict
        each other.
      errors.DataError: if the folders are not Aff-Wild2's, or a network is not there.
    """
    from avexp_tf.corpora.affwild2 import corpus
    from avexp_tf.features import extract

    for name in ("videos", "annotations"):
        if not flag_values[name].value:
            raise errors.ConfigError(f"--{name} must be given with --corpus=affwild2")
    config = avexp_flags.parsed(settings.FeatureConfig, flag_values)
    if config.background and flag_values.crops:
        raise errors.ConfigError(
            "--background can't go with --crops: a ready-made crop doesn't say where "
            "in the picture the face is"
        )
    return corpus.AffWild2Corpus(
        flag_values.videos,
        flag_values.annotations,
        extract.Extractor(config),
        crops=flag_values.crops,
        test_names=flag_values.test_names,
    )
