"""A synthetic corpus whose best possible model is known."""

from __future__ import annotations

from absl import flags

from avexp_tf import flags as avexp_flags
from avexp_tf.corpora.synthetic import corpus as synthetic_corpus
from avexp_tf.corpora.synthetic import settings as synthetic_settings

SyntheticConfig = synthetic_settings.SyntheticConfig
SyntheticCorpus = synthetic_corpus.SyntheticCorpus


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this corpus."""
    avexp_flags.define(SyntheticConfig, flag_values=flag_values)


def from_flags(flag_values: flags.FlagValues = flags.FLAGS) -> SyntheticCorpus:
    """Returns the corpus that the flags describe."""
    return SyntheticCorpus(avexp_flags.parsed(SyntheticConfig, flag_values))
