"""Show what is in a corpus: `python -m data_prep.inspect --corpus out/x/corpus`."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.cli import run_command
from tokenizers import Tokenizer, load_tokenizer
from tokenizers.visible import visible_parts

from .corpus import SPLITS, Corpus

SHARES = 12  # values of a label that are shown
BEGINNING = 400  # characters of an example


@dataclass(frozen=True)
class Arguments:
    """Show what is in a corpus."""

    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""
    tokenizers: list[Path] = field(default_factory=list)
    """folders of tokenizers, such as [out/shakespeare/data/bpe-2048/tokenizer]: the examples are also shown
    in their pieces"""
    examples: int = 3
    """documents to show, evenly spaced"""
    split: str = "train"
    """split of the examples: train, val or test"""


def describe(corpus: Corpus) -> list[str]:
    """Lines with the size of each split, the lengths of its documents, its labels, and what is left out."""
    head = f"{'':5} {'documents':>10} {'characters':>14} {'groups':>9} {'median':>8} {'95 % below':>11}"
    lines = [f"source {corpus.manifest['config']['source']}", "", f"{head} {'longest':>9}"]
    splits = [split for split in SPLITS if corpus.manifest["splits"][split]["documents"]]
    for split in splits:
        lengths = np.array([len(text) for text in corpus.texts(split)])
        groups = corpus.clusters(split)
        count = len(lengths) if groups is None else int(groups.max()) + 1
        median, most = np.quantile(lengths, [0.5, 0.95], method="higher")
        lines.append(
            f"{split:5} {len(lengths):>10,} {lengths.sum():>14,} {count:>9,} {median:>8,} {most:>11,} "
            f"{lengths.max():>9,}"
        )
    for name in corpus.manifest["categories"]:
        counts = [Counter(corpus.categories(split)[name]) for split in splits]
        lines += ["", f"{name:20} {' '.join(f'{split:>10}' for split in splits)}  documents"]
        ranked = counts[0].most_common(SHARES)
        lines += [
            f"{value or 'none':20.20} " + " ".join(f"{count[value]:>10,}" for count in counts)
            for value, _ in ranked
        ]
        if (others := len(counts[0]) - len(ranked)) > 0:
            lines.append(f"and {others} more")
    return [*lines, *([""] if corpus.left_out else []), *corpus.left_out.lines()]


def show_examples(corpus: Corpus, split: str, count: int, tokenizers: list[Tokenizer]) -> list[str]:
    """Lines with the beginnings of some documents, and their pieces under each tokenizer."""
    ids, labels = corpus.ids(split), corpus.categories(split)
    chosen = set(np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int).tolist())
    lines = []
    for number, text in enumerate(corpus.texts(split)):
        if number not in chosen:
            continue
        found = "".join(f", {name} {values[number]}" for name, values in labels.items() if values[number])
        lines += ["", f"{split} {number:,}: {ids[number]}, {len(text):,} characters{found}"]
        lines.append(visible(text[:BEGINNING].encode()))
        for tokenizer in tokenizers:
            tokens = tokenizer.encode(text[:BEGINNING]).tolist()
            lines.append(f"{tokenizer.spec}, {len(tokens):,} tokens:")
            lines.append("│".join(visible(tokenizer.table[token]) for token in tokens))
    return lines


def visible(content: bytes) -> str:
    """Text on one line of which every character can be seen, but for spaces."""
    return "".join(part for part, _ in visible_parts(content))


def main(arguments: Arguments) -> None:
    """Print the description and the examples."""
    if arguments.split not in SPLITS:
        raise ValueError(f"split {arguments.split} must be one of {', '.join(SPLITS)}")
    corpus = Corpus(arguments.corpus)
    tokenizers = [load_tokenizer(folder) for folder in arguments.tokenizers]
    print("\n".join(describe(corpus)))
    print("\n".join(show_examples(corpus, arguments.split, arguments.examples, tokenizers)))


if __name__ == "__main__":
    run_command(
        main, Arguments, "Show what is in a corpus: sizes, lengths, labels, what is left out, examples."
    )
