"""Any video or sound files, without labels."""

from __future__ import annotations

from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf.features import settings


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines --media, and the flags of faces and backbones."""
    avexp_flags.define(settings.FeatureConfig, flag_values=flag_values)
    if "media" in flag_values:
        return
    flags.DEFINE_list(
        "media",
        [],
        "media: files, folders (with what lies in them at any depth), or patterns such "
        "as 'a/*.mp4'.",
        flag_values=flag_values,
        module_name=avexp_flags.MODULE,
    )


def from_flags(flag_values: flags.FlagValues = flags.FLAGS):
    """Returns the corpus that --media describes.

    Raises:
      errors.ConfigError: if it is missing.
      errors.DataError: if there is no such file, or a network is not there.
    """
    from avexp_tf.corpora.media import corpus
    from avexp_tf.features import extract

    if not flag_values.media:
        raise errors.ConfigError("--media must be given with --corpus=media")
    config = avexp_flags.parsed(settings.FeatureConfig, flag_values)
    return corpus.MediaCorpus(flag_values.media, extract.Extractor(config))
