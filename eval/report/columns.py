"""The columns of results.csv, and their reference page.

    .venv/bin/python -m eval.report.columns > docs/reference/results.md

`rows` of results.json have the same keys.
"""

import re
from dataclasses import dataclass

from .markdown import table

BPC = "bits/character"
CHARS = "characters"


@dataclass(frozen=True)
class Column:
    """The unit and meaning of a column."""

    unit: str
    """the unit of its numbers; `text`, `true or false`, or a count such as `tokens`"""
    meaning: str
    """a phrase; numbers that differ between seeds are means"""


COLUMNS = {
    "tokenizer": Column("text", "Label of the tokenizer"),
    "spec": Column("text", "Spec of the tokenizer in the comparison file"),
    "model": Column("text", "Name of the model in the comparison file"),
    "kind": Column("text", "Kind of the model: `gpt`, `bigram` or `bag-of-words`"),
    "seeds": Column("text", "Seeds of the runs that the row averages, separated by spaces"),
    "seeds_missing": Column("text", "Seeds without a run, in a partial report"),
    "test_bpc": Column(BPC, "Bits per character of the test text, the metric (docs/metric.md)"),
    "test_bpc_low": Column(BPC, "Lower end of its 95 % interval, over test documents and seeds"),
    "test_bpc_high": Column(BPC, "Upper end of its 95 % interval"),
    "test_bpc_seed_sd": Column(BPC, "Standard deviation between seeds; empty with one seed"),
    "behind_best": Column(BPC, "Distance to the row with the fewest bits of the same model"),
    "behind_best_low": Column(
        BPC,
        "Lower end of its 95 % interval, which holds for all rows of the model at once; empty with one seed",
    ),
    "behind_best_high": Column(BPC, "Upper end of that interval; empty with one seed"),
    "may_be_best": Column(
        "true or false",
        "The row may be the best of its model; marked in the tables. Always false with one seed",
    ),
    "distinguishable": Column("true or false", "The row is shown to be worse than the best"),
    "compared": Column("true or false", "The row is compared with others; false if it lacks seeds for that"),
    "seed_sd_outlying": Column("true or false", "Its seeds vary more than those of the other rows"),
    "test_bpb": Column("bits/byte", "The same bits divided by the UTF-8 bytes of the test text"),
    "test_bpc_matched": Column(
        BPC,
        "The same in windows of equal length in characters; only if contexts are equal in tokens",
    ),
    "matched_context_chars": Column(CHARS, "Average length of such a window"),
    "eot_bits_per_document": Column(
        "bits/document", "Bits to predict the end of a document, which `test_bpc` does not count"
    ),
    "ambiguity_bits_per_char": Column(BPC, "Bits due to other segmentations of the text, if estimated"),
    "ambiguity_bits_per_char_se": Column(BPC, "Standard error of that estimate"),
    "ambiguity_of": Column("text", "Text used for that estimate"),
    "test_chars": Column(CHARS, "Length of the test text"),
    "test_documents": Column("documents", "Documents of the test text"),
    "test_sha256": Column("text", "SHA-256 of the test text; the same in all rows"),
    "lossy_documents": Column("documents", "Documents that do not survive encoding and decoding"),
    "vocab_size": Column("tokens", "Size of the vocabulary, including end of text and fallback bytes"),
    "chars_per_token": Column("characters/token", "Characters of the test text per token"),
    "block_size": Column("tokens", "Context of the model"),
    "context_chars": Column(CHARS, "Average length of the context"),
    "stride": Column("tokens", "Tokens by which evaluation windows advance"),
    "n_embd": Column("numbers", "Width of the model"),
    "lr": Column("1", "Learning rate; if several were tried, the best on validation text"),
    "params_total": Column("parameters", "Parameters of the model"),
    "params_embedding": Column("parameters", "Parameters that depend on the vocabulary"),
    "steps": Column("steps", "Optimizer steps"),
    "batch_chars": Column(CHARS, "Text per step"),
    "train_chars": Column(CHARS, "Text seen in training, including repetitions"),
    "train_flops": Column("FLOPs", "Matrix multiplications in training, forward and backward"),
    "flops_per_char": Column("FLOPs/character", "The same per character"),
    "flops_per_char_body": Column("FLOPs/character", "Of these, layers, except attention between positions"),
    "flops_per_char_attention": Column("FLOPs/character", "Of these, attention between positions"),
    "flops_per_char_output": Column("FLOPs/character", "Of these, the output layer"),
    "train_seconds": Column("seconds", "Training time, without validation and checkpoints"),
    "train_chars_per_second": Column("characters/second", "Text seen per second of that time"),
    "test_seconds": Column("seconds", "Time to score the test text"),
    "memory_gb": Column("GB", "Peak memory of the training process; on a GPU, of the GPU"),
    "generation_chars_per_second": Column(
        "characters/second", "Speed of generating one text at a time, with cached keys and values"
    ),
    "cache_bytes_per_char": Column("bytes/character", "Memory of these keys and values"),
    "precision": Column("text", "Precision of training"),
    "scoring": Column("text", "Precision of the evaluation"),
}


def reference() -> str:
    """The reference page, in Markdown."""
    rows = [[f"`{name}`", column.unit, _plain(column.meaning)] for name, column in COLUMNS.items()]
    return f"""# The columns of the results

`report/results.csv` has a row for each tokenizer and model, the same rows in the same order as the table on
the terminal, in `table.tex` and in the report. Models are ordered by their best row, and the rows of a model
by bits per character. Rows that cannot be compared yet come last. Tokenizers that lose text are not included.

Numbers are means over the row's seeds and are not rounded. An empty field is unknown or does not apply. Later
versions may add columns, but keep the names and units of these.

{table(["column", "unit", "meaning"], rows, words=3)}

`report/results.json` has the same rows under `rows`, and also:

| key | content |
|---|---|
| `partial` | null, or the numbers of runs `evaluated` and `wanted`, and why runs are `left_out` |
| `warnings` | warnings about the comparison, in sentences |
| `corpus` | the test text: characters, documents, groups, SHA-256 |
| `recommendation` | by model: the rows that may be the best; the best size of each family, with interval |
| `lossy_rows` | tokenizers that lose text, which are not ranked |
| `runs` | the results of each run |
| `intrinsic` | by tokenizer and split: metrics that need no model (docs/metric.md) |
| `where` | by tokenizer: bits by context, kind of character, word frequency, language and domain |
| `where_unknown` | the tokenizers that are not in `where`, each with the reason |
| `texts` | by further test text: its `source`, and the same about that text; or the reason in `missing` |

For each text and model, `ranking` compares the text with the test text: the number of `tokenizers` that are
ranked on both, `kendall_tau` of their ranks, `tested`, and the pairs that are shown to be `reversed`, the
better one on that text first.
"""


def _plain(text: str) -> str:
    """A cell with links relative to this page."""
    return re.sub(r"docs/(\w+)\.md", r"[\1](../\1.md)", text)


if __name__ == "__main__":
    print(reference(), end="")
