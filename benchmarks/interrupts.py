"""How fast a comparison answers a Ctrl-C at any moment, and whether anything is lost.

    python -m benchmarks.interrupts --json figures.json

A small comparison is run from corpus to report and interrupted at random moments, again and again, by SIGINT
to its whole process group, as a terminal sends it. The same command resumes it; where it finishes, it begins
anew. Every finished comparison must have the bits of the reference, which was never interrupted.
"""

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common.cli import as_yaml, run_command
from common.errors import Failed
from common.files import read_json
from comparison import Comparison, Recipe
from data_prep.corpus import CorpusConfig
from model import ModelConfig
from training.budget import Budget, TextAmount
from training.config import ExecutionConfig, TrackingConfig

from .table import row, table

INTERRUPTED = 128 + signal.SIGINT
BY_SIGINT = -signal.SIGINT  # during the imports, before anything has begun


@dataclass(frozen=True)
class Options:
    """How often it is interrupted."""

    interrupts: int = 100
    """Ctrl-Cs"""
    seed: int = 0
    """decides their moments"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def comparison_in(folder: Path) -> Comparison:
    """A comparison of about ten seconds for each stage, on a text that it writes into the folder."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(3_000)]
    with open(folder / "text.jsonl", "w") as file:
        for _ in range(400):
            chosen = [words[int(len(words) * draw.random() ** 3)] for _ in range(300)]
            file.write(json.dumps({"text": " ".join(chosen)}) + "\n")
    return Comparison(
        name="interrupted",
        out=folder,
        corpus=CorpusConfig(f"jsonl:{folder}/text.jsonl"),
        tokenizers=["byte", "bpe-400", "unigram-800"],
        models={"gpt": Recipe(ModelConfig(n_layer=2, n_head=2, n_embd=32))},
        context=TextAmount(chars=64),
        batch=TextAmount(chars=1024),
        budget=Budget(chars=100_000),
        seeds=[0, 1],
        execution=ExecutionConfig(precision="fp32"),
        tracking=TrackingConfig(wandb="disabled", validations=3),
    )


def start(file: Path) -> subprocess.Popen:
    """Start the comparison in a process group of its own."""
    command = [sys.executable, "compare.py", "run", str(file)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finished_bits(folder: Path) -> dict[str, float]:
    """The bits per character of every run."""
    return {
        str(file.parent.relative_to(folder)): (read_json(file) or {})["test_bpc"]
        for file in sorted(folder.glob("runs/*/*/*/result.json"))
    }


def main(options: Options) -> None:
    """Interrupt, resume, and say how long the answers took.

    Raises:
        Failed: something was lost, or a command failed.
    """
    draw, answers, finished = random.Random(options.seed), list[float](), 0
    with tempfile.TemporaryDirectory() as scratch, table(options.json) as figures:
        comparison = comparison_in(Path(scratch))
        file, folder = Path(scratch) / "interrupted.yaml", comparison.folder
        file.write_text(as_yaml(comparison))
        began = time.monotonic()
        said, _ = (process := start(file)).communicate()
        whole, reference = time.monotonic() - began, finished_bits(folder)
        if process.returncode:
            raise Failed(f"the reference failed: {said}")
        shutil.rmtree(folder)
        while len(answers) < options.interrupts:
            process = start(file)
            try:
                said, _ = process.communicate(timeout=draw.uniform(0, whole / 2))
            except subprocess.TimeoutExpired:
                asked = time.monotonic()
                os.killpg(process.pid, signal.SIGINT)
                said, _ = process.communicate()
                answers.append(time.monotonic() - asked)
            if process.returncode == 0:
                if (bits := finished_bits(folder)) != reference:
                    raise Failed(f"interrupts have changed results: {bits}, not {reference}")
                finished += 1
                shutil.rmtree(folder)
            elif process.returncode not in (INTERRUPTED, BY_SIGINT):
                raise Failed(f"exit code {process.returncode}: {said}")
        row(figures, "answer to a Ctrl-C, s", *answers)
        row(figures, "slowest answer, s", max(answers))
        print(f"{len(answers)} interrupts, {finished} comparisons finished with the bits of the reference")
        late = sum(answer > 3 for answer in answers)
        print(f"{late} answers took more than 3 s; median {statistics.median(answers):.2f} s")


if __name__ == "__main__":
    run_command(main, Options, "How fast a comparison answers a Ctrl-C, and whether anything is lost.")
