"""Batches of random crops from large token arrays, against nanoGPT's plain recipe.

    python -m benchmarks.batches --json figures.json

Both sides read 64 crops of 1,024 tokens at random from the same 16-bit ids: ours from the shards of a
training split, as the trainer does; the recipe from one file, which is mapped anew for every batch, as
nanoGPT's `get_batch` does. They take turns in one process with one thread; the ids are made up. *Cold* is
with the files dropped from the page cache before each measurement. Growth of resident memory is its highest
value after a batch, minus that before the first.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import torch

from common.cli import run_command
from common.files import write_json
from data_prep.arrays import DOCUMENT, FORMAT, MARK_CHARS, ArrayWriter, TokenArrays, describe_file
from model import ModelConfig
from training.batches import crop_starts, make_batch
from training.budget import Plan
from training.step import Batch

from .table import FolderOptions, compare, in_turn, row, table

BLOCK_SIZE, SEQUENCES, CHARS_PER_TOKEN = 1024, 64, 4
VOCAB_SIZE, EOT = 50257, 50256
DOCUMENT_TOKENS = 1000  # and an eot
COLD_BATCHES = 20


@dataclass(frozen=True)
class Options(FolderOptions):
    """Options of this benchmark."""

    gigabytes: float = 2.0
    """size of the ids; marks and the recipe's own file take one and a half times as much again"""
    shards: int = 8
    """number of shards of the token arrays"""
    batches: int = 300
    """batches in one measurement"""
    reads: int = 1_000_000
    """crops read while resident memory is watched"""


def make_shard(folder: Path, number: int, documents: int) -> dict:
    """Write the three files of a shard, with made-up ids, and return their entries in the manifest."""
    paths = {kind: folder / f"train-{number:05}.{kind}.npy" for kind in ("tokens", "documents", "marks")}
    generator, length = np.random.default_rng(number), DOCUMENT_TOKENS + 1
    writer = ArrayWriter(paths["tokens"], np.dtype(np.uint16))
    writer.write(np.array([EOT]))
    for begin in range(0, documents, 10_000):
        ids = generator.integers(EOT, size=(min(documents - begin, 10_000), length), dtype=np.uint16)
        ids[:, -1] = EOT
        writer.write(ids.ravel())
    writer.close()
    starts = 1 + length * np.arange(documents)
    chars = DOCUMENT_TOKENS * CHARS_PER_TOKEN
    table = np.array([(start, chars, chars) for start in starts], dtype=DOCUMENT)
    np.save(paths["documents"], table)
    within = np.arange(0, chars, MARK_CHARS) // CHARS_PER_TOKEN
    np.save(paths["marks"], (starts[:, None] + within).ravel().astype(np.uint32))
    return {path.name: describe_file(path) for path in paths.values()}


