"""The rows of a report as tables: for a terminal, Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Callable

from ..intrinsic import shorten, shown
from .markdown import code, table

Row = dict

Columns = dict[str, Callable[[Row], str]]

NAMES: Columns = {"tokenizer": lambda r: r["tokenizer"], "model": lambda r: r["model"]}
COLUMNS: Columns = {
    **NAMES,
    "vocabulary": lambda r: f"{r['vocab_size']:,}",
    "bits per character": lambda r: _bits(r),
    "95 % interval": lambda r: f"{r['test_bpc_low']:.3f} – {r['test_bpc_high']:.3f}",
    "behind the lowest": lambda r: _behind(r),
    "characters per token": lambda r: f"{r['chars_per_token']:.3f}",
    "context, tokens (characters)": lambda r: f"{r['block_size']} ({r['context_chars']:.0f})",
    "parameters, M (embedding)": lambda r: (
        f"{r['params_total'] / 1e6:.2f} ({r['params_embedding'] / 1e6:.2f})"
    ),
    "characters seen, M": lambda r: f"{r['train_chars'] / 1e6:.2f}",
    "bits per byte": lambda r: f"{r['test_bpb']:.4f}",
}
COSTS: Columns = {
    **NAMES,
    "MFLOPs per character": lambda r: f"{r['flops_per_char'] / 1e6:.2f}",
    "of them output layer": lambda r: f"{r['flops_per_char_output'] / max(1, r['flops_per_char']):.0%}",
    "training, TFLOPs": lambda r: f"{r['train_flops'] / 1e12:.3g}",
    "training, s": lambda r: f"{r['train_seconds']:.0f}",
    "training, characters/s": lambda r: f"{r['train_chars_per_second']:,.0f}",
    "memory, GB": lambda r: f"{r['memory_gb']:.2f}",
    "generation, characters/s": lambda r: f"{r['generation_chars_per_second']:,.0f}",
    "cache, bytes per character": lambda r: f"{r['cache_bytes_per_char']:,.0f}",
}
LOSSY: Columns = {
    **NAMES,
    "documents that lose text": lambda r: f"{r['lossy_documents']:,}",
    "bits per character of the whole text": lambda r: f"{r['test_bpc']:.4f}",
}
LATEX = str.maketrans(  # text as LaTeX shows it: no character of it is a command
    {character: "\\" + character for character in "%_&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
)


def _bits(row: Row) -> str:
    """Bold where the row may be the best; with one seed, no row is shown to be, or not to be."""
    bold = "**" * (len(row["seeds"]) > 1 and not row["distinguishable"])
    return f"{bold}{row['test_bpc']:.4f}{bold}"


def _behind(row: Row) -> str:
    if not row["behind_best"]:
        return "–"
    if row["behind_best_low"] is None:  # one seed
        return f"{row['behind_best']:.3f}"
    return f"{row['behind_best']:.3f} ({row['behind_best_low']:.3f} – {row['behind_best_high']:.3f})"


def terminal(rows: list[Row]) -> str:
    """The rows in at most 80 columns, best first."""
    heading = ["tokenizer", "model", "vocab", "char/tok", "block", "bpc", "95 % interval", "sec"]
    lines = ["{:14}{:14}{:>7}{:>9}{:>6}{:>8}  {:15}{:>5}".format(*heading)]
    for row in rows:
        span = f"{row['test_bpc_low']:.3f} - {row['test_bpc_high']:.3f}"
        lines.append(
            f"{shorten(row['tokenizer'], 13):14}{row['model'][:13]:14}{row['vocab_size']:>7}"
            f"{row['chars_per_token']:>9.3f}{row['block_size']:>6}{row['test_bpc']:>8.4f}  {span:15}"
            f"{row['train_seconds']:>5.0f}"
        )
    return "\n".join(lines)


def columns_of(rows: list[Row]) -> Columns:
    """The columns that these rows have."""
    columns = dict(COLUMNS)
    if any(len(row["seeds"]) > 1 for row in rows):
        columns["sd of seeds"] = lambda r: shown(r["test_bpc_seed_sd"], ".4f")
    if "test_bpc_matched" in rows[0]:
        columns["bits per character, equal context"] = lambda r: f"{r['test_bpc_matched']:.4f}"
    if any(row["ambiguity_of"] for row in rows):
        columns["ambiguity, bits/char (s.e.)"] = _ambiguity
    return columns


def _ambiguity(row: Row) -> str:
    if row["ambiguity_of"] is None:
        return "–"
    return f"{row['ambiguity_bits_per_char']:.4f} ({shown(row['ambiguity_bits_per_char_se'], '.4f')})"


def as_markdown(rows: list[Row], columns: Columns) -> str:
    """A Markdown table; its first two columns are tokenizer and model."""
    columns = columns | {"tokenizer": lambda r: code(r["tokenizer"])}
    return table([*columns], [[show(row) for show in columns.values()] for row in rows], words=len(NAMES))


def as_latex(rows: list[Row]) -> str:
    """The main table in LaTeX, for the booktabs package."""
    columns = columns_of(rows)
    lines = [[*columns], *([show(row) for show in columns.values()] for row in rows)]
    escaped = [
        " & ".join(cell.replace("**", "").translate(LATEX) for cell in line) + r" \\" for line in lines
    ]
    align = "".join("l" if name in NAMES else "r" for name in columns)
    body = [r"\toprule", escaped[0], r"\midrule", *escaped[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{align}}}", *body, r"\end{tabular}"]) + "\n"


def as_csv(rows: list[Row]) -> str:
    """Every figure of every row; seeds are separated by spaces."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "seeds": " ".join(map(str, row["seeds"]))} for row in rows)
    return text.getvalue()
