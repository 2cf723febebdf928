"""A report says the same as Markdown and as HTML, and HTML needs no other file."""

import base64
import re

import pandas as pd

from avexp_tf.evaluation import document

BLOCKS = [
    document.Heading("A <title>", 1),
    document.Paragraph("Plain, *emphasis*, `code_with_*` & more."),
    document.Table(pd.DataFrame({"lost": ["a|b", "<x>"], "CCC": ["1", "2"]})),
    document.Figure("one.png", "How to read it."),
]


def test_html_holds_its_figures_and_escapes_text(tmp_path):
    (tmp_path / "one.png").write_bytes(b"\x89PNG picture")
    document.write(BLOCKS, tmp_path)
    page = (tmp_path / "report.html").read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 1
    head, data = sources[0].split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == b"\x89PNG picture"
    assert "href" not in page and "http" not in page
    assert "A &lt;title&gt;" in page and "<td>&lt;x&gt;</td>" in page
    assert "<em>emphasis</em>" in page and "<td>a|b</td>" in page
    assert "<figcaption>How to read it.</figcaption>" in page


def test_a_long_table_is_opened_by_its_summary():
    table = document.Table(pd.DataFrame({"n": ["1"]}), "The 1 point")
    page = document.to_html([table], ".")
    assert "<details><summary>The 1 point</summary>\n<div" in page
    assert page.count("</table></div></details>") == 1
    text = document.to_markdown([table])
    assert text.startswith("The 1 point:\n\n| n |")
    assert "<details>" not in document.to_html([BLOCKS[2]], ".")


def test_markdown_links_its_figures(tmp_path):
    (tmp_path / "one.png").write_bytes(b"")
    assert document.write(BLOCKS, tmp_path) == ["report.md", "report.html"]
    page = (tmp_path / "report.md").read_text()
    assert page.startswith("# A <title>\n\nPlain")
    assert "| a\\|b | 1   |" in page
    assert "![How to read it.](one.png)\n\n*How to read it.*" in page
