"""The first screen of a report: answer, curve, costs and certainty."""

from dataclasses import dataclass

from comparison import Comparison, protocol

from ..recommend import growth_sentences, parts_of_answer, sentences
from ..results import partial_sentences
from .charts.figure import Figure
from .figures import main_rows
from .markdown import code, plain, table
from .other_texts import summary_sentence

COSTS = {
    "characters per token": lambda row: f"{row['chars_per_token']:.2f}",
    "MFLOPs per character": lambda row: f"{row['flops_per_char'] / 1e6:.2f}",
    "training memory, GB": lambda row: f"{row['memory_gb']:.2f}",
    "generated characters/s": lambda row: f"{row['generation_chars_per_second']:,.0f}",
}


@dataclass(frozen=True)
class Summary:
    """The parts of the first screen, in Markdown."""

    title: str
    protocol: str
    """the settings needed to interpret bits per character"""
    notes: list[str]
    """how far the report can be trusted, where that is in doubt: each begins with a word and a colon"""
    answer: str
    """the tokenizers that may be the best, and the best size"""
    curve: str
    """the first figure, from `in_markdown`"""
    costs: str
    """a table"""
    sure: str
    others: list[str]
    """the answers for other models"""

    def markdown(self) -> str:
        """The parts as one text."""
        parts = [
            f"# {self.title}",
            self.protocol,
            *("**{}:**{}".format(*note.split(":", 1)) for note in self.notes),
            self.answer,
            self.curve,
        ]
        parts += ["## What it costs", self.costs, "## How sure it is", self.sure]
        if self.others:
            parts += ["## Other models", *self.others]
        return "\n\n".join(parts) + "\n\n"


def summarize(results: dict, comparison: Comparison, curve: Figure) -> Summary:
    """The first screen of the report of these results."""
    entries = results["recommendation"]["models"]
    model = main_rows(results["rows"])[0]["model"]
    (main,) = [entry for entry in entries if entry["model"] == model]
    others = [entry for entry in entries if entry["kind"] == "gpt" and entry is not main]
    which, sizes, sure = parts_of_answer(main)
    answer = "\n\n".join(map(plain, [*which, *sizes]))
    said = [plain(f"{entry['model']}: {' '.join(sentences(entry))}") for entry in others]
    return Summary(
        title=plain(f"{results['comparison']}: which tokenizer, and how large a vocabulary?"),
        protocol=plain(f"Model {model}. {protocol.in_words(comparison)}"),
        notes=[plain(note) for note in _notes(results)],
        answer=answer,
        curve=in_markdown(curve),
        costs=_costs(main_rows(results["rows"])),
        sure=plain(" ".join([*sure, summary_sentence(results)]).strip()),
        others=said + [plain(line) for line in growth_sentences(results["recommendation"])],
    )


def _notes(results: dict) -> list[str]:
    """Sentences about missing runs, and warnings."""
    warnings = [f"Warning: {warning}" for warning in results["warnings"]]
    return partial_sentences(results["partial"]) + warnings


def in_markdown(figure: Figure) -> str:
    """A figure with its caption."""
    return f"![{plain(figure.title)}](figures/{figure.name}.svg)\n\n*{plain(figure.caption)}*"


def _costs(rows: list[dict]) -> str:
    """A table of the best tokenizer and those with the smallest and the largest vocabulary."""
    by_size = sorted(rows, key=lambda row: row["vocab_size"])
    shown = sorted((by_size[0], rows[0], by_size[-1]), key=lambda row: row["vocab_size"])
    columns = list({row["tokenizer"]: row for row in shown}.values())
    best = rows[0]["tokenizer"]
    heading = [
        "",
        *(
            f"**{code(row['tokenizer'])}**" if row["tokenizer"] == best else code(row["tokenizer"])
            for row in columns
        ),
    ]
    lines = [["vocabulary", *(f"{row['vocab_size']:,}" for row in columns)]]
    lines += [[name, *(show(row) for row in columns)] for name, show in COSTS.items()]
    return table(heading, lines)
