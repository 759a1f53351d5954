"""The figures of a report, each as SVG and PNG."""

import html
import math
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from ..ladder import family

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
HATCHES = {"body": "", "attention": "////", "output": "...."}
PART_COLOURS = {"body": "#0072B2", "attention": "#E69F00", "output": "#009E73"}
MANY = 8  # lines in a figure

Row = dict


def draw_figures(
    rows: list[Row], curves: list[tuple[Row, list[dict]]], where: dict[str, dict], folder: Path
) -> dict[str, str]:
    """Draw every figure into `folder` and return the caption of each by its name.

    `rows` are those of results.json; `curves` pair a row with its lines of metrics.jsonl that hold a
    validation; `where` has what `break_down_bits` found by tokenizer. A point has an SVG title, which a
    browser shows when the mouse is over it.
    """
    style: Any = {
        "font.size": 10,
        "svg.hashsalt": "codebook",
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
    for part in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"):
        style[part] = INK
    matplotlib.rcParams.update(style | {"legend.framealpha": 0})
    folder.mkdir(parents=True, exist_ok=True)
    main = main_rows(rows)
    few = _few(main)
    names = [row["tokenizer"] for row in few]
    of = f"of {main[0]['model']}"
    titles: dict[str, str] = {}
    figures = {
        "bpc_by_vocabulary": (
            _bpc_by_vocabulary(rows, titles),
            "Bits per character on the test split against vocabulary size, lower is better. Bars are 95 % "
            "intervals; each panel is one model with its budget, and has a scale of its own.",
        ),
        "pareto": (
            _pareto(rows, titles),
            "Bits per character against what it costs, for every tokenizer and model: lower and further left "
            "is better, and the line joins those that no other beats at both. Left, FLOPs of the whole "
            "training; right, time to generate a character, one text at a time with keys and values kept, "
            "measured once, beside whatever else ran. Hollow markers are models other than the best one.",
        ),
        "chars_per_token": (
            _chars_per_token(main, titles),
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
            _where({name: where[name] for name in names if name in where}, few),
            f"Bits per character {of} with the first seed on parts of the test split, for the best tokenizer "
            "of each family, a token's bits spread evenly over its bytes: by the characters before a token "
            "that its window holds, by the kind of character, and by how often in a million words the "
            "training split has the word.",
        ),
    }
    for name, (figure, _) in figures.items():
        file = folder / f"{name}.svg"
        figure.savefig(file, metadata={"Date": None}, transparent=True)
        named = re.sub(r'<g id="(point-\d+)">', lambda found: _titled(found, titles), file.read_text())
        file.write_text(named)
        figure.savefig(folder / f"{name}.png", dpi=120)
    return {name: caption for name, (_, caption) in figures.items()}


def _titled(found: re.Match, titles: dict[str, str]) -> str:
    return f'<g class="point"><title>{html.escape(titles[found[1]])}</title>'


def main_rows(rows: list[Row]) -> list[Row]:
    """The rows of one model: of the best GPT, or of the best where there is none."""
    best = next((row for row in rows if row["kind"] == "gpt"), rows[0])
    return [row for row in rows if row["model"] == best["model"]]


def _few(rows: list[Row]) -> list[Row]:
    """The best of each family, so that a colour is one of them; the best first."""
    best: dict[str, Row] = {}
    for row in rows:
        best.setdefault(family(row["tokenizer"]), row)
    return list(best.values())[:MANY]


def _style(row: Row) -> tuple[str, str, str]:
    return STYLES.get(family(row["tokenizer"]), OTHER)


def _point(axes: Axes, row: Row, x: float, y: float, says: str, titles: dict[str, str], fill: bool) -> None:
    """A marker with a title."""
    colour, marker, _ = _style(row)
    name = f"point-{len(titles)}"
    titles[name] = f"{row['tokenizer']} {row['model']}: {says}"
    face = colour if fill else "none"
    axes.plot([x], [y], marker, color=colour, markerfacecolor=face, markersize=7, gid=name, zorder=3)


def _families(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by family of tokenizer, each by vocabulary size."""
    families: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["vocab_size"]):
        families.setdefault(family(row["tokenizer"]), []).append(row)
    return families


def _vocabulary_axis(axes: Axes, rows: list[Row]) -> None:
    sizes = [row["vocab_size"] for row in rows]
    axes.set_xscale("log", base=2)
    exponents = range(math.floor(math.log2(min(sizes))), math.ceil(math.log2(max(sizes))) + 1)
    axes.set_xticks([2**e for e in exponents], [f"{2**e:,}" for e in exponents], rotation=30)
    axes.set_xlabel("vocabulary size")


def _bpc_by_vocabulary(rows: list[Row], titles: dict[str, str]) -> Figure:
    models = list(dict.fromkeys(row["model"] for row in rows))
    across = min(3, len(models)) if len(models) != 4 else 2
    down = math.ceil(len(models) / across)
    size = (max(6, 3.6 * across), 4 * down)
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    for axes in panels.flat[len(models) :]:
        axes.remove()
    for axes, model in zip(panels.flat, models, strict=False):
        shown = [row for row in rows if row["model"] == model]
        for name, members in _families(shown).items():
            colour, marker, dash = _style(members[0])
            bpc = [row["test_bpc"] for row in members]
            errors = [
                [row["test_bpc"] - row["test_bpc_low"] for row in members],
                [row["test_bpc_high"] - row["test_bpc"] for row in members],
            ]
            axes.errorbar(
                [row["vocab_size"] for row in members],
                bpc,
                yerr=errors,
                color=colour,
                marker=marker,
                linestyle=dash if len({row["vocab_size"] for row in members}) > 1 else "",
                capsize=3,
                label=name,
            )
            for row in members:
                says = f"{row['test_bpc']:.4f} bits per character"
                _point(axes, row, row["vocab_size"], row["test_bpc"], says, titles, fill=True)
        _vocabulary_axis(axes, shown)
        axes.set_title(model)
    for axes in panels[:, 0]:
        axes.set_ylabel("test bits per character")
    panels[0][0].legend()
    return figure


def _pareto(rows: list[Row], titles: dict[str, str]) -> Figure:
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
            _point(axes, row, cost(row), row["test_bpc"], says, titles, fill=row["model"] == best)
        corners = pareto_front([(cost(row), row["test_bpc"]) for row in shown])
        axes.plot(*zip(*corners, strict=True), color=INK, linewidth=1, drawstyle="steps-post", zorder=1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if 0 < 10 * min(map(cost, shown)) < max(map(cost, shown)):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(label)
    panels[0].set_ylabel("test bits per character")
    for name, members in _families(shown).items():
        colour, marker, _ = _style(members[0])
        panels[1].plot([], [], marker, color=colour, label=name)
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


def _chars_per_token(rows: list[Row], titles: dict[str, str]) -> Figure:
    figure = Figure((6, 4), layout="constrained")
    axes = figure.subplots()
    for name, members in _families(rows).items():
        colour, marker, dash = _style(members[0])
        sizes, lengths = ([row[key] for row in members] for key in ("vocab_size", "chars_per_token"))
        axes.plot(sizes, lengths, color=colour, marker=marker, linestyle=dash, label=name)
        for row, size, length in zip(members, sizes, lengths, strict=True):
            _point(axes, row, size, length, f"{length:.3f} characters per token", titles, fill=True)
    _vocabulary_axis(axes, rows)
    axes.set_ylabel("characters per token")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def _flops_per_char(rows: list[Row]) -> Figure:
    shown = sorted(rows, key=lambda row: row["flops_per_char"], reverse=True)
    figure = Figure((6, 1.2 + 0.35 * len(shown)), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(shown)
    for part, hatch in HATCHES.items():
        values = [row[f"flops_per_char_{part}"] / 1e6 for row in shown]
        labels = [row["tokenizer"] for row in shown]
        axes.barh(
            labels, values, left=left, label=part, color=PART_COLOURS[part], hatch=hatch, edgecolor="white"
        )
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_xlabel("training MFLOPs per character")
    axes.legend()
    return figure


def _learning_curves(curves: list[tuple[Row, list[dict]]]) -> Figure:
    figure = Figure((6, 4.5), layout="constrained")
    axes = figure.subplots()
    for row, metrics in sorted(curves, key=lambda pair: pair[0]["test_bpc"]):
        colour, marker, dash = _style(row)
        axes.plot(
            [line["chars"] for line in metrics],
            [line["val_bpc"] for line in metrics],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle=dash,
            label=row["tokenizer"],
        )
    axes.set_xlabel("characters of text seen")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.set_ylabel("validation bits per character")
    axes.legend(fontsize=8)
    return figure


def _where(where: dict[str, dict], rows: list[Row]) -> Figure:
    """A panel for each question, its answers from left to right; columns of groups stand in tables."""
    questions = list(next(iter(where.values()), {}))[:3]
    figure = Figure((11, 4.4), layout="constrained")
    panels = figure.subplots(1, max(1, len(questions)), squeeze=False)
    by_name = {row["tokenizer"]: row for row in rows}
    for axes, question in zip(panels[0], questions, strict=False):
        answers = list(next(iter(where.values()))[question])
        for name, found in where.items():
            colour, marker, dash = _style(by_name[name])
            bpc = [found[question].get(answer, {}).get("bpc", math.nan) for answer in answers]
            axes.plot(bpc, color=colour, marker=marker, linestyle=dash, markersize=5, label=name)
        axes.set_xticks(range(len(answers)), answers, rotation=60, ha="right", fontsize=8)
        axes.set_title(question)
        axes.set_ylim(bottom=0)
    panels[0][0].set_ylabel("test bits per character")
    if questions:
        panels[0][-1].legend(fontsize=8)
    return figure
