"""Errors that a user can cause and can mend: one line, no traceback, exit code 2."""


class AvexpError(Exception):
    """Base of every error that bad input or a bad setting causes.

    The message is one line that names the file (or flag), the value and the rule.
    Mains print it to stderr and exit with code 2.
    """


class ConfigError(AvexpError):
    """A setting is unknown, out of range, or contradicts another one."""


class DataError(AvexpError):
    """A file, a record or a table breaks the rule that the message names."""


class RunError(AvexpError):
    """A run directory, or what happens while training, stops the work."""


class MissingExtraError(AvexpError):
    """A feature needs an optional dependency; the message names the extra."""

    def __init__(self, what: str, package: str, extra: str):
        self._arguments = (what, package, extra)
        super().__init__(
            f"{what} needs the package {package}, which is not installed: "
            f"run `pip install 'avexp-tf[{extra}]'`"
        )

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # The base class would hand the finished message to __init__, and a worker
        # process could not report the error.
        return type(self), self._arguments