def make_files(folder: Path, tokens: int, shards: int) -> tuple[TokenArrays, Path]:
    """Token arrays with a training split of made-up ids, and the same ids as a file of nanoGPT's."""
    documents = max(1, tokens // shards // (DOCUMENT_TOKENS + 1))
    files = [make_shard(folder, number, documents) for number in range(shards)]
    chars = documents * shards * DOCUMENT_TOKENS * CHARS_PER_TOKEN
    train = {"documents": documents * shards, "chars": chars, "bytes": chars, "text_sha256": ""}
    train |= {"tokens": documents * shards * DOCUMENT_TOKENS, "lossy_documents": 0}
    manifest = {"format": FORMAT, "tokenizer": "made up", "vocab_size": VOCAB_SIZE, "eot": EOT}
    manifest |= {"dtype": "uint16", "corpus_fingerprint": "", "tokenizer_fingerprint": ""}
    manifest |= {"splits": {"train": train}, "files": {k: v for made in files for k, v in made.items()}}
    write_json(folder / "manifest.json", manifest)
    with open(folder / "train.bin", "wb") as file:
        for number in range(shards):
            np.load(folder / f"train-{number:05}.tokens.npy", mmap_mode="r").tofile(file)
    return TokenArrays(folder), folder / "train.bin"


def our_batches(arrays: TokenArrays) -> Iterator[Batch]:
    """The batches of our trainer, step by step."""
    chars = BLOCK_SIZE * CHARS_PER_TOKEN
    plan = Plan(ModelConfig(), BLOCK_SIZE, SEQUENCES, SEQUENCES, chars, 10**6, None, CHARS_PER_TOKEN)
    split = arrays.split("train")
    for step in count():
        yield make_batch(split, crop_starts(split, plan, 0, step), plan)


def plain_batches(path: Path) -> Iterator[Batch]:
    """Batches as nanoGPT's `get_batch` makes them."""
    torch.manual_seed(0)
    while True:
        data = np.memmap(path, dtype=np.uint16, mode="r")  # anew, so that its memory is freed
        starts = torch.randint(len(data) - BLOCK_SIZE, (SEQUENCES,))
        crops = [torch.from_numpy(data[i : i + BLOCK_SIZE].astype(np.int64)) for i in starts]
        nexts = [torch.from_numpy(data[i + 1 : i + 1 + BLOCK_SIZE].astype(np.int64)) for i in starts]
        yield Batch(torch.stack(crops), torch.stack(nexts))


def forget(folder: Path) -> None:
    """Drop the files of a folder from the page cache."""
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # only what is written can be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def clocked(batches: Iterator[Batch], number: int, before: Callable[[], object]) -> tuple[float, float]:
    """Seconds and seconds of processor time for a batch, on average, after an action that does not count."""
    before()
    begin, core = time.perf_counter(), time.process_time()
    for _ in range(number):
        next(batches)
    return (time.perf_counter() - begin) / number, (time.process_time() - core) / number


def resident() -> float:
    """Resident memory of this process in bytes, mapped files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(batches: Iterator[Batch], number: int) -> float:
    """The growth of resident memory over a number of batches, in bytes."""
    begin = resident()
    return max(resident() for _ in range(number) if next(batches)) - begin


def report(figures: dict, name: str, took: dict[str, list[tuple[float, float]]]) -> None:
    """Print time, processor time and speed of both sides, and their ratios."""
    wall, core = ({way: [pair[i] for pair in runs] for way, runs in took.items()} for i in (0, 1))
    compare(figures, f"{name}, a batch", "ms", wall, scale=1000)
    compare(figures, f"{name}, processor time of a batch", "ms", core, scale=1000)
    for way, times in wall.items():
        speeds = [SEQUENCES * BLOCK_SIZE / seconds / 1e6 for seconds in times]
        row(figures, f"{name}: {way}, million tokens/s", *speeds)


def main(options: Options) -> None:
    """Make the files, measure in turn and print the table."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    options.folder.mkdir(parents=True, exist_ok=True)
    needed, free = 2.5 * options.gigabytes, shutil.disk_usage(options.folder).free / 1e9
    if free < needed:
        raise ValueError(f"{options.folder} has {free:.1f} GB of free space, but {needed:.1f} GB are needed")
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as name,
        table(options.json) as figures,
    ):
        folder = Path(name)
        arrays, path = make_files(folder, round(options.gigabytes * 1e9 / 2), options.shards)
        sides = {"plain recipe": plain_batches(path), "ours": our_batches(arrays)}

        def took(number: int, before: Callable[[], object], warm_up: int) -> dict:
            ways = {side: partial(clocked, batches, number, before) for side, batches in sides.items()}
            return in_turn(ways, options.rounds, warm_up)

        report(figures, "warm", took(options.batches, lambda: None, warm_up=1))
        report(figures, "cold", took(COLD_BATCHES, partial(forget, folder), warm_up=0))
        for side, batches in sides.items():
            grown = growth(batches, -(-options.reads // SEQUENCES)) / 1e6
            row(figures, f"{options.reads:,} crops: {side}, growth of resident memory, MB", grown)


if __name__ == "__main__":
    run_command(main, Options, "Random crops of token arrays, against nanoGPT's plain recipe.")
