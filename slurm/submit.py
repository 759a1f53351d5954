"""Submit the missing jobs of a comparison, and cancel submitted ones."""

import re
import shlex
from pathlib import Path

from common.files import fingerprint
from comparison import Comparison
from comparison.replace import refuse_to_discard
from data_prep.corpus import make_corpus
from data_prep.sources import needs_network
from data_prep.tokenizer import make_tokenizer
from tokenizers import PUBLISHED, published_files

from .cluster import Cluster, read_cluster
from .freeze import freeze, frozen_folder
from .graph import Stage, stages
from .state import Submitted, add_submitted, read_queue, read_submitted, slurm

# For each stage, the task numbers that are waiting or running, with the ids of their jobs: 12, or 12_3
Doing = dict[str, dict[str, str]]


def submit_jobs(
    comparison: Comparison, cluster_file: Path, revision: str, dry_run: bool, replace: bool = False
) -> None:
    """Submit the jobs that are neither done, waiting nor running, and print what each waits for.

    Raises:
        ValueError: sbatch refuses a job (earlier ones stay submitted), jobs of an earlier version of the
            comparison are active, or results of other options would be discarded without `replace`.
    """
    cluster = read_cluster(cluster_file)
    submitted, folder = read_submitted(comparison.folder), comparison.folder
    queue = read_queue(submitted)
    this = fingerprint(comparison.content())
    active = [job for job in submitted if any(id_ == job.id for id_, _ in queue)]
    refuse_beside(comparison, active)
    refuse_to_discard(comparison, replace)
    if dry_run:
        frozen = frozen_folder(comparison, cluster_file)
    else:
        make_what_needs_a_network(comparison, replace)
        frozen = freeze(comparison, cluster_file, revision)
        (folder / "slurm" / "logs").mkdir(exist_ok=True)

    doing: Doing = {}
    for job in active:
        numbers = [number for id_, number in queue if id_ == job.id]
        tasks = {number: f"{job.id}_{number}" if number else job.id for number in numbers}
        doing.setdefault(job.stage, {}).update(tasks)
    found = stages(comparison, cluster, str(frozen), replace)
    missing = {stage.name: missing_tasks(stage, doing) for stage in found}
    if missing.get("trials") and "rates" in doing:  # it would not wait for the new trials
        redone = [doing.pop(name, {}).values() for name in ("rates", "train", "evaluate", "report")]
        if not dry_run:
            slurm("scancel", *{id_ for ids in redone for id_ in ids})
        missing |= {stage.name: missing_tasks(stage, doing) for stage in found}
    if not any(missing[need] for need in ("train", "evaluate")):
        missing["rates" if "rates" in missing else "prepare"] = []  # it would have nothing to do
    if "rates" in missing and not missing["trials"]:
        missing["prepare"] = []
    if any(missing.values()) and "report" in doing and not dry_run:
        slurm("scancel", *doing.pop("report").values())  # it would not wait for the new jobs
        missing["report"] = [""]

    count = 0
    for stage in found:
        for waits, numbers in groups(stage, missing[stage.name], doing).items():
            name = re.sub(r"[^\w.-]+", ".", f"{comparison.name}.{stage.name}")  # also names the log file
            command = sbatch(stage, cluster, frozen, name, numbers, waits, folder)
            variables = {"CODEBOOK_ENVIRONMENT": str(frozen / "environment.sh")}
            if dry_run:
                print(shlex.join(["env", *(f"{k}={v}" for k, v in variables.items()), *command]))
                id_ = f"<{stage.name}>"
            else:
                id_ = slurm(*command, **variables).split(";")[0]
                tasks = {number: stage.tasks[int(number) - 1] for number in numbers if number}
                add_submitted(folder, Submitted(id_, stage.name, name, this, tasks))
                jobs = "1 job" if len(numbers) == 1 else f"{len(numbers)} jobs"
                what = stage.name + (f" ({jobs})" if stage.tasks else "")
                print(f"{id_:>8}  {what}" + (f", {waits}" if waits else ""))
            doing.setdefault(stage.name, {}).update(dict.fromkeys(numbers, id_))
            count += 1
    if not count:
        print("nothing to submit: all jobs are done, waiting or running")
    elif not dry_run:
        print(f"\njobs and arrays submitted: {count}; follow them with compare.py status")


