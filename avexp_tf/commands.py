"""Lists all commands, and runs one.

avexp --help
avexp train --help      the same as avexp-train --help
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import pathlib
import sys

from avexp_tf import quiet

_PREFIX = "avexp-"


def all_commands() -> dict[str, importlib.metadata.EntryPoint]:
    """Returns the installed commands by name, without the `avexp-` before it."""
    scripts = importlib.metadata.entry_points(group="console_scripts")
    return {
        script.name.removeprefix(_PREFIX): script
        for script in sorted(scripts, key=lambda script: script.name)
        if script.name.startswith(_PREFIX) and script.module.startswith("avexp_tf.")
    }


def summary(script: importlib.metadata.EntryPoint) -> str:
    """Returns the first line of a command's usage, without importing it."""
    spec = importlib.util.find_spec(script.module)
    if spec is None or spec.origin is None:
        return ""
    text = pathlib.Path(spec.origin).read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]


def run() -> None:
    """The console script."""
    commands = all_commands()
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "-help", "help"):
        print("avexp COMMAND, the same as avexp-COMMAND; each answers --help.\n")
        width = max(map(len, commands))
        try:
            for name, script in commands.items():
                print(f"    {name.ljust(width)}  {summary(script)}")
            sys.stdout.flush()
        except BrokenPipeError:
            sys.exit(quiet.nobody_reads())
        return
    if words[0] == "--version":
        print(importlib.metadata.version("avexp-tf"))
        return
    if words[0] not in commands:
        print(
            f"error: {words[0]!r}: must be one of {', '.join(commands)}",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.argv = [f"{_PREFIX}{words[0]}", *words[1:]]
    commands[words[0]].load()()


if __name__ == "__main__":
    run()
