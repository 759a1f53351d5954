"""report.html: the Markdown page as one file, with figures to hover, tables to sort, passages to compare."""

import json
import re
from pathlib import Path

import jinja2
import markdown
from markupsafe import Markup

from .figures import INK

FOLDER = Path(__file__).parent  # of the templates
READABLE = 0.8  # of its own size a figure still is; a page that is narrower than that scrolls it
NARROW = 450  # points; narrower figures are always shown whole


def make_page(page: str, title: str, report: Path, passages: dict, about: str) -> str:
    """report.html; figures are read from `report`.

    `page` is Markdown, `passages` what `choose_passages` returns, `about` the sentences that say under what
    protocol.
    """
    body = markdown.markdown(page, extensions=["tables"])
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")

    def inline(match: re.Match) -> str:
        svg = (report / match[2]).read_text()
        svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
        (width,) = map(float, re.findall(r'<svg[^>]*viewBox="0 0 ([\d.]+)', svg))
        if width > NARROW:
            svg = svg.replace("<svg", f'<svg style="min-width: {READABLE * width:.0f}pt"', 1)
        return f'<div class="figure" role="img" aria-label="{match[1]}">{svg}</div>'

    body = re.sub(r'<p><img alt="([^"]*)" src="(figures/[^"]+)" /></p>', inline, body)
    # As no tag at all: "<!--" and "<script" in a passage would hide the end of ours from the parser
    data = json.dumps(passages).replace("<", "\\u003c")
    loader, undefined = jinja2.FileSystemLoader(FOLDER), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=undefined, trim_blocks=True)
    several = len(passages["names"]) > 1
    return environment.get_template("page.html").render(
        title=title, body=Markup(body), several=several, about=about, data=Markup(data)
    )
