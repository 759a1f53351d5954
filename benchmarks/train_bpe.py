"""Training `bpe-32768` on 100 MB: ours against SentencePiece's BPE and the Hugging Face trainer.

    python -m benchmarks.train_bpe --json figures.json

The text is that of `benchmarks.debian_corpus`, downloaded once. The trainers take turns, each in a separate
process that reads the same Parquet files. The time is that of reading and training, without the start of the
interpreter. A ratio above 1 means that ours is faster. Needs the package `tokenizers`.
"""

import os
import sys
from functools import partial
from pathlib import Path

from common.cli import run_command
from common.revision import ROOT

from .bpe_trainers import TRAINERS
from .debian_corpus import debian_corpus
from .process import output_and_peak
from .table import FolderOptions, compare, in_turn, row, table

SIZE = 32768


def train(name: str, files: list[Path]) -> tuple[float, float]:
    """Run a trainer; returns its seconds and peak memory in MB."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if name == "ours":
        env["PYTHONPATH"] = str(ROOT)
    script = Path(__file__).with_name("bpe_trainers.py")
    command = [sys.executable, "-P", str(script), name, str(SIZE), *map(str, files)]
    (*_, took), peak = output_and_peak(command, env=env)
    return float(took), peak


def main(options: FolderOptions) -> None:
    """Measure in turn and print the table."""
    # A thousandth each is held out for validation and test; 100 MB are for training.
    corpus = debian_corpus(options.folder, "whole", held_out=0.001)
    ways = {name: partial(train, name, corpus.files("train")) for name in TRAINERS}
    with table(options.json) as figures:
        row(figures, "text, MB", corpus.manifest["splits"]["train"]["bytes"] / 1e6)
        found = in_turn(ways, options.rounds)
        seconds = {name: [took for took, _ in runs] for name, runs in found.items()}
        compare(figures, f"bpe-{SIZE}", "seconds", seconds)
        for name, runs in found.items():
            row(figures, f"bpe-{SIZE}: {name}, peak memory, MB", *(peak for _, peak in runs))


if __name__ == "__main__":
    run_command(main, FolderOptions, "Training a byte-level BPE against two other trainers.")
