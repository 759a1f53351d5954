"""The figures of a report, each as SVG and PNG."""

import html
import math
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from ..ladder import family
from ..results import grouped

INK = "#1a1a1b"  # of text and lines; the page replaces it with its own, light or dark
# Okabe & Ito's colours, told apart by the colour-blind; markers and dashes tell them apart in grey.
STYLES = {
    "byte": (INK, "s", "-"),
    "char": ("#009E73", "D", "-"),
    "unigram": ("#0072B2", "o", "-"),
    "spbpe": ("#D55E00", "^", "--"),
    "bpe": ("#CC79A7", "v", ":"),
}
OTHER = ("#56B4E9", "P", "-.")
PARTS = {"body": ("#0072B2", ""), "attention": ("#E69F00", "////"), "output": ("#009E73", "....")}
COLOURED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
SETTINGS: Any = dict.fromkeys(COLOURED, INK) | {
    "font.size": 10,
    "svg.hashsalt": "codebook",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.framealpha": 0,
}
MANY = 8  # lines in a figure
BPC = "test bits per character"

Row = dict


def draw_figures(
    rows: list[Row], curves: list[tuple[Row, list[dict]]], where: dict[str, dict], folder: Path
) -> dict[str, str]:
    """Draw every figure into `folder` and return the caption of each by its name.

    `rows` are those of results.json; `curves` pair a row with its lines of metrics.jsonl that hold a
    validation; `where` has what `break_down_bits` found by tokenizer. A point has an SVG title, which a
    browser shows when the mouse is over it.
    """
    matplotlib.rcParams.update(SETTINGS)
    folder.mkdir(parents=True, exist_ok=True)
    main = main_rows(rows)
    # The best of each family, so that a colour is one of them; the best first
    few = [members[0] for members in grouped(main, _family).values()][:MANY]
    of = f"of {main[0]['model']}"
    figures = {
        "bpc_by_vocabulary": (
            _bpc_by_vocabulary(rows),
            "Bits per character on the test split against vocabulary size, lower is better. Bars are 95 % "
            "intervals of each number by itself; differences are paired and more certain (see the table). "
            "Each panel is one model with its budget, and has a scale of its own.",
        ),
        "pareto": (
            _pareto(rows),
            "Bits per character against what it costs, for every tokenizer and model: lower and further left "
            "is better, and the line joins those that no other beats at both. Left, FLOPs of the whole "
            "training; right, time to generate a character, one text at a time with keys and values kept, "
            "measured once, beside whatever else ran. Hollow markers are models other than the best one.",
        ),
        "chars_per_token": (
            _chars_per_token(main),
            "Characters of the test split per token against vocabulary size: how much shorter a larger "
            "codebook makes the sequence.",
        ),
        "flops_per_char": (
            _flops_per_char(main),
            f"Training FLOPs per character {of}, by part: the transformer body, attention between positions, "
            "and the output layer, which grows with the vocabulary.",
        ),
        "learning_curves": (
            _learning_curves([(row, metrics) for row, metrics in curves if row in few]),
            f"Bits per character {of} on the same part of the validation split while training with the first "
            "seed, against characters of text seen, for the best tokenizer of each family.",
        ),
        "where_the_bits_go": (
            _where(where, few),
            f"Bits per character {of} with the first seed on parts of the test split, for the best tokenizer "
            "of each family, a token's bits spread evenly over its bytes: by the characters before a token "
            "that its window holds, by the kind of character, and by how often in a million words the "
            "training split has the word.",
        ),
    }
    for name, (figure, _) in figures.items():
        file = folder / f"{name}.svg"
        figure.savefig(file, metadata={"Date": None}, transparent=True)
        file.write_text(re.sub(r'<g id="point: ([^"]*)">', _titled, file.read_text()))
        figure.savefig(folder / f"{name}.png", dpi=120)
    return {name: caption for name, (_, caption) in figures.items()}


