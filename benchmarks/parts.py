"""Parts of a training step on a CPU, as chosen and as they could have been: forward and backward, in bf16.

    python -m benchmarks.parts --json figures.json

All ways of a part take turns. A ratio is the time of the other way, divided by that of the chosen one.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from command_line import run_command
from model import GPT, ModelConfig
from model.gpt import CausalSelfAttention
from model.loss import cross_entropy, linear_cross_entropy
from training.hardware import keep_freed_memory
from training.optimizer import OptimizerConfig, make_optimizers

Ways = dict[str, Callable[[], object]]  # the chosen way first


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    rounds: int = 15
    """how often each way takes its turn"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def attention(sequences: int, n_head: int, block_size: int, n_embd: int) -> Ways:
    """Attention written out, and by the fused kernel."""

    def make(kind: str) -> Callable[[], object]:
        layer = CausalSelfAttention(
            ModelConfig(n_head=n_head, n_embd=n_embd, attention=kind).resolved(), block_size
        )
        x = torch.randn(sequences, block_size, n_embd, requires_grad=True)
        return lambda: layer(x, None).sum().backward()

    return {"written out": make("tril"), "fused kernel": make("sdpa")}


def output_layer(tokens: int, n_embd: int, vocab_size: int) -> Ways:
    """The output layer and its loss, in chunks, at once, and by torch's own function in chunks."""
    x = torch.randn(1, tokens, n_embd, requires_grad=True)
    weight = torch.nn.Parameter(0.05 * torch.randn(vocab_size, n_embd))
    targets = torch.randint(vocab_size, (1, tokens))

    def torchs() -> Tensor:
        return F.linear_cross_entropy(x[0].bfloat16(), weight.bfloat16(), targets[0])

    return {
        "in chunks": lambda: linear_cross_entropy(x, weight, targets, vocab_size).backward(),
        "at once": lambda: cross_entropy(F.linear(x, weight), targets).backward(),
        "F.linear_cross_entropy": lambda: torchs().backward(),
    }


def muon(n_layer: int, n_embd: int) -> Ways:
    """A step of Muon for all matrices of the blocks: equal shapes at once, and torch's, one by one."""
    model = GPT(ModelConfig(n_layer=n_layer, n_embd=n_embd), vocab_size=64, block_size=64)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    ours = make_optimizers(model, OptimizerConfig(name="muon"))[0]
    matrices = [parameter for group in ours.param_groups for parameter in group["params"]]
    return {"equal shapes at once": ours.step, "torch.optim.Muon": torch.optim.Muon(matrices, lr=1e-3).step}


PARTS = {
    "attention, B=12 H=4 T=64 C=128": lambda: attention(12, 4, 64, 128),
    "attention, B=12 H=6 T=256 C=384": lambda: attention(12, 6, 256, 384),
    "attention, B=2 H=12 T=1024 C=768": lambda: attention(2, 12, 1024, 768),
    "output layer, 2048 tokens C=128 V=8192": lambda: output_layer(2048, 128, 8192),
    "output layer, 2048 tokens C=128 V=50304": lambda: output_layer(2048, 128, 50304),
    "Muon, 4 layers C=128": lambda: muon(4, 128),
    "Muon, 6 layers C=384": lambda: muon(6, 384),
}
STEPS = """
import sys, time, statistics, torch
from model import GPT, ModelConfig
from training.hardware import keep_freed_memory
from training.optimizer import OptimizerConfig, make_optimizers
if sys.argv[1] == "kept":
    keep_freed_memory()
model = GPT(ModelConfig(), 8192, 64)
(optimizer,), idx, seconds = make_optimizers(model, OptimizerConfig()), torch.randint(8192, (32, 64)), []
for _ in range(20):
    begin = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(idx, idx)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(time.perf_counter() - begin)
print(statistics.median(seconds[5:]))
"""


def in_turn(ways: Ways, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 2):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            if number >= 2:  # the first ones are slow
                took[name].append(time.perf_counter() - begin)
    return took


def step_in_a_process(memory: str) -> float:
    """Seconds of a training step at V=8192 where freed memory is `kept`, or `returned`."""
    command = [sys.executable, "-c", STEPS, memory]
    env = {"GOMP_SPINCOUNT": "2000", **os.environ}  # as train_ddp.py does
    return float(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)


def main(arguments: Arguments) -> None:
    """Measure all parts and print the table."""
    figures = {}
    print(f"{'':64}{'ms':>8}{'ratio':>8}{'lowest':>8}{'highest':>8}")

    def report(part: str, took: dict[str, list[float]]) -> None:
        chosen = next(iter(took.values()))
        for name, seconds in took.items():
            ratios = [other / one for other, one in zip(seconds, chosen, strict=True)]
            shown = (statistics.median(ratios), min(ratios), max(ratios))
            ms = statistics.median(seconds) * 1000
            print(
                f"{f'{part}: {name}':64}{ms:>8.1f}" + "".join(f"{value:>8.2f}" for value in shown), flush=True
            )
            figures[f"{part}, {name}, ms"], figures[f"{part}, {name}, ratio"] = ms, shown[0]

    kept: dict[str, list[float]] = {"kept": [], "returned": []}
    for _ in range(5):
        for name, seconds in kept.items():
            seconds.append(step_in_a_process(name))
    report("step at V=8192, freed memory", kept)
    keep_freed_memory()
    for part, make in PARTS.items():
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            report(part, in_turn(make(), arguments.rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "Parts of a training step, as chosen and as they could have been.")
