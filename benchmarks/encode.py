"""Parquet to arrays on disk, documents checked, against the tokenizer libraries alone on texts in memory.

    python -m benchmarks.encode --json figures.json

The text is that of `benchmarks.debian_corpus`, fetched once. Both sides take turns; a ratio above 1 means
that ours is faster. Peak memory is that of `data_prep.corpus` and `data_prep.encode` on text of 10, 100 and
1000 MB, and on one document of 100 MB.
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

from command_line import run_command
from data_prep.corpus import SPLITS, Corpus, CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from tokenizers import Tokenizer

from .debian_corpus import Arguments as DebianArguments
from .debian_corpus import main as make_debian_text

SIZE = 32768
EVERY = 3  # of the documents one in so many is encoded, which is about 33 MB
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


def library(tokenizer: Tokenizer) -> Callable[[str], object]:
    """The library's own function for what a tokenizer does."""
    return tokenizer.encoding.encode_ordinary if "bpe-" in tokenizer.spec[:4] else tokenizer.processor.encode


def seconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long an action takes."""
    begin = clock()
    action()
    return clock() - begin


def encode_once(corpus: Corpus, tokenizer: Tokenizer, folder: Path, processes: int) -> None:
    """From Parquet to arrays, as if for the first time."""
    shutil.rmtree(folder, ignore_errors=True)
    make_arrays(corpus, tokenizer, folder, processes)


def source(folder: Path, every: int) -> Path:
    """One in `every` of the Debian documents as JSON lines."""
    path = folder / f"every-{every}.jsonl"
    if not path.exists():
        with open(folder / "debian.jsonl", "rb") as lines, open(path, "wb") as out:
            out.writelines(itertools.islice(lines, 0, None, every))
    return path


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
    config = CorpusConfig(f"jsonl:{source(folder, EVERY)}")
    corpus = make_corpus(config, folder / "corpus")
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
        alone = library(tokenizer)
        reference, one, two = [], [], []
        for _ in range(arguments.rounds):
            reference.append(seconds(lambda alone=alone: [alone(text) for text in texts]))
            one.append(seconds(lambda t=tokenizer: encode_once(corpus, t, arrays, 1)))
            two.append(seconds(lambda t=tokenizer: encode_once(corpus, t, arrays, 2)))
        show(f"{tokenizer.spec}: the library alone, MB/s", [size / s for s in reference])
        show(f"{tokenizer.spec}: one core, MB/s", [size / s for s in one])
        show(f"{tokenizer.spec}: two processes, MB/s", [size / s for s in two])
        for name, ours in (("one_core", one), ("two_processes", two)):
            ratios = [r / s for r, s in zip(reference, ours, strict=True)]
            show(f"{tokenizer.spec}: {name.replace('_', ' ')}, ratio", ratios, f"{family}_{name}_ratio")
    for spec in ("char", "byte"):
        tokenizer = make_tokenizer(corpus, spec, folder / "tokenizers" / spec)
        speeds = [
            size / seconds(lambda t=tokenizer: encode_once(corpus, t, arrays, 1), time.process_time)
            for _ in range(arguments.rounds)
        ]
        show(f"{spec}: one core, MB per CPU second", speeds, f"{spec}_mb_s")

    print(f"\n{'peak memory, MB':44}{'corpus':>10}{'encode':>10}")
    for name, of_corpus, of_encode in peaks(folder, folder / "tokenizers" / "bpe"):
        print(f"{name.replace('_', ' '):44}{of_corpus:>10,.0f}{of_encode:>10,.0f}", flush=True)
        figures |= {f"corpus_peak_{name}_mb": of_corpus, f"encode_peak_{name}_mb": of_encode}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "Encoding end to end against the tokenizer libraries alone.")
