"""One training step at several vocabulary sizes: tokens/s, MFU, memory and the output layer's share.

    python -m benchmarks.step --nanogpt out/nanoGPT --json figures.json

On a GPU GPT-2's 124M shape, T=1024, compiled, in bf16; on a CPU a small one. nanoGPT's model, where its
folder is given, takes the same batches as in its own trainer (fp32 on a CPU). Every measurement is a process
of its own, on random ids, and needs torch, numpy and safetensors alone; what cannot be measured says why.
MFU counts the FLOPs of `flops_per_token`, for both. Memory is what the process took, or torch of the GPU's.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

# n_layer, n_head, n_embd, block_size, sequences; vocabularies: of tiny Shakespeare's characters, bpe-8192 and
# tiktoken:gpt2; of bytes, bpe-8192, tiktoken:gpt2 and about that of tiktoken:o200k_base
SHAPES = {
    "cuda": (12, 12, 768, 1024, 16, [66, 8192, 50257]),
    "cpu": (4, 4, 128, 64, 32, [257, 8192, 50257, 200_019]),
}
WARM_UP, BLOCK_SECONDS = 5, 1.0


def seconds_of(step: Callable[[], object], steps: int, device: str) -> float:
    """How long some steps take."""
    import torch

    begin = time.perf_counter()
    for _ in range(steps):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def in_turn(ways: list[Callable[[], object]], device: str, blocks: int) -> list[list[float]]:
    """Seconds a step of each way, for each of several blocks of about a second a way."""
    for way in ways:
        seconds_of(way, 1, device)
    steps = [max(1, round(2 * BLOCK_SECONDS / seconds_of(way, 2, device))) for way in ways]
    return [
        [seconds_of(way, n, device) / n for way, n in zip(ways, steps, strict=True)] for _ in range(blocks)
    ]


def measure(who: str, device: str, vocab_size: int, blocks: int, nanogpt: str) -> dict[str, float | None]:
    """Figures of one model: ours (of a preset), or nanoGPT's."""
    import torch
    from torch import nn

    from model import ModelConfig, build_model, compile_model
    from model.loss import linear_cross_entropy
    from training.hardware import keep_freed_memory, peak_flops, peak_memory
    from training.optimizer import OptimizerConfig, make_optimizers
    from training.precision import autocast, best_precision

    n_layer, n_head, n_embd, block_size, sequences, _ = SHAPES[device]
    precision, tokens = best_precision(device), sequences * block_size
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    config = ModelConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd, preset="gpt2")
    if who == "nanoGPT":
        precision = "fp32" if device == "cpu" else precision
        namespace: dict = {"__name__": "nanogpt_model"}
        exec(compile((Path(nanogpt) / "model.py").read_text(), "model.py", "exec"), namespace)
        shape = dict(n_layer=n_layer, n_head=n_head, n_embd=n_embd, block_size=block_size, dropout=0.0)
        padded = -(-vocab_size // 64) * 64  # as 50,257 becomes 50,304 in its trainer
        model = namespace["GPT"](namespace["GPTConfig"](vocab_size=padded, **shape)).to(device)
        optimizers = [model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), device)]
        with torch.device("meta"):
            counted = build_model(config, vocab_size, block_size)
    else:
        keep_freed_memory()
        counted = model = build_model(config, vocab_size, block_size).to(device)
        optimizers = make_optimizers(model, OptimizerConfig())
    compiled = compile_model(model) if device == "cuda" else model
    idx = torch.randint(vocab_size, (sequences, block_size + 1), device=device)
    context = nullcontext() if precision == "fp32" else autocast(device, precision)

    def step() -> None:
        with context:
            loss = compiled(idx[:, :-1].contiguous(), idx[:, 1:].contiguous())
        (loss[1] if who == "nanoGPT" else loss).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    seconds_of(step, WARM_UP, device)
    memory = peak_memory(device)
    x = torch.randn(sequences, block_size, n_embd, device=device, requires_grad=True)
    weight = nn.Parameter(torch.randn(vocab_size, n_embd, device=device))
    loss_of = torch.compile(linear_cross_entropy, dynamic=False) if device == "cuda" else linear_cross_entropy

    def output_layer() -> None:
        with autocast(device, precision):
            loss_of(x, weight, idx[:, 1:].contiguous(), vocab_size).backward()
        x.grad = weight.grad = None

    took = in_turn([step] if who == "nanoGPT" else [step, output_layer], device, blocks)
    speed = tokens / statistics.median(block[0] for block in took)
    flops, peak = sum(counted.flops_per_token().values()), peak_flops(device, precision)[0]
    mfu = speed * flops / peak if peak else None
    figures = {"tokens_per_s": speed, "mfu": mfu, "memory_gb": memory / 1e9}
    if who == "ours":
        figures["output_share"] = statistics.median(output / whole for whole, output in took)
    return figures


def in_a_process(**arguments: object) -> dict:
    """The figures that `measure` gives in a process of its own, or `{"failed": why}`."""
    command = [sys.executable, "-m", "benchmarks.step", "--one", json.dumps(arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        return {"failed": "took longer than 240 s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nanogpt", type=Path, help="folder of nanoGPT")
    parser.add_argument("--vocabularies", type=int, nargs="*", help="instead of the shape's own")
    parser.add_argument("--blocks", type=int, default=5, help="of a second each, whose median counts")
    parser.add_argument("--json", type=Path, help="write the figures as one flat JSON object")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(**json.loads(arguments.one))))
        return

    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device == 'cuda' else 'a CPU'}")
    everyone = ["ours"] + (["nanoGPT"] if arguments.nanogpt else [])
    if device == "cpu":
        print("not measured: a GPU's figures, there is none here")
    if not arguments.nanogpt:
        print("not measured: nanoGPT, its folder is not given")
    figures = {}
    print(f"{'':24}{'tokens/s':>12}{'MFU':>8}{'memory GB':>11}{'output layer':>14}")
    for vocab_size in arguments.vocabularies or SHAPES[device][-1]:
        for who in everyone:
            options = {"device": device, "blocks": arguments.blocks, "nanogpt": str(arguments.nanogpt)}
            found = in_a_process(who=who, vocab_size=vocab_size, **options)
            name = f"{who}, V={vocab_size:,}"
            if "failed" in found:
                print(f"{name:24}not measured: {found['failed']}", flush=True)
                continue
            shares = (found["mfu"], found.get("output_share"))
            mfu, output = ("-" if share is None else f"{share:.1%}" for share in shares)
            line = f"{name:24}{found['tokens_per_s']:>12,.0f}{mfu:>8}{found['memory_gb']:>11.2f}{output:>14}"
            print(line, flush=True)
            figures |= {f"{who}_{vocab_size}_{key}": value for key, value in found.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if not figures:
        sys.exit(1)


if __name__ == "__main__":
    main()
