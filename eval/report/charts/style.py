"""The look of charts: a family of tokenizers has the same colour, shape and dash in all of them.

The colours are those of Okabe and Ito, which colour-blind people can distinguish; shapes and dashes
distinguish the families without colour.
"""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import altair as alt

from ...ladder import family

INK = "#1a1a1b"  # text and lines; the page puts its own colour here, light or dark
PAPER = "#fffffe"  # the background, inside hollow points; the page's own as well
ACCENT = "#0072b2"  # lighter in the dark
BPC = "bits per character"

Row = dict[str, Any]


@dataclass(frozen=True)
class Style:
    """The look of a family of tokenizers."""

    color: str
    shape: str
    """the name of a symbol of Vega"""
    dash: tuple[int, ...]
    """pixels drawn and left out in turn; (1, 0) is a solid line"""


SOLID, DASHED, DOTTED, MIXED = (1, 0), (7, 3), (2, 3), (8, 3, 2, 3)
KNOWN = {
    "byte": Style(INK, "square", SOLID),
    "char": Style("#009e73", "diamond", SOLID),
    "unigram": Style(ACCENT, "circle", SOLID),
    "spbpe": Style("#d55e00", "triangle-up", DASHED),
    "bpe": Style("#cc79a7", "triangle-down", DOTTED),
}
OTHERS = [
    Style("#56b4e9", "cross", MIXED),
    Style("#e69f00", "triangle-right", DASHED),
    Style(INK, "triangle-left", DOTTED),
    Style("#d55e00", "cross", SOLID),
    Style("#009e73", "triangle-right", MIXED),
    Style(ACCENT, "triangle-left", DASHED),
    Style("#cc79a7", "square", SOLID),
]


def _other(number: int) -> Style:
    """The style of another family; in each round, the shapes move on by one colour."""
    around, place = divmod(number, len(OTHERS))
    return replace(OTHERS[place], shape=OTHERS[(place + around) % len(OTHERS)].shape)


def family_of(row: Row) -> str:
    """The name of a tokenizer's family, or its label if it has no family of sizes."""
    name = family(row["spec"])
    return str(row["tokenizer"] if name == row["spec"] else name)


def styles_of(rows: list[Row]) -> dict[str, Style]:
    """A style for every family of the rows, by name; `byte` and `char` first, then in alphabetical order.

    Styles are unique for up to twenty families besides the known ones.
    """
    specs = {family_of(row): family(row["spec"]) for row in rows}
    order = sorted(specs, key=lambda name: (specs[name] not in ("byte", "char"), name))
    others = [name for name in order if specs[name] not in KNOWN]
    found = {name: _other(number) for number, name in enumerate(others)}
    taken: set[str] = set()
    for name in order:
        if (spec := specs[name]) in KNOWN:
            # If a spec has two labels, the first has its style
            found[name] = _other(len(found)) if spec in taken else KNOWN[spec]
            taken.add(spec)
    return {name: found[name] for name in order}


def color_of(styles: dict[str, Style]) -> alt.Color:
    """The colour channel."""
    columns = max(1, min(6, 72 // max(map(len, styles))))
    legend = alt.Legend(columns=columns, labelLimit=300, symbolOpacity=1)
    scale = alt.Scale(domain=list(styles), range=[style.color for style in styles.values()])
    return alt.Color("family:N", title=None, scale=scale, legend=legend)


def shape_of(styles: dict[str, Style]) -> alt.Shape:
    """The shape channel."""
    scale = alt.Scale(domain=list(styles), range=[style.shape for style in styles.values()])
    return alt.Shape("family:N", title=None, scale=scale)


def dash_of(styles: dict[str, Style]) -> alt.StrokeDashValue:
    """The dash channel. As it has no scale, a legend's symbols are not dashed as well."""
    dashes: Any = [
        {"test": f"datum.family === {json.dumps(name)}", "value": list(style.dash)}
        for name, style in styles.items()
        if style.dash != SOLID
    ]
    return alt.StrokeDashValue(list(SOLID), condition=dashes)


def fill_of(styles: dict[str, Style], test: str) -> Any:
    """The fill channel of points: the family's colour where the test holds, and hollow elsewhere."""
    scale = alt.Scale(domain=list(styles), range=[style.color for style in styles.values()])
    return alt.when(test).then(alt.Fill("family:N", scale=scale, legend=None)).otherwise(alt.value(PAPER))


def vocabulary(rows: list[Row], field: str = "vocab_size") -> alt.X:
    """The axis of vocabulary sizes, with a tick at each power of two."""
    exponents = [math.log2(row["vocab_size"]) for row in rows]
    ticks = [2**power for power in range(math.floor(min(exponents)), math.ceil(max(exponents)) + 1)]
    scale = alt.Scale(type="log", base=2, padding=16, nice=False)
    axis = alt.Axis(
        labelExpr="format(datum.value, ',d')", labelOverlap="greedy", values=ticks, tickCount=len(ticks)
    )
    return alt.X(f"{field}:Q", title="vocabulary size", scale=scale, axis=axis)


def bits(field: str = "bpc", title: str | None = None, padding: int = 8) -> alt.Y:
    """The axis of bits per character, which does not begin at 0."""
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=False, nice=False, padding=padding))


CONFIG: dict[str, Any] = {
    "font": "Helvetica, Arial, sans-serif",
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor", "tickColor", "gridColor"), INK),
        "domain": False,
        "gridOpacity": 0.13,
        "tickOpacity": 0.4,
        "tickSize": 4,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelPadding": 4,
        "labelLimit": 220,
        "tickCount": 5,
    },
    "axisX": {"grid": False},
    "legend": {
        **dict.fromkeys(("labelColor", "titleColor"), INK),
        "orient": "top",
        "labelFontSize": 12,
        "symbolSize": 80,
        "symbolStrokeWidth": 2,
    },
    "title": {"color": INK, "subtitleColor": INK, "anchor": "start", "fontSize": 12, "fontWeight": 600},
    "line": {"color": INK, "strokeWidth": 2},
    "point": {"size": 70, "strokeWidth": 2, "opacity": 1},
    "rule": {"color": INK},
    "text": {"color": INK, "fontSize": 11},
}


def as_spec(chart: Any) -> dict:
    """The specification of a chart, without what belongs to the whole of it."""
    spec: dict = chart.to_dict(validate=False)
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}
