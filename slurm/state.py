"""What has become of a comparison's jobs on the cluster."""

import os
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common.files import read_json, write_json


@dataclass(frozen=True)
class Submitted:
    """A job, or an array of them, that was handed to sbatch."""

    id: str
    """Slurm's id of the job or array"""
    stage: str
    """what it does"""
    name: str
    """Slurm's name of it"""
    comparison: str
    """fingerprint of the comparison file's content"""
    tasks: dict[str, str] = field(default_factory=dict)
    """of an array, each task's number and what it is called"""

    def log(self, folder: Path, number: str) -> Path:
        """Where a task's output goes; `number` is empty for a job that is no array."""
        return folder / "slurm" / "logs" / f"{self.name}-{self.id}{'_' * bool(number)}{number}.log"


@dataclass(frozen=True)
class Queued:
    """A job or a task of an array that waits, runs or ends just now."""

    state: str
    """Slurm's word, such as PENDING"""
    reason: str
    """why it waits"""
    nodes: str
    """where it runs"""


def slurm(*command: str, **variables: str) -> str:
    """What a command of Slurm's prints, called with `variables` in its environment.

    What the job in which this may run got from Slurm is not handed on.

    Raises:
        ValueError: it is not there or refuses; says why.
    """
    try:
        kept = ("SLURM_CONF", "SLURM_CLUSTERS")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in kept}
        done = subprocess.run(command, capture_output=True, text=True, env=inherited | variables)
    except FileNotFoundError:
        raise ValueError(f"{command[0]} is not found: run this where jobs are submitted from") from None
    if done.returncode:
        raise ValueError(f"{command[0]}: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout.strip()


def read_submitted(folder: Path) -> list[Submitted]:
    """Every job that was submitted for a comparison, the newest last."""
    records = read_json(folder / "slurm" / "jobs.json") or {"jobs": []}
    return [Submitted(**record) for record in records["jobs"]]


def add_submitted(folder: Path, job: Submitted) -> None:
    """Keep in mind that a job was submitted."""
    jobs = [asdict(each) for each in [*read_submitted(folder), job]]
    write_json(folder / "slurm" / "jobs.json", {"jobs": jobs})


def read_queue(jobs: list[Submitted]) -> dict[tuple[str, str], Queued]:
    """Which of them Slurm has in its queue: by id and number of the task, empty where it is no array.

    Jobs are told by id and name: a cluster gives ids out again.
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
    """Slurm's word for how a job ended, such as TIMEOUT; empty where Slurm has forgotten it."""
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
