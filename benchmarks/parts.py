"""Parts of a training step on a CPU, as implemented and alternatives: forward and backward, in bf16.

    python -m benchmarks.parts --json figures.json

The implementations of a part take turns, three times as many as `--rounds`. A ratio is the time of an
alternative divided by that of the chosen implementation. A whole step, with freed memory kept and returned,
is measured in separate processes.
"""

import os
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Literal

import torch
import torch.nn.functional as F

from common.cli import run_command
from model import GPT, ModelConfig
from model.gpt import CausalSelfAttention
from model.loss import cross_entropy, linear_cross_entropy
from training.hardware import keep_freed_memory
from training.optimizer import OptimizerConfig, make_optimizers
from training.step import Batch

from .step import our_step
from .table import Options, compare, in_turn, seconds, table

Ways = dict[str, Callable[[], object]]  # the chosen way first


def attention(sequences: int, n_head: int, block_size: int, n_embd: int) -> Ways:
    """Attention written out, and with the fused kernel."""

    def make(kind: Literal["tril", "sdpa"]) -> Callable[[], object]:
        layer = CausalSelfAttention(
            ModelConfig(n_head=n_head, n_embd=n_embd, attention=kind).resolved(), block_size
        )
        x = torch.randn(sequences, block_size, n_embd, requires_grad=True)
        return lambda: layer(x, None).sum().backward()

    return {"written out": make("tril"), "fused kernel": make("sdpa")}


def output_layer(tokens: int, n_embd: int, vocab_size: int) -> Ways:
    """The output layer and its loss: in chunks, at once, and with torch's own function in chunks."""
    x = torch.randn(1, tokens, n_embd, requires_grad=True)
    weight = torch.nn.Parameter(0.05 * torch.randn(vocab_size, n_embd))
    targets = torch.randint(vocab_size, (1, tokens))

    return {
        "in chunks": lambda: linear_cross_entropy(x, weight, targets, vocab_size).backward(),
        "at once": lambda: cross_entropy(F.linear(x, weight), targets).backward(),
        "by torch": lambda: F.linear_cross_entropy(x[0].bfloat16(), weight.bfloat16(), targets[0]).backward(),
    }


def muon(n_layer: int, n_embd: int) -> Ways:
    """A step of Muon for all matrices of the blocks: equal shapes at once, and torch's Muon, one by one."""
    model = GPT(ModelConfig(n_layer=n_layer, n_embd=n_embd), vocab_size=64, block_size=64)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    ours = make_optimizers(model, OptimizerConfig(name="muon"))[0]
    matrices = [parameter for group in ours.param_groups for parameter in group["params"]]
    return {"equal shapes at once": ours.step, "by torch": torch.optim.Muon(matrices, lr=1e-3).step}


PARTS: dict[str, Callable[[], Ways]] = {
    "attention, B=12 H=4 T=64 C=128": partial(attention, 12, 4, 64, 128),
    "attention, B=12 H=6 T=256 C=384": partial(attention, 12, 6, 256, 384),
    "attention, B=2 H=12 T=1024 C=768": partial(attention, 2, 12, 1024, 768),
    "output layer, 2048 tokens C=128 V=8192": partial(output_layer, 2048, 128, 8192),
    "output layer, 2048 tokens C=128 V=50304": partial(output_layer, 2048, 128, 50304),
    "Muon, 4 layers C=128": partial(muon, 4, 128),
    "Muon, 6 layers C=384": partial(muon, 6, 384),
}


def step_seconds(keep: bool) -> float:
    """Median seconds of a training step at V=8192 in this process, with freed memory kept if `keep`."""
    if keep:
        keep_freed_memory()
    idx = torch.randint(8192, (32, 64))
    step = our_step(ModelConfig(), 8192, Batch(idx, idx), "cpu", "bf16")
    return statistics.median([seconds(step) for _ in range(20)][5:])


def in_a_process(keep: bool) -> float:
    """`step_seconds` in a separate process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(step_seconds, keep).result()


def main(options: Options) -> None:
    """Measure all parts and print the table."""
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as in train_ddp.py, for the processes below
    with table(options.json) as figures:
        whole = {"kept": partial(in_a_process, True), "returned": partial(in_a_process, False)}
        took = in_turn(whole, options.rounds)
        compare(figures, "step at V=8192, freed memory", "ms", took, scale=1000)
        keep_freed_memory()
        for part, make in PARTS.items():
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16):
                timed = {name: partial(seconds, way) for name, way in make().items()}
                took = in_turn(timed, 3 * options.rounds, warm_up=2)
            compare(figures, part, "ms", took, scale=1000)


if __name__ == "__main__":
    run_command(main, Options, "Parts of a training step, as implemented and alternatives.")
