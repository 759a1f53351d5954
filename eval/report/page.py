"""report.html: the report as one file, with interactive figures, sortable tables, and passages."""

import html
import re
from pathlib import Path

import jinja2
import markdown
from markupsafe import Markup

from .charts.figure import Figure, as_json, legend, libraries, themed
from .charts.style import Style
from .summary import Summary

HINT = """<h2>Figures</h2>
<p class="hint">Hover over a point, or press the arrow keys in a chart, to see its values. Drag to move. To
zoom, pinch, use Ctrl and the wheel, or press + and −; double-click or press 0 to reset. A family's button
shows or hides it in all figures; a click on a point shows only its family. Click on a heading to sort a
table.</p>"""
FOLDER = Path(__file__).parent  # of the templates


def make_page(
    summary: Summary, page: str, figures: list[Figure], styles: dict[str, Style], passages: dict, about: str
) -> str:
    """report.html.

    `page` is the report after the summary, in Markdown; `passages` is the return value of `choose_passages`,
    and `about` a sentence about their tokenizers.
    """
    drawn = {figure.name: in_html(figure, styles) for figure in figures}

    def rendered(text: str) -> Markup:
        body = markdown.markdown(text, extensions=["tables"])
        body = body.replace("<h2>Figures</h2>", HINT)
        body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
        figure = r'<p><img alt="[^"]*" src="figures/([^"]+)\.svg" /></p>\n<p><em>.*?</em></p>'
        return Markup(re.sub(figure, lambda match: drawn[match[1]], body, flags=re.DOTALL))

    loader, undefined = jinja2.FileSystemLoader(FOLDER), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=undefined, trim_blocks=True)
    environment.filters["markdown"] = rendered
    charts = {figure.name: figure.page() for figure in figures}
    return environment.get_template("page.html").render(
        summary=summary,
        title=re.sub(r"\\(.)", r"\1", html.unescape(summary.title)),
        page=page,
        several=len(passages["names"]) > 1,
        about=about,
        data=Markup(as_json(passages)),
        charts=Markup(themed(as_json(charts))),
        libraries=Markup(libraries()),
    )


def in_html(figure: Figure, styles: dict[str, Style]) -> str:
    """A figure as HTML: static panels, which page.js replaces by charts, with legend and caption."""
    panels = "".join(
        f'<div class="chart" data-number="{number}">{themed(svg[svg.index("<svg") :])}</div>'
        for number, svg in enumerate(figure.still())
    )
    log = (
        '<button type="button" class="log" aria-pressed="false" hidden>log axis</button>'
        if figure.log
        else ""
    )
    return (
        f'<figure data-chart="{figure.name}" data-title="{html.escape(figure.title)}">'
        f'<div class="keys">{legend(styles)}{log}</div>'
        f'<div class="panels" style="--columns: {figure.columns}">{panels}</div>'
        f"<figcaption>{html.escape(figure.caption)}</figcaption></figure>"
    )
