"""Metrics of a tokenizer that need no trained model: `python -m eval.intrinsic --help`.

docs/metric.md defines each metric. A comparison stores them in `intrinsic/<tokenizer>.json`.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from common.cli import run_command
from common.files import read_json, write_json
from comparison import Comparison, load_comparison
from data_prep.arrays import TokenArrays
from data_prep.corpus import SPLITS, Corpus
from tokenizers import Tokenizer, load_tokenizer

FORMAT = 1
RENYI_ORDER = 2.5
MANY_GROUPS = 100  # a column with more distinct values than this does not define groups
BATCH_CHARS = 1_000_000  # characters of text in memory at a time; a longer document is one batch

Intrinsic = dict[str, dict[str, dict]]  # label -> split -> metrics
Group = tuple[str, str] | None  # a column and one of its values; None is the whole split
Columns = dict[str, tuple[list[str], np.ndarray]]  # column -> (values, index of each document's value or -1)


def measure_tokenizers(comparison: Comparison) -> Intrinsic:
    """The metrics of every tokenizer by label and split; measured only if something changed.

    Raises:
        ValueError: the corpus, arrays or a tokenizer are missing, or the arrays were not made from them.
    """
    return {label: _measure_tokenizer(comparison, label) for label in comparison.specs}


def _measure_tokenizer(comparison: Comparison, label: str) -> dict[str, dict]:
    folder, data = comparison.folder, comparison.data(label)
    corpus = Corpus(folder / "corpus")
    arrays = TokenArrays(data)
    if arrays.fingerprints["corpus_fingerprint"] != corpus.fingerprint:
        raise ValueError(f"{data} was not made from the text in {corpus.folder}: run compare.py again")
    made_from = {"format": FORMAT, **arrays.fingerprints}
    file = folder / "intrinsic" / f"{label}.json"
    known = read_json(file)
    if known and known["made_from"] == made_from:
        return known["splits"]
    tokenizer = load_tokenizer(data / "tokenizer")
    if tokenizer.fingerprint != arrays.fingerprints["tokenizer_fingerprint"]:
        raise ValueError(f"{data} was not encoded by {data / 'tokenizer'}: run compare.py again")
    splits = {name: measure_split(corpus, arrays, tokenizer, name, label) for name in SPLITS}
    file.parent.mkdir(exist_ok=True)
    write_json(file, {"made_from": made_from, "splits": splits})
    return splits


def measure_split(
    corpus: Corpus, arrays: TokenArrays, tokenizer: Tokenizer, name: str, label: str | None = None
) -> dict:
    """The metrics of one split: numbers, or None where a metric is undefined.

    If the corpus has groups, also `groups` (column -> value -> metrics), `parity` (column -> ratio) and
    `groups_left_out` (column -> number of values). One batch of the text is in memory at a time. `label` is
    the tokenizer's name in the progress bar (default: its spec).
    """
    split = arrays.split(name)
    sequences = split.sequences()
    columns, left_out = _group_columns(corpus, name)
    sizes = np.array([len(content) for content in tokenizer.table])
    sizes[tokenizer.eot] = 1  # stands for the line end that `count_words` puts before each document
    # A token is part of a character if its bytes alone are not UTF-8
    partial = np.array([content.decode(errors="ignore").encode() != content for content in tokenizer.table])
    countable = tokenizer.has_bytes and not split.lossy_documents
    words = np.zeros((2, split.documents), dtype=np.int64) if countable else None
    counts: dict[Group, np.ndarray] = {}
    progress = tqdm(
        total=split.chars, desc=label or arrays.spec, unit="char", unit_scale=True, leave=False, disable=None
    )
    begin = 0
    for texts in _batches(corpus.texts(name)):
        end = begin + len(texts)
        for group, member in _groups(columns, begin, end):
            chosen = [sequences[i][1:-1] for i in begin + np.flatnonzero(member)]
            if chosen:
                found = np.bincount(np.concatenate(chosen), minlength=arrays.vocab_size)
                counts[group] = counts.get(group, 0) + found
        if words is not None:
            words[:, begin:end] = count_words(texts, sequences[begin:end], sizes, tokenizer.prefix)
        progress.update(sum(map(len, texts)))
        begin = end
    progress.close()

    lengths = np.array([len(sequence) - 2 for sequence in sequences])
    chars, bytes_ = split.document_chars(), split.document_bytes()
    metrics = {
        group: {
            **length_metrics(lengths[member], chars[member], bytes_[member]),
            **count_metrics(counts[group], int(chars[member].sum()), partial),
            **_word_metrics(None if words is None else words[:, member]),
        }
        for group, member in _groups(columns, 0, split.documents)
    }
    result = metrics[None]
    if columns:
        result["groups"] = {
            column: {value: metrics[column, value] for value in values}
            for column, (values, _) in columns.items()
        }
        result["parity"] = {column: _parity(values) for column, values in result["groups"].items()}
    if left_out:
        result["groups_left_out"] = left_out
    return result


def _groups(columns: Columns, begin: int, end: int) -> Iterator[tuple[Group, np.ndarray]]:
    """The whole split and every value of every column, each with a mask of its documents, 1-d bool."""
    yield None, np.ones(end - begin, dtype=bool)
    for column, (values, numbers) in columns.items():
        for number, value in enumerate(values):
            yield (column, value), numbers[begin:end] == number


def _group_columns(corpus: Corpus, name: str) -> tuple[Columns, dict[str, int]]:
    """The columns that group a split's documents, and the number of values of those that have too many."""
    groups = {split: corpus.categories(split) for split in SPLITS}
    columns, left_out = {}, {}
    for column, found in groups[name].items():
        different = set().union(*(of_split[column] for of_split in groups.values())) - {None}
        if len(different) > MANY_GROUPS:
            left_out[column] = len(different)
        else:
            columns[column] = code_values(found)
    return columns, left_out


