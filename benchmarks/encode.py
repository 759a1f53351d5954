"""Encoding from Parquet to checked arrays on disk, against the tokenizer libraries alone on texts in memory.

    python -m benchmarks.encode --json figures.json

The text is that of `benchmarks.debian_corpus`, downloaded once. Both sides take turns; a ratio above 1 means
that ours is faster. On one core the time is processor time, which depends less on the load of the machine;
with two processes it is wall-clock time. Peak memory is that of `data_prep.corpus` and `data_prep.encode` on
text of 10, 100 and 1000 MB, and on one document of 100 MB.
"""

import itertools
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterable
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
from .table import Figures, FolderOptions, in_turn, ratios, row, seconds, table

SIZE = 32768
# tiktoken's own spelling of our pattern `gpt4`, which users of plain tiktoken get.
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)


def libraries(tokenizer: Tokenizer) -> dict[str, Callable[[str], object]]:
    """The library's own encoding function for a tokenizer; for tiktoken also with its spelling of `gpt4`."""
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


def megabytes(corpus: Corpus) -> float:
    """The size of all text in MB."""
    return sum(counts["bytes"] for counts in corpus.manifest["splits"].values()) / 1e6


def clocked(action: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and processor seconds of an action."""
    core = time.process_time()
    return seconds(action), time.process_time() - core


def encode_theirs(encode: Callable[[str], object], texts: list[str]) -> None:
    """Encode texts in memory with a library's own function."""
    for text in texts:
        encode(text)


def encode_ours(corpus: Corpus, tokenizer: Tokenizer, folder: Path, processes: int) -> None:
    """Encode Parquet to arrays from scratch."""
    shutil.rmtree(folder, ignore_errors=True)
    make_arrays(corpus, tokenizer, folder, processes)


def compare(figures: Figures, corpus: Corpus, spec: str, folder: Path, rounds: int) -> None:
    """Print the speed of a tokenizer, and its ratios to that of the library."""
    tokenizer = make_tokenizer(corpus, spec, folder / "tokenizers" / spec.split("-")[0])
    texts = [text for split in SPLITS for text in corpus.texts(split)]
    theirs = libraries(tokenizer)
    ways = {name: partial(encode_theirs, encode, texts) for name, encode in theirs.items()}
    for name, processes in (("one core", 1), ("two processes", 2)):
        ways[name] = partial(encode_ours, corpus, tokenizer, folder / "arrays", processes)
    took = in_turn({name: partial(clocked, way) for name, way in ways.items()}, rounds)
    wall = {name: [megabytes(corpus) / seconds for seconds, _ in runs] for name, runs in took.items()}
    core = {name: [megabytes(corpus) / seconds for _, seconds in runs] for name, runs in took.items()}
    for name in (*theirs, "one core"):
        row(figures, f"{spec}: {name}, MB/s", *core[name])
    row(figures, f"{spec}: two processes, MB/s", *wall["two processes"])
    for name in theirs:
        row(figures, f"{spec}: one core to {name}, ratio", *ratios(core["one core"], core[name]))
        row(figures, f"{spec}: two processes to {name}, ratio", *ratios(wall["two processes"], wall[name]))


def write_lines(path: Path, lines: Iterable[str], size: float) -> None:
    """Write lines until the file has `size` MB."""
    written = 0
    with open(path, "w", encoding="utf-8") as file:
        for line in lines:
            written += file.write(line)
            if written >= size * 1e6:
                break


def peaks(figures: Figures, folder: Path) -> None:
    """Print the peak memory of making a corpus and of encoding it."""
    with open(folder / "debian.jsonl", encoding="utf-8") as file:
        lines = list(file)
    whole = "".join(json.loads(line)["text"] for line in lines)
    digits = map(str, range(100))  # for the other splits
    one_document = [json.dumps({"text": text}) + "\n" for text in (whole, *digits)]
    inputs = {f"{size} MB of text": (itertools.cycle(lines), size) for size in (10, 100, 1000)}
    texts, corpus, arrays = folder / "memory.jsonl", folder / "memory", folder / "memory-arrays"
    one = ["--processes=1", f"--tokenizer={folder / 'tokenizers' / 'bpe'}"]
    commands = {
        "corpus": ["data_prep.corpus", f"--corpus.source=jsonl:{texts}", f"--out={corpus}"],
        "encode": ["data_prep.encode", f"--corpus={corpus}", *one, f"--out={arrays}"],
    }
    for name, (source, size) in {**inputs, "one document of 100 MB": (one_document, math.inf)}.items():
        write_lines(texts, source, size)
        for stage, command in commands.items():
            _, peak = output_and_peak([sys.executable, "-m", *command])
            row(figures, f"{stage}, {name}: peak memory, MB", peak)
        texts.unlink()


def main(options: FolderOptions) -> None:
    """Measure in turn and print the tables."""
    corpus = debian_corpus(options.folder)
    with table(options.json) as figures:
        row(figures, "text, MB", megabytes(corpus))
        for spec in (f"bpe-{SIZE}", f"unigram-{SIZE}", f"spbpe-{SIZE}", "char", "byte"):
            compare(figures, corpus, spec, options.folder, options.rounds)
        peaks(figures, options.folder)


if __name__ == "__main__":
    run_command(main, FolderOptions, "End-to-end encoding against the tokenizer libraries alone.")
