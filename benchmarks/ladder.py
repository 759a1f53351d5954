"""Train every family at every size from 512 to 65,536 on one corpus of 100 MB; none may fail.

    python -m benchmarks.ladder --json figures.json

The text is that of `benchmarks.debian_corpus`, downloaded once; tokenizers trained by an earlier call are
kept. The seconds are those of one training, including reading.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from common.cli import run_command
from data_prep.corpus import Corpus
from data_prep.tokenizer import make_tokenizer

from .debian_corpus import debian_corpus
from .table import row, seconds, table

FAMILIES = ("bpe", "spbpe", "unigram")
SIZES = [2**power for power in range(9, 17)]


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks")
    """where the text, the corpus and the tokenizers are kept"""
    json: Path | None = None
    """write the numbers as one flat JSON object to this file"""


def train(corpus: Corpus, family: str, size: int, folder: Path) -> None:
    """Train a tokenizer and check that it has exactly the requested size."""
    tokenizer = make_tokenizer(corpus, f"{family}-{size}", folder)
    assert tokenizer.vocab_size == size == len(tokenizer.token_bytes())


def main(arguments: Arguments) -> None:
    """Train all tokenizers and print the seconds of each."""
    corpus = debian_corpus(arguments.folder)
    with table(arguments.json) as figures:
        for family, size in product(FAMILIES, SIZES):
            folder = arguments.folder / "ladder" / f"{family}-{size}"
            row(figures, f"{family}-{size}, seconds", seconds(partial(train, corpus, family, size, folder)))


if __name__ == "__main__":
    run_command(main, Arguments, "Train tokenizers of every family at every size.")
