"""The cost of `documents: alone`: steps on sequences of two documents each, against packed sequences.

    python -m benchmarks.documents

The models are those of the demo, for bytes and for 2,048 types, on random ids; the ways take turns. With long
documents most batches contain no beginning of a document, so this is an upper bound of the cost.
"""

import os
from functools import partial

import torch

from common.cli import run_command
from model import ModelConfig
from training.precision import best_precision
from training.step import Batch

from .step import our_step
from .table import Options, compare, in_turn, seconds, table

MODEL = ModelConfig(n_layer=3, n_head=3, n_embd=96, preset="modern")
SHAPES = {"257 types, T=128": (257, 128), "2,048 types, T=43": (2048, 43)}
SEQUENCES, STEPS = 16, 20


def main(options: Options) -> None:
    """Measure in turn and print the table; with one thread by default, like a run of `compare.py`."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    precision = best_precision("cpu")
    with table(options.json) as figures:
        for name, (vocab_size, block_size) in SHAPES.items():
            idx = torch.randint(vocab_size, (SEQUENCES, block_size + 1))
            begins = torch.arange(block_size) // (block_size // 2 + 1) * (block_size // 2 + 1)
            packed = Batch(idx[:, :-1], idx[:, 1:])
            ways = {"packed": packed, "alone": packed._replace(begins=begins.expand(SEQUENCES, -1))}
            steps = {
                way: partial(seconds, our_step(MODEL, vocab_size, batch, "cpu", precision))
                for way, batch in ways.items()
            }
            took = in_turn(steps, STEPS * options.rounds, warm_up=STEPS)
            compare(figures, f"{name}, {precision}", "ms", took, scale=1000)


if __name__ == "__main__":
    run_command(main, Options, "Training with documents: alone against packed documents.")