def _titled(found: re.Match) -> str:
    """The group of a point with its title; matplotlib has escaped what `_point` had escaped already."""
    return f'<g class="point"><title>{html.unescape(found[1])}</title>'


def main_rows(rows: list[Row]) -> list[Row]:
    """The rows of one model: of the best GPT, or of the best where there is none."""
    best = next((row for row in rows if row["kind"] == "gpt"), rows[0])
    return [row for row in rows if row["model"] == best["model"]]


def _family(row: Row) -> str:
    """What a line of a figure is called: a family of several sizes, or the label of what has one size."""
    name = family(row["spec"])
    return row["tokenizer"] if name == row["spec"] else name


def _families(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by family of tokenizer, each by vocabulary size."""
    return grouped(sorted(rows, key=lambda row: row["vocab_size"]), _family)


def _columns(rows: list[dict], *names: str) -> np.ndarray:
    """The values of these keys: (names, rows) float64."""
    return np.array([[row[name] for row in rows] for name in names], dtype=np.float64)


def _panels(width: float, height: float, down: int = 1, across: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of this size in inches, and its axes row by row."""
    figure = Figure((width, height), layout="constrained")
    return figure, list(figure.subplots(down, across, squeeze=False).flat)


def _style(row: Row, line: bool = True) -> dict[str, Any]:
    """How matplotlib draws a tokenizer: as a line with markers, or as markers alone."""
    colour, marker, dash = STYLES.get(family(row["spec"]), OTHER)
    return {"color": colour, "marker": marker, "linestyle": dash if line else ""}


def _point(axes: Axes, row: Row, x: float, y: float, says: str, fill: bool = True) -> None:
    """A marker with a title."""
    style, name = _style(row, line=False), html.escape(f"{row['tokenizer']} {row['model']}: {says}")
    face = style["color"] if fill else "none"
    axes.plot([x], [y], **style, markerfacecolor=face, markersize=7, gid=f"point: {name}", zorder=3)


def _vocabulary_axis(axes: Axes, rows: list[Row]) -> None:
    exponents = [math.log2(row["vocab_size"]) for row in rows]
    ticks = [2**e for e in range(math.floor(min(exponents)), math.ceil(max(exponents)) + 1)]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=30)
    axes.set_xlabel("vocabulary size")


def _bpc_by_vocabulary(rows: list[Row]) -> Figure:
    models = grouped(rows, lambda row: row["model"])
    across = min(3, len(models)) if len(models) != 4 else 2
    down = math.ceil(len(models) / across)
    figure, panels = _panels(max(6, 3.6 * across), 4 * down, down, across)
    for axes in panels[len(models) :]:
        axes.remove()
    for axes, (model, shown) in zip(panels, models.items(), strict=False):
        for name, members in _families(shown).items():
            sizes, bpc, low, high = _columns(
                members, "vocab_size", "test_bpc", "test_bpc_low", "test_bpc_high"
            )
            style = _style(members[0], line=len(set(sizes)) > 1)
            axes.errorbar(sizes, bpc, yerr=[bpc - low, high - bpc], **style, capsize=3, label=name)
            for row in members:
                says = f"{row['test_bpc']:.4f} bits per character"
                _point(axes, row, row["vocab_size"], row["test_bpc"], says)
        _vocabulary_axis(axes, shown)
        axes.set_title(model)
    for axes in panels[::across]:
        axes.set_ylabel(BPC)
    panels[0].legend()
    return figure


