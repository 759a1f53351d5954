"""One training step at several vocabulary sizes: tokens/s, MFU, memory and the output layer's share.

    python -m benchmarks.step --nanogpt out/nanoGPT --json figures.json

On a GPU it measures GPT-2's 124M shape, T=1024, compiled, in bf16; on a CPU a small model. If the folder of
nanoGPT is given, its model takes the same batches, as in its own trainer (fp32 on a CPU). Every measurement
is a separate process on random ids, and needs only torch, numpy and safetensors; one that fails is named with
the reason. MFU counts the FLOPs of `flops_per_token` for both. Memory is the peak of the process, or of torch
on the GPU.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from common.errors import Failed
from model import GPT, ModelConfig, compile_model
from model.loss import linear_cross_entropy
from training.hardware import keep_freed_memory, peak_flops, peak_memory
from training.optimizer import OptimizerConfig
from training.precision import autocast, best_precision
from training.ranks import Ranks
from training.run_ahead import AHEAD, RunAhead
from training.step import Batch, Step, make_learner, training_step

from .process import output_of
from .table import in_turn, ratios, row, table

# Model, block size, sequences, and the vocabularies of: tiny Shakespeare's characters, or bytes; bpe-8192;
# tiktoken:gpt2; and approximately tiktoken:o200k_base
SHAPES = {
    "cuda": (
        ModelConfig(n_layer=12, n_head=12, n_embd=768, preset="gpt2"),
        1024,
        16,
        [66, 8192, 50257, 200_019],
    ),
    "cpu": (ModelConfig(n_layer=4, n_head=4, n_embd=128, preset="gpt2"), 64, 32, [257, 8192, 50257, 200_019]),
}
WARM_UP, BLOCK_SECONDS = 5, 1.0


def nanogpt_model(nanogpt: Path, **shape: float) -> Any:
    """A new model of nanoGPT, whose model.py is in the folder `nanogpt`."""
    module = ModuleType("nanogpt_model")  # because `model` is ours
    SourceFileLoader(module.__name__, str(nanogpt / "model.py")).exec_module(module)
    return module.GPT(module.GPTConfig(**shape))


def our_step(
    config: ModelConfig, vocab_size: int, batch: Batch, device: str, precision: str
) -> Callable[[], object]:
    """A function that takes a step of our trainer."""
    model = GPT(config, vocab_size, batch.inputs.shape[1]).to(device)
    forward = compile_model(model) if device == "cuda" else model
    ranks, optimizer = Ranks(0, 1, device), OptimizerConfig()
    learner = make_learner(model, optimizer, ranks, precision, forward)

    def begin(number: int) -> Step:
        return training_step(learner, ranks, [batch], len(batch.inputs), optimizer.lr)

    # Like the trainer, which reads the result of a step some steps later
    return RunAhead(begin, 0, AHEAD if device == "cuda" else 0, pauses=lambda number: False).read


def nanogpt_step(model: Any, batch: Batch, device: str, precision: str) -> Callable[[], object]:
    """A function that takes a step as nanoGPT's trainer does, without waiting for the device."""
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), device)
    forward = compile_model(model) if device == "cuda" else model

    def step() -> None:
        with autocast(device, precision):
            _, loss = forward(batch.inputs, batch.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def block_seconds(action: Callable[[], object], calls: int, device: str) -> float:
    """Average seconds of an action over `calls` calls, including the work of the device."""
    begin = time.perf_counter()
    for _ in range(calls):
        action()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begin) / calls


