"""One comparison file in, one report out: the front door.

    python compare.py comparisons/shakespeare.yaml

Every stage is skipped when what it was made from is unchanged, an interrupted one goes on, and one whose
inputs or options changed is done again.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C during the imports, which take seconds, is silent

import math
import os
import shutil
import subprocess
import sys
import textwrap

from tqdm import tqdm

from command_line import run_command
from comparison import Comparison
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from eval.evaluate import check_test_length, finished_result
from eval.intrinsic import measure_tokenizers
from eval.protocol import matched_context, window_stride
from eval.report import answer, make_report
from eval.results import read_comparison
from eval.sweep import best_lr, final_val_bpc
from eval.tables import terminal
from eval.wandb_report import log_report
from expected import print_plan
from jobs import ROOT, Job, run_jobs
from publish import read_json
from tokenizers import Tokenizer
from training.budget import plan_block_size
from training.checkpoint import differences, listed, newest_checkpoint
from training.config import TrainConfig
from training.lock import hold
from training.ranks import pick_device
from training.tracking import read_metrics


def main(comparison: Comparison) -> None:
    """Run the comparison from where it is to its report."""
    for number in (signal.SIGINT, signal.SIGTERM):  # asked to stop either way
        signal.signal(number, signal.default_int_handler)
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
    before = read_json(folder / "report" / "results.json")
    results = make_report(folder)
    if results != before:
        log_report(folder, results, comparison.wandb)
    for row in results["lossy_rows"]:
        lost = f"{row['lossy_documents']:,} documents"
        say(f"{row['tokenizer']} {row['model']}: loses text of {lost}, so it is not ranked")
    say(f"\n{terminal(results['rows'])}\n")
    for line in answer(results):
        say(textwrap.fill(line, 80))
    say(f"\n{folder / 'report' / 'report.html'}")


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


def code_revision() -> str:
    """The git revision of the code, and whether it was changed since."""
    changed = " with local changes" if git("status", "--porcelain") else ""
    return (git("rev-parse", "HEAD") or "unknown") + changed


def git(*arguments: str) -> str:
    """What git says of the checkout this file is in; nothing where it is none."""
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def jobs_at_once(comparison: Comparison) -> int:
    """Training runs at a time: one per CPU core, or one where there is a GPU."""
    cores = os.cpu_count() or 1
    here = max(1, cores // comparison.processes) if pick_device(comparison.device) == "cpu" else 1
    return comparison.jobs or here


def title(comparison: Comparison, run: TrainConfig) -> str:
    """A run's name, such as bpe-2048/gpt/seed0."""
    return str(run.out.relative_to(comparison.folder / "runs"))


def prepare(comparison: Comparison) -> None:
    """Write the config.yaml of every run that is known: after the sweeps, those with the chosen rates too."""
    sweeps = comparison.sweeps()
    open_sweeps = [run for runs in sweeps.values() for run in runs if final_val_bpc(run.out) is None]
    for run in open_sweeps or comparison.runs(chosen_rates(comparison)):
        write_config(run)
        say(f"{run.out / 'config.yaml'}")


def write_config(run: TrainConfig) -> None:
    """Write what a run is, into its folder."""
    run.out.mkdir(parents=True, exist_ok=True)
    run.write(run.out / "config.yaml")


def chosen_rates(comparison: Comparison) -> dict[tuple[str, str], float]:
    """The learning rate of every tokenizer and model that were swept, best on validation text."""
    seed = comparison.seeds[0]
    return {
        (spec, name): best_lr(comparison.folder, spec, name, seed, comparison.models[name].lr)
        for spec, name in comparison.sweeps()
    }


def train_sweeps(comparison: Comparison) -> None:
    """Train a run for every learning rate that is tried, and say which are kept."""
    runs = [run for sweep in comparison.sweeps().values() for run in sweep]
    waiting = [run for run in runs if not trained(comparison, run, sweeps=True)]
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
        name = title(comparison, run)
        block_size = plan_block_size(comparison.context, TokenArrays(run.data).split("train"))
        stride = window_stride(block_size, comparison.overlap)
        result = finished_result(run.out, stride, matched)
        if result and not changes(run, result["made_from"]):
            say(f"{name}: done")
            continue
        commands = [] if trained(comparison, run) else [train_command(comparison, run)]
        evaluate = [sys.executable, "-m", "eval.evaluate", f"--run={run.out}", f"--stride={stride}"]
        evaluate += [f"--device={run.device}"] + ([f"--context_chars={matched}"] if matched else [])
        waiting.append(job(comparison, run, [*commands, evaluate]))
    run_jobs(waiting, jobs_at_once(comparison), comparison.processes)


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


def train_command(comparison: Comparison, run: TrainConfig) -> list[str]:
    """How a run is trained."""
    command = [sys.executable]
    if comparison.processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={comparison.processes}"]
    return [*command, str(ROOT / "train_ddp.py"), "--config", str(run.out / "config.yaml")]


def trained(comparison: Comparison, run: TrainConfig, sweeps: bool = False) -> bool:
    """Whether the run has ended: its last checkpoint is there, or of a sweep it has diverged.

    One with other options or data is removed, aloud.
    """
    found = newest_checkpoint(run.out / "checkpoints") or next(iter(listed(run.out / "bad")), None)
    if not found:
        return False
    if differs := changes(run, found[1]):
        say(f"{title(comparison, run)}: {', '.join(differs)} changed, so this run is done again")
        with hold(run.out):
            shutil.rmtree(run.out)
        return False
    return found[1]["finished"] or (sweeps and final_val_bpc(run.out) == math.inf)


def changes(run: TrainConfig, state: dict) -> list[str]:
    """In what the run that a checkpoint's state is of differs from the one that is wanted."""
    return differences(state, {**run.identity(), **TokenArrays(run.data).fingerprints})


if __name__ == "__main__":
    run_command(main, Comparison, "Compare tokenizers: one comparison file in, one report out.")
