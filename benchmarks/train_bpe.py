"""Training `bpe-32768` on 100 MB: ours against SentencePiece's BPE and the Hugging Face trainer.

    python -m benchmarks.train_bpe --json figures.json

The text is that of `benchmarks.debian_corpus`, fetched once. Each reads the same Parquet files in a process
of its own, in turn; the time is that of reading and training, without the start of the interpreter. A ratio
above 1 means that ours takes less. Needs the package `tokenizers`.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from command_line import run_command
from data_prep.corpus import CorpusConfig, make_corpus

from .debian_corpus import Arguments as DebianArguments
from .debian_corpus import main as make_debian_text

READ = """
import sys, time
import pyarrow.parquet
def texts():
    for path in sys.argv[2:]:
        yield from pyarrow.parquet.read_table(path, columns=["text"]).column("text").to_pylist()
size = int(sys.argv[1])
"""
TIMED = """
import resource
begin = time.perf_counter()
train()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(time.perf_counter() - begin, peak)
"""
TRAINERS = {
    "ours": """
sys.path.insert(0, ROOT)
from tokenizers import train_tokenizer
def train(): train_tokenizer(f"bpe-{size}", texts())
""",
    "sentencepiece": """
import io, sentencepiece
def train():
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts() for line in text.splitlines()),
        model_writer=io.BytesIO(), model_type="bpe", vocab_size=size, byte_fallback=True, minloglevel=2,
    )
""",
    "hugging_face": """
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
""",
}


@dataclass(frozen=True)
class Arguments:
    """The benchmark's options."""

    folder: Path = Path("out/benchmarks")
    """where the text and the corpus are kept for the next time"""
    size: int = 32768
    """the vocabulary"""
    rounds: int = 3
    """how often each takes its turn"""
    json: Path | None = None
    """write the figures as one flat JSON object"""


def main(arguments: Arguments) -> None:
    """Measure in turn and print the table."""
    make_debian_text(DebianArguments(arguments.folder))
    # All but a thousandth is for training: 100 MB.
    config = CorpusConfig(
        f"jsonl:{arguments.folder / 'debian.jsonl'}", val_fraction=0.001, test_fraction=0.001
    )
    corpus = make_corpus(config, arguments.folder / "whole")
    counts = corpus.manifest["splits"]["train"]
    files = [str(path.resolve()) for path in corpus.files("train")]
    print(f"{counts['bytes'] / 1e6:.1f} MB of text; {os.cpu_count()} cores; vocabulary {arguments.size:,}\n")
    seconds: dict[str, list[float]] = {name: [] for name in TRAINERS}
    peaks: dict[str, list[float]] = {name: [] for name in TRAINERS}
    root = f"ROOT = {str(Path(__file__).resolve().parent.parent)!r}\n"
    for _ in range(arguments.rounds):
        for name, script in TRAINERS.items():
            # Away from our folder `tokenizers`, which has the name of the Hugging Face library.
            command = [sys.executable, "-c", root + READ + script + TIMED, str(arguments.size), *files]
            done = subprocess.run(
                command, cwd=arguments.folder, stdout=subprocess.PIPE, text=True, check=True
            )
            took, peak = map(float, done.stdout.split()[-2:])
            seconds[name].append(took)
            peaks[name].append(peak)
    print(f"{'':24}{'median':>10}{'lowest':>10}{'highest':>10}{'peak MB':>10}")
    figures = {}
    for name in TRAINERS:
        shown = (statistics.median(seconds[name]), min(seconds[name]), max(seconds[name]))
        cells = "".join(f"{value:>10.1f}" for value in shown)
        print(f"{name + ', s':24}{cells}{max(peaks[name]):>10,.0f}")
        figures |= {f"{name}_seconds": shown[0], f"{name}_peak_mb": max(peaks[name])}
    for name in ("sentencepiece", "hugging_face"):
        ratios = [theirs / ours for theirs, ours in zip(seconds[name], seconds["ours"], strict=True)]
        shown = (statistics.median(ratios), min(ratios), max(ratios))
        print(f"{name + ' to ours, ratio':24}" + "".join(f"{value:>10.2f}" for value in shown))
        figures[f"{name}_to_ours_ratio"] = shown[0]
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main, Arguments, "Training a byte-level BPE against two other trainers.")
