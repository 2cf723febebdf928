"""Runs a main: absl flags in, one line and exit code 2 out when the user can mend it.

Exit codes: 0 done, 1 a check said no, 2 bad input, 130 interrupted, 141 nobody reads
the output any more, 143 terminated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Sequence

from absl import flags

from avexp_tf import errors
from avexp_tf import flags as avexp_flags
from avexp_tf import presets
from avexp_tf import quiet
from avexp_tf import remote
from avexp_tf import termination


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
    quiet.set_log_level()
    define_flags()
    argv = list(sys.argv if argv is None else argv)
    try:
        code = _answer(main, usage, argv)
        sys.stdout.flush()
    except BrokenPipeError:
        code = quiet.nobody_reads()
    remote.leave(code)
    sys.exit(code)


def _answer(
    main: Callable[[Sequence[str]], int | None], usage: str | None, argv: list[str]
) -> int:
    """Does what the command line asks for and returns the exit code."""
    if any(word in ("--help", "-h", "-help") for word in argv[1:]):
        print(usage or "")
        print(flags.FLAGS.module_help(avexp_flags.MODULE))
        return 0
    try:
        rest = flags.FLAGS(_with_presets(argv))
    except (flags.Error, OSError) as error:
        return _fail(str(error).removeprefix("ERROR:: "))  # absl's, of a flag file
    except UnicodeDecodeError as error:
        return _fail(f"{' '.join(argv[1:])[:200]}: a flag file is no text: {error}")
    try:
        with termination.raised_on_sigterm():
            return main(rest) or 0
    except errors.AvexpError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except termination.Terminated:
        print("terminated; the same command goes on from here", file=sys.stderr)
        return 143
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")


def _with_presets(argv: list[str]) -> list[str]:
    """Returns the command line, with the paths of the presets that it names."""
    words = list(argv)
    for index, word in enumerate(words):
        name, equals, file = word.partition("=")
        if name in ("--flagfile", "-flagfile") and equals:
            words[index] = f"{name}={presets.found(file)}"
        elif word in ("--flagfile", "-flagfile") and index + 1 < len(words):
            words[index + 1] = presets.found(words[index + 1])
    return words


def no_positionals(rest: Sequence[str]) -> None:
    """Raises ConfigError if the command line holds words that are no flags."""
    if len(rest) > 1:
        raise errors.ConfigError(f"{rest[1]!r}: not a flag; see --help")


def require(*names: str) -> None:
    """Raises ConfigError if one of these flags was not given."""
    for name in names:
        if not flags.FLAGS[name].value:
            raise errors.ConfigError(f"--{name} must be given; see --help")


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
