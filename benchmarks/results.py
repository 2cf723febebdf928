"""Where results of benchmarks go: printed, and into RESULTS.md with --append."""

from __future__ import annotations

import datetime
import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from avexp_tf import flags as avexp_flags

PATH = pathlib.Path(__file__).with_name("RESULTS.md")


def define_flag() -> None:
    """Defines --append."""
    avexp_flags.define_one("append", False, "Add the results to benchmarks/RESULTS.md.")


def command() -> str:
    """Returns the command line that the user gave, but for --append."""
    words = [word for word in sys.argv[1:] if word.lstrip("-") != "append"]
    return " ".join(["python", f"benchmarks/{pathlib.Path(sys.argv[0]).name}", *words])


def finish(title: str, notes: str, lines: Sequence[str]) -> None:
    """Prints the results, and adds them to RESULTS.md if asked to.

    Args:
      title: Of the entry.
      notes: What a reader needs to know, after the command.
      lines: Markdown.
    """
    table = "\n".join(lines).strip()
    entry = f"## {title}, {datetime.date.today()}\n\n`{command()}`; {notes}\n\n{table}"
    print(entry)
    if not flags.FLAGS.append:
        return
    with open(PATH, "a", encoding="utf-8") as file:
        file.write(f"\n{entry}\n")
    print(f"recorded in {PATH}")
