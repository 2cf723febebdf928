"""Runs a main: absl flags in, one line and exit code 2 out when the user can mend it.

Exit codes: 0 done, 1 a check said no, 2 bad input, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from collections.abc import Sequence

from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags


def run(
    main: Callable[[Sequence[str]], int | None],
    define_flags: Callable[[], None],
    usage: str | None,
    argv: Sequence[str] | None = None,
) -> None:
    """Parses the flags, calls `main`, and exits.

    Args:
      main: Takes what is left of argv (the program's name first), returns the exit
        code or None.
      define_flags: Defines the flags that `main` reads.
      usage: The text above the flags in `--help`: the main's module docstring.
      argv: The command line; sys.argv by default.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    define_flags()
    argv = list(sys.argv if argv is None else argv)
    if any(word in ("--help", "-h", "-help") for word in argv[1:]):
        print(usage or "")
        print(flags.FLAGS.module_help(avexp_flags.MODULE))
        return
    try:
        rest = flags.FLAGS(argv)
    except (flags.Error, OSError) as error:
        _fail(" ".join(str(error).split()))
    try:
        code = main(rest)
    except errors.AvexpError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        code = 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")
    sys.exit(code or 0)


def no_positionals(rest: Sequence[str]) -> None:
    """Raises ConfigError if the command line holds words that are no flags."""
    if len(rest) > 1:
        raise errors.ConfigError(f"{rest[1]!r}: not a flag; see --help")


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
