"""A synthetic corpus whose best possible model is known."""

from __future__ import annotations

from avexp_tf import flags as avexp_flags
from avexp_tf.corpora.synthetic import corpus as synthetic_corpus
from avexp_tf.corpora.synthetic import settings as synthetic_settings

SyntheticConfig = synthetic_settings.SyntheticConfig
SyntheticCorpus = synthetic_corpus.SyntheticCorpus


def define_flags() -> None:
    """Defines the flags of this corpus."""
    avexp_flags.define(SyntheticConfig)


def from_flags() -> SyntheticCorpus:
    """Returns the corpus that the flags describe."""
    return SyntheticCorpus(avexp_flags.parsed(SyntheticConfig))
