"""What the runs of a comparison would take, before they run: `compare.py plan FILE`."""

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from data_prep.arrays import TokenArrays
from model import build_model
from training.budget import Budget
from training.config import TrainConfig
from training.ranks import pick_device
from training.tracking import read_metrics

from .config import Comparison, RunSpec
from .local import Job, run_jobs, train_command

PROBE_STEPS = 6


def print_estimate(comparison: Comparison, environments: list[dict[str, str]]) -> None:
    """Print a line for each tokenizer and model, and the total.

    Time and memory are measured: the trainer runs for a few steps, as many runs at a time as there would be,
    in the same `environments`.
    """
    runs, at_once = comparison.first_runs(), len(environments)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(number) for number in range(len(runs))]
        jobs = [
            probe_job(run, folder, comparison.processes) for run, folder in zip(runs, folders, strict=True)
        ]
        print(f"timing {PROBE_STEPS} steps of {len(jobs)} runs, {at_once} at a time", flush=True)
        run_jobs(jobs, environments)
        measured = [read_metrics(folder / "metrics.jsonl") for folder in folders]
    print(f"\n{'tokenizer':18}{'model':12}{'block':>6}{'batch':>6}{'steps':>7}", end="")
    print(f"{'params':>8}{'FLOPs':>9}{'time':>8}{'memory':>8}")
    total = {"runs": 0, "flops": 0.0, "seconds": 0.0}
    for run, metrics in zip(runs, measured, strict=True):
        arrays = TokenArrays(run.config.data)
        plan = run.config.plan(arrays, comparison.processes)
        with torch.device("meta"):
            model = build_model(plan.model, arrays.vocab_size, plan.block_size)
        # The first steps are slow: memory is taken, threads start
        speed = statistics.median(line["tokens_per_second"] for line in metrics[PROBE_STEPS // 2 :])
        step_seconds = plan.tokens_per_step / speed
        steps = plan.steps or round((plan.seconds or 0) / step_seconds)
        seconds = plan.seconds or steps * step_seconds
        flops = steps * plan.tokens_per_step * sum(model.flops_per_token().values())
        print(
            f"{run.tokenizer[-17:]:18}{run.model[:11]:12}{plan.block_size:>6}{plan.sequences:>6.1f}{steps:>7,}"
            f"{(model.params_body() + model.params_embedding()) / 1e6:>7.2f}M{flops:>9.2g}"
            f"{clock(seconds):>8}{metrics[-1]['memory_gb']:>6.2f}GB"
        )
        number = len(comparison.seeds_of(run.model)) + max(0, len(comparison.models[run.model].lr or []) - 1)
        for key, value in (("runs", 1), ("flops", flops), ("seconds", seconds)):
            total[key] += number * value
    print(
        f"\n{total['runs']} runs (seeds and swept learning rates counted), {total['flops']:.2g} FLOPs of "
        f"training,\n{clock(total['seconds'] / at_once)} at {at_once} at a time, without validation, test "
        "and the start of each run.\nBatch is in sequences, memory is that of a process."
    )


def probe(run: TrainConfig, out: Path, processes: int) -> TrainConfig:
    """The same run, for a few steps, somewhere else; compiled if the whole run would be."""
    plan = run.plan(TokenArrays(run.data), processes)
    compiles = run.execution.compile
    if compiles == "auto":
        compiles = plan.compiles(compiles, pick_device(run.execution.device))
    return replace(
        run,
        out=out,
        budget=Budget(steps=PROBE_STEPS),
        execution=replace(run.execution, compile=compiles, profile=False),
        tracking=replace(run.tracking, validations=1, wandb="disabled"),
    )


def probe_job(run: RunSpec, folder: Path, processes: int) -> Job:
    """The trainer on a probe of a run."""
    probe(run.config, folder, processes).write()
    command = train_command(folder / "config.yaml", processes)
    return Job(run.title, folder / "train.log", [command])


def clock(seconds: float) -> str:
    """A duration such as 45s, 12m or 3.5h."""
    if seconds < 100:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6000 else f"{seconds / 3600:.1f}h"
