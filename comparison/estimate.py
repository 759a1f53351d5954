"""Estimate the cost of a comparison before it runs: `compare.py plan FILE`.

Everything happens in a temporary folder. Existing data of the comparison is used and left unchanged; missing
data is made and timed. Each kind of run is rehearsed for a few steps, as many at a time as in the comparison.
"""

import heapq
import math
import statistics
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from common.cli import log
from common.files import read_json
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus, find_corpus, make_corpus
from data_prep.encode import Encoding, make_arrays
from data_prep.tokenizer import find_tokenizer
from model import build_model
from tokenizers import Tokenizer
from training.budget import Budget
from training.config import TrainConfig
from training.ranks import pick_device
from training.tracking import read_metrics

from .config import TEST, Comparison, RunSpec
from .local import Job, child_environment, duration, module_command, run_jobs
from .protocol import run_stride
from .replace import NO_SWEEP, discarded
from .stages import make_text, make_tokenizers
from .warnings import comparison_warnings

PROBE_STEPS = 12
PROBE_CHARS = 30_000  # characters of the test split to score in a rehearsal


@dataclass(frozen=True)
class Rehearsed:
    """The estimated cost of a run, from its rehearsal. Times are in seconds."""

    run: RunSpec
    steps: int
    train: float
    """all steps of the run"""
    validate: float
    """all validations"""
    test: dict[str, float]
    """scoring each text; `test` is the test split"""
    start: float
    """start-up, and everything else"""
    flops: float
    params: int
    block_size: int
    sequences: float
    """in a step"""
    memory_gb: float

    @property
    def seconds(self) -> float:
        """The whole run."""
        return self.train + self.validate + sum(self.test.values()) + self.start


Unscored = dict[str, list[str]]  # the titles of trained runs, with the texts on which each is to be scored


def print_estimate(comparison: Comparison, environments: list[dict[str, str]], trained: Unscored) -> None:
    """Print a line for each tokenizer and model, the time of each part, and the total.

    `trained` holds the titles of the runs that are already trained, each with the texts on which it is still
    to be scored.
    """
    if lines := discarded(comparison):
        log(f"{comparison.folder} holds results of other options, which a run would discard (--replace):")
        for line in lines:
            log(f"  {line}")
    with rehearsal(comparison) as scratch:
        data = _make_data(scratch)
        found = _rehearse(scratch, environments, trained)
        if found:
            print("\n" + "\n".join(_table(found)) + "\n")
        print("\n".join(_summary(scratch, data, found, trained, len(environments))))
        for warning in comparison_warnings(scratch):
            print("\n" + textwrap.fill(f"Warning: {warning}", 80))


@contextmanager
def rehearsal(comparison: Comparison) -> Iterator[Comparison]:
    """The same comparison in a temporary folder, with links to the current data of the real one."""
    with tempfile.TemporaryDirectory(prefix="codebook-plan-") as folder:
        scratch = replace(comparison, out=Path(folder))
        (scratch.folder / "data").mkdir(parents=True)
        tokenizers: dict[str, Tokenizer] = {}
        if corpus := find_corpus(comparison.corpus, comparison.folder / "corpus"):
            _link(corpus.folder, scratch.folder / "corpus")
            for label, spec in comparison.specs.items():
                data = comparison.data(label)
                tokenizer = find_tokenizer(corpus, spec, data / "tokenizer", comparison.train_chars)
                tokenizers |= {label: tokenizer} if tokenizer else {}
                if tokenizer and Encoding(corpus, tokenizer, data, comparison.allow_lossy).published():
                    _link(data, scratch.data(label))
                elif tokenizer:
                    scratch.data(label).mkdir()
                    _link(data / "tokenizer", scratch.data(label) / "tokenizer")
        for text, source in comparison.texts.items():
            (scratch.text_folder(text) / "data").mkdir(parents=True)
            if corpus := find_corpus(source, comparison.text_folder(text) / "corpus"):
                _link(corpus.folder, scratch.text_folder(text) / "corpus")
                for label, tokenizer in tokenizers.items():
                    data = comparison.data(label, text)
                    if Encoding(corpus, tokenizer, data, comparison.allow_lossy).published():
                        _link(data, scratch.data(label, text))
        yield scratch


