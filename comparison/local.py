"""Runs on this machine: commands that follow each other, several at a time, each with a log of its own."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from common.cli import log
from common.files import read_json
from common.revision import ROOT
from training import stop
from training.ranks import pick_device
from training.run import final_val_bpc
from training.tracking import read_metrics

from .config import Comparison, RunSpec
from .gpus import assign_gpus, visible_gpus


def environments(comparison: Comparison, jobs: int | None) -> list[dict[str, str]]:
    """What the environment holds for each of the runs that train at a time.

    There are `jobs` of them, or one per CPU core, or as many as there are GPUs for; each then has its own.

    Raises:
        ValueError: as `assign_gpus`.
    """
    cores, processes = os.cpu_count() or 1, comparison.processes
    if pick_device(comparison.execution.device) == "cpu":
        found: list[dict[str, str]] = [{} for _ in range(jobs or max(1, cores // processes))]
    else:
        assigned = assign_gpus(visible_gpus(), processes, jobs)
        found = [
            {"CUDA_VISIBLE_DEVICES": gpus, "RUNS_PER_GPU": str(assigned.count(gpus))} for gpus in assigned
        ]
    # Threads of processes that share a core wait for each other by spinning: a step takes far longer.
    threads = str(max(1, cores // (len(found) * processes)))
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    inherited = {"OMP_NUM_THREADS": threads, **os.environ, "PYTHONPATH": path}
    return [{**inherited, **own} for own in found]


def train_command(config: Path, processes: int) -> list[str]:
    """The command that trains the run of a config.yaml on this machine."""
    return [*launcher(processes), str(ROOT / "train_ddp.py"), "--config", str(config)]


def evaluate_command(options: list[str], processes: int) -> list[str]:
    """The command that evaluates a run on this machine; its `options` are those of eval.evaluate."""
    return [*launcher(processes), "-m", *(["--"] if processes > 1 else []), "eval.evaluate", *options]


def launcher(processes: int) -> list[str]:
    """What a command begins with that so many processes run together."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *(torchrun if processes > 1 else [])]


@dataclass
class Job:
    """Commands that follow each other."""

    title: str
    """its name in the progress bar and in an error"""
    log: Path
    """where its output goes"""
    commands: list[list[str]]
    """what is left to start"""
    process: subprocess.Popen | None = None
    """what runs, or ran last"""
    environment: dict[str, str] = field(default_factory=dict)
    """of what it runs"""

    def progress(self) -> str:
        """How far it is, for the progress bar."""
        return ""

    def result(self) -> str:
        """What came of it, for the terminal; empty where there is nothing to say."""
        return ""

    def may_fail(self) -> bool:
        """Whether its failure is a result like others."""
        return False

    def start(self, environment: dict[str, str]) -> None:
        """Start the next command; those that follow it have the same environment."""
        self.environment = environment
        with open(self.log, "ab") as file:
            self.process = subprocess.Popen(self.commands.pop(0), stdout=file, stderr=file, env=environment)

    def done(self) -> bool:
        """Whether the last command has ended; starts the next one where one has.

        Raises:
            ValueError, RuntimeError: a command was refused or failed; says what its log ends with.
            KeyboardInterrupt: the trainer was asked to stop, and has.
        """
        code = self.process.poll() if self.process else None
        if code is None:
            return False
        if code in (stop.STOPPED, 128 + signal.SIGINT):
            raise KeyboardInterrupt
        if code and not self.may_fail():
            lines = self.log.read_text(errors="replace").splitlines()
            ours = [line.removeprefix("codebook: ") for line in lines if line.startswith("codebook: ")]
            kind = ValueError if code == 2 else RuntimeError
            raise kind(f"{self.title} failed: {(ours or lines or ['no output'])[-1]} ({self.log})")
        if self.commands:
            self.start(self.environment)
            return False
        return True


class TrialJob(Job):
    """The training of a run whose learning rate is tried."""

    def __init__(self, run: RunSpec, train: list[str]) -> None:
        super().__init__(run.title, run.folder / "train.log", [train])
        self.run = run

    def progress(self) -> str:
        """The share of its budget that is used up."""
        return _share(self.run)

    def result(self) -> str:
        """What it has learnt."""
        bpc = final_val_bpc(self.run.folder)
        if bpc is None or bpc == math.inf:
            return f"{self.title}: diverges"
        return f"{self.title}: {bpc:.4f} bits per character on validation text"

    def may_fail(self) -> bool:
        """Whether it has diverged: its learning rate is too high."""
        return final_val_bpc(self.run.folder) == math.inf


class RunJob(Job):
    """A run that counts: its training, unless that is done, and its evaluation."""

    def __init__(self, run: RunSpec, train: list[str], evaluate: list[str]) -> None:
        super().__init__(
            run.title, run.folder / "train.log", [command for command in (train, evaluate) if command]
        )
        self.run = run

    def progress(self) -> str:
        """The share of its budget that is used up, or that it is evaluated."""
        return _share(self.run) if self.commands else "test"

    def result(self) -> str:
        """What it scored."""
        result = read_json(self.run.folder / "result.json") or {}
        return f"{self.title}: {result['test_bpc']:.4f} bits per character on the test split"


def _share(run: RunSpec) -> str:
    metrics = read_metrics(run.folder / "metrics.jsonl")
    return f"{metrics[-1]['progress']:.0%}" if metrics else "starts"


def run_jobs(jobs: list[Job], environments: list[dict[str, str]]) -> None:
    """Run all jobs, one at a time in each of the environments; when one fails all are stopped.

    A training that is stopped writes a checkpoint. Raises what `Job.done` raises.
    """
    waiting, active, free = list(jobs), list[Job](), list(environments)
    form = "{n_fmt}/{total_fmt} runs, {elapsed}{postfix}"
    bar = tqdm(total=len(jobs), bar_format=form, disable=None, leave=False)
    try:
        while waiting or active:
            while waiting and free:
                active.append(waiting.pop(0))
                active[-1].start(free.pop(0))
            time.sleep(0.2)
            for job in [job for job in active if job.done()]:
                active.remove(job)
                free.append(job.environment)
                bar.update()
                if result := job.result():
                    log(result)
            if not bar.disable:
                bar.set_postfix_str(", ".join(f"{job.title} {job.progress()}" for job in active))
    finally:
        processes = [job.process for job in active if job.process]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        bar.close()
