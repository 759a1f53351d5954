"""Commands that run beside each other, as processes with logs of their own."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from training import stop

ROOT = Path(__file__).resolve().parent


@dataclass
class Job:
    """Commands that follow each other, such as a training and its evaluation."""

    title: str
    """what the progress bar and an error call it"""
    log: Path
    """where its output goes"""
    commands: list[list[str]]
    """what is left to start"""
    where: Callable[[], str] = lambda: ""
    """how far it is, for the progress bar"""
    ended: Callable[[], None] = lambda: None
    """called when it is done"""
    may_fail: Callable[[], bool] = lambda: False
    """whether its failure is a result like others"""
    process: subprocess.Popen | None = None
    """what is running"""

    def start(self, env: dict[str, str]) -> None:
        """Start the next command."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.commands.pop(0), stdout=log, stderr=log, env=env)

    def done(self, env: dict[str, str]) -> bool:
        """Whether the last command has ended; starts the next one where one has.

        Raises:
            ValueError, RuntimeError: a command was refused or failed; says what its log ends with.
            KeyboardInterrupt: the trainer was asked to stop, and has.
        """
        code = self.process.poll()
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
            self.start(env)
            return False
        self.ended()
        return True


def run_jobs(jobs: list[Job], at_once: int, processes: int) -> None:
    """Run all jobs, `at_once` at a time, each of `processes` processes; when one fails all are stopped.

    A training that is stopped writes a checkpoint. Raises what `Job.done` raises.
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Threads of processes that share a core wait for each other by spinning: a step takes far longer.
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // (at_once * processes))))
    waiting, active = list(jobs), []
    form = "{n_fmt}/{total_fmt} runs, {elapsed}{postfix}"
    progress = tqdm(total=len(jobs), bar_format=form, disable=None, leave=False)
    try:
        while waiting or active:
            while waiting and len(active) < at_once:
                active.append(waiting.pop(0))
                active[-1].start(env)
            time.sleep(0.2)
            for job in [job for job in active if job.done(env)]:
                active.remove(job)
                progress.update()
            if not progress.disable:
                progress.set_postfix_str(", ".join(f"{job.title} {job.where()}" for job in active))
    finally:
        for job in active:
            job.process.terminate()
        for job in active:
            job.process.wait()
        progress.close()
