"""A report as a list of blocks, written as Markdown and as one HTML file."""

from __future__ import annotations

import base64
import dataclasses
import html
import os
import pathlib
import re
from collections.abc import Sequence

import pandas as pd

from avexp_tf import files

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 75rem;
  margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e5e5e5; text-align: left;
  white-space: nowrap; }
th { background: #f5f5f5; } tr:hover td { background: #fafafa; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: #555; max-width: 50rem; } code { background: #f2f2f2; }
summary { cursor: pointer; margin: 1rem 0; }
"""


@dataclasses.dataclass(frozen=True)
class Heading:
    """A section's title.

    Attributes:
      text: The title.
      level: 1 or 2.
    """

    text: str
    level: int = 2


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Plain sentences; `*word*` is emphasised and a word in backticks is code."""

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      cells: Shown as they are.
      summary: Of a long table: the page shows this line, which opens it.
    """

    cells: pd.DataFrame
    summary: str = ""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure that lies beside the report.

    Attributes:
      name: Of its PNG file.
      caption: A sentence that says how to read it.
    """

    name: str
    caption: str


Block = Heading | Paragraph | Table | Figure


def markdown_table(table: pd.DataFrame) -> str:
    """Returns a data frame of text as a Markdown table with aligned columns."""
    cells = [
        [str(cell).replace("|", "\\|") for cell in row]
        for row in (list(table.columns), *table.to_numpy().tolist())
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def to_markdown(blocks: Sequence[Block]) -> str:
    """Returns the report as Markdown; figures are links."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {block.text}")
        elif isinstance(block, Paragraph):
            parts.append(block.text)
        elif isinstance(block, Table):
            parts += [f"{block.summary}:"] if block.summary else []
            parts.append(markdown_table(block.cells))
        else:
            parts.append(f"![{block.caption}]({block.name})\n\n*{block.caption}*")
    return "\n\n".join(parts) + "\n"


def to_html(blocks: Sequence[Block], folder: str | os.PathLike[str]) -> str:
    """Returns the report as HTML that needs no other file.

    Args:
      blocks: The report.
      folder: That its figures lie in.

    Returns:
      The page, with its figures in it.
    """
    title = next((b.text for b in blocks if isinstance(b, Heading)), "Report")
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"<h{block.level}>{_inline(block.text)}</h{block.level}>")
        elif isinstance(block, Paragraph):
            parts.append(f"<p>{_inline(block.text)}</p>")
        elif isinstance(block, Table):
            table = _table(block.cells)
            if block.summary:
                summary = f"<summary>{_inline(block.summary)}</summary>"
                table = f"<details>{summary}\n{table}</details>"
            parts.append(table)
        else:
            data = pathlib.Path(folder, block.name).read_bytes()
            picture = base64.b64encode(data).decode()
            parts.append(
                f'<figure><img alt="{html.escape(block.caption)}" '
                f'src="data:image/png;base64,{picture}">'
                f"<figcaption>{_inline(block.caption)}</figcaption></figure>"
            )
    return (
        f"{html_start(title)}<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def html_start(title: str) -> str:
    """Returns what a page of this title begins with."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>"
    )


def write(blocks: Sequence[Block], folder: str | os.PathLike[str]) -> list[str]:
    """Writes `report.md` and `report.html`.

    Args:
      blocks: The report.
      folder: That its figures lie in.

    Returns:
      The files' names.

    Raises:
      errors.DataError: if they can't be written.
    """
    pages = {
        "report.md": to_markdown(blocks),
        "report.html": to_html(blocks, folder),
    }
    for name, page in pages.items():
        with files.replacing(os.path.join(folder, name)) as file:
            file.write(page.encode())
    return list(pages)


def _table(cells: pd.DataFrame) -> str:
    def row(values: Sequence[object], tag: str) -> str:
        inner = "".join(f"<{tag}>{_inline(str(value))}</{tag}>" for value in values)
        return f"<tr>{inner}</tr>"

    body = "\n".join(row(values, "td") for values in cells.to_numpy().tolist())
    head = row(list(cells.columns), "th")
    return f'<div class="wide"><table>\n{head}\n{body}\n</table></div>'


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)
