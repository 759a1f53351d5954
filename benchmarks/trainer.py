"""The trainer's own costs: two processes against two threads, torchrun, checkpoints and logging.

    python -m benchmarks.trainer --json figures.json

1) tokens/s of the same global batch by one process with two threads (the reference), by one process under
   torchrun, and by two processes with one thread each, in turn
2) the shares of the training time that checkpoints and metrics take, wandb offline: what
   `benchmarks.trainer_costs` counts in the trainer's own process
"""

import json
import os
import shutil
import statistics
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from common.cli import run_command
from comparison.local import train_command
from data_prep.corpus import CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from model import ModelConfig
from training.budget import Budget, TextAmount
from training.config import TrackingConfig, TrainConfig
from training.tracking import read_metrics

from .process import output_of
from .table import Figures, compare, header, in_turn, row, write_figures

LAUNCHERS = {  # processes under torchrun, or None without it, and threads of each
    "one process, two threads": (None, 2),
    "one under torchrun, two threads": (1, 2),
    "two processes, one thread each": (2, 1),
}
SHAPES = {  # tokenizer, model, block size, sequences, steps
    "small, char": ("char", ModelConfig(n_layer=4, n_head=4, n_embd=128), 64, 32, 60),
    "small, bpe-8192": ("bpe-8192", ModelConfig(n_layer=4, n_head=4, n_embd=128), 64, 32, 40),
    "baby, char": ("char", ModelConfig(n_layer=6, n_head=6, n_embd=384), 256, 8, 8),
}


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks/trainer")
    """where corpus, arrays and runs go"""
    rounds: int = 5
    """turns of each way to start the trainer"""
    costs: bool = True
    """also measure checkpoints and metrics, which takes a quarter of an hour"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def prepare(folder: Path) -> None:
    """Shakespeare's plays, encoded."""
    corpus = make_corpus(CorpusConfig("shakespeare"), folder / "corpus")
    for spec in sorted({spec for spec, *_ in SHAPES.values()}):
        make_arrays(corpus, make_tokenizer(corpus, spec, folder / spec / "tokenizer"), folder / spec)


def write_config(folder: Path, name: str, steps: int, wandb: Literal["offline", "disabled"]) -> Path:
    """The config.yaml of a run of a shape, alone in its folder."""
    spec, model, block_size, sequences, _ = SHAPES[name]
    shutil.rmtree(folder / "run", ignore_errors=True)
    config = TrainConfig(
        data=folder / spec,
        out=folder / "run",
        model=model,
        context=TextAmount(tokens=block_size),
        batch=TextAmount(tokens=sequences * block_size),
        budget=Budget(steps=steps),
        tracking=TrackingConfig(validations=1, val_chars=1000, wandb=wandb),
    )
    config.write()
    return config.out / "config.yaml"


def tokens_per_second(folder: Path, name: str, launcher: str) -> float:
    """Median over the steps of a run, the first ones left out."""
    processes, threads = LAUNCHERS[launcher]
    python, *train = train_command(write_config(folder, name, SHAPES[name][-1], "disabled"), processes=1)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [python, *(torchrun if processes else []), *train]
    output_of(command, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    lines = read_metrics(folder / "run" / "metrics.jsonl")[3:]
    return statistics.median(line["tokens_per_second"] for line in lines)


def costs(figures: Figures, folder: Path, name: str, steps: int) -> None:
    """Rows of the shares of the training time that checkpoints and metrics take."""
    config = write_config(folder, name, steps, "offline")
    *_, took = output_of([sys.executable, "-m", "benchmarks.trainer_costs", str(config.parent)])
    seconds = read_metrics(folder / "run" / "metrics.jsonl")[-1]["train_seconds"]
    row(figures, f"{name}: training, seconds", seconds)
    for what, cost in json.loads(took).items():
        row(figures, f"{name}: {what}, share", cost / seconds)


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    folder = arguments.folder
    prepare(folder)
    figures: Figures = {}
    header()
    for name in SHAPES:
        ways = {launcher: partial(tokens_per_second, folder, name, launcher) for launcher in LAUNCHERS}
        compare(figures, name, "tokens/s", in_turn(ways, arguments.rounds))
    if arguments.costs:
        for name, shape in SHAPES.items():
            costs(figures, folder, name, 20 * shape[-1])
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    run_command(main, Arguments, "The trainer's own costs.")
