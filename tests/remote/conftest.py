"""Ends the tests' process as the commands end theirs."""

from avexp_tf import remote

_status = 0


def pytest_sessionfinish(exitstatus):
    """Keeps what the tests ended with."""
    global _status
    _status = int(exitstatus)


def pytest_unconfigure():
    """Ends at once, with that status, if tensorflow-io was loaded here."""
    remote.leave(_status)
