"""Print which jobs of a comparison are done, running, waiting or failed, and why."""

from pathlib import Path

from common.files import fingerprint
from comparison import Comparison
from comparison.replace import changed_options
from training.tracking import read_metrics

from .cluster import Cluster, read_cluster
from .graph import Stage, stages
from .state import Queued, Submitted, ended_as, read_queue, read_submitted


def print_status(comparison: Comparison, cluster_file: Path) -> None:
    """Print a line for each kind of job, and one for each task that is running or needs attention."""
    this, submitted = fingerprint(comparison.content()), read_submitted(comparison.folder)
    # On a machine without a cluster, status tells what `compare.py run` has done
    cluster = read_cluster(cluster_file) if submitted or cluster_file.exists() else Cluster()
    if changed := changed_options(comparison):
        print(f"the file has changed since it was last run or submitted ({', '.join(changed)})")
    queue = read_queue(submitted)
    summary: dict[str, dict[str, int]] = {}
    details: dict[str, list[str]] = {}
    for stage in stages(comparison, cluster, frozen=""):
        kind, _, of = stage.name.partition(" ")
        for place, done in enumerate(stage.done):
            number = str(place + 1) if stage.tasks else ""
            name = " ".join(filter(None, [of, stage.tasks[place] if stage.tasks else ""]))
            state, why = (
                ("done", "") if done else task_state(comparison.folder, stage, number, submitted, queue, this)
            )
            counts = summary.setdefault(kind, {})
            counts[state] = counts.get(state, 0) + 1
            if why:
                details.setdefault(kind, []).append(f"    {name or kind}: {state}{why}")
    for kind, counts in summary.items():
        print(f"{kind:10} {', '.join(f'{count} {state}' for state, count in counts.items())}")
        for line in details.get(kind, []):
            print(line)


def task_state(
    folder: Path,
    stage: Stage,
    number: str,
    submitted: list[Submitted],
    queue: dict[tuple[str, str], Queued],
    this: str,
) -> tuple[str, str]:
    """The state of a task whose output is missing, and details.

    Jobs of another version of the comparison do not count; `this` is the fingerprint of the present one.
    """
    jobs = [job for job in submitted if job.stage == stage.name and (number in job.tasks or not number)]
    if not jobs:
        return "not submitted", ""
    job = jobs[-1]
    id_ = f"{job.id}_{number}" if number else job.id
    if queued := queue.get((job.id, number)):
        if queued.state == "PENDING":
            waits = "" if queued.reason == "Dependency" else f", job {id_} ({queued.reason})"
            return "waiting", waits
        return "running", f" on {queued.nodes}, job {id_}{progress(folder, stage, number)}"
    if job.comparison != this:
        return "not submitted", ""
    ended = ended_as(id_)
    # A part of an encoding has no output of its own until all parts are done
    if ended == "COMPLETED" and stage.kind == "prep":
        return "done", ""
    if not ended and stage.name in ("prepare", "rates") and (folder / "slurm" / "runs.txt").exists():
        return "done", ""
    log = job.log(folder, number)
    last = last_error(log)
    if not last or ended.startswith("CANCELLED"):
        return "cancelled", f", job {id_}: {ended or 'a job that it depends on failed'}"
    return "failed", f", job {id_} {ended}\n        {last}\n        {log}"


def progress(folder: Path, stage: Stage, number: str) -> str:
    """The progress of a training run."""
    if stage.kind != "train":
        return ""
    metrics = read_metrics(folder / "runs" / stage.tasks[int(number) - 1] / "metrics.jsonl")
    return f", {metrics[-1]['progress']:.0%}" if metrics else ""


def last_error(log: Path) -> str:
    """The last line of Codebook's in a log or, without one, its last line; empty if the log is empty."""
    if not log.exists():
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    ours = [line.removeprefix("codebook: ") for line in lines if line.startswith("codebook: ")]
    return (ours or lines or [""])[-1]
