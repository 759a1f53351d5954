"""Compare tokenizers: one comparison file in, one report out.

    python compare.py configs/shakespeare.yaml

Every stage is skipped when what it was made from is unchanged, an interrupted one is resumed, and one whose
inputs or options changed is done again.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C during the imports, which take seconds, is silent

from dataclasses import dataclass
from pathlib import Path

from common.cli import Command, log, run_commands
from common.revision import code_revision
from comparison import Comparison
from comparison.estimate import print_estimate
from comparison.local import Job, RunJob, TrialJob, environments, evaluate_command, run_jobs, train_command
from comparison.protocol import matched_context
from comparison.runs import chosen_rates, counted_runs, trained_or_removed, trials
from comparison.stages import make_data
from eval.evaluate import evaluate_options, evaluated
from eval.intrinsic import measure_tokenizers
from eval.report.write import publish_report
from slurm.status import print_status
from slurm.submit import cancel_jobs, submit_jobs


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
class ClusterOptions:
    """The cluster."""

    cluster: Path = Path("slurm/cluster.yaml")
    """YAML file that describes the cluster (docs/slurm.md)"""


@dataclass(frozen=True)
class SubmitOptions(ClusterOptions):
    """How jobs are submitted."""

    dry_run: bool = False
    """print the sbatch commands instead of running them"""


def run(comparison: Comparison, options: LocalOptions) -> None:
    """Run the comparison on this machine, from the corpus to the report."""
    stop_on_signals()
    at_once = environments(comparison, options.jobs)
    make_data(comparison)
    comparison.freeze(code_revision())
    measure_tokenizers(comparison)
    train_sweeps(comparison, at_once)
    train_and_evaluate(comparison, at_once)
    report(comparison)


def plan(comparison: Comparison, options: LocalOptions) -> None:
    """Time a few steps of each run and print how long all would take."""
    stop_on_signals()
    at_once = environments(comparison, options.jobs)
    make_data(comparison)
    print_estimate(comparison, at_once)


def submit(comparison: Comparison, options: SubmitOptions) -> None:
    """Submit jobs for everything missing to a Slurm cluster (docs/slurm.md)."""
    submit_jobs(comparison, options.cluster, code_revision(), options.dry_run)


def status(comparison: Comparison, options: ClusterOptions) -> None:
    """Print the state of the jobs on the cluster."""
    print_status(comparison, options.cluster)


def cancel(comparison: Comparison) -> None:
    """Cancel the jobs of this comparison on the cluster."""
    cancel_jobs(comparison)


def report(comparison: Comparison) -> None:
    """Write the report of a comparison whose runs are evaluated."""
    for line in publish_report(comparison):
        log(line)


def stop_on_signals() -> None:
    """Stop alike on a Ctrl-C and when asked to terminate."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def train_sweeps(comparison: Comparison, at_once: list[dict[str, str]]) -> None:
    """Train a run for every learning rate that is tried, and say which are kept."""
    waiting = [run for run in trials(comparison) if not trained_or_removed(run, trial=True)]
    jobs: list[Job] = []
    for trial in waiting:
        trial.config.write()
        jobs.append(TrialJob(trial, train_command(trial.folder / "config.yaml", comparison.processes)))
    run_jobs(jobs, at_once)
    for (tokenizer, name), lr in chosen_rates(comparison).items():
        rates = comparison.models[name].lr or []
        at_end = len(rates) > 1 and lr in (min(rates), max(rates))
        hint = ", the last of those tried on this side: try more" if at_end else ""
        log(f"{tokenizer} {name}: learning rate {lr:g}, the best on validation text{hint}")


def train_and_evaluate(comparison: Comparison, at_once: list[dict[str, str]]) -> None:
    """Train and evaluate every run that is not done; on a stop all write a checkpoint."""
    jobs: list[Job] = []
    matched = matched_context(comparison)
    for counted in counted_runs(comparison):
        if evaluated(comparison, counted, matched):
            log(f"{counted.title}: done")
            continue
        train = []
        if not trained_or_removed(counted):
            train = train_command(counted.folder / "config.yaml", comparison.processes)
        counted.config.write()
        options = evaluate_options(comparison, counted, matched)
        evaluate = evaluate_command(options, comparison.processes)
        jobs.append(RunJob(counted, train, evaluate))
    run_jobs(jobs, at_once)


COMMANDS: list[Command] = [run, plan, submit, status, cancel, report]

if __name__ == "__main__":
    run_commands(COMMANDS, "Compare tokenizers: one comparison file in, one report out.")
