"""Training on all cores: one run with a thread per core (reference) against a run per core, one thread each.

    python -m benchmarks.local_jobs --json figures.json

`compare.py` does the latter. Both take turns; tokens per second are those of all runs together, which start
at the same time. The model is a GPT of the demo's size with bpe-512.
"""

import os
import time
from functools import partial
from multiprocessing import get_context
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Barrier

import torch

from common.cli import run_command
from model import ModelConfig
from training.precision import best_precision
from training.step import Batch

from .step import our_step
from .table import Options, compare, in_turn, table

SECONDS = 6.0
VOCABULARY, SEQUENCES, BLOCK_SIZE = 512, 8, 63


def train(number: int, ready: Barrier, speeds: "SynchronizedArray[float]") -> None:
    """Train for `SECONDS` once all processes are `ready`, and write the tokens/s to `speeds[number]`."""
    idx = torch.randint(VOCABULARY, (SEQUENCES, BLOCK_SIZE))
    step = our_step(ModelConfig(), VOCABULARY, Batch(idx, idx), "cpu", best_precision("cpu"))
    step()
    ready.wait()
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() < begin + SECONDS:
        step()
        steps += 1
    speeds[number] = steps * SEQUENCES * BLOCK_SIZE / (time.perf_counter() - begin)


def tokens_per_second(runs: int, threads: int) -> float:
    """The total speed of `runs` processes."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes started here
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as in train_ddp.py
    context = get_context("spawn")
    speeds = context.Array("d", runs)
    torch.multiprocessing.spawn(train, (context.Barrier(runs), speeds), nprocs=runs)
    return sum(speeds[:])


def main(options: Options) -> None:
    """Measure in turn and print the table."""
    cores = os.cpu_count() or 1
    ways = {
        f"1 run, {cores} threads": partial(tokens_per_second, 1, cores),
        f"{cores} runs, 1 thread each": partial(tokens_per_second, cores, 1),
    }
    with table(options.json) as figures:
        compare(figures, "all cores", "tokens/s", in_turn(ways, options.rounds))


if __name__ == "__main__":
    run_command(main, Options, "One run with many threads against many runs with one thread each.")
