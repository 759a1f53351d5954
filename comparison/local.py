"""Jobs on this machine: runs and other commands, several at a time, each with its own log."""

import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from common.cli import log
from common.files import read_json
from common.revision import ROOT
from training import stop
from training.ranks import pick_device
from training.run import final_val_bpc
from training.tracking import read_metrics

from .config import TEST, Comparison, RunSpec
from .gpus import assign_gpus, visible_gpus


def environments(comparison: Comparison, jobs: int | None) -> list[dict[str, str]]:
    """The environment variables of each simultaneous run.

    There are `jobs` runs at a time (default: one per CPU core, or as many as the GPUs allow).

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
    # Threads that share a core wait for each other by spinning, which makes a step far slower.
    threads = str(max(1, cores // (len(found) * processes)))
    return [{"OMP_NUM_THREADS": threads, **child_environment(), **own} for own in found]


def child_environment() -> dict[str, str]:
    """The environment of this process, extended so that a child finds Codebook's modules."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def train_command(config: Path, processes: int) -> list[str]:
    """The command that trains the run of a config.yaml on this machine."""
    return [*launcher(processes), str(ROOT / "train_ddp.py"), "--config", str(config)]


def module_command(module: str, options: list[str], processes: int = 1) -> list[str]:
    """The command that runs a module of Codebook with options on this machine."""
    return [*launcher(processes), "-m", *(["--"] if processes > 1 else []), module, *options]


def launcher(processes: int) -> list[str]:
    """The beginning of a command that runs in this number of processes."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *(torchrun if processes > 1 else [])]


@dataclass
class Job:
    """A command with its own log."""

    title: str
    """its name in the progress bar and in an error"""
    kind: str
    """jobs of the same kind take about as long, such as the runs of one model"""
    log: Path
    """file of its output"""
    command: list[str]
    process: subprocess.Popen | None = None
    """the process, once started"""
    environment: dict[str, str] = field(default_factory=dict)
    """the environment of its process"""
    started: float = 0.0
    """start time, by time.monotonic()"""
    share_at_start: float = 0.0
    """the share of its work done by an earlier process"""

    def share(self) -> float:
        """The share of its work that is done, from 0 to 1."""
        return 0.0

    def result(self) -> str:
        """The result as text for the terminal, or an empty string."""
        return ""

    def may_fail(self) -> bool:
        """True if a failure is to be treated as a result."""
        return False

    def start(self, environment: dict[str, str]) -> None:
        """Start the process."""
        self.environment, self.started, self.share_at_start = environment, time.monotonic(), self.share()
        with open(self.log, "ab") as file:
            self.process = subprocess.Popen(self.command, stdout=file, stderr=file, env=environment)

    def done(self) -> bool:
        """True if the process has ended.

        Raises:
            ValueError, RuntimeError: it was refused or failed; the message quotes the end of its log.
            KeyboardInterrupt: it was stopped on request.
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
        return True

    def seconds(self) -> float | None:
        """Its estimated total time, from its progress; None while that is unknown."""
        elapsed, share = time.monotonic() - self.started, self.share() - self.share_at_start
        return elapsed / share * (1 - self.share_at_start) if share > 0.02 else None


class TrialJob(Job):
    """The training of a run of a learning-rate sweep."""

    def __init__(self, run: RunSpec, train: list[str]) -> None:
        super().__init__(run.title, run.model, run.folder / "train.log", train)
        self.run = run

    def share(self) -> float:
        """The share of its budget that is used."""
        return _trained_share(self.run)

    def result(self) -> str:
        """Its final validation result."""
        bpc = final_val_bpc(self.run.folder)
        if bpc is None or bpc == math.inf:
            return f"{self.title}: diverges"
        return f"{self.title}: {bpc:.4f} bits per character on validation text"

    def may_fail(self) -> bool:
        """True if it has diverged because its learning rate is too high."""
        return final_val_bpc(self.run.folder) == math.inf


class RunJob(Job):
    """A run of the comparison: its training, unless that is finished, and its evaluation on `texts`."""

    def __init__(self, run: RunSpec, command: list[str], texts: list[str]) -> None:
        super().__init__(run.title, run.model, run.folder / "train.log", command)
        self.run, self.texts = run, texts

    def share(self) -> float:
        """The share of its work that is done; the evaluation is assumed to be a tenth."""
        return 0.9 * _trained_share(self.run)

    def result(self) -> str:
        """Its scores."""
        found = []
        for text in self.texts:
            result = read_json(self.run.scores(text) / "result.json") or {}
            found.append(f"{result['test_bpc']:.4f} on {'the test split' if text == TEST else text}")
        return f"{self.title}: {', '.join(found)}".replace(" on ", " bits per character on ", 1)


def _trained_share(run: RunSpec) -> float:
    metrics = read_metrics(run.folder / "metrics.jsonl")
    return metrics[-1]["progress"] if metrics else 0.0


def run_jobs(jobs: Sequence[Job], environments: list[dict[str, str]], unit: str = "runs") -> None:
    """Run all jobs, one at a time in each environment; if one fails, all are stopped.

    A training job writes a checkpoint when it is stopped. Raises what `Job.done` raises.
    """
    waiting, active, free = list(jobs), list[Job](), list(environments)
    ended: list[tuple[str, float]] = []
    form = f"{{n_fmt}}/{{total_fmt}} {unit}, {{elapsed}}{{postfix}}"
    bar = tqdm(total=len(jobs), bar_format=form, disable=None, leave=False, dynamic_ncols=True)
    try:
        while waiting or active:
            while waiting and free:
                active.append(waiting.pop(0))
                active[-1].start(free.pop(0))
            time.sleep(0.2)
            for job in [job for job in active if job.done()]:
                active.remove(job)
                free.append(job.environment)
                ended.append((job.kind, time.monotonic() - job.started))
                bar.update()
                if result := job.result():
                    left = time_left(waiting, active, ended, len(environments)) if bar.disable else ""
                    log(f"{result}  ({len(ended)}/{len(jobs)}, {left})" if left else result)
            if not bar.disable:
                left = time_left(waiting, active, ended, len(environments))
                titles = ", ".join(f"{job.title} {job.share():.0%}" for job in active)
                bar.set_postfix_str(": ".join(filter(None, [left, titles])))
    finally:
        processes = [job.process for job in active if job.process]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        bar.close()


def time_left(waiting: list[Job], active: list[Job], ended: list[tuple[str, float]], at_once: int) -> str:
    """The time until all jobs have ended, such as "about 4 min left"; empty while it is unknown.

    The time of a job is estimated from jobs of its kind that have `ended` (kind and seconds), else from an
    active one of its kind, else from jobs of any kind.
    """
    known: dict[str, list[float]] = {}
    for kind, seconds in ended:
        known.setdefault(kind, []).append(seconds)
    for job in active:
        if job.kind not in known and (expected := job.seconds()):
            known[job.kind] = [expected]
    if not known:
        return ""
    any_kind = statistics.mean(chain.from_iterable(known.values()))
    left = sum(statistics.mean(known.get(job.kind, [any_kind])) for job in waiting)
    now = time.monotonic()
    for job in active:
        expected = job.seconds() or statistics.mean(known.get(job.kind, [any_kind]))
        left += max(0.0, expected - (now - job.started))
    return f"about {duration(left / at_once)} left" if waiting or active else ""


def duration(seconds: float) -> str:
    """A time span in words, such as "45 s", "12 min" or "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
