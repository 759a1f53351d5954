"""Training `bpe-32768` on 100 MB: ours against SentencePiece's BPE and the Hugging Face trainer.

    python -m benchmarks.train_bpe --json figures.json

The text is that of `benchmarks.debian_corpus`, fetched once. Each reads the same Parquet files in a process
of its own, in turn; the time is that of reading and training, without the start of the interpreter. A ratio
above 1 means that ours takes less. Needs the package `tokenizers`.
"""

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.cli import run_command
from common.revision import ROOT

from .bpe_trainers import TRAINERS
from .debian_corpus import debian_corpus
from .process import output_and_peak
from .table import Figures, compare, header, in_turn, row, write_figures


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks")
    """where the text and the corpus are kept for the next time"""
    size: int = 32768
    """the vocabulary"""
    rounds: int = 3
    """turns of each trainer"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def train(name: str, size: int, files: list[Path]) -> tuple[float, float]:
    """The seconds that a trainer takes, and its peak memory in MB."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if name == "ours":
        env["PYTHONPATH"] = str(ROOT)
    script = Path(__file__).with_name("bpe_trainers.py")
    command = [sys.executable, "-P", str(script), name, str(size), *map(str, files)]
    (*_, took), peak = output_and_peak(command, env)
    return float(took), peak


def main(arguments: Arguments) -> None:
    """Measure in turn and print the table."""
    # All but a thousandth is for training: 100 MB.
    corpus = debian_corpus(arguments.folder, "whole", held_out=0.001)
    size = corpus.manifest["splits"]["train"]["bytes"] / 1e6
    print(f"{size:.1f} MB of text; {os.cpu_count()} cores\n")
    figures: Figures = {}
    header()
    ways = {name: partial(train, name, arguments.size, corpus.files("train")) for name in TRAINERS}
    found = in_turn(ways, arguments.rounds)
    subject = f"bpe-{arguments.size}"
    compare(figures, subject, "seconds", {name: [took for took, _ in runs] for name, runs in found.items()})
    for name, runs in found.items():
        row(figures, f"{subject}: {name}, peak memory, MB", *(peak for _, peak in runs))
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    run_command(main, Arguments, "Training a byte-level BPE against two other trainers.")
