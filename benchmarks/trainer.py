"""The trainer's own costs: two processes against two threads, torchrun, checkpoints and logging.

    python -m benchmarks.trainer --json figures.json

1) tokens/s of the same global batch by one process with two threads (the reference), by one process under
   torchrun, and by two processes with one thread each, in turn
2) the share of the training time that goes into checkpoints and metrics, as `train_ddp.py` does by itself
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from command_line import run_command
from publish import read_json
from training.tracking import read_metrics

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
LAUNCHERS = {
    "one process, two threads": ([sys.executable], 2),
    "one under torchrun, two threads": ([*TORCHRUN, "1"], 2),
    "two processes, one thread each": ([*TORCHRUN, "2"], 1),
}
SHAPES = {  # tokenizer, model and batch in tokens, steps
    "small, char": ("char", (4, 4, 128, 64), 32 * 64, 60),
    "small, bpe-8192": ("bpe-8192", (4, 4, 128, 64), 32 * 64, 40),
    "baby, char": ("char", (6, 6, 384, 256), 8 * 256, 8),
}
COSTS = """
import json, sys, time
import train_ddp
from training.checkpoint import Checkpoints
from training.tracking import Tracker
from command_line import parse
from training.config import TrainConfig
took = {"checkpoints": 0.0, "metrics": 0.0}
def timed(name, function):
    def call(*args, **named):
        begin = time.perf_counter()
        result = function(*args, **named)
        took[name] += time.perf_counter() - begin
        return result
    return call
def written(write):
    def call(*args):  # by the thread, of whose time only the processor's is taken from training
        took["checkpoints"] += (seconds := write(*args))
        return seconds
    return call
Checkpoints.save = timed("checkpoints", Checkpoints.save)
Checkpoints._write = written(Checkpoints._write)
Tracker.log = timed("metrics", Tracker.log)
config = parse(TrainConfig, sys.argv[2:], "")
train_ddp.main(config)
open(sys.argv[1], "w").write(json.dumps(took))
"""


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks/trainer")
    """where corpus, arrays and runs go"""
    rounds: int = 5
    """how often each takes its turn"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def prepare(folder: Path) -> None:
    """Shakespeare's plays, encoded."""
    corpus = folder / "corpus"
    commands = [["data_prep.corpus", "--out", corpus, "--corpus.source", "shakespeare"]]
    for spec in {shape[0] for shape in SHAPES.values()}:
        tokenizer = folder / spec / "tokenizer"
        commands += [
            ["data_prep.tokenizer", "--corpus", corpus, "--spec", spec, "--out", tokenizer],
            ["data_prep.encode", "--corpus", corpus, "--tokenizer", tokenizer, "--out", folder / spec],
        ]
    for command in commands:
        subprocess.run([sys.executable, "-m", *map(str, command)], check=True)


def options(folder: Path, name: str, steps: int) -> list[str]:
    """The trainer's, for a shape; its run goes to `folder/run`."""
    spec, (n_layer, n_head, n_embd, block_size), batch, _ = SHAPES[name]
    shutil.rmtree(folder / "run", ignore_errors=True)
    settings = {
        "data": folder / spec,
        "out": folder / "run",
        "model.n_layer": n_layer,
        "model.n_head": n_head,
        "model.n_embd": n_embd,
        "context.tokens": block_size,
        "batch.tokens": batch,
        "budget.steps": steps,
        "validations": 1,
        "val_chars": 1000,
    }
    return [f"--{key}={value}" for key, value in settings.items()]


def tokens_per_second(folder: Path, name: str, launcher: str) -> float:
    """Median over the steps of a run, the first ones left out."""
    command, threads = LAUNCHERS[launcher]
    arguments = ["train_ddp.py", *options(folder, name, SHAPES[name][-1]), "--wandb=disabled"]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([*command, *arguments], env=env, capture_output=True, check=True)
    lines = read_metrics(folder / "run" / "metrics.jsonl")[3:]
    return statistics.median(line["tokens_per_second"] for line in lines)


def costs(folder: Path, name: str, steps: int) -> dict[str, float]:
    """Shares of the training time that checkpoints and metrics take, wandb offline."""
    figures = folder / "costs.json"
    command = [sys.executable, "-c", COSTS, str(figures), *options(folder, name, steps)]
    subprocess.run(command, capture_output=True, check=True)
    seconds = read_metrics(folder / "run" / "metrics.jsonl")[-1]["train_seconds"]
    return {"seconds": seconds} | {key: took / seconds for key, took in read_json(figures).items()}


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    prepare(arguments.folder)
    figures = {}
    print(f"{'tokens/s':56}{'median':>10}{'ratio':>8}{'lowest':>8}{'highest':>8}")
    for name in SHAPES:
        found: dict[str, list[float]] = {launcher: [] for launcher in LAUNCHERS}
        for _ in range(arguments.rounds):
            for launcher, speeds in found.items():
                speeds.append(tokens_per_second(arguments.folder, name, launcher))
        reference = next(iter(found.values()))
        for launcher, speeds in found.items():
            ratios = [speed / one for speed, one in zip(speeds, reference, strict=True)]
            shown = (statistics.median(ratios), min(ratios), max(ratios))
            line = f"{f'{name}: {launcher}':56}{statistics.median(speeds):>10,.0f}"
            print(line + "".join(f"{value:>8.2f}" for value in shown), flush=True)
            figures[f"{name}, {launcher}, ratio"] = shown[0]
    print(f"\n{'share of the training time':56}{'seconds':>10}{'checkpoints':>13}{'metrics':>10}")
    for name, (*_, steps) in SHAPES.items():
        found = costs(arguments.folder, name, 20 * steps)
        print(f"{name:56}{found['seconds']:>10.0f}{found['checkpoints']:>13.2%}{found['metrics']:>10.2%}")
        figures |= {f"{name}, {key}": value for key, value in found.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "The trainer's own costs.")
