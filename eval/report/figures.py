"""The figures of a report, as JSON, SVG and PNG files and for the page."""

from collections.abc import Callable
from pathlib import Path

from ..results import grouped
from .charts import costs, curve, learning
from .charts.figure import Figure
from .charts.style import Row, Style, family_of, styles_of

MANY = 8  # lines in a figure
CURVE = "bpc_by_vocabulary"  # the first figure


def make_figures(
    results: dict, curves: list[tuple[Row, list[dict]]]
) -> tuple[list[Figure], dict[str, Style]]:
    """The figures of a report, most important first, and the style of each family.

    `results` is the content of results.json; `curves` pairs each row with its validations, lines of
    metrics.jsonl.
    """
    rows, where = results["rows"], results["where"]
    styles, main = styles_of(rows), main_rows(rows)
    entries = {entry["model"]: entry for entry in results["recommendation"]["models"]}
    models = grouped(rows, lambda row: row["model"])
    # The best of each family, so that each has its own colour; the best first
    few = [members[0] for members in grouped(main, family_of).values()][:MANY]
    best = main[0]["model"]
    few_names = ", ".join(row["tokenizer"] for row in few)
    known_names = ", ".join(row["tokenizer"] for row in few if row["tokenizer"] in where)
    panel = _curve_panel(styles, entries)
    bars = (
        "Bars are 95 % intervals of each point. Differences between tokenizers are more certain than "
        "overlapping bars suggest, because all are scored on the same text."
    )
    figures = [
        Figure(
            CURVE,
            f"{best}: bits per character by vocabulary size",
            f"Bits per character on the test text; lower is better. {bars}{_marks(main, entries[best])} "
            "Points of equal size are drawn side by side.",
            [panel(main, "", 600, 340)],
        ),
        Figure(
            "costs",
            f"{best}: costs by vocabulary size",
            "A larger vocabulary makes sequences shorter, and the embedding and the output layer larger. "
            "Speed was measured on a machine that may have had other work; generation is one text at a time "
            "with cached keys and values.",
            costs.by_vocabulary(main, styles, 260, 170),
            columns=2,
        ),
        Figure(
            "pareto",
            "Bits per character by cost",
            "Numbers are vocabulary sizes. Lower and further left is better; the step line joins the "
            "tokenizers that no other beats at both. Generation was timed on a machine that may have had "
            "other work."
            f"{_filled(rows)}",
            [
                panel
                for model, of_model in grouped(_ranked(rows), lambda row: row["model"]).items()
                for panel in costs.against_bits(of_model, styles, model * (len(models) > 1), 400, 300)
            ],
            columns=2,
            log=True,
        ),
        Figure(
            "flops_per_char",
            f"{best}: compute by part",
            "Training FLOPs per character: the transformer body, attention between positions, and the output "
            "layer, which grows with the vocabulary.",
            costs.by_part(main, 480),
        ),
        Figure(
            "learning_curves",
            f"{best}: learning curves",
            "Bits per character on the same part of the validation text during training with the first seed, "
            f"for the best tokenizer of each family: {few_names}. At equal characters they have seen the "
            "same text, at equal FLOPs they have used the same compute.",
            learning.curves([(row, lines) for row, lines in curves if row in few], styles, 400, 280),
            columns=2,
            log=True,
        ),
        Figure(
            "where_the_bits_go",
            f"{best}: where the bits go",
            "Bits per character with the first seed on parts of the test text, for the best tokenizer of "
            f"each family: {known_names}. A token's bits are spread evenly over the text that it stands for. "
            "Context: characters before the token in its window. Frequency: occurrences of the word per "
            "million words of training text."
            f"{learning.few_in_words(where, few)}",
            learning.parts_of_text(where, few, styles, 250, 230),
            columns=3,
        ),
    ]
    if len(models) > 1:
        across = 2 if len(models) in (2, 4) else 3
        more = Figure(
            "bpc_by_model",
            "Bits per character by vocabulary size, for each model",
            f"Each model has its own budget and its own vertical scale; lower is better. {bars}",
            [panel(of_model, model, 900 // across - 60, 260) for model, of_model in models.items()],
            columns=across,
        )
        figures.insert(1, more)
    return [figure for figure in figures if figure.panels], styles


def save_figures(figures: list[Figure], folder: Path, about: str) -> None:
    """Write the files of every figure into `folder`; `about` names the comparison and its protocol."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        figure.save(folder, about)


def _curve_panel(
    styles: dict[str, Style], entries: dict[str, Row]
) -> Callable[[list[Row], str, int, int], dict]:
    def panel(rows: list[Row], title: str, width: int, height: int) -> dict:
        return curve.panel(rows, styles, entries[rows[0]["model"]], title, width, height)

    return panel


def _marks(rows: list[Row], entry: Row) -> str:
    """Sentences about the other marks in the first figure."""
    said = _filled(rows)
    if any(ladder["where"] != "flat" for ladder in entry["ladders"].values()):
        said += (
            " The lines at the top are 95 % intervals of the best size of a family, with an arrow where it "
            "may lie beyond the sizes tried."
        )
    return said


def _filled(rows: list[Row]) -> str:
    """A sentence about hollow and filled points, if there are hollow ones."""
    if not any(row["distinguishable"] for row in rows):
        return ""
    return " Hollow points are shown to be worse than the lowest; filled ones may be the best."


def _ranked(rows: list[Row]) -> list[Row]:
    """The rows whose costs are compared: those of GPTs, or all if there is no GPT."""
    return [row for row in rows if row["kind"] == "gpt"] or rows


def main_rows(rows: list[Row]) -> list[Row]:
    """The rows of one model: the best GPT, or the best model if there is no GPT."""
    best = next((row for row in rows if row["kind"] == "gpt"), rows[0])
    return [row for row in rows if row["model"] == best["model"]]
