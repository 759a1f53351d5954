"""What the runs of a comparison would take, before they run: `compare.py FILE --plan`."""

import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from comparison import Comparison
from data_prep.arrays import TokenArrays
from jobs import ROOT, Job, run_jobs
from model import build_model
from training.budget import Budget
from training.config import TrainConfig
from training.ranks import pick_device
from training.tracking import read_metrics

PROBE_STEPS = 6


def print_plan(comparison: Comparison, at_once: int) -> None:
    """A line for each tokenizer and model, and the total.

    Time and memory are measured: the trainer runs for a few steps, as many runs at a time as there would be.
    """
    runs = comparison.first_runs()
    with tempfile.TemporaryDirectory() as scratch:
        probes = [
            probe(run, Path(scratch) / str(number), comparison.processes) for number, run in enumerate(runs)
        ]
        jobs = [probe_job(comparison, run) for run in probes]
        print(f"timing {PROBE_STEPS} steps of {len(jobs)} runs, {at_once} at a time", flush=True)
        run_jobs(jobs, at_once, comparison.processes)
        measured = [read_metrics(run.out / "metrics.jsonl") for run in probes]
    print(f"\n{'tokenizer':18}{'model':12}{'block':>6}{'batch':>6}{'steps':>7}", end="")
    print(f"{'params':>8}{'FLOPs':>9}{'time':>8}{'memory':>8}")
    total = {"runs": 0, "flops": 0.0, "seconds": 0.0}
    for run, metrics in zip(runs, measured, strict=True):
        arrays = TokenArrays(run.data)
        plan = run.plan(arrays, comparison.processes)
        with torch.device("meta"):
            model = build_model(plan.model, arrays.vocab_size, plan.block_size)
        # The first steps are slow: memory is taken, threads start
        speed = statistics.median(line["tokens_per_second"] for line in metrics[PROBE_STEPS // 2 :])
        step_seconds = plan.tokens_per_step / speed
        seconds = plan.seconds or plan.steps * step_seconds
        steps = plan.steps or round(seconds / step_seconds)
        flops = steps * plan.tokens_per_step * sum(model.flops_per_token().values())
        name = run_model(comparison, run)
        print(
            f"{arrays.spec[-17:]:18}{name[:11]:12}{plan.block_size:>6}{plan.sequences:>6}{steps:>7,}"
            f"{(model.params_body() + model.params_embedding()) / 1e6:>7.2f}M{flops:>9.2g}"
            f"{clock(seconds):>8}{metrics[-1]['memory_gb']:>6.2f}GB"
        )
        number = len(comparison.seeds) + max(0, len(comparison.models[name].lr or []) - 1)
        for key, value in (("runs", 1), ("flops", flops), ("seconds", seconds)):
            total[key] += number * value
    print(
        f"\n{total['runs']} runs (seeds and swept learning rates counted), {total['flops']:.2g} FLOPs of "
        f"training,\n{clock(total['seconds'] / at_once)} at {at_once} at a time, without validation, test "
        "and the start of each run.\nBatch is in sequences, memory is that of a process."
    )


def run_model(comparison: Comparison, run: TrainConfig) -> str:
    """The name of a run's model."""
    return run.out.relative_to(comparison.folder / "runs").parts[1]


def probe(run: TrainConfig, out: Path, processes: int) -> TrainConfig:
    """The same run, for a few steps, somewhere else; compiled if the whole run would be."""
    compiles = run.compile
    if compiles == "auto":
        plan = run.plan(TokenArrays(run.data), processes)
        compiles = "on" if plan.worth_compiling(pick_device(run.device)) else "off"
    few = Budget(steps=PROBE_STEPS)
    return replace(run, out=out, budget=few, validations=1, wandb="disabled", compile=compiles)


def probe_job(comparison: Comparison, run: TrainConfig) -> Job:
    """The trainer on a probe."""
    run.out.mkdir(parents=True)
    run.write(run.out / "config.yaml")
    command = [sys.executable]
    if comparison.processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={comparison.processes}"]
    command += [str(ROOT / "train_ddp.py"), "--config", str(run.out / "config.yaml")]
    return Job(run_model_title(run), run.out / "train.log", [command])


def run_model_title(run: TrainConfig) -> str:
    """What a probe is called where it fails."""
    return f"{TokenArrays(run.data).spec} {run.model.kind}"


def clock(seconds: float) -> str:
    """A duration such as 45s, 12m or 3.5h."""
    if seconds < 100:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6000 else f"{seconds / 3600:.1f}h"