def missing_tasks(stage: Stage, doing: Doing) -> list[str]:
    """The numbers of a stage's tasks that are neither done, waiting nor running; "" for a single job."""
    numbers = [str(number) for number in range(1, len(stage.tasks) + 1)] or [""]
    on_their_way = doing.get(stage.name, {})
    if on_their_way and stage.name.startswith("encode"):
        return []  # each part K/N needs the whole array of N tasks
    return [n for n, done in zip(numbers, stage.done, strict=True) if not done and n not in on_their_way]


def groups(stage: Stage, missing: list[str], doing: Doing) -> dict[str, list[str]]:
    """The missing tasks, grouped by their value of sbatch's --dependency."""
    found: dict[str, list[str]] = {}
    for number in missing:
        waits = []
        for need, how in stage.needs.items():
            tasks = doing.get(need, {})
            if how == "aftercorr":  # task k for task k
                tasks = {number: tasks[number]} if number in tasks else {}
                how = "afterok" if any("_" in id_ for id_ in tasks.values()) else how
            if tasks:
                waits.append(":".join([how, *dict.fromkeys(tasks.values())]))
        found.setdefault(",".join(waits), []).append(number)
    return found


def sbatch(
    stage: Stage, cluster: Cluster, frozen: Path, name: str, numbers: list[str], waits: str, folder: Path
) -> list[str]:
    """The sbatch command that submits tasks of a stage."""
    array = "%A_%a" if stage.tasks else "%j"
    log = folder / "slurm" / "logs" / f"{name}-{array}.log"
    at_once = f"%{cluster.runs_at_once}" if stage.kind == "train" and cluster.runs_at_once else ""
    return [
        "sbatch",
        "--parsable",
        f"--job-name={name}",
        *([f"--array={ranges(numbers)}{at_once}"] if stage.tasks else []),
        *([f"--dependency={waits}", "--kill-on-invalid-dep=yes"] if waits else []),
        f"--output={log}",
        "--export=ALL",
        *cluster.options(stage.kind),
        str(frozen / "code" / "slurm" / stage.command[0]),
        *stage.command[1:],
    ]


def ranges(numbers: list[str]) -> str:
    """Sorted numbers in Slurm's notation, such as 1-3,5."""
    found: list[list[int]] = []
    for number in map(int, numbers):
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ",".join("-".join(map(str, ends)) for ends in found)


def refuse_beside_jobs(comparison: Comparison) -> None:
    """Refuse to change anything while jobs of an earlier version of the comparison are active.

    Raises:
        ValueError: there are such jobs.
    """
    submitted, this = read_submitted(comparison.folder), fingerprint(comparison.content())
    if any(job.comparison != this for job in submitted):
        queue = read_queue(submitted)
        refuse_beside(comparison, [job for job in submitted if any(id_ == job.id for id_, _ in queue)])


def refuse_beside(comparison: Comparison, active: list[Submitted]) -> None:
    """As `refuse_beside_jobs`; `active` are the jobs that wait or run."""
    this = fingerprint(comparison.content())
    if other := [job.id for job in active if job.comparison != this]:
        raise ValueError(
            f"{comparison.name} has changed, and jobs of its old version are active ({', '.join(other)}): "
            "wait for them, or cancel them with compare.py cancel"
        )


def make_what_needs_a_network(comparison: Comparison, replace: bool) -> None:
    """Download corpora and published tokenizers here, as the nodes of a cluster may have no network."""
    corpus = None
    if needs_network(comparison.corpus.source):
        corpus = make_corpus(comparison.corpus, comparison.folder / "corpus", replace)
    for text, source in comparison.texts.items():
        if needs_network(source.source):
            make_corpus(source, comparison.text_folder(text) / "corpus", replace)
    for label, spec in comparison.specs.items():
        if spec.partition(":")[0] in PUBLISHED and not published_files(spec):
            make_tokenizer(corpus, spec, comparison.data(label) / "tokenizer", replace=replace)


def cancel_jobs(comparison: Comparison) -> None:
    """Cancel all waiting and running jobs of the comparison, and no others."""
    queue = read_queue(read_submitted(comparison.folder))
    ids = sorted({id_ for id_, _ in queue}, key=int)
    if ids:
        slurm("scancel", *ids)
    print(f"cancelled: {', '.join(ids)}" if ids else "this comparison has no waiting or running jobs")
