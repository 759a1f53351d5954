"""Speed of the exact evaluation against the model's own forward pass on random tokens.

    python -m benchmarks.evaluation

Tokens fed a second, in turn: every token of windows that overlap by half counts, in both. The second part
takes the bootstrap of 10,000 resamples.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from command_line import run_command
from eval.statistics import bootstrap_bpc
from model import ModelConfig, build_model
from model.scoring import TOKENS, score, windows

SHAPES = {  # vocabulary, block size, layers, width, tokens of test text
    "char, 4L/128": (258, 128, 4, 128, 60_000),
    "bpe-2048, 4L/128": (2048, 46, 4, 128, 60_000),
    "bpe-8192, 4L/128": (8192, 64, 4, 128, 60_000),
    "50,257, 4L/128": (50_257, 256, 4, 128, 12_000),
    "char, 6L/384": (258, 256, 6, 384, 12_000),
}


@dataclass(frozen=True)
class Arguments:
    """Measure evaluation."""

    rounds: int = 3
    """measurements of each, in turn"""
    json: Path | None = None
    """write the figures there"""


def ratios(name: str, rounds: int) -> list[float]:
    """Tokens a second of the evaluation by those of the forward pass, a round each, lowest first."""
    vocab_size, block_size, n_layer, n_embd, tokens = SHAPES[name]
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=n_layer, n_embd=n_embd, preset="modern"), vocab_size, block_size)
    model.eval()
    draw = np.random.default_rng(0)
    lengths = draw.integers(100, tokens // 8, size=14)
    sequences = [draw.integers(1, vocab_size, size=length).astype(np.uint16) for length in lengths]
    stride = block_size // 2
    fed = sum(end - start for s in sequences for start, end, _ in windows(len(s) - 1, block_size, stride))
    batch = max(1, TOKENS // block_size)
    idx = torch.randint(vocab_size, (batch, block_size))
    found = []
    for _ in range(rounds):
        started, passes = time.perf_counter(), max(1, fed // idx.numel() // 2)
        with torch.no_grad():
            for _ in range(passes):
                model(idx)
        forward = passes * idx.numel() / (time.perf_counter() - started)
        started = time.perf_counter()
        score(model, sequences, stride)
        found.append(fed / (time.perf_counter() - started) / forward)
    return sorted(found)


def main(arguments: Arguments) -> None:
    """Measure and print."""
    figures = {}
    print(f"{'evaluation to forward pass':30}{'median':>8}{'lowest':>8}{'highest':>8}")
    for name in SHAPES:
        found = ratios(name, arguments.rounds)
        print(f"{name:30}{statistics.median(found):>8.2f}{found[0]:>8.2f}{found[-1]:>8.2f}", flush=True)
        figures[f"{name}, ratio"] = statistics.median(found)
    draw = np.random.default_rng(0)
    print(f"\n{'bootstrap, 10,000 resamples':30}{'seconds':>8}")
    for documents in (2_000, 200_000):
        bits, chars = draw.random((42, documents)) * 100, draw.integers(50, 500, documents)
        started = time.perf_counter()
        bootstrap_bpc(bits, chars)
        seconds = time.perf_counter() - started
        print(f"{f'42 rows, {documents:,} documents':30}{seconds:>8.1f}", flush=True)
        figures[f"bootstrap of {documents} documents, seconds"] = seconds
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "Speed of the exact evaluation against the forward pass.")
