"""Two logical CPUs for strategies, and where real test inputs lie."""

import os
import pathlib
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import hypothesis
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

# A shell starts what runs in the background with SIGINT ignored; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails on a clock.
hypothesis.settings.register_profile("no clock", deadline=None)
hypothesis.settings.load_profile("no clock")


def _folder_of(variable: str) -> pathlib.Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    folder = pathlib.Path(value)
    if not folder.is_dir():
        pytest.fail(f"{variable}={value}: no such folder")
    return folder


@pytest.fixture(scope="session")
def media_dir() -> pathlib.Path:
    """Real recordings with faces and voices."""
    return _folder_of("AVEXP_TEST_MEDIA")


@pytest.fixture(scope="session")
def weights_dir() -> pathlib.Path:
    """Published networks."""
    return _folder_of("AVEXP_TEST_WEIGHTS")


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Real labels."""
    return _folder_of("AVEXP_TEST_DATA")
