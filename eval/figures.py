"""The figures of a report, each as SVG and PNG."""

import math
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart by the colour-blind; markers and dashes tell them apart in grey.
STYLES = {
    "byte": ("#000000", "s", "-"),
    "char": ("#009E73", "D", "-"),
    "unigram": ("#0072B2", "o", "-"),
    "spbpe": ("#D55E00", "^", "--"),
    "bpe": ("#CC79A7", "v", ":"),
}
OTHER = ("#56B4E9", "P", "-.")
HATCHES = {"body": "", "attention": "////", "output": "...."}
PART_COLOURS = {"body": "#0072B2", "attention": "#E69F00", "output": "#009E73"}

Row = dict


def draw_figures(rows: list[Row], curves: list[tuple[Row, list[dict]]], folder: Path) -> dict[str, str]:
    """Draw every figure into `folder` and return the caption of each by its name.

    `rows` are those of results.json; `curves` pair a row with its lines of metrics.jsonl that hold a
    validation. Where there is a GPT among the models, curves and FLOPs are shown for it alone.
    """
    plt.rcParams.update({"font.size": 10, "svg.hashsalt": "codebook", "axes.grid": True, "grid.alpha": 0.3})
    folder.mkdir(parents=True, exist_ok=True)
    main = main_rows(rows)
    kept = [(row, metrics) for row, metrics in curves if row in main]
    several = len({row["model"] for row in main}) > 1
    names = {id(row): f"{row['tokenizer']} {row['model']}" if several else row["tokenizer"] for row in rows}
    figures = {
        "bpc_by_vocabulary": (
            _bpc_by_vocabulary(rows),
            "Bits per character on the test split against vocabulary size, lower is better. Bars are 95 % "
            "bootstrap intervals over documents; each panel is one model.",
        ),
        "chars_per_token": (
            _chars_per_token(main),
            "Characters of the test split per token against vocabulary size: how much shorter a larger "
            "codebook makes the sequence.",
        ),
        "flops_per_char": (
            _flops_per_char(main, names),
            "Training FLOPs per character by part: the transformer body, attention between positions, and "
            "the output layer, which grows with the vocabulary.",
        ),
        "learning_curves": (
            _learning_curves(kept, names),
            "Bits per character on the same part of the validation split while training, against "
            "characters of text seen; hollow markers are the smaller vocabularies of a family.",
        ),
    }
    for name, (figure, _) in figures.items():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=120)
        plt.close(figure)
    return {name: caption for name, (_, caption) in figures.items()}


def main_rows(rows: list[Row]) -> list[Row]:
    """The rows of the GPT; all rows where there is none."""
    return [row for row in rows if row["kind"] == "gpt"] or rows


def _family(row: Row) -> str:
    """What differs in the size of the vocabulary alone: `bpe`, or `bpe:gpt2` where a pattern is named."""
    sized = re.fullmatch(r"(\w+)-\d+(:.*)?", row["tokenizer"])
    return sized[1] + (sized[2] or "") if sized else row["tokenizer"]


def _style(row: Row) -> tuple[str, str, str]:
    return STYLES.get(_family(row), OTHER)


def _families(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by family of tokenizer, each by vocabulary size."""
    families: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["vocab_size"]):
        families.setdefault(_family(row), []).append(row)
    return families


def _vocabulary_axis(axes: Axes, rows: list[Row]) -> None:
    sizes = [row["vocab_size"] for row in rows]
    axes.set_xscale("log", base=2)
    exponents = range(math.floor(math.log2(min(sizes))), math.ceil(math.log2(max(sizes))) + 1)
    axes.set_xticks([2**e for e in exponents], [f"{2**e:,}" for e in exponents])
    axes.set_xlabel("vocabulary size")


def _bpc_by_vocabulary(rows: list[Row]) -> Figure:
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, panels = plt.subplots(
        1, len(models), figsize=(max(6, 3.6 * len(models)), 4), layout="constrained", squeeze=False
    )
    for axes, model in zip(panels[0], models, strict=True):
        shown = [row for row in rows if row["model"] == model]
        for family, members in _families(shown).items():
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
                label=family,
            )
        _vocabulary_axis(axes, shown)
        axes.set_title(model)
    panels[0][0].set_ylabel("test bits per character")
    panels[0][0].legend()
    return figure


def _chars_per_token(rows: list[Row]) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for family, members in _families(rows).items():
        colour, marker, dash = _style(members[0])
        axes.plot(
            [row["vocab_size"] for row in members],
            [row["chars_per_token"] for row in members],
            color=colour,
            marker=marker,
            linestyle=dash,
            label=family,
        )
    _vocabulary_axis(axes, rows)
    axes.set_ylabel("characters per token")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def _flops_per_char(rows: list[Row], names: dict[int, str]) -> Figure:
    unique = {row["tokenizer"] + row["model"]: row for row in rows}.values()  # the same for every seed
    shown = sorted(unique, key=lambda row: row["flops_per_char"], reverse=True)
    figure, axes = plt.subplots(figsize=(6, 1.2 + 0.35 * len(shown)), layout="constrained")
    left = [0.0] * len(shown)
    for part, hatch in HATCHES.items():
        values = [row[f"flops_per_char_{part}"] / 1e6 for row in shown]
        labels = [names[id(row)] for row in shown]
        axes.barh(
            labels, values, left=left, label=part, color=PART_COLOURS[part], hatch=hatch, edgecolor="white"
        )
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_xlabel("training MFLOPs per character")
    axes.legend()
    return figure


def _learning_curves(curves: list[tuple[Row, list[dict]]], names: dict[int, str]) -> Figure:
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    for row, metrics in sorted(curves, key=lambda pair: pair[0]["test_bpc"]):
        colour, marker, dash = _style(row)
        larger = row["vocab_size"] == max(r["vocab_size"] for r, _ in curves if _family(r) == _family(row))
        axes.plot(
            [line["chars"] for line in metrics],
            [line["val_bpc"] for line in metrics],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle=dash,
            markerfacecolor=colour if larger else "white",
            label=names[id(row)],
        )
    axes.set_xlabel("characters of text seen")
    axes.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter())
    axes.set_ylabel("validation bits per character")
    axes.legend(fontsize=8)
    return figure
