"""The flags of avexp-live, as their defaults are."""

import pytest
from absl import flags
from absl.testing import flagsaver

from avexp_tf.live import __main__ as command


@pytest.fixture
def defined_flags():
    """Defines the flags; what a test changes of them is undone."""
    command.define_flags()
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield
