"""Where results of benchmarks go: printed, and into RESULTS.md with --append.

What is printed ends with one line of JSON, for programs.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import sys
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

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


def finish(
    title: str, notes: str, lines: Sequence[str], values: Mapping[str, Any]
) -> None:
    """Prints the results, adds them to RESULTS.md if asked to, ends with their JSON.

    Args:
      title: Of the entry.
      notes: What a reader needs to know, after the command.
      lines: Markdown.
      values: The numbers.
    """
    table = "\n".join(lines).strip()
    entry = f"## {title}, {datetime.date.today()}\n\n`{command()}`; {notes}\n\n{table}"
    print(entry)
    if flags.FLAGS.append:
        with open(PATH, "a", encoding="utf-8") as file:
            file.write(f"\n{entry}\n")
        print(f"recorded in {PATH}")
    print(json.dumps({"benchmark": title, "command": command(), **values}))


def rounded(values: Mapping[str, float], digits: int = 3) -> dict[str, float]:
    """Returns the numbers with as many significant digits."""
    return {name: float(f"{value:.{digits}g}") for name, value in values.items()}
