"""Check that a GPU gives the results of the CPU, and measure its speed: one command, about five minutes.

    python -m benchmarks.gpu_check --nanogpt out/nanoGPT --json gpu_check.json

1) ten steps on one batch in fp32, bf16 and fp16, against fp32 on the CPU
2) fifty steps in which the host never waits for the device, with AdamW and Muon
3) two equal runs, and one that is killed and resumed: all three must be bitwise equal
4) the evaluation in fp32, tf32 and bf16 against fp32 on the CPU, and its time
5) GPT-2's 124M shape at four vocabulary sizes: tokens/s, MFU, peak memory, the output layer's share; at one
   of them also nanoGPT, if its folder is given
6) a small character model: eager, compiled and with CUDA graphs

Without a GPU a small form runs on the CPU. Needs torch, numpy, safetensors, pyarrow, tiktoken, sentencepiece
with protobuf, tqdm, PyYAML, and jsonargparse with docstring_parser and typeshed_client. A part that fails is
named with the reason, and the others are measured.
"""

import shutil
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

from common.cli import run_command
from common.files import sha256_file
from data_prep.arrays import TokenArrays
from data_prep.corpus import CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from model import GPT, ModelConfig, compile_model
from model.scoring import Scoring, score
from tokenizers import train_tokenizer
from training.batches import crop_starts, make_batch
from training.budget import Budget, TextAmount, make_plan
from training.checkpoint import newest_checkpoint
from training.hardware import keep_freed_memory
from training.optimizer import OptimizerConfig
from training.precision import best_precision
from training.ranks import Ranks
from training.run import open_run
from training.run_ahead import AHEAD, RunAhead
from training.step import Batch, Step, make_learner, training_step
from training.tracking import read_metrics

from .process import output_of
from .step import BLOCK_SECONDS, SHAPES, block_seconds, measured_apart
from .table import Figures, ratios, row, table

TEXT = Path(__file__).parents[1]  # its documentation and code are the text of the runs
TIMES = "train_seconds val_seconds tokens_per_second chars_per_second mfu data_wait memory_gb".split()
SMALL = ModelConfig(n_layer=2, n_head=2, n_embd=64, preset="modern")
# About 10 million parameters, T=256: a character model on a large GPU
CHARACTERS = ModelConfig(n_layer=6, n_head=6, n_embd=384, preset="modern")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Check a GPU."""

    nanogpt: Path | None = None
    """folder of nanoGPT (default: it is not measured)"""
    folder: Path = Path("out/gpu_check")
    """where text and runs go; removed if it exists"""
    seconds: float = 300.0
    """no part starts after this many seconds; most parts that are running end then"""
    json: Path | None = None
    """write the numbers as one flat JSON object to this file"""


class Clock:
    """The remaining time."""

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds

    def left(self) -> float:
        """The remaining seconds."""
        return self.end - time.perf_counter()

    def spend(self, name: str, part: Callable[[], None]) -> None:
        """Run a part of the check; prints the reason if it cannot be measured."""
        begun = time.perf_counter()
        try:
            if self.left() <= 0:
                raise TimeoutError("no time was left")
            part()
        except Exception as error:  # no failure may end the other parts
            says = (str(error).splitlines() or [""])[0]
            print(f"not measured: {name}: {type(error).__name__}: {says}", flush=True)
            traceback.print_exc()
        print(f"  ({name}: {time.perf_counter() - begun:.0f} s)", flush=True)


def random_batches(vocab_size: int, block_size: int, sequences: int, count: int) -> list[Batch]:
    """Batches of random tokens in CPU memory; a document begins in the middle of each sequence."""
    generator = torch.Generator().manual_seed(0)
    idx = torch.randint(vocab_size, (count, sequences, block_size + 1), generator=generator)
    half = block_size // 2
    begins = torch.where(torch.arange(block_size) < half, 0, half).expand(sequences, -1).contiguous()
    return [Batch(part[:, :-1].contiguous(), part[:, 1:].contiguous(), begins) for part in idx]


def stepper(
    model: GPT, device: str, precision: str, batches: list[Batch], optimizer: str = "muon", compiled: str = ""
) -> RunAhead:
    """Training steps on batches that are repeated in turn."""
    config, ranks = OptimizerConfig(name=optimizer, lr=1e-2), Ranks(0, 1, device)  # type: ignore[arg-type]
    forward = compile_model(model, graphs=compiled == "graphs") if compiled else model
    learner = make_learner(model, config, ranks, precision, forward)
    if device != "cpu":
        batches = [batch.pin_memory() for batch in batches]

    def begin(number: int) -> Step:
        batch = batches[number % len(batches)]
        return training_step(learner, ranks, [batch], len(batch.inputs), config.lr)

    distance = 0 if device == "cpu" or precision == "fp16" else AHEAD
    return RunAhead(begin, 0, distance, pauses=lambda number: False)


def check_steps(figures: Figures, clock: Clock, device: str) -> None:
    """Compare the falling losses of steps on one batch with those on the CPU in fp32."""

    def losses(device: str, precision: str, vocab_size: int) -> list[float]:
        torch.manual_seed(0)
        model = GPT(SMALL, vocab_size, 64).to(device)
        steps = stepper(model, device, precision, random_batches(vocab_size, 64, 16, 1))
        return [steps.read()[0].loss for _ in range(10)]

    def compare(precision: str, vocab_size: int, expected: list[float]) -> None:
        worst = max(abs(ratio - 1) for ratio in ratios(losses(device, precision, vocab_size), expected))
        row(figures, f"step, V={vocab_size}, {precision}: largest difference of loss, ratio", worst)

    with few_logits():
        for vocab_size in (300, 30_000):  # with the second the logits are computed in chunks
            expected = losses("cpu", "fp32", vocab_size)
            for precision in ("fp32", "bf16", "fp16"):
                name = f"steps, V={vocab_size}, {precision}"
                clock.spend(name, partial(compare, precision, vocab_size, expected))
            row(figures, f"step, V={vocab_size}: last loss by the first, ratio", expected[-1] / expected[0])


def few_logits() -> AbstractContextManager:
    """A context in which logits are computed in chunks as small as on a CPU."""
    return patch("model.loss.chunk_logits", lambda device: 1 << 22)


def make_text(folder: Path) -> None:
    """Make the arrays of `byte` for this checkout's documentation and code."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(TEXT.glob("[!.]*/*.py")) + sorted(TEXT.glob("docs/*.md"))):
        (folder / f"{number:03}.txt").write_text(path.read_text())
    config = CorpusConfig(f"text:{folder / '*.txt'}", val_fraction=0.1, test_fraction=0.1)
    corpus = make_corpus(config, folder / "corpus")
    make_arrays(corpus, train_tokenizer("byte", []), folder / "data", processes=1)


