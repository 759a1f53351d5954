"""Every family at every size from 512 to 65,536, trained on one corpus of 100 MB: none may fail.

    python -m benchmarks.ladder --json figures.json

The text is that of `benchmarks.debian_corpus`, fetched once; what was trained is kept, so that a second call
goes on. Seconds are those of one training, reading included.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from command_line import run_command
from data_prep.corpus import CorpusConfig, make_corpus
from data_prep.tokenizer import make_tokenizer

from .debian_corpus import Arguments as DebianArguments
from .debian_corpus import main as make_debian_text

FAMILIES = ("bpe", "spbpe", "unigram")
SIZES = [2**power for power in range(9, 17)]


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks")
    """where the text, the corpus and the tokenizers are kept"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def main(arguments: Arguments) -> None:
    """Train them all and print the seconds of each."""
    folder = arguments.folder
    make_debian_text(DebianArguments(folder))
    corpus = make_corpus(CorpusConfig(f"jsonl:{folder / 'debian.jsonl'}"), folder / "corpus")
    figures = {}
    for family in FAMILIES:
        for size in SIZES:
            begin = time.perf_counter()
            tokenizer = make_tokenizer(corpus, f"{family}-{size}", folder / "ladder" / f"{family}-{size}")
            assert tokenizer.vocab_size == size == len(tokenizer.token_bytes())
            figures[f"{family}_{size}_seconds"] = time.perf_counter() - begin
            print(f"{family}-{size:<10}{figures[f'{family}_{size}_seconds']:>8.1f} s", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "Train tokenizers of every family at every size.")
