"""Keeps what TensorFlow greets with off the terminal; errors stay.

TensorFlow writes some lines to file descriptor 2 before any setting of its logs counts,
on every start and on every machine without a GPU. They tell a user nothing, and stand
between the lines that do.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# 0 shows everything, 1 no information, 2 no warnings, 3 no errors.
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

_GREETINGS = re.compile(
    rb"""
      ^WARNING:\ All\ log\ messages\ before\ absl::InitializeLog
    | ^I\d{4}\ \d                                # information, TensorFlow 2.20 on
    | ^\d{4}-\d\d-\d\d\ [\d:.]+:\ [IW]\ external  # and before: also warnings
    | oneDNN\ supports\ DT_HALF\ only
    | failed\ call\ to\ cuInit:.*(\(303\)|NO_DEVICE)  # no driver, no device
    | Unable\ to\ register\ cu(DNN|FFT|BLAS)\ factory
    """,
    re.VERBOSE,
)


def nobody_reads() -> int:
    """Ends standard output after BrokenPipeError, as with `| head -1`.

    Python would complain once more when it flushes at exit.

    Returns:
      The exit code.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def set_log_level() -> None:
    """Asks TensorFlow for errors only, unless the environment says otherwise.

    It counts only before TensorFlow is imported.
    """
    os.environ.setdefault(_LEVEL, "2")


@contextlib.contextmanager
def start() -> Iterator[None]:
    """Drops TensorFlow's greetings while the block imports it and sets it up.

    What else is written to stderr follows when the block ends. With
    TF_CPP_MIN_LOG_LEVEL=0 or 1 in the environment nothing is held back.
    """
    set_log_level()
    if os.environ[_LEVEL] in ("0", "1"):
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            for line in held:
                if not _GREETINGS.search(line):
                    # A full disk cuts the last line off; the next one is not its end.
                    os.write(2, line.rstrip(b"\n") + b"\n")


def start_tensorflow() -> None:
    """Imports TensorFlow and sets it up, without its greetings."""
    with start():
        import tensorflow as tf

        tf.cast(tf.zeros([1], tf.float16), tf.float32)  # it has something to say here