def _pareto(rows: list[Row]) -> Figure:
    shown = [row for row in rows if row["kind"] == "gpt"] or rows
    best = main_rows(rows)[0]["model"]
    figure = Figure((9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    costs = {
        "training FLOPs": lambda row: row["train_flops"],
        "ms to generate a character": lambda row: 1000 / row["generation_chars_per_second"],
    }
    for axes, (label, cost) in zip(panels, costs.items(), strict=True):
        for row in shown:
            says = f"{row['test_bpc']:.4f} bits per character, {cost(row):.3g} {label}"
            _point(axes, row, cost(row), row["test_bpc"], says, fill=row["model"] == best)
        corners = pareto_front([(cost(row), row["test_bpc"]) for row in shown])
        axes.plot(*zip(*corners, strict=True), color=INK, linewidth=1, drawstyle="steps-post", zorder=1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if 0 < 10 * min(map(cost, shown)) < max(map(cost, shown)):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(label)
    panels[0].set_ylabel(BPC)
    for name, members in _families(shown).items():
        panels[1].plot([], [], **_style(members[0], line=False), label=name)
    panels[1].legend()
    return figure


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of the points (cost, bits per character) that no other beats at both, cheapest first.

    Before them stands the place above the cheapest, behind them the one at the right of the best, so that
    there is a line to see also where one point beats all.
    """
    front: list[tuple[float, float]] = []
    for cost, bpc in sorted(points):
        if not front or bpc < front[-1][1]:
            front.append((cost, bpc))
    highest, farthest = max(bpc for _, bpc in points), max(cost for cost, _ in points)
    return [(front[0][0], highest), *front, (farthest, front[-1][1])]


def _chars_per_token(rows: list[Row]) -> Figure:
    figure, (axes,) = _panels(6, 4)
    for name, members in _families(rows).items():
        axes.plot(*_columns(members, "vocab_size", "chars_per_token"), **_style(members[0]), label=name)
        for row in members:
            length = row["chars_per_token"]
            _point(axes, row, row["vocab_size"], length, f"{length:.3f} characters per token")
    _vocabulary_axis(axes, rows)
    axes.set(ylabel="characters per token", ylim=(0, None))
    axes.legend()
    return figure


def _flops_per_char(rows: list[Row]) -> Figure:
    shown = sorted(rows, key=lambda row: row["flops_per_char"], reverse=True)
    figure, (axes,) = _panels(6, 1.2 + 0.35 * len(shown))
    labels, left = [row["tokenizer"] for row in shown], np.zeros(len(shown))
    for part, (colour, hatch) in PARTS.items():
        values = _columns(shown, f"flops_per_char_{part}")[0] / 1e6
        axes.barh(labels, values, left=left, label=part, color=colour, hatch=hatch, edgecolor="white")
        left = left + values
    axes.set_xlabel("training MFLOPs per character")
    axes.legend()
    return figure


def _learning_curves(curves: list[tuple[Row, list[dict]]]) -> Figure:
    figure, (axes,) = _panels(6, 4.5)
    for row, metrics in sorted(curves, key=lambda pair: pair[0]["test_bpc"]):
        axes.plot(*_columns(metrics, "chars", "val_bpc"), **_style(row), markersize=4, label=row["tokenizer"])
    axes.set(xlabel="characters of text seen", ylabel="validation bits per character")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.legend(fontsize=8)
    return figure


def _where(where: dict[str, dict], rows: list[Row]) -> Figure:
    """A panel for each question, its answers from left to right; columns of groups stand in tables."""
    shown = [row for row in rows if row["tokenizer"] in where]
    first = where[shown[0]["tokenizer"]] if shown else {}
    questions = list(first)[:3]
    figure, panels = _panels(11, 4.4, across=max(1, len(questions)))
    for axes, question in zip(panels, questions, strict=False):
        answers = list(first[question])
        for row in shown:
            found = where[row["tokenizer"]][question]
            bpc = [found.get(answer, {}).get("bpc", math.nan) for answer in answers]
            axes.plot(bpc, **_style(row), markersize=5, label=row["tokenizer"])
        axes.set_xticks(range(len(answers)), answers, rotation=60, ha="right", fontsize=8)
        axes.set(title=question, ylim=(0, None))
    panels[0].set_ylabel(BPC)
    if questions:
        panels[-1].legend(fontsize=8)
    return figure
