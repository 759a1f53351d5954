"""The submitted jobs of a comparison, and their state in Slurm."""

import os
import re
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common.files import read_json, write_json


@dataclass(frozen=True)
class Submitted:
    """A submitted job, or an array of jobs."""

    id: str
    """Slurm's id of the job or array"""
    stage: str
    """name of its stage"""
    name: str
    """its name in Slurm"""
    comparison: str
    """fingerprint of the comparison file's content"""
    tasks: dict[str, str] = field(default_factory=dict)
    """for an array: number and name of each task"""

    def log(self, folder: Path, number: str) -> Path:
        """The log file of a task; `number` is empty for a single job."""
        return folder / "slurm" / "logs" / f"{self.name}-{self.id}{'_' * bool(number)}{number}.log"


@dataclass(frozen=True)
class Queued:
    """A job, or a task of an array, in Slurm's queue: waiting, running or ending."""

    state: str
    """Slurm's state, such as PENDING"""
    reason: str
    """reason for waiting"""
    nodes: str
    """nodes on which it runs"""


def slurm(*command: str, **variables: str) -> str:
    """Run a command of Slurm, with `variables` added to its environment, and return its output.

    If this process itself runs in a job, the variables that Slurm set for that job are not passed on.

    Raises:
        ValueError: the command is missing or fails; gives the reason.
    """
    try:
        kept = ("SLURM_CONF", "SLURM_CLUSTERS")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in kept}
        done = subprocess.run(command, capture_output=True, text=True, env=inherited | variables)
    except FileNotFoundError:
        raise ValueError(f"{command[0]} is not installed: run this on a machine that submits jobs") from None
    if done.returncode:
        # Each line has the prefix already
        lines = [re.sub(rf"^{command[0]}: (error: )?", "", line) for line in done.stderr.splitlines()]
        said = "; ".join(line.strip() for line in lines if line.strip())
        raise ValueError(f"{command[0]}: {said or f'exit code {done.returncode}'}")
    return done.stdout.strip()


def read_submitted(folder: Path) -> list[Submitted]:
    """All jobs that were submitted for a comparison, the newest last."""
    records = read_json(folder / "slurm" / "jobs.json") or {"jobs": []}
    return [Submitted(**record) for record in records["jobs"]]


def add_submitted(folder: Path, job: Submitted) -> None:
    """Record a submitted job."""
    jobs = [asdict(each) for each in [*read_submitted(folder), job]]
    write_json(folder / "slurm" / "jobs.json", {"jobs": jobs})


def read_queue(jobs: list[Submitted]) -> dict[tuple[str, str], Queued]:
    """The jobs that are in Slurm's queue, by id and task number, which is empty for a single job.

    Jobs are identified by id and name, because clusters reuse ids.
    """
    if not jobs:
        return {}
    names = {job.id: job.name for job in jobs}
    found = {}
    listing = slurm("squeue", "--me", "--noheader", "--array", "--format=%i|%T|%r|%N|%j")
    for line in listing.splitlines():
        full, state, reason, nodes, name = line.split("|", 4)
        id_, _, number = full.partition("_")
        if names.get(id_) == name and reason != "DependencyNeverSatisfied":  # about to be cancelled
            found[id_, number] = Queued(state, reason, nodes)
    return found


def ended_as(id_: str) -> str:
    """The final state of a job in Slurm, such as TIMEOUT; empty if Slurm no longer knows the job."""
    for command, start in (
        (["sacct", "--noheader", "--allocations", f"--jobs={id_}", "--format=State%30"], ""),
        (["scontrol", "--oneliner", "show", "job", id_], "JobState="),
    ):
        try:
            text = slurm(*command)
        except ValueError:
            continue
        words = [word.removeprefix(start) for word in text.split() if word.startswith(start)]
        if words:
            return words[0]
    return ""