def code_values(found: list[str | None]) -> tuple[list[str], np.ndarray]:
    """The distinct values, sorted, and the index of each item's value, 1-d int64; -1 for None."""
    values = sorted({value for value in found if value is not None})
    number: dict[str | None, int] = {value: i for i, value in enumerate(values)} | {None: -1}
    return values, np.array([number[value] for value in found])


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    chars = 0
    for text in texts:
        batch.append(text)
        chars += len(text)
        if chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


@cache
def _word_characters() -> np.ndarray:
    """Mask of the code points that form words, 1-d bool: letters, digits, `_` and combining marks."""
    characters = map(chr, range(0x110000))
    return np.array([c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M" for c in characters])


def count_words(
    texts: list[str], sequences: list[np.ndarray], sizes: np.ndarray, prefix: bytes = b""
) -> np.ndarray:
    """Count the words of each document, and those inside which no token ends: (2, documents) int64.

    `sequences` holds the tokens of each document with an `eot` at either end, `sizes` the bytes of each id (1
    for `eot`). The tokens of a document spell `prefix` and its text.
    """
    # All documents as one text; the line end before each of them stands for its eot.
    before = "\n" + prefix.decode()
    joined = "".join(before + text for text in texts) + "\n"
    points = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
    turns = np.diff(_word_characters()[points].view(np.int8))
    starts, ends = np.flatnonzero(turns == 1) + 1, np.flatnonzero(turns == -1) + 1
    # The end of each character, in bytes of UTF-8
    offsets = np.cumsum(1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000))
    first, behind = offsets[starts - 1], offsets[ends - 1]
    boundary = np.zeros(int(offsets[-1]) + 1, dtype=bool)
    boundary[np.cumsum(sizes[np.concatenate([sequence[:-1] for sequence in sequences])])] = True
    passed = np.cumsum(boundary, dtype=np.int32)
    whole = passed[first] == passed[behind - 1]
    document_starts = np.cumsum([0] + [len(before) + len(text) for text in texts[:-1]])
    document = np.searchsorted(document_starts, starts, side="right") - 1
    return np.array([np.bincount(d, minlength=len(texts)) for d in (document, document[whole])])


def length_metrics(lengths: np.ndarray, chars: np.ndarray, bytes_: np.ndarray) -> dict:
    """Metrics that follow from the tokens, characters and bytes of each document, all 1-d."""
    tokens = int(lengths.sum())
    return {
        "documents": len(lengths),
        "chars": int(chars.sum()),
        "bytes": int(bytes_.sum()),
        "tokens": tokens,
        "chars_per_token": _ratio(chars.sum(), tokens),
        "bytes_per_token": _ratio(bytes_.sum(), tokens),
        "tokens_per_document_median": float(np.median(lengths)),
        "tokens_per_document_p95": float(np.percentile(lengths, 95)),
    }


def count_metrics(counts: np.ndarray, chars: int, partial: np.ndarray) -> dict:
    """Metrics that follow from the number of occurrences of each id in text of `chars` characters.

    `counts` is (V) int64, with 0 for `eot`; `partial`, (V) bool, marks tokens that are part of a character.
    Rényi efficiency: Zouhar et al. 2023, "Tokenization and the Noiseless Channel"; types seen 100 times:
    Gowda & May 2020, "Finding the Optimal Vocabulary Size for Neural Machine Translation".
    """
    types, tokens = len(counts) - 1, int(counts.sum())
    falling = np.sort(counts[counts > 0])[::-1]
    shares = falling / max(tokens, 1)
    entropy = abs(float((shares * np.log2(shares)).sum()))
    renyi = np.log2((shares**RENYI_ORDER).sum()) / (1 - RENYI_ORDER) if tokens else 0
    return {
        "vocab_size": len(counts),
        "vocab_used": len(falling) / types,
        "fallback_share": _ratio(counts[partial].sum(), tokens),
        "unigram_entropy_bits_per_char": entropy * tokens / chars,
        "renyi_efficiency": abs(float(renyi / np.log2(types))),
        "rank_95": int(np.searchsorted(np.cumsum(falling) * 20, tokens * 19)) + 1 if tokens else 0,
        "types_seen_100": int((counts >= 100).sum()) / types,
    }


def _word_metrics(words: np.ndarray | None) -> dict:
    if words is None:
        return {"words": None, "words_one_token": None}
    every, whole = words.sum(axis=1)
    return {"words": int(every), "words_one_token": _ratio(whole, every)}


def _parity(groups: dict[str, dict]) -> float | None:
    """The lowest characters per token of any group, divided by the highest."""
    values = [found["chars_per_token"] for found in groups.values() if found["chars_per_token"]]
    return min(values) / max(values) if values else None


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def shown(value: float | None, form: str) -> str:
    """The formatted number, or a dash for None."""
    return "–" if value is None else format(value, form)


def terminal_table(intrinsic: Intrinsic, split: str) -> str:
    """A table with a row for each tokenizer, in at most 80 columns."""
    columns = {  # two lines of heading, width, and format
        "chars_per_token": (" chars/", "token", 8, ".3f"),
        "vocab_used": ("types", "used", 7, ".1%"),
        "fallback_share": ("part", "chars", 7, ".1%"),
        "unigram_entropy_bits_per_char": ("bits/", "char", 7, ".3f"),
        "renyi_efficiency": ("Rényi", "eff.", 7, ".3f"),
        "rank_95": ("types", "for 95%", 9, ",d"),
        "words_one_token": ("1-token", "words", 8, ".1%"),
    }
    line = "".join(["{:19}{:>8}", *(f"{{:>{width}}}" for _, _, width, _ in columns.values())]).format
    tops, bottoms, _, forms = zip(*columns.values(), strict=True)
    lines = [line("", "", *tops), line("tokenizer", "vocab", *bottoms)]
    for label, splits in intrinsic.items():
        found = splits[split]
        cells = [shown(found[key], form) for key, form in zip(columns, forms, strict=True)]
        lines.append(line(shorten(label, 18), found["vocab_size"], *cells))
    return "\n".join([*lines, *groups_left_out(intrinsic, split)])


def shorten(name: str, width: int) -> str:
    """The name, cut at its beginning if it is too long: the end is more informative."""
    return name if len(name) <= width else "…" + name[1 - width :]


def groups_left_out(intrinsic: Intrinsic, split: str) -> list[str]:
    """A sentence for each column with too many values to group by."""
    found = next(iter(intrinsic.values()))[split].get("groups_left_out", {})
    return [
        f"The corpus has {number:,} distinct values of {column}, too many for groups."
        for column, number in found.items()
    ]


@dataclass(frozen=True)
class Arguments:
    """Measure tokenizers."""

    folder: Path
    """folder of the comparison, such as out/shakespeare"""
    split: Literal["train", "val", "test"] = "test"
    """split to print; all splits are measured and stored in intrinsic/"""


def main(arguments: Arguments) -> None:
    """Measure the tokenizers of the comparison and print the table."""
    print(terminal_table(measure_tokenizers(load_comparison(arguments.folder)), arguments.split))


if __name__ == "__main__":
    run_command(main, Arguments, "Measure the tokenizers of a comparison, without training a model.")
