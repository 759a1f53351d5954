"""Training on all cores: one run with a thread per core (reference) against a run per core, one thread each.

    python -m benchmarks.local_jobs --json figures.json

`compare.py` does the latter. Both take turns; tokens per second are those of all runs together.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from command_line import run_command

ROUNDS, SECONDS = 5, 6.0
# A GPT of the demo's size under bpe-512.
STEP = """
import sys, time, torch
from model import ModelConfig, build_model
from training.optimizer import OptimizerConfig, make_optimizers
from training.precision import autocast, best_precision
model = build_model(ModelConfig(), 512, 63)
(optimizer,), idx = make_optimizers(model, OptimizerConfig()), torch.randint(512, (8, 64))
def step():
    with autocast("cpu", best_precision("cpu")):
        loss = model(idx[:, :-1], idx[:, 1:])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
step()
print("ready", flush=True)
sys.stdin.readline()
end, tokens = time.perf_counter() + float(sys.argv[1]), 0
while time.perf_counter() < end:
    step()
    tokens += 8 * 63
print(tokens)
"""


def tokens_per_second(runs: int, threads: int) -> float:
    """Of `runs` processes together, all begun at the same moment."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", STEP, str(SECONDS)]
    processes = [
        subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(runs)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    begin = time.perf_counter()
    outputs = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(int(process.communicate()[0]))
    return sum(outputs) / min(SECONDS, time.perf_counter() - begin)


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    json: Path | None = None
    """write the figures as one flat JSON object"""


def main(arguments: Arguments) -> None:
    """Measure in turn and print the table."""
    cores = os.cpu_count() or 1
    reference, ours = [], []
    for _ in range(ROUNDS):
        reference.append(tokens_per_second(1, cores))
        ours.append(tokens_per_second(cores, 1))
    ratios = [b / a for a, b in zip(reference, ours, strict=True)]
    print(f"{'':34}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name, values, digits in (
        (f"1 run, {cores} threads, tokens/s", reference, 0),
        (f"{cores} runs, 1 thread, tokens/s", ours, 0),
        ("ratio", ratios, 2),
    ):
        shown = (statistics.median(values), min(values), max(values))
        print(f"{name:34}" + "".join(f"{value:>10,.{digits}f}" for value in shown))
    if arguments.json:
        figures = {
            "one_run_tokens_per_s": statistics.median(reference),
            "run_per_core_tokens_per_s": statistics.median(ours),
            "run_per_core_ratio": statistics.median(ratios),
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "One run with many threads against many runs with one.")