def _link(target: Path, link: Path) -> None:
    link.symlink_to(target.resolve(), target_is_directory=True)


def _make_data(scratch: Comparison) -> dict[str, float]:
    """Make the missing data; returns the seconds for each kind of data."""
    seconds, began = {}, time.monotonic()

    def lap(name: str) -> None:
        nonlocal began
        seconds[name], began = time.monotonic() - began, time.monotonic()

    corpus = make_corpus(scratch.corpus, scratch.folder / "corpus")
    lap("corpus")
    tokenizers = make_tokenizers(scratch, corpus)
    lap("tokenizers")
    for label, tokenizer in tokenizers.items():
        if not scratch.data(label).is_symlink():
            make_arrays(corpus, tokenizer, scratch.data(label), allow_lossy=scratch.allow_lossy)
    lap("token arrays")
    for text in scratch.texts:
        make_text(scratch, text, tokenizers)
    if scratch.texts:
        lap("further texts")
    scratch.freeze("")
    command = module_command("eval.intrinsic", [f"--folder={scratch.folder}"])
    subprocess.run(command, env=child_environment(), check=True, capture_output=True)
    lap("statistics")
    return seconds


def _rehearse(scratch: Comparison, environments: list[dict[str, str]], trained: Unscored) -> list[Rehearsed]:
    """Rehearse one run of each tokenizer and model with something to do."""
    runs = [run for run in scratch.first_runs() if any(_to_do(scratch, run, trained))]
    jobs = [Rehearsal(run, scratch) for run in runs]
    log(f"rehearsing {len(jobs)} runs for {PROBE_STEPS} steps, {len(environments)} at a time")
    run_jobs(jobs, environments, "rehearsals")
    return [job.found(scratch) for job in jobs]


def probe(run: TrainConfig, processes: int) -> TrainConfig:
    """The same run for a few steps; compiled if the whole run would be."""
    plan = run.plan(TokenArrays(run.data), processes)
    compiles = run.execution.compile
    if compiles == "auto":
        compiles = plan.compiles(compiles, pick_device(run.execution.device))
    return replace(
        run,
        budget=Budget(steps=PROBE_STEPS),
        execution=replace(run.execution, compile=compiles, profile=False),
        tracking=replace(run.tracking, validations=1, wandb="disabled"),
    )


