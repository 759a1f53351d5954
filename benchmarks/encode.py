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
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tiktoken

from command_line import run_command
from data_prep.corpus import SPLITS, Corpus, CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from tokenizers import Tokenizer

from .debian_corpus import Arguments as DebianArguments
from .debian_corpus import main as make_debian_text

SIZE = 32768
# As tiktoken spells what we call `gpt4`: what a person has who uses tiktoken as it comes.
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
MEMORY_MB = (10, 100, 1000)
# Runs a command and prints the largest memory that it and the processes it waited for took, in MB.
PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
"""


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks")
    """where the text, the corpora and the tokenizers are kept for the next time"""
    rounds: int = 5
    """how often both sides take their turn"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def libraries(tokenizer: Tokenizer) -> dict[str, Callable[[str], object]]:
    """The library's own function for what a tokenizer does; of tiktoken also with its spelling of `gpt4`."""
    if not tokenizer.spec.startswith("bpe-"):
        return {"": tokenizer.processor.encode}
    ours = tokenizer.encoding
    published = tiktoken.Encoding(
        "cl100k_base's spelling",
        pat_str=CL100K,
        mergeable_ranks=ours._mergeable_ranks,
        special_tokens=ours._special_tokens,
    )
    return {"": ours.encode_ordinary, f" with {published.name}": published.encode_ordinary}


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """How long an action takes: of the clock on the wall, and of this process on its core."""
    wall, core = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - core


def encoded(corpus: Corpus, tokenizer: Tokenizer, folder: Path, processes: int) -> tuple[float, float]:
    """The seconds from Parquet to arrays, as if for the first time."""
    shutil.rmtree(folder, ignore_errors=True)
    return seconds(lambda: make_arrays(corpus, tokenizer, folder, processes))


def peaks(folder: Path, tokenizer: Path) -> Iterator[tuple[str, float, float]]:
    """What was read, and the peak memory in MB of making the corpus and of encoding it."""
    for name in [*(f"{size}_mb" for size in MEMORY_MB), "one_document_100_mb"]:
        path, corpus, arrays = folder / f"{name}.jsonl", folder / "memory", folder / "memory-arrays"
        one = "--processes=1"
        with open(folder / "debian.jsonl", encoding="utf-8") as lines, open(path, "w") as out:
            if name.startswith("one"):
                text = "".join(json.loads(line)["text"] for line in lines)
                out.writelines(json.dumps({"text": t}) + "\n" for t in (text, *map(str, range(100))))
            else:
                wanted, written = int(name.split("_")[0]) * 1_000_000, 0
                for line in itertools.cycle(list(lines)):
                    written += out.write(line)
                    if written >= wanted:
                        break
        made = []
        for command in (
            ["data_prep.corpus", f"--corpus.source=jsonl:{path}", f"--out={corpus}"],
            ["data_prep.encode", f"--corpus={corpus}", f"--tokenizer={tokenizer}", f"--out={arrays}", one],
        ):
            done = subprocess.run([sys.executable, "-c", PEAK, *command], capture_output=True, check=True)
            made.append(float(done.stdout))
        path.unlink()
        yield name, *made


def main(arguments: Arguments) -> None:
    """Measure in turn and print the tables."""
    folder = arguments.folder
    make_debian_text(DebianArguments(folder))
    corpus = make_corpus(CorpusConfig(f"jsonl:{folder / 'debian.jsonl'}"), folder / "corpus")
    size = sum(counts["bytes"] for counts in corpus.manifest["splits"].values()) / 1e6
    texts = [text for split in SPLITS for text in corpus.texts(split)]
    arrays, figures = folder / "arrays", {"text_mb": size}
    print(f"{size:.1f} MB of text in {len(texts):,} documents; {os.cpu_count()} cores\n")
    print(f"{'':44}{'median':>10}{'lowest':>10}{'highest':>10}")

    def show(name: str, values: list[float], key: str = "") -> None:
        shown = (statistics.median(values), min(values), max(values))
        print(f"{name:44}" + "".join(f"{value:>10,.2f}" for value in shown), flush=True)
        if key:
            figures[key] = statistics.median(values)

    for family in ("bpe", "unigram", "spbpe"):
        tokenizer = make_tokenizer(corpus, f"{family}-{SIZE}", folder / "tokenizers" / family)
        alone = libraries(tokenizer)
        reference = {name: [] for name in alone}
        one, two = [], []
        for _ in range(arguments.rounds):
            for name, encode in alone.items():
                reference[name].append(seconds(lambda encode=encode: [encode(text) for text in texts]))
            one.append(encoded(corpus, tokenizer, arrays, 1))
            two.append(encoded(corpus, tokenizer, arrays, 2))
        show(f"{tokenizer.spec}: one core, MB/s", [size / core for _, core in one])
        show(f"{tokenizer.spec}: two processes, MB/s (wall)", [size / wall for wall, _ in two])
        for name, theirs in reference.items():
            print(f"  against the library alone{name}")
            key = f"{family}_published_spelling" if name else family
            show("  the library, MB/s", [size / core for _, core in theirs])
            ratios = [their[1] / our[1] for their, our in zip(theirs, one, strict=True)]
            show("  one core, ratio", ratios, f"{key}_one_core_ratio")
            ratios = [their[0] / our[0] for their, our in zip(theirs, two, strict=True)]
            show("  two processes, ratio (wall)", ratios, f"{key}_two_processes_ratio")
    for spec in ("char", "byte"):
        tokenizer = make_tokenizer(corpus, spec, folder / "tokenizers" / spec)
        taken = [encoded(corpus, tokenizer, arrays, 1) for _ in range(arguments.rounds)]
        show(f"{spec}: one core, MB/s", [size / core for _, core in taken], f"{spec}_mb_s")
        show(f"{spec}: one core, MB/s (wall)", [size / wall for wall, _ in taken])

    print(f"\n{'peak memory, MB':44}{'corpus':>10}{'encode':>10}")
    for name, of_corpus, of_encode in peaks(folder, folder / "tokenizers" / "bpe"):
        print(f"{name.replace('_', ' '):44}{of_corpus:>10,.0f}{of_encode:>10,.0f}", flush=True)
        figures |= {f"corpus_peak_{name}_mb": of_corpus, f"encode_peak_{name}_mb": of_encode}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "Encoding end to end against the tokenizer libraries alone.")
