"""Speed of the exact evaluation against the model's forward pass on random tokens.

    python -m benchmarks.evaluation --json figures.json

Both take turns. The unit is input tokens per second; windows overlap by half, and every token of a window
counts. The second part times 10,000 draws of the errors over documents.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from common.cli import run_command
from eval.statistics import document_errors
from model import ModelConfig, build_model
from model.scoring import TOKENS, score, windows

from .table import Options, compare, in_turn, row, seconds, table

SHAPES = {  # vocabulary, block size, layers, width, tokens of test text
    "char, 4 layers 128 wide": (258, 128, 4, 128, 60_000),
    "bpe-2048, 4 layers 128 wide": (2048, 46, 4, 128, 60_000),
    "bpe-8192, 4 layers 128 wide": (8192, 64, 4, 128, 60_000),
    "V=50257, 4 layers 128 wide": (50_257, 256, 4, 128, 12_000),
    "char, 6 layers 384 wide": (258, 256, 6, 384, 12_000),
}


def ways(name: str) -> dict[str, Callable[[], float]]:
    """Functions for the forward pass and the evaluation of a model, which return tokens per second."""
    vocab_size, block_size, n_layer, n_embd, tokens = SHAPES[name]
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=n_layer, n_embd=n_embd, preset="modern"), vocab_size, block_size)
    model.eval()
    draw = np.random.default_rng(0)
    lengths = draw.integers(100, tokens // 8, size=14)
    sequences = [draw.integers(1, vocab_size, size=length).astype(np.uint16) for length in lengths]
    stride = block_size // 2
    fed = sum(end - start for s in sequences for start, end, _ in windows(len(s) - 1, block_size, stride))
    idx = torch.randint(vocab_size, (max(1, TOKENS // block_size), block_size))
    passes = max(1, fed // idx.numel() // 2)

    @torch.no_grad()
    def forward() -> None:
        for _ in range(passes):
            model(idx)

    return {
        "forward pass": lambda: passes * idx.numel() / seconds(forward),
        "evaluation": lambda: fed / seconds(partial(score, model, sequences, stride)),
    }


def main(options: Options) -> None:
    """Measure in turn and print the table."""
    with table(options.json) as figures:
        for name in SHAPES:
            compare(figures, name, "tokens/s", in_turn(ways(name), options.rounds))
        draw = np.random.default_rng(0)
        for documents in (2_000, 200_000):
            bits, chars = draw.random((42, documents)) * 100, draw.integers(50, 500, documents)
            took = seconds(partial(document_errors, bits[:, None], chars))
            row(figures, f"errors of 42 rows, {documents} documents, seconds", took)


if __name__ == "__main__":
    run_command(main, Options, "Speed of the exact evaluation against the forward pass.")
