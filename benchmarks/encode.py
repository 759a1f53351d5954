"""Parquet to arrays on disk, documents checked, against the tokenizer libraries alone on texts in memory.

    python -m benchmarks.encode --json figures.json

The text is that of `benchmarks.debian_corpus`, fetched once. Both sides take turns; a ratio above 1 means
that ours is faster. On one core seconds are those of the core, which a busy machine changes less; with two
processes they are those on the wall. Peak memory is that of `data_prep.corpus` and `data_prep.encode` on text
of 10, 100 and 1000 MB, and on one document of 100 MB.
"""

import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tiktoken

from common.cli import run_command
from data_prep.corpus import SPLITS, Corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from tokenizers import Tokenizer
from tokenizers.bpe import BPETokenizer
from tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer

from .debian_corpus import debian_corpus
from .process import output_and_peak
from .table import Figures, header, in_turn, ratios, row, write_figures

SIZE = 32768
# As tiktoken spells what we call `gpt4`: what a person has who uses tiktoken as it comes.
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
MEMORY_MB = (10, 100, 1000)


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks")
    """where the text, the corpora and the tokenizers are kept for the next time"""
    rounds: int = 5
    """turns of both sides"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def libraries(tokenizer: Tokenizer) -> dict[str, Callable[[str], object]]:
    """The library's own function for what a tokenizer does; of tiktoken also with its spelling of `gpt4`."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return {"sentencepiece": tokenizer.processor.encode}
    if not isinstance(tokenizer, BPETokenizer):
        return {}
    ours = tokenizer.encoding
    published = tiktoken.Encoding(
        "cl100k_base's spelling",
        pat_str=CL100K,
        mergeable_ranks=ours._mergeable_ranks,
        special_tokens=ours._special_tokens,
    )
    return {"tiktoken": ours.encode_ordinary, "tiktoken with cl100k_base": published.encode_ordinary}


def encode_all(encode: Callable[[str], object], texts: list[str]) -> tuple[float, float]:
    """The seconds that a library takes, as for `clocked`."""
    return clocked(lambda: [encode(text) for text in texts])


def encode_ours(corpus: Corpus, tokenizer: Tokenizer, folder: Path, processes: int) -> tuple[float, float]:
    """The seconds from Parquet to arrays, as if for the first time, as for `clocked`."""
    shutil.rmtree(folder, ignore_errors=True)
    return clocked(partial(make_arrays, corpus, tokenizer, folder, processes))


def clocked(action: Callable[[], object]) -> tuple[float, float]:
    """How long an action takes: of the clock on the wall, and of this process on its core."""
    wall, core = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - core


def compare(figures: Figures, corpus: Corpus, spec: str, folder: Path, rounds: int) -> None:
    """Rows of a tokenizer's speed, and of the ratios to its library's."""
    tokenizer = make_tokenizer(corpus, spec, folder / "tokenizers" / spec.split("-")[0])
    texts = [text for split in SPLITS for text in corpus.texts(split)]
    size = sum(counts["bytes"] for counts in corpus.manifest["splits"].values()) / 1e6
    theirs = libraries(tokenizer)
    ways = {name: partial(encode_all, encode, texts) for name, encode in theirs.items()}
    for name, processes in (("one core", 1), ("two processes", 2)):
        ways[name] = partial(encode_ours, corpus, tokenizer, folder / "arrays", processes)
    took = in_turn(ways, rounds)
    wall = {name: [size / seconds for seconds, _ in runs] for name, runs in took.items()}  # MB/s
    core = {name: [size / seconds for _, seconds in runs] for name, runs in took.items()}
    for name in (*theirs, "one core"):
        row(figures, f"{spec}: {name}, MB/s", *core[name])
    row(figures, f"{spec}: two processes, MB/s", *wall["two processes"])
    for name in theirs:
        row(figures, f"{spec}: one core to {name}, ratio", *ratios(core["one core"], core[name]))
        row(figures, f"{spec}: two processes to {name}, ratio", *ratios(wall["two processes"], wall[name]))


def write_texts(path: Path, lines: Iterable[str], megabytes: int) -> None:
    """Write so many megabytes of JSON lines, again from the first one where they are too few."""
    written = 0
    with open(path, "w", encoding="utf-8") as file:
        for line in itertools.cycle(lines):
            written += file.write(line)
            if written >= megabytes * 1_000_000:
                break


def write_one_text(path: Path, lines: Iterable[str]) -> None:
    """Write all texts as one, and some of a few digits for the other splits."""
    text = "".join(json.loads(line)["text"] for line in lines)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": each}) + "\n" for each in (text, *map(str, range(100))))


def peaks(figures: Figures, folder: Path) -> None:
    """Rows of the peak memory that making a corpus and encoding it take."""
    writers: dict[str, Callable[[Path, Iterable[str]], None]] = {
        f"{size} MB of text": partial(write_texts, megabytes=size) for size in MEMORY_MB
    }
    writers["one document of 100 MB"] = write_one_text
    texts, corpus, arrays = folder / "memory.jsonl", folder / "memory", folder / "memory-arrays"
    one = ["--processes=1", f"--tokenizer={folder / 'tokenizers' / 'bpe'}"]
    commands = {
        "corpus": ["data_prep.corpus", f"--corpus.source=jsonl:{texts}", f"--out={corpus}"],
        "encode": ["data_prep.encode", f"--corpus={corpus}", *one, f"--out={arrays}"],
    }
    for name, write in writers.items():
        with open(folder / "debian.jsonl", encoding="utf-8") as lines:
            write(texts, lines)
        for stage, command in commands.items():
            _, peak = output_and_peak([sys.executable, "-m", *command])
            row(figures, f"{stage}, {name}: peak memory, MB", peak)
        texts.unlink()


def main(arguments: Arguments) -> None:
    """Measure in turn and print the tables."""
    corpus = debian_corpus(arguments.folder)
    figures: Figures = {}
    header(f"{os.cpu_count()} cores")
    row(figures, "text, MB", sum(counts["bytes"] for counts in corpus.manifest["splits"].values()) / 1e6)
    for spec in (f"bpe-{SIZE}", f"unigram-{SIZE}", f"spbpe-{SIZE}", "char", "byte"):
        compare(figures, corpus, spec, arguments.folder, arguments.rounds)
    peaks(figures, arguments.folder)
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    run_command(main, Arguments, "Encoding end to end against the tokenizer libraries alone.")