class Rehearsal(Job):
    """A run of a few steps, evaluated on a part of the test split."""

    def __init__(self, run: RunSpec, scratch: Comparison) -> None:
        options = [
            f"--run={run.folder}",
            f"--stride={run_stride(scratch, run)}",
            f"--test_chars={min(PROBE_CHARS, scratch.test_chars or PROBE_CHARS)}",
            f"--scoring={scratch.scoring}",
        ]
        command = module_command("eval.train_and_evaluate", options, scratch.processes)
        super().__init__(run.title, run.model, run.folder / "train.log", command)
        self.run, self.wall = run, 0.0
        probe(run.config, scratch.processes).write()

    def result(self) -> str:
        """Record the time of the process; there is nothing to print."""
        self.wall = time.monotonic() - self.started
        return ""

    def found(self, scratch: Comparison) -> Rehearsed:
        """The estimated cost of the whole run."""
        config, metrics = self.run.config, read_metrics(self.run.folder / "metrics.jsonl")
        result, arrays = read_json(self.run.folder / "result.json") or {}, TokenArrays(config.data)
        plan = config.plan(arrays, scratch.processes)
        with torch.device("meta"):
            model = build_model(plan.model, arrays.vocab_size, plan.block_size)
        # The first steps are slow: memory is allocated and threads start
        speed = statistics.median(line["tokens_per_second"] for line in metrics[PROBE_STEPS // 3 :])
        step = plan.tokens_per_step / speed
        steps = plan.steps or round((plan.seconds or 0) / step)
        per_char = result["test_seconds"] / result["test_chars"]
        validation = metrics[-1]["val_seconds"]
        parts = metrics[-1]["train_seconds"] + validation + result["test_seconds"]
        matched = 2 if scratch.context.tokens else 1  # scored a second time, in windows of equal characters
        return Rehearsed(
            run=self.run,
            steps=steps,
            train=plan.seconds or steps * step,
            validate=config.tracking.validations * validation,
            test={text: matched * per_char * _chars(scratch, text) for text in (TEST, *scratch.texts)},
            start=max(0.0, self.wall - parts),
            flops=steps * plan.tokens_per_step * sum(model.flops_per_token().values()),
            params=model.params_body() + model.params_embedding(),
            block_size=plan.block_size,
            sequences=plan.sequences,
            memory_gb=metrics[-1]["memory_gb"],
        )


def _table(found: list[Rehearsed]) -> list[str]:
    """A line for each tokenizer and model, in 80 columns."""
    form = "{:16.16} {:10.10}{:>8}{:>7}{:>8}{:>8}{:>8}{:>6}{:>8}".format
    head = form("tokenizer", "model", "context", "batch", "steps", "params", "FLOPs", "GB", "time")
    units = form("", "", "tokens", "seqs.", "", "", "per run", "", "per run")
    return [head, units] + [
        form(
            each.run.tokenizer[-16:],
            each.run.model,
            f"{each.block_size:,}",
            f"{each.sequences:.1f}",
            f"{each.steps:,}" if each.steps < 1e6 else f"{each.steps:.2g}",
            f"{each.params / 1e6:.2f}M" if each.params < 1e9 else f"{each.params / 1e9:.2f}B",
            f"{each.flops:.1e}" if each.flops else "0",
            f"{each.memory_gb:.2f}",
            duration(each.seconds),
        )
        for each in found
    ]


def _summary(
    scratch: Comparison, data: dict[str, float], found: list[Rehearsed], trained: Unscored, at_once: int
) -> list[str]:
    """Lines with the time of each part and the total."""
    to_do = [(each, *_to_do(scratch, each.run, trained)) for each in found]
    waiting = [each for each, missing, _ in to_do for _ in range(missing)]
    to_score = [
        each.start + sum(each.test[text] for text in texts) for each, _, scored in to_do for texts in scored
    ]
    parts = {
        "training": sum(each.train for each in waiting),
        "validation": sum(each.validate for each in waiting),
        "test": sum(sum(each.test.values()) for each in waiting),
        "start-up": sum(each.start for each in waiting),
    }
    seconds = sum(data.values()) + makespan([*(each.seconds for each in waiting), *to_score], at_once)
    flops = sum(each.flops for each in waiting)
    lines = [f"data      {', '.join(f'{name} {duration(value)}' for name, value in data.items())}"]
    if done := sum(not texts for texts in trained.values()):
        lines.append(f"done      {_runs(done)}")
    if waiting:
        lines += [
            f"to do     {_runs(len(waiting))}, {at_once} at a time, {flops:.2g} FLOPs of training",
            f"          {', '.join(f'{name} {duration(of / at_once)}' for name, of in parts.items())}",
        ]
    if to_score:
        lines.append(f"to score  {_runs(len(to_score))} already trained, {duration(sum(to_score) / at_once)}")
    return [*lines, f"in all    about {duration(seconds)}, and then the report"]


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


def _chars(scratch: Comparison, text: str) -> int:
    """The characters of a text that every run scores."""
    corpus = Corpus(scratch.text_folder(text) / "corpus")
    return min(corpus.manifest["splits"]["test"]["chars"], scratch.test_chars or math.inf)


def _to_do(scratch: Comparison, first: RunSpec, trained: Unscored) -> tuple[int, list[list[str]]]:
    """The work left of the tokenizer and model of `first`.

    Returns the number of missing runs, trials included, and for each trained run that is to be scored the
    texts.
    """
    recipe, seeds = scratch.models[first.model], scratch.seeds_of(first.model)
    titles = [
        [scratch.run(first.tokenizer, first.model, seed, lr).title for lr in recipe.lr or NO_SWEEP]
        for seed in seeds
    ]
    missing = sum(not trained.keys() & of_seed for of_seed in titles)
    to_score = [trained[title] for of_seed in titles for title in of_seed if trained.get(title)]
    return (missing + len((recipe.lr or [])[1:]) if missing else 0), to_score


def makespan(seconds: list[float], at_once: int) -> float:
    """Seconds until the last job ends if each starts, in order, as soon as one of `at_once` slots is free."""
    places = [0.0] * at_once
    for each in seconds:
        heapq.heapreplace(places, places[0] + each)
    return max(places)
