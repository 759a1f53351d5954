"""Compare tokenizers: one comparison file in, one report out.

    python compare.py configs/shakespeare.yaml

A stage whose inputs and options are unchanged is skipped. An interrupted one is resumed. One whose inputs or
options have changed is made again; --replace allows it to discard finished work.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is silent during the imports, which take seconds

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from common.cli import Command, log, run_commands
from common.revision import code_revision
from comparison import Comparison
from comparison.config import TEST
from comparison.estimate import print_estimate
from comparison.local import RunJob, TrialJob, environments, module_command, run_jobs, train_command
from comparison.protocol import matched_contexts
from comparison.replace import refuse_to_discard
from comparison.runs import chosen_rates, counted_runs, known_runs, trained, trained_or_removed, trials
from comparison.stages import make_data
from eval.evaluate import evaluate_options, evaluation_of, evaluation_options, unscored_texts
from eval.intrinsic import measure_tokenizers
from eval.report.write import publish_report
from slurm.status import print_status
from slurm.submit import cancel_jobs, refuse_beside_jobs, submit_jobs


@dataclass(frozen=True)
class LocalOptions:
    """How runs share this machine."""

    jobs: int | None = None
    """training runs at a time (default: one per CPU core, or as many as the GPUs allow); with more than
    that, runs share GPUs"""

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs {self.jobs} must be at least 1")


@dataclass(frozen=True)
class RunOptions(LocalOptions):
    """How a comparison is run on this machine."""

    replace: bool = False
    """discard results that were made with other options"""


@dataclass(frozen=True)
class ClusterOptions:
    """The cluster."""

    cluster: Path = Path("slurm/cluster.yaml")
    """YAML file that describes the cluster (docs/slurm.md)"""


@dataclass(frozen=True)
class SubmitOptions(ClusterOptions):
    """How jobs are submitted."""

    dry_run: bool = False
    """print the sbatch commands instead of running them"""
    replace: bool = False
    """discard results that were made with other options"""


def run(comparison: Comparison, options: RunOptions) -> None:
    """Run the comparison on this machine, from the corpus to the report."""
    stop_on_signals()
    refuse_beside_jobs(comparison)
    refuse_to_discard(comparison, options.replace)
    at_once = environments(comparison, options.jobs)
    make_data(comparison, options.replace)
    comparison.freeze(code_revision())
    measure_tokenizers(comparison)
    train_sweeps(comparison, at_once, options.replace)
    train_and_evaluate(comparison, at_once, options.replace)
    report(comparison)


def plan(comparison: Comparison, options: LocalOptions) -> None:
    """Print the time, memory and compute of a run; changes nothing."""
    stop_on_signals()
    at_once = environments(comparison, options.jobs)
    print_estimate(comparison, at_once, unscored(comparison))


def submit(comparison: Comparison, options: SubmitOptions) -> None:
    """Submit jobs for everything missing to a Slurm cluster (docs/slurm.md)."""
    submit_jobs(comparison, options.cluster, code_revision(), options.dry_run, options.replace)


def status(comparison: Comparison, options: ClusterOptions) -> None:
    """Print the state of the jobs on the cluster."""
    print_status(comparison, options.cluster)


def cancel(comparison: Comparison) -> None:
    """Cancel the jobs of this comparison on the cluster."""
    cancel_jobs(comparison)


def report(comparison: Comparison) -> None:
    """Write the report of the runs that are evaluated so far."""
    refuse_beside_jobs(comparison)
    for line in publish_report(comparison):
        log(line)


def stop_on_signals() -> None:
    """Treat SIGTERM like Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def unscored(comparison: Comparison) -> dict[str, list[str]]:
    """The titles of the trained runs, each with the texts on which it is still to be scored."""
    there = {
        text: source
        for text, source in comparison.evaluate.items()
        if all((comparison.data(label, text) / "manifest.json").exists() for label in comparison.specs)
    }
    part, others = replace(comparison, evaluate=there), [t for t in comparison.texts if t not in there]
    found = {}
    for run in known_runs(comparison)[0]:
        with suppress(ValueError, OSError):  # not all data is there
            if trained(run):
                evaluation = evaluation_of(part, run, matched_contexts(part))
                found[run.title] = unscored_texts(evaluation) + others
    return found


def train_sweeps(comparison: Comparison, at_once: list[dict[str, str]], replace: bool) -> None:
    """Train the runs of learning-rate sweeps, and log the chosen rates."""
    waiting = [run for run in trials(comparison) if not trained_or_removed(run, trial=True, replace=replace)]
    jobs = []
    for trial in waiting:
        trial.config.write()
        jobs.append(TrialJob(trial, train_command(trial.folder / "config.yaml", comparison.processes)))
    run_jobs(jobs, at_once)
    for (tokenizer, name), lr in chosen_rates(comparison).items():
        rates = comparison.models[name].lr or []
        at_end = len(rates) > 1 and lr in (min(rates), max(rates))
        hint = ", at the end of the range: try more" if at_end else ""
        log(f"{tokenizer} {name}: learning rate {lr:g}, the best on validation text{hint}")


def train_and_evaluate(comparison: Comparison, at_once: list[dict[str, str]], replace: bool) -> None:
    """Train and evaluate every missing run, on all texts; when stopped, runs write a checkpoint."""
    jobs, done = [], 0
    matched = matched_contexts(comparison)
    runs = counted_runs(comparison)
    # First seeds first, so that every tokenizer soon has a row
    runs.sort(key=lambda run: comparison.seeds_of(run.model).index(run.seed))
    for counted in runs:
        texts = unscored_texts(evaluation_of(comparison, counted, matched))
        if trained(counted) and not texts:
            done += 1
            continue
        if trained_or_removed(counted, replace=replace):
            module, options = "eval.evaluate", evaluate_options(comparison, counted, matched)
        else:
            module, options = "eval.train_and_evaluate", evaluation_options(comparison, counted, matched)
            texts = [TEST, *comparison.texts]
        counted.config.write()
        jobs.append(RunJob(counted, module_command(module, options, comparison.processes), texts))
    if done:
        log(f"{done} of {done + len(jobs)} runs are done")
    run_jobs(jobs, at_once)


COMMANDS: list[Command] = [run, plan, submit, status, cancel, report]

if __name__ == "__main__":
    run_commands(COMMANDS, "Compare tokenizers: one comparison file in, one report out.")
