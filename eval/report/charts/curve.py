"""Bits per character by vocabulary size, with the best size."""

import math
from typing import Any

import altair as alt

from .style import (
    BPC,
    PAPER,
    Row,
    Style,
    as_spec,
    bits,
    color_of,
    dash_of,
    family_of,
    fill_of,
    shape_of,
    vocabulary,
)

APART = 0.016  # share of the width between points of similar size, so that their intervals do not overlap
NEAR = 1.1  # sizes that differ by a smaller factor are similar
LINE = 14  # pixels from one family's best size to the next
TOP = 8  # pixels above the first


def panel(rows: list[Row], styles: dict[str, Style], entry: Row, title: str, width: int, height: int) -> dict:
    """A chart of the rows of one model; `entry` is the model's entry from `recommend`."""
    families = [name for name in styles if name in {family_of(row) for row in rows}]
    rows = sorted(rows, key=lambda row: (row["vocab_size"], families.index(family_of(row))))
    places = side_by_side([row["vocab_size"] for row in rows])
    values = [
        {
            "family": family_of(row),
            "tokenizer": row["tokenizer"],
            "vocab_size": row["vocab_size"],
            "place": place,
            "bpc": row["test_bpc"],
            "low": row["test_bpc_low"],
            "high": row["test_bpc_high"],
            "interval": f"{row['test_bpc_low']:.3f} to {row['test_bpc_high']:.3f}",
            "behind": _behind(row),
            "may be": row["compared"] and not row["distinguishable"],
        }
        for row, place in zip(rows, places, strict=True)
    ]
    best = [(name, entry["ladders"][name]) for name in families if name in entry["ladders"]]
    found = [(name, ladder) for name, ladder in best if ladder["where"] != "flat"]
    base = alt.Chart().encode(x=vocabulary(rows, "place"), color=color_of(styles))
    padding = 10 + (TOP + LINE * len(found)) * bool(found)
    y = bits(title=BPC, padding=padding)
    intervals = base.mark_rule(strokeWidth=1.5, opacity=0.55).encode(
        y=bits("low", title=BPC, padding=padding), y2="high:Q"
    )
    lines = base.mark_line().encode(y=y, strokeDash=dash_of(styles))
    points = base.mark_point().encode(
        y=y,
        shape=shape_of(styles),
        fill=fill_of(styles, "datum['may be']"),
        tooltip=[
            alt.Tooltip("tokenizer:N"),
            alt.Tooltip("vocab_size:Q", title="vocabulary", format=",d"),
            alt.Tooltip("bpc:Q", title=BPC, format=".4f"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("behind:N", title="behind the lowest"),
        ],
    )
    marks = [
        layer for i, (name, ladder) in enumerate(found) for layer in _best_size(name, ladder, styles, i, rows)
    ]
    chart = alt.layer(*marks, intervals, lines, points, data=alt.Data(values=values))
    return as_spec(chart.properties(width=width, height=height, title=title))


def side_by_side(sizes: list[int]) -> list[float]:
    """Positions of points of these sizes, in ascending order; similar sizes are side by side."""
    groups: list[list[int]] = []
    for size in sizes:
        if groups and size < NEAR * groups[-1][0]:
            groups[-1].append(size)
        else:
            groups.append([size])
    octaves = max(1.0, math.log2(sizes[-1] / sizes[0]))
    return [
        size * 2 ** (APART * octaves * (i - (len(group) - 1) / 2))
        for group in groups
        for i, size in enumerate(group)
    ]


def _behind(row: Row) -> str:
    if not row["behind_best"]:
        return "it is the lowest"
    if row["behind_best_low"] is None:
        return f"{row['behind_best']:.3f} (not tested)"
    return f"{row['behind_best']:.3f} ({row['behind_best_low']:.3f} to {row['behind_best_high']:.3f})"


def _best_size(name: str, ladder: Row, styles: dict[str, Style], number: int, rows: list[Row]) -> list[Any]:
    """A family's best size and its interval, as a line above the curves with an arrow at an open end."""
    color, low, high = styles[name].color, ladder["size_low"], ladder["size_high"]
    short = {
        "inside": f"best {name}: {ladder['size']:,.0f}",
        "below": f"best {name}: {low:,.0f} or less",
        "above": f"best {name}: {high:,.0f} or more",
    }[ladder["where"]]
    ends = f"{low:,.0f}{' or less' * ladder['open_low']} to {high:,.0f}{' or more' * ladder['open_high']}"
    value = {"family": name, "best": short.partition(": ")[2], "interval": ends, "text": short}
    value |= {key: ladder[key] for key in ("size", "size_low", "size_high")}
    tooltip = [
        alt.Tooltip("family:N"),
        alt.Tooltip("best:N", title="best size"),
        alt.Tooltip("interval:N", title="95 % interval"),
    ]
    base = alt.Chart(alt.Data(values=[value])).encode(tooltip=tooltip)
    line = alt.value(TOP + LINE * number)
    layers = [
        base.mark_rule(color=color, strokeWidth=3).encode(
            x=vocabulary(rows, "size_low"), x2="size_high:Q", y=line
        )
    ]
    if ladder["where"] == "inside":
        at = base.mark_rule(color=color, strokeDash=[2, 2], strokeWidth=1, opacity=0.7)
        layers.append(at.encode(x=vocabulary(rows, "size")))
        best = base.mark_point(color=color, fill=PAPER, shape=styles[name].shape, size=60)
        layers.append(best.encode(x=vocabulary(rows, "size"), y=line))
    for field, angle, is_open in (
        ("size_low", 270, ladder["open_low"]),
        ("size_high", 90, ladder["open_high"]),
    ):
        if is_open:
            arrow = base.mark_point(color=color, fill=color, shape="triangle", size=50, angle=angle)
        else:
            arrow = base.mark_point(color=color, shape="stroke", size=80, angle=90)
        layers.append(arrow.encode(x=vocabulary(rows, field), y=line))
    sizes = [row["vocab_size"] for row in rows]
    left = low / min(sizes) > max(sizes) / high  # where there is more room
    beside = base.mark_text(align="right" if left else "left", dx=-9 if left else 9, baseline="middle")
    layers.append(
        beside.encode(x=vocabulary(rows, "size_low" if left else "size_high"), y=line, text="text:N")
    )
    return layers
