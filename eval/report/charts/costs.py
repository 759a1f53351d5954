"""The costs of tokenizers: by vocabulary size, against bits per character, and FLOPs by part."""

import math
from collections.abc import Callable
from typing import Any

import altair as alt

from . import style
from .labels import place_labels
from .style import ACCENT, BPC, PAPER, Row, Style, as_spec, bits, family_of, fill_of

COSTS: dict[str, tuple[Callable[[Row], float], str]] = {
    "characters per token": (lambda row: row["chars_per_token"], ".3f"),
    "training, MFLOPs per character": (lambda row: row["flops_per_char"] / 1e6, ".3f"),
    "training, memory in GB": (lambda row: row["memory_gb"], ".2f"),
    "generation, characters per second": (lambda row: row["generation_chars_per_second"], ",.0f"),
}
AGAINST: dict[str, Callable[[Row], float]] = {
    "training, MFLOPs per character": lambda row: row["flops_per_char"] / 1e6,
    "generation, milliseconds per character": lambda row: 1000 / row["generation_chars_per_second"],
}
PARTS = {"body": ACCENT, "attention": "#66aad1", "output": "#b8d8ea"}  # also differ in lightness
WIDE = 10  # costs that differ by a larger factor have a logarithmic axis
LONG = 30  # characters of a label beside a bar
BAR = 22  # pixels from one bar to the next
EDGE = 24  # pixels from the outermost points to the edge of a panel


def by_vocabulary(rows: list[Row], styles: dict[str, Style], width: int, height: int) -> list[dict]:
    """A chart for each cost."""
    found = []
    for title, (cost, form) in COSTS.items():
        values = [_named(row) | {"cost": cost(row)} for row in rows]
        base = alt.Chart().encode(x=style.vocabulary(rows), color=style.color_of(styles))
        y = alt.Y("cost:Q", title=None, axis=alt.Axis(format=_short(max(map(cost, rows)))))
        tooltip = [*_who(), alt.Tooltip("cost:Q", title=title, format=form)]
        line = base.mark_line().encode(y=y, strokeDash=style.dash_of(styles))
        point = base.mark_point().encode(
            y=y, shape=style.shape_of(styles), fill=fill_of(styles, "true"), tooltip=tooltip
        )
        chart = alt.layer(line, point, data=alt.Data(values=values))
        found.append(as_spec(chart.properties(width=width, height=height, title=title)))
    return found


def _short(largest: float) -> str:
    """The format of an axis with this maximum."""
    return "~s" if largest >= 1000 else "~g"


def _named(row: Row) -> Row:
    return {key: row[key] for key in ("tokenizer", "model", "vocab_size")} | {"family": family_of(row)}


def _who() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("tokenizer:N"),
        alt.Tooltip("model:N"),
        alt.Tooltip("vocab_size:Q", title="vocabulary", format=",d"),
    ]


def against_bits(
    rows: list[Row], styles: dict[str, Style], title: str, width: int, height: int
) -> list[dict]:
    """A chart for each cost, for the rows of one model; a family is a path in order of vocabulary size."""
    size = {"width": width, "height": height}
    charts = [_against(axis, cost, rows, styles, **size) for axis, cost in AGAINST.items()]
    return [as_spec(chart.properties(title=title, **size)) for chart in charts]


def _against(
    title: str,
    cost: Callable[[Row], float],
    rows: list[Row],
    styles: dict[str, Style],
    width: int,
    height: int,
) -> Any:
    costs, bpc = [cost(row) for row in rows], [row["test_bpc"] for row in rows]
    wide = 0 < WIDE * min(costs) < max(costs)
    across = _pixels([math.log(value) for value in costs] if wide else costs, width)
    down = [height - y for y in _pixels(bpc, height)]
    labels = [f"{row['vocab_size']:,}" for row in rows]
    sides = place_labels(list(zip(across, down, strict=True)), labels, width)
    values = [
        _named(row)
        | {"cost": x, "bpc": row["test_bpc"], "may be": row["compared"] and not row["distinguishable"]}
        | {"label": label, "side": f"{side.dx} {side.dy}"}
        for row, x, label, side in zip(rows, costs, labels, sides, strict=True)
    ]
    axis = alt.Axis(format=_short(max(costs)), labelOverlap="greedy")
    scale = alt.Scale(type="log") if wide else alt.Scale(type="linear", zero=False)
    scale.padding, scale.nice = EDGE, False
    base = alt.Chart().encode(
        x=alt.X("cost:Q", title=title, scale=scale, axis=axis), y=bits(title=BPC, padding=EDGE)
    )
    front = base.mark_line(strokeWidth=1, interpolate="step-after", opacity=0.5).transform_window(
        lowest="min(bpc)", sort=[alt.SortField("cost"), alt.SortField("bpc")], frame=[None, 0]
    )
    front = front.transform_filter("datum.bpc <= datum.lowest")  # without those that a cheaper one beats
    colored = base.encode(color=style.color_of(styles))
    paths = colored.mark_line(strokeWidth=1.2, opacity=0.35)
    paths = paths.encode(strokeDash=style.dash_of(styles), order="vocab_size:Q")
    points = colored.mark_point().encode(
        shape=style.shape_of(styles),
        fill=fill_of(styles, "datum['may be']"),
        tooltip=[
            *_who(),
            alt.Tooltip("cost:Q", title=title, format=".4~g"),
            alt.Tooltip("bpc:Q", title=BPC, format=".4f"),
        ],
    )
    texts = [
        side.mark(base).transform_filter(f"datum.side == '{side.dx} {side.dy}'")
        for side in dict.fromkeys(sides)
    ]
    return alt.layer(front, paths, points, *texts, data=alt.Data(values=values))


def _pixels(values: list[float], size: float) -> list[float]:
    """Positions of these values on an axis of this many pixels."""
    low, high = min(values), max(values)
    return [
        EDGE + (size - 2 * EDGE) * ((value - low) / (high - low) if high > low else 0.5) for value in values
    ]


def by_part(rows: list[Row], width: int) -> list[dict]:
    """A chart of the training FLOPs per character, a bar for each tokenizer, its parts side by side."""
    values = [
        {**_named(row), "part": part, "order": number, "mflops": row[f"flops_per_char_{part}"] / 1e6}
        for row in rows
        for number, part in enumerate(PARTS)
    ]
    order = [row["tokenizer"] for row in sorted(rows, key=lambda row: row["flops_per_char"], reverse=True)]
    scale = alt.Scale(domain=list(PARTS), range=list(PARTS.values()))
    tooltip = [
        *_who(),
        alt.Tooltip("part:N"),
        alt.Tooltip("mflops:Q", title="MFLOPs per character", format=".3f"),
    ]
    end = (
        f"length(datum.label) > {LONG} ? '…' + slice(datum.label, {1 - LONG}) : datum.label"  # tells the most
    )
    names = alt.Axis(labelExpr=end, labelLimit=220, ticks=False, grid=False)
    bars = (
        alt.Chart(alt.Data(values=values))
        .mark_bar(stroke=PAPER, strokeWidth=1)
        .encode(
            x=alt.X("mflops:Q", title="training, MFLOPs per character"),
            y=alt.Y("tokenizer:N", title=None, sort=order, axis=names),
            color=alt.Color("part:N", title=None, scale=scale),
            order="order:Q",
            tooltip=tooltip,
        )
    )
    return [as_spec(bars.properties(width=width, height=BAR * len(rows)))]