def train_command(folder: Path, run: str, device: str) -> list[str]:
    """The command of a training run with frequent checkpoints."""
    options = {
        "data": folder / "data",
        "out": folder / run,
        "model.preset": "modern",
        "model.n_embd": 64,
        "optimizer.name": "muon",
        "context.tokens": 64,
        "batch.tokens": 2048,
        "budget.steps": 150 if device == "cpu" else 600,
        "execution.device": device,
        "execution.compile": "false",
        "checkpoints.seconds": 0.2,
        "tracking.validations": 4,
        "tracking.wandb": "disabled",
    }
    return [sys.executable, "train_ddp.py", *(f"--{name}={value}" for name, value in options.items())]


def outcome(run: Path) -> tuple[str, list[dict]]:
    """SHA-256 of the final weights, and the record without times."""
    found = newest_checkpoint(run / "checkpoints")
    if not found or not found[1]["finished"]:
        raise ValueError(f"{run} did not finish")
    lines = [
        {k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(run / "metrics.jsonl")
    ]
    return sha256_file(found[0] / "model.safetensors"), lines


def check_resume(figures: Figures, clock: Clock, folder: Path, device: str) -> None:
    """Check that two runs, and one that is killed and resumed, are bitwise equal."""

    def train(run: str) -> None:
        output_of(train_command(folder, run, device), timeout=max(1, clock.left()))

    def steps_of(run: str) -> int:
        lines = read_metrics(folder / run / "metrics.jsonl")
        return lines[-1]["step"] if lines else 0

    train("whole")
    train("again")
    process = subprocess.Popen(
        train_command(folder, "killed", device), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    quarter = outcome(folder / "whole")[1][-1]["step"] / 4
    while process.poll() is None and clock.left() > 0 and steps_of("killed") < quarter:
        time.sleep(0.02)
    process.kill()
    process.wait()
    killed = steps_of("killed")
    train("killed")
    whole = outcome(folder / "whole")
    row(figures, "resume: the run is killed after, steps", killed)
    row(figures, "resume: a run and another one are equal, share", outcome(folder / "again") == whole)
    row(figures, "resume: a run and a killed one are equal, share", outcome(folder / "killed") == whole)


def check_scoring(figures: Figures, run: Path, device: str) -> None:
    """Compare the bits of the test text in each precision with fp32 on the CPU, and measure the time."""
    opened = open_run(run)
    sequences = opened.arrays.split("test").sequences()

    def bits(device: str, scoring: Scoring) -> tuple[float, float]:
        model, begun = opened.load_model(device), time.perf_counter()
        found = score(model, sequences, max(1, model.block_size // 2), device, scoring=scoring).sum()
        return float(found), time.perf_counter() - begun

    expected, _ = bits("cpu", "fp32")
    precisions: tuple[Scoring, ...] = ("fp32", "tf32", "bf16")
    for scoring in precisions:
        bits(device, scoring)  # warm-up
        found, took = bits(device, scoring)
        row(figures, f"scoring, {scoring}: difference of bits, ratio", abs(found / expected - 1))
        row(figures, f"scoring, {scoring}: seconds", took)


def check_no_waiting(figures: Figures, device: str, optimizer: str, arrays: Path) -> None:
    """Take fifty steps, on the trainer's batches and with logits in chunks, in which waiting is an error."""
    torch.manual_seed(0)
    split, block_size, sequences = TokenArrays(arrays).split("train"), 64, 64
    budget = Budget(steps=1)
    tokens = TextAmount(tokens=block_size), TextAmount(tokens=block_size * sequences)
    plan = make_plan(SMALL, 257, block_size, *tokens, budget, split, eot=256)
    batches = [make_batch(split, crop_starts(split, plan, 0, step), plan) for step in range(4)]
    model, precision = GPT(SMALL, 5000, block_size).to(device), best_precision(device)
    count = 5 if device == "cpu" else 50
    with few_logits():
        steps = stepper(model, device, precision, batches, optimizer)
        for _ in range(3):  # warm-up: allocates memory and the optimizer's state
            steps.read()
        with waiting_is_an_error(device):
            for _ in range(count):
                steps.read()
    # A copy from memory that is not pinned may also wait, but is not detected
    pinned = all(tensor.is_contiguous() for batch in batches for tensor in batch if tensor is not None)
    row(figures, f"no waiting, {optimizer}: steps", count if pinned else 0)


@contextmanager
def waiting_is_an_error(device: str) -> Iterator[None]:
    """A context in which torch raises if the host waits for a GPU."""
    if device == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def check_characters(figures: Figures, device: str, compiled: str) -> None:
    """Measure steps of a small model: eager, compiled, or with CUDA graphs."""
    config, block_size, sequences = (SMALL, 64, 4) if device == "cpu" else (CHARACTERS, 256, 64)
    torch.manual_seed(0)
    model = GPT(config, 128, block_size).to(device)
    batches = [batch._replace(begins=None) for batch in random_batches(128, block_size, sequences, 4)]
    way = "" if compiled == "eager" else compiled
    steps = stepper(model, device, best_precision(device), batches, compiled=way)
    block_seconds(steps.read, 5, device)
    calls = max(3, round(BLOCK_SECONDS / block_seconds(steps.read, 3, device)))
    took = [block_seconds(steps.read, calls, device) for _ in range(3)]
    row(figures, f"characters, {compiled}: tokens/s", *(sequences * block_size / seconds for seconds in took))


def check_vocabularies(figures: Figures, device: str, nanogpt: Path | None, clock: Clock) -> None:
    """Measure GPT-2's shape at its vocabulary sizes, that of nanoGPT first."""
    *_, sizes = SHAPES[device]
    sizes = sizes[:1] if device == "cpu" else sorted(sizes, key=lambda size: size != 50257)
    for vocab_size in sizes:
        speeds: dict[str, float] = {}

        def measure(who: str, vocab_size: int = vocab_size, speeds: dict[str, float] = speeds) -> None:
            found = measured_apart(who, device, vocab_size, 3, nanogpt, max(1, clock.left()))
            speeds[who] = statistics.median(found["tokens/s"])
            for what, values in found.items():
                row(figures, f"{who}, V={vocab_size}: {what}", *values)

        theirs = nanogpt is not None and vocab_size == sizes[0]
        for who in ["ours", "nanoGPT"] if theirs else ["ours"]:
            clock.spend(f"{who}, V={vocab_size}", partial(measure, who))
        if len(speeds) == 2:
            row(figures, f"ours to nanoGPT, V={vocab_size}: ratio", speeds["ours"] / speeds["nanoGPT"])


def main(arguments: Arguments) -> None:
    """Run all parts: first the checks of correctness, then those of speed."""
    clock, device = Clock(arguments.seconds), "cuda" if torch.cuda.is_available() else "cpu"
    folder = arguments.folder
    keep_freed_memory()
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device != 'cpu' else 'a CPU'}")
    if device == "cpu":
        print("not measured: a GPU (there is none); the small form runs on the CPU")
    with table(arguments.json) as figures:
        clock.spend("text", lambda: make_text(folder))
        clock.spend("steps", lambda: check_steps(figures, clock, device))
        for optimizer in ("adamw", "muon"):
            part = partial(check_no_waiting, figures, device, optimizer, folder / "data")
            clock.spend(f"no waiting, {optimizer}", part)
        clock.spend("resume", lambda: check_resume(figures, clock, folder, device))
        clock.spend("scoring", lambda: check_scoring(figures, folder / "whole", device))
        check_vocabularies(figures, device, arguments.nanogpt, clock)
        for compiled in ("eager", "compiled", "graphs") if device != "cpu" else ("eager",):
            clock.spend(f"characters, {compiled}", partial(check_characters, figures, device, compiled))


if __name__ == "__main__":
    run_command(main, Arguments, "Check a GPU against the CPU, and measure its speed.")