def measure(who: str, device: str, vocab_size: int, blocks: int, nanogpt: str) -> dict[str, list[float]]:
    """Figures of our step or nanoGPT's, by name and unit: one value per block, or a single one."""
    config, block_size, sequences, _ = SHAPES[device]
    precision = "fp32" if who == "nanoGPT" and device == "cpu" else best_precision(device)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    idx = torch.randint(vocab_size, (sequences, block_size + 1), device=device)
    batch = Batch(idx[:, :-1].contiguous(), idx[:, 1:].contiguous())
    if who == "nanoGPT":
        shape = {name: getattr(config, name) for name in ("n_layer", "n_head", "n_embd")}
        padded = -(-vocab_size // 64) * 64  # its trainer, too, pads 50,257 to 50,304
        model = nanogpt_model(Path(nanogpt), vocab_size=padded, block_size=block_size, dropout=0.0, **shape)
        ways = {"step": nanogpt_step(model.to(device), batch, device, precision)}
    else:
        keep_freed_memory()
        ways = {"step": our_step(config, vocab_size, batch, device, precision)}
    block_seconds(ways["step"], WARM_UP, device)
    memory = peak_memory(device)

    x = torch.randn(sequences, block_size, config.n_embd, device=device, requires_grad=True)
    weight = nn.Parameter(torch.randn(-(-vocab_size // 64) * 64, config.n_embd, device=device))
    loss_of = torch.compile(linear_cross_entropy, dynamic=False) if device == "cuda" else linear_cross_entropy

    def output_layer() -> None:
        with autocast(device, precision):
            loss_of(x, weight, batch.targets, vocab_size).backward()
        x.grad = weight.grad = None

    if who == "ours":
        ways["output layer"] = output_layer
    timed = {}
    for name, way in ways.items():
        block_seconds(way, 1, device)
        calls = max(1, round(BLOCK_SECONDS / block_seconds(way, 2, device)))
        timed[name] = partial(block_seconds, way, calls, device)
    took = in_turn(timed, blocks)

    speeds = [batch.inputs.numel() / step for step in took["step"]]
    found = {"tokens/s": speeds, "memory, GB": [memory / 1e9]}
    with torch.device("meta"):
        flops = sum(GPT(config, vocab_size, block_size).flops_per_token().values())
    if peak := peak_flops(device, precision)[0]:
        found["MFU, ratio"] = [speed * flops / peak for speed in speeds]
    if who == "ours":
        found["output layer, share"] = ratios(took["output layer"], took["step"])
    return found


def measured_apart(
    who: str, device: str, vocab_size: int, blocks: int, nanogpt: Path | None, timeout: float = 240
) -> dict[str, list[float]]:
    """The result of `measure` in a separate process.

    Raises:
        Failed: the process failed, or took longer than `timeout` seconds.
    """
    order = json.dumps([who, device, vocab_size, blocks, str(nanogpt)])
    return json.loads(
        output_of([sys.executable, "-m", "benchmarks.step", "--one", order], timeout=timeout)[-1]
    )


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nanogpt", type=Path, help="folder of nanoGPT")
    parser.add_argument("--vocabularies", type=int, nargs="*", help="instead of the shape's own")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of a second each")
    parser.add_argument("--json", type=Path, help="write the figures as one flat JSON object")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*json.loads(arguments.one))))
        return

    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device == 'cuda' else 'a CPU'}")
    if device == "cpu":
        print("not measured: a GPU (there is none)")
    if not arguments.nanogpt:
        print("not measured: nanoGPT (set --nanogpt to its folder)")
    with table(arguments.json) as figures:
        for vocab_size in arguments.vocabularies or SHAPES[device][-1]:
            speeds = {}
            for who in ["nanoGPT", "ours"] if arguments.nanogpt else ["ours"]:
                try:
                    found = measured_apart(who, device, vocab_size, arguments.blocks, arguments.nanogpt)
                except Failed as error:
                    print(f"{who}, V={vocab_size}: not measured: {error}", flush=True)
                    continue
                speeds[who] = statistics.median(found["tokens/s"])
                for what, values in found.items():
                    row(figures, f"{who}, V={vocab_size}: {what}", *values)
            if len(speeds) == 2:
                row(figures, f"ours to nanoGPT, V={vocab_size}: ratio", speeds["ours"] / speeds["nanoGPT"])
    sys.exit(not figures)


if __name__ == "__main__":
    main()
