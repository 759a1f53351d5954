"""The rows of a report as tables: for a terminal, Markdown, CSV and LaTeX.

The tables for the terminal and LaTeX have the same columns, rows and marks (`main_columns`).
"""

import csv
import io
from collections.abc import Callable

from ..intrinsic import shorten, shown
from ..results import grouped
from .columns import COLUMNS
from .markdown import code, table

Row = dict

Columns = dict[str, Callable[[Row], str]]

WIDTH = 80  # of a terminal
MARK = "*"  # marks rows that may be the best, on a terminal
BOLD = "**"  # elsewhere

NAMES: Columns = {"tokenizer": lambda r: r["tokenizer"], "model": lambda r: r["model"]}
MEASURED: Columns = {
    **NAMES,
    "vocabulary": lambda r: f"{r['vocab_size']:,}",
    "bits per character": lambda r: _bits(r),
    "95 % interval": lambda r: _interval(r),
    "behind the lowest": lambda r: _behind(r),
    "characters per token": lambda r: f"{r['chars_per_token']:.3f}",
    "context, tokens (characters)": lambda r: f"{r['block_size']} ({r['context_chars']:.0f})",
    "parameters, M (embedding)": lambda r: (
        f"{r['params_total'] / 1e6:.2f} ({r['params_embedding'] / 1e6:.2f})"
    ),
    "characters seen, M": lambda r: f"{r['train_chars'] / 1e6:.2f}",
    "bits per byte": lambda r: f"{r['test_bpb']:.4f}",
}
EQUAL_CONTEXT = "bits per character, equal context"
OF_TEXT = (
    *NAMES,
    *("bits per character", "95 % interval", "behind the lowest", "seeds", "sd of seeds"),
    *("characters per token", "bits per byte", EQUAL_CONTEXT),
)  # columns that are about the scored text
COSTS: Columns = {
    **NAMES,
    "MFLOPs per character": lambda r: f"{r['flops_per_char'] / 1e6:.2f}",
    "of these, output layer": lambda r: f"{r['flops_per_char_output'] / max(1, r['flops_per_char']):.0%}",
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


def _bits(row: Row) -> str:
    """Bold if the row may be the best; never bold with one seed."""
    bold = BOLD * row["may_be_best"]
    return f"{bold}{row['test_bpc']:.4f}{bold}"


def _interval(row: Row) -> str:
    if row["test_bpc_low"] == row["test_bpc_high"]:
        return "–"  # one document and one seed: no spread can be estimated
    return f"{row['test_bpc_low']:.3f} – {row['test_bpc_high']:.3f}"


def _behind(row: Row) -> str:
    if not row["compared"]:
        return "not compared"
    if not row["behind_best"]:
        return "–"
    if row["behind_best_low"] is None:  # one seed
        return f"{row['behind_best']:.3f}"
    return f"{row['behind_best']:.3f} ({row['behind_best_low']:.3f} – {row['behind_best_high']:.3f})"


def _seeds(row: Row) -> str:
    """The row's number of seeds, out of those wanted."""
    found = len(row["seeds"])
    return f"{found}/{found + len(row['seeds_missing'])}"


def _seeds_column(rows: list[Row]) -> Columns:
    return {"seeds": _seeds} if any(row["seeds_missing"] for row in rows) else {}


def main_columns(rows: list[Row]) -> Columns:
    """The columns of narrow tables, without tokenizer and model."""
    return {
        "vocab": lambda r: f"{r['vocab_size']:,}",
        "chars/token": lambda r: f"{r['chars_per_token']:.3f}",
        "bpc": _bits,
        "95 % interval": _interval,
        "behind the lowest": _behind,
        **_seeds_column(rows),
    }


def terminal(rows: list[Row]) -> str:
    """The rows in at most 80 columns, by model, best first; `*` marks those that may be the best."""
    columns = main_columns(rows)
    heads = ["ch/tok" if name == "chars/token" else f"{name} " if name == "bpc" else name for name in columns]
    cells = [
        [_marked(show(row)) if show is _bits else show(row) for show in columns.values()] for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    longest = max(len("tokenizer"), *(len(row["tokenizer"]) for row in rows))
    gap = 2 if longest + sum(widths) + 2 * len(widths) <= WIDTH else 1
    first = min(longest, WIDTH - sum(widths) - gap * len(widths))

    def line(name: str, values: list[str]) -> str:
        padded = (value.rjust(width) for value, width in zip(values, widths, strict=True))
        return (" " * gap).join([shorten(name, first).ljust(first), *padded])

    models = grouped(zip(rows, cells, strict=True), lambda pair: pair[0]["model"])
    lines = [line("tokenizer", heads)]
    for model, members in models.items():
        lines += [f"{model}:"] if len(models) > 1 else []
        lines += [line(row["tokenizer"], values) for row, values in members]
    if any(row["may_be_best"] for row in rows):
        lines += [f"{MARK} may be the best{' of its model' * (len(models) > 1)}"]
    return "\n".join(lines)


def _marked(bits: str) -> str:
    return bits.strip(BOLD) + (MARK if BOLD in bits else " ")


def columns_of(rows: list[Row]) -> Columns:
    """The columns of these rows in the report's table."""
    columns = MEASURED | _seeds_column(rows)
    if any(len(row["seeds"]) > 1 for row in rows):
        columns["sd of seeds"] = lambda r: shown(r["test_bpc_seed_sd"], ".4f")
    if "test_bpc_matched" in rows[0]:
        columns[EQUAL_CONTEXT] = lambda r: f"{r['test_bpc_matched']:.4f}"
    if any(row["ambiguity_of"] for row in rows):
        columns["ambiguity, bits/char (s.e.)"] = _ambiguity
    return columns


def text_columns(rows: list[Row]) -> Columns:
    """The columns of these rows, on a further text: those about the scores alone."""
    columns = columns_of(rows)
    kept = [name for name in columns if name in OF_TEXT]
    return {name: columns[name] for name in kept}


def _ambiguity(row: Row) -> str:
    if row["ambiguity_of"] is None:
        return "–"
    return f"{row['ambiguity_bits_per_char']:.4f} ({shown(row['ambiguity_bits_per_char_se'], '.4f')})"


def as_markdown(rows: list[Row], columns: Columns) -> str:
    """A Markdown table; its first two columns are tokenizer and model."""
    columns = columns | {"tokenizer": lambda r: code(r["tokenizer"])}
    return table([*columns], [[show(row) for show in columns.values()] for row in rows], words=len(NAMES))


def as_csv(rows: list[Row]) -> str:
    """All numbers of all rows, not rounded, in the columns of `COLUMNS`; missing values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _field(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _field(value: object) -> object:
    """A value as a field of a CSV file; None is an empty field."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value
