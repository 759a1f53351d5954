"""The columns of results.csv, and their page in the documentation.

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
    """What a column holds."""

    unit: str
    """the unit of its numbers; `text`, `true or false`, or a count such as `tokens`"""
    meaning: str
    """in a sentence; of a number that differs between seeds, the mean is meant"""


COLUMNS = {
    "tokenizer": Column("text", "Label of the tokenizer"),
    "spec": Column("text", "What the tokenizer is: its spec in the comparison file"),
    "model": Column("text", "Name of the model in the comparison file"),
    "kind": Column("text", "Kind of the model: `gpt`, `bigram` or `bag-of-words`"),
    "seeds": Column("text", "Seeds of the runs that the row is the mean of, separated by spaces"),
    "seeds_missing": Column(
        "text", "Seeds of the comparison that the row does not have, in a partial report"
    ),
    "test_bpc": Column(BPC, "Bits per character of the test text: the metric (docs/metric.md)"),
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
        "Whether the row may be the best of its model: marked in the tables. Never with one seed",
    ),
    "distinguishable": Column("true or false", "Whether the row is shown to be worse than the best"),
    "compared": Column(
        "true or false", "Whether the row is compared with others; false where seeds are missing for it"
    ),
    "seed_sd_outlying": Column("true or false", "Whether its seeds vary more than those of the other rows"),
    "test_bpb": Column("bits/byte", "The same bits, divided by the bytes of the test text in UTF-8"),
    "test_bpc_matched": Column(
        BPC,
        "Scored again in windows of equal length in characters; only where contexts are equal in tokens",
    ),
    "matched_context_chars": Column(CHARS, "What such a window holds on average"),
    "eot_bits_per_document": Column(
        "bits/document", "Bits to predict the end of a document, which `test_bpc` does not count"
    ),
    "ambiguity_bits_per_char": Column(
        BPC, "What the model gives to other segmentations of the text, where it was estimated"
    ),
    "ambiguity_bits_per_char_se": Column(BPC, "Standard error of that estimate"),
    "ambiguity_of": Column("text", "On which text that was estimated"),
    "test_chars": Column(CHARS, "Length of the test text"),
    "test_documents": Column("documents", "Documents of the test text"),
    "test_sha256": Column("text", "SHA-256 of the test text; the same in all rows"),
    "lossy_documents": Column("documents", "Documents that the tokenizer does not give back as they were"),
    "vocab_size": Column("tokens", "Size of the vocabulary, end of text and fallback bytes included"),
    "chars_per_token": Column("characters/token", "Characters of the test text per token"),
    "block_size": Column("tokens", "Context of the model"),
    "context_chars": Column(CHARS, "What the context holds on average"),
    "stride": Column("tokens", "By how much a window of the evaluation moves on"),
    "n_embd": Column("numbers", "Width of the model"),
    "lr": Column("1", "Learning rate; where several were tried, the best on validation text"),
    "params_total": Column("parameters", "Parameters of the model"),
    "params_embedding": Column("parameters", "Those of them that depend on the vocabulary"),
    "steps": Column("steps", "Optimizer steps"),
    "batch_chars": Column(CHARS, "Text of a step"),
    "train_chars": Column(CHARS, "Text seen in training, repetitions counted"),
    "train_flops": Column("FLOPs", "Matrix multiplications of the training, forward and backward"),
    "flops_per_char": Column("FLOPs/character", "The same per character"),
    "flops_per_char_body": Column("FLOPs/character", "Of these, the layers without attention's products"),
    "flops_per_char_attention": Column("FLOPs/character", "Of these, attention's products over the context"),
    "flops_per_char_output": Column("FLOPs/character", "Of these, the output layer"),
    "train_seconds": Column("seconds", "Time of training, without validation and checkpoints"),
    "train_chars_per_second": Column("characters/second", "Text seen per second of that time"),
    "test_seconds": Column("seconds", "Time to score the test text"),
    "memory_gb": Column("GB", "Peak memory of the training process; on a GPU, of the GPU"),
    "generation_chars_per_second": Column(
        "characters/second", "Speed of generating one text at a time, keys and values kept"
    ),
    "cache_bytes_per_char": Column("bytes/character", "What these keys and values take"),
    "precision": Column("text", "Precision of training"),
    "scoring": Column("text", "Precision of the evaluation"),
}


def reference() -> str:
    """The page of the documentation, in Markdown."""
    rows = [[f"`{name}`", column.unit, _plain(column.meaning)] for name, column in COLUMNS.items()]
    return f"""# The columns of the results

`report/results.csv` has a row for each tokenizer and model: the same rows in the same order as the table on
the terminal, in `table.tex` and in the report. Models are ordered by their best row, and the rows of a model
by bits per character. Rows that cannot be compared yet come last. Tokenizers that lose text are not in it.

Numbers are means over the row's seeds, and not rounded; the tables round them. An empty field is unknown or
does not apply. Names and units of the columns stay as they are; a later version may add columns.

{table(["column", "unit", "meaning"], rows, words=3)}

`report/results.json` has the same rows under `rows`, and besides:

| key | what it holds |
|---|---|
| `partial` | null, or how many runs are `evaluated` and `wanted`, and which are `left_out` and why |
| `warnings` | sentences: what to be careful about |
| `corpus` | the test text: characters, documents, groups, SHA-256 |
| `recommendation` | by model: which rows may be the best; the best size of each family, with its interval |
| `lossy_rows` | tokenizers that lose text, which are not ranked |
| `runs` | the figures of each run |
| `intrinsic` | by tokenizer and split: what the text alone says (docs/metric.md) |
| `where` | by tokenizer: bits by context, kind of character, word frequency, language and domain |
"""


def _plain(text: str) -> str:
    """A cell in which a link leads from this page."""
    return re.sub(r"docs/(\w+)\.md", r"[\1](../\1.md)", text)


if __name__ == "__main__":
    print(reference(), end="")
