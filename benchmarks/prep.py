"""Making a corpus of Parquet and JSON lines: speed on one core and on two, and memory.

    python -m benchmarks.prep --json figures.json

Documents with the lengths of web pages are drawn from the text of `benchmarks.debian_corpus` and written to
16 files. The reference reads the same files with the library alone. On one core the time is processor time,
which depends less on the load of the machine; with two processes it is wall-clock time. Peak memory is that
of the largest process, for text of this size and of a tenth of it.
"""

import json
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow
import pyarrow.parquet

from common.cli import run_command
from data_prep.config import CorpusConfig
from data_prep.contamination import measure_contamination
from data_prep.corpus import Corpus, make_corpus

from .debian_corpus import debian_corpus, debian_texts
from .encode import clocked, megabytes
from .process import output_and_peak
from .table import Figures, FolderOptions, in_turn, ratios, row, table

FILES = 16
LOG_LENGTH = 8.0, 0.9  # of documents, in characters: mean and standard deviation; 4,500 on average
SITES = 30_000


@dataclass(frozen=True)
class PrepOptions(FolderOptions):
    """Options of this benchmark."""

    mb: int = 1000
    """size of the text, in MB"""


def write_inputs(folder: Path, texts: Path, mb: float) -> None:
    """Write documents with `mb` MB of text as Parquet and as JSON lines, each in `FILES` files."""
    draw = random.Random(0)
    with open(texts, encoding="utf-8") as file:
        text = "".join(json.loads(line)["text"] for line in file)
    for number in range(FILES):
        rows: list[dict[str, str]] = []
        size = 0
        while size < mb * 1e6 / FILES:
            length = min(len(text) // 2, int(draw.lognormvariate(*LOG_LENGTH)))
            begin = draw.randrange(len(text) - length)
            url = f"https://site{draw.randrange(SITES)}.org/{number}/{len(rows)}"
            rows.append({"id": f"{number}-{len(rows)}", "text": text[begin : begin + length], "url": url})
            size += len(rows[-1]["text"].encode())
        for kind in ("parquet", "jsonl"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(rows), folder / "parquet" / f"{number:02}.parquet", row_group_size=1000
        )
        with open(folder / "jsonl" / f"{number:02}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(values, ensure_ascii=False) + "\n" for values in rows)


def read_alone(kind: str, folder: Path) -> None:
    """Read the files with the library alone."""
    for path in sorted((folder / kind).iterdir()):
        if kind == "parquet":
            for batch in pyarrow.parquet.ParquetFile(path).iter_batches(256, use_threads=False):
                batch.to_pylist()
        else:
            with open(path, "rb") as file:
                for line in file:
                    json.loads(line)


def make(kind: str, folder: Path, processes: int) -> Corpus:
    """Make the corpus from nothing."""
    shutil.rmtree(folder / "corpus", ignore_errors=True)
    return make_corpus(CorpusConfig(f"{kind}:{folder / kind}"), folder / "corpus", processes=processes)


def compare(figures: Figures, kind: str, folder: Path, rounds: int) -> None:
    """Print the speeds of a kind of files, and their ratios."""
    ways: dict[str, Callable[[], object]] = {
        "reading alone": partial(read_alone, kind, folder),
        "one process": partial(make, kind, folder, 1),
        "two processes": partial(make, kind, folder, 2),
    }
    took = in_turn({name: partial(clocked, way) for name, way in ways.items()}, rounds)
    mb = megabytes(Corpus(folder / "corpus"))
    wall = {name: [mb / seconds for seconds, _ in runs] for name, runs in took.items()}
    core = {name: [mb / seconds for _, seconds in runs] for name, runs in took.items()}
    for name in ("reading alone", "one process"):
        row(figures, f"{kind}: {name}, one core, MB/s", *core[name])
    row(figures, f"{kind}: two processes, MB/s", *wall["two processes"])
    row(figures, f"{kind}: to reading alone, ratio", *ratios(core["one process"], core["reading alone"]))
    row(figures, f"{kind}: two processes to one, ratio", *ratios(wall["two processes"], wall["one process"]))


def peak(figures: Figures, kind: str, folder: Path, mb: float) -> None:
    """Print the peak memory of the command that makes a corpus in two processes."""
    shutil.rmtree(folder / "corpus", ignore_errors=True)
    command = [sys.executable, "-m", "data_prep.corpus", f"--corpus.source={kind}:{folder / kind}"]
    _, memory = output_and_peak([*command, f"--out={folder / 'corpus'}", "--processes=2"])
    row(figures, f"{kind}, {mb:g} MB: peak memory of a process, MB", memory)


def main(options: PrepOptions) -> None:
    """Measure in turn and print the table."""
    texts = debian_texts(options.folder)
    small, large = options.folder / "prep-small", options.folder / "prep"
    with table(options.json) as figures:
        for folder, mb in ((small, options.mb / 10), (large, options.mb)):
            write_inputs(folder, texts, mb)
            for kind in ("parquet", "jsonl"):
                peak(figures, kind, folder, mb)
        for kind in ("jsonl", "parquet"):
            compare(figures, kind, large, options.rounds)
        corpus = debian_corpus(options.folder)
        (corpus.folder / "contamination.json").unlink(missing_ok=True)
        _, core = clocked(partial(measure_contamination, corpus, processes=1))
        row(figures, "contamination, one core, MB/s", megabytes(corpus) / core)
    for folder in (small, large):
        shutil.rmtree(folder)


if __name__ == "__main__":
    run_command(main, PrepOptions, "The speed and memory of making a corpus.")
