"""The trainer's own costs: two processes against two threads, torchrun, checkpoints and logging.

    python -m benchmarks.trainer --json figures.json

1) tokens/s with the same global batch, in turn: one process with two threads (the reference), one process
   under torchrun, and two processes with one thread each
2) the shares of the training time that checkpoints and metrics take, with wandb offline, as counted by
   `benchmarks.trainer_costs` in the process of the trainer
"""

import json
import os
import statistics
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from common.cli import run_command
from data_prep.corpus import CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from training.tracking import read_metrics

from .nanogpt import Shape, our_options
from .process import output_of
from .table import Figures, FolderOptions, compare, in_turn, row, table

TORCHRUN = ["-m", "torch.distributed.run", "--standalone"]
LAUNCHERS: dict[
    str, tuple[list[str], int]
] = {  # the command that starts the processes, and the threads of each
    "one process, two threads": ([], 2),
    "one under torchrun, two threads": ([*TORCHRUN, "--nproc-per-node=1"], 2),
    "two processes, one thread each": ([*TORCHRUN, "--nproc-per-node=2"], 1),
}
SHAPES = {
    "small, char": Shape("char", 4, 4, 128, 64, 32, 60),
    "small, bpe-8192": Shape("bpe-8192", 4, 4, 128, 64, 32, 40),
    "baby, char": Shape("char", 6, 6, 384, 256, 8, 8),
}


def tokens_per_second(folder: Path, shape: Shape, launcher: str) -> float:
    """Median tokens/s of a run, without the first steps."""
    start, threads = LAUNCHERS[launcher]
    command = [
        sys.executable,
        *start,
        "train_ddp.py",
        *our_options(folder, shape, {"tracking.val_chars": 1000}),
    ]
    output_of(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    lines = read_metrics(folder / "run" / "metrics.jsonl")[3:]
    return statistics.median(line["tokens_per_second"] for line in lines)


def costs(figures: Figures, folder: Path, name: str) -> None:
    """Print the shares of the training time that checkpoints and metrics take."""
    shape = replace(SHAPES[name], max_iters=20 * SHAPES[name].max_iters)
    options = our_options(folder, shape, {"tracking.val_chars": 1000, "tracking.wandb": "offline"})
    *_, took = output_of([sys.executable, "-m", "benchmarks.trainer_costs", *options])
    seconds = read_metrics(folder / "run" / "metrics.jsonl")[-1]["train_seconds"]
    row(figures, f"{name}: training, seconds", seconds)
    for what, cost in json.loads(took).items():
        row(figures, f"{name}: {what}, share", cost / seconds)


def main(options: FolderOptions) -> None:
    """Measure and print the tables; the second part takes a quarter of an hour."""
    folder = options.folder / "trainer"
    corpus = make_corpus(CorpusConfig("shakespeare"), folder / "corpus")
    for spec in ("char", "bpe-8192"):
        make_arrays(corpus, make_tokenizer(corpus, spec, folder / spec / "tokenizer"), folder / spec)
    with table(options.json) as figures:
        for name, shape in SHAPES.items():
            ways = {launcher: partial(tokens_per_second, folder, shape, launcher) for launcher in LAUNCHERS}
            compare(figures, name, "tokens/s", in_turn(ways, options.rounds))
        for name in SHAPES:
            costs(figures, folder, name)


if __name__ == "__main__":
    run_command(main, FolderOptions, "The trainer's own costs.")
