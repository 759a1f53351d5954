"""One comparison file in, one report out: the front door.

    python compare.py comparisons/shakespeare.yaml

Every stage is skipped when what it was made from is unchanged, an interrupted one goes on, and one whose
inputs or options changed is done again.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C during the imports, which take seconds, is silent

import math
import os
import shlex
import sys

from tqdm import tqdm

from command_line import run_command
from comparison import Comparison
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from eval.evaluate import check_test_length
from eval.intrinsic import measure_tokenizers
from eval.protocol import matched_context
from eval.report import publish_report
from eval.results import read_comparison
from eval.sweep import final_val_bpc
from expected import print_plan
from jobs import Job, run_jobs
from publish import read_json, write_file
from revision import code_revision
from runs import (
    chosen_rates,
    evaluated,
    evaluation,
    remove_changed,
    title,
    train_command,
    trained,
    trials,
    write_config,
)
from slurm.status import print_status
from slurm.submit import cancel, submit
from tokenizers import Tokenizer
from training.budget import plan_block_size
from training.config import TrainConfig
from training.ranks import pick_device
from training.tracking import read_metrics


def main(comparison: Comparison) -> None:
    """Run the comparison from where it is to its report."""
    for number in (signal.SIGINT, signal.SIGTERM):  # asked to stop either way
        signal.signal(number, signal.default_int_handler)
    if comparison.launcher == "slurm" or comparison.status or comparison.cancel:
        on_cluster(comparison)
        return
    folder = comparison.folder
    corpus = make_corpus(comparison.corpus, folder / "corpus")
    splits = corpus.manifest["splits"]
    documents = " / ".join(str(counts["documents"]) for counts in splits.values())
    chars = sum(counts["chars"] for counts in splits.values())
    say(f"corpus {comparison.corpus.source}: {documents} documents, {chars:,} characters")
    # All tokenizers before any arrays: a size that the corpus cannot fill leaves the arrays as they are
    tokenizers = [
        make_tokenizer(corpus, spec, comparison.data(spec) / "tokenizer", comparison.train_chars)
        for spec in comparison.tokenizers
    ]
    for tokenizer in tokenizers:
        encode(comparison, corpus, tokenizer)
    for run in comparison.first_runs():
        run.plan(TokenArrays(run.data), comparison.processes)  # refused before any run is touched
    if comparison.plan:
        print_plan(comparison, jobs_at_once(comparison))
        return
    comparison.freeze(code_revision())
    measure_tokenizers(folder, comparison.tokenizers)
    if comparison.prepare:
        prepare(comparison)
        return
    train_sweeps(comparison)
    train_and_evaluate(comparison)
    for line in publish_report(folder):
        say(line)


def on_cluster(comparison: Comparison) -> None:
    """Have a Slurm cluster run the comparison, or say what it does, or have it stop."""
    if comparison.cancel:
        cancel(comparison)
    elif comparison.status:
        print_status(comparison)
    else:
        submit(comparison, code_revision())


def say(line: str) -> None:
    """A line for the person who watches, at once; above the progress bar where there is one."""
    tqdm.write(line)
    sys.stdout.flush()


def encode(comparison: Comparison, corpus: Corpus, tokenizer: Tokenizer) -> None:
    """The arrays of a tokenizer, and whether they are enough text for the context."""
    spec = tokenizer.spec
    folder, allow_lossy = comparison.data(spec), comparison.allow_lossy
    arrays = make_arrays(corpus, tokenizer, folder, allow_lossy=allow_lossy)
    train_split = arrays.split("train")
    check_test_length(arrays.split("test"), plan_block_size(comparison.context, train_split))
    say(
        f"tokenizer {spec}: vocabulary {arrays.vocab_size:,}, "
        f"{train_split.chars_per_token:.3f} characters a token"
    )


def jobs_at_once(comparison: Comparison) -> int:
    """Training runs at a time: one per CPU core, or one where there is a GPU."""
    cores = os.cpu_count() or 1
    here = max(1, cores // comparison.processes) if pick_device(comparison.device) == "cpu" else 1
    return comparison.jobs or here


def prepare(comparison: Comparison) -> None:
    """Write the config.yaml of every run that is known, after the sweeps those with the chosen rates too.

    Of the trials, the runs and their evaluations there are lists, a line each, for arrays of jobs.
    """
    trying = trials(comparison)
    write_list(comparison, "trials", [str(run.out) for run in trying])
    missing = [run for run in trying if not trained_or_removed(comparison, run, trial=True)]
    if missing and comparison.rates:
        raise ValueError(f"{title(comparison, missing[0])} has not ended: train it, or submit again")
    runs = [] if missing else comparison.runs(chosen_rates(comparison))
    for run in missing or runs:
        trained_or_removed(comparison, run)
        write_config(run)
        say(f"{run.out / 'config.yaml'}")
    matched = matched_context(read_comparison(comparison.folder), comparison.folder)
    write_list(comparison, "runs", [str(run.out) for run in runs])
    write_list(comparison, "evaluations", [shlex.join(evaluation(comparison, run, matched)) for run in runs])


def write_list(comparison: Comparison, name: str, lines: list[str]) -> None:
    """Write a list for `slurm/sweep.sbatch` and `slurm/evaluate.sbatch`, which take a line of it."""
    folder = comparison.folder / "slurm"
    folder.mkdir(exist_ok=True)
    write_file(folder / f"{name}.txt", "".join(f"{line}\n" for line in lines))


def train_sweeps(comparison: Comparison) -> None:
    """Train a run for every learning rate that is tried, and say which are kept."""
    waiting = [run for run in trials(comparison) if not trained_or_removed(comparison, run, trial=True)]
    jobs = [job(comparison, run, [train_command(comparison, run)]) for run in waiting]
    run_jobs(jobs, jobs_at_once(comparison), comparison.processes)
    for (spec, name), lr in chosen_rates(comparison).items():
        rates = comparison.models[name].lr
        at_end = len(rates) > 1 and lr in (min(rates), max(rates))
        hint = ", the last of those tried on this side: try more" if at_end else ""
        say(f"{spec} {name}: learning rate {lr:g}, the best on validation text{hint}")


def train_and_evaluate(comparison: Comparison) -> None:
    """Train and evaluate every run that is not done; on a stop all write a checkpoint."""
    matched = matched_context(read_comparison(comparison.folder), comparison.folder)
    waiting = []
    for run in comparison.runs(chosen_rates(comparison)):
        if evaluated(comparison, run, matched):
            say(f"{title(comparison, run)}: done")
            continue
        train = [] if trained_or_removed(comparison, run) else [train_command(comparison, run)]
        evaluate = [sys.executable, "-m", "eval.evaluate", *evaluation(comparison, run, matched)]
        waiting.append(job(comparison, run, [*train, evaluate]))
    run_jobs(waiting, jobs_at_once(comparison), comparison.processes)


def trained_or_removed(comparison: Comparison, run: TrainConfig, trial: bool = False) -> bool:
    """Whether the run has ended; one with other options or data is removed, aloud."""
    if differs := remove_changed(run):
        say(f"{title(comparison, run)}: {', '.join(differs)} changed, so this run is done again")
    return trained(run, trial)


def job(comparison: Comparison, run: TrainConfig, commands: list[list[str]]) -> Job:
    """The job of a run, whose folder then holds its configuration."""
    write_config(run)
    name = title(comparison, run)
    evaluates = "eval.evaluate" in commands[-1]

    def where() -> str:
        metrics = read_metrics(run.out / "metrics.jsonl")
        if evaluates and not made.commands:
            return "test"
        return f"{metrics[-1]['progress']:.0%}" if metrics else "starts"

    def ended() -> None:
        if evaluates:
            bpc = read_json(run.out / "result.json")["test_bpc"]
            say(f"{name}: {bpc:.4f} bits per character on the test split")
        elif (bpc := final_val_bpc(run.out)) < math.inf:
            say(f"{name}: {bpc:.4f} bits per character on validation text")
        else:
            say(f"{name}: diverges")

    def may_fail() -> bool:
        return not evaluates and final_val_bpc(run.out) == math.inf  # a learning rate that is too high

    made = Job(name, run.out / "train.log", commands, where, ended, may_fail)
    return made


if __name__ == "__main__":
    run_command(main, Comparison, "Compare tokenizers: one comparison file in, one report out.")
