"""One comparison file in, one report out: the front door.

    python compare.py comparisons/shakespeare.yaml

Every stage is skipped when what it was made from is unchanged, an interrupted one goes on, and one whose
inputs or options changed is done again.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C during the imports, which take seconds, is silent

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from tqdm import tqdm

from command_line import run_command
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus, CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import TRAIN_CHARS, make_tokenizer
from eval.evaluate import check_test_length, finished_result
from eval.intrinsic import measure_tokenizers
from eval.report import answer, make_report, terminal_table
from eval.wandb_report import log_report
from model import ModelConfig
from publish import read_json, write_file
from tokenizers import Tokenizer, check_spec, folder_name
from training import stop
from training.budget import Budget, TextAmount, plan_block_size
from training.checkpoint import differences, newest_checkpoint
from training.config import TrainConfig
from training.optimizer import OptimizerConfig
from training.ranks import pick_device
from training.tracking import read_metrics

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """A model and how it is optimized."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """the model"""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """its optimizer and schedule"""


@dataclass(frozen=True)
class Comparison:
    """The same models on the same text under the same budget, by every tokenizer."""

    name: str
    """name of the comparison and of its folder"""
    tokenizers: list[str]
    """byte, char, unigram-N, spbpe-N, bpe-N[:PATTERN], tiktoken:NAME, tiktoken:PATH, sentencepiece:PATH"""
    models: dict[str, Recipe]
    """the models, by a name of your own"""
    context: TextAmount
    """what a model sees at a time, in characters or tokens"""
    batch: TextAmount
    """text per optimizer step, in characters or tokens"""
    budget: Budget
    """how long to train, in characters, tokens, FLOPs or steps"""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """where the text comes from"""
    train_chars: int = TRAIN_CHARS
    """characters of the training split that tokenizers are trained on, drawn by document"""
    allow_lossy: bool = False
    """report a published tokenizer that loses text, apart and unranked, rather than refuse it"""
    seeds: list[int] = field(default_factory=lambda: [0])
    """one run per seed"""
    overlap: float = 0.5
    """share of each window of the evaluation that is context only"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """bf16 and fp16 are mixed precision; auto takes what the device does best"""
    micro_batch: int | Literal["auto"] = "auto"
    """sequences at a time on one process; more are accumulated (auto: as many as fit into memory)"""
    validations: int = 10
    """validations during a run"""
    val_chars: int = 20_000
    """validate on every k-th document, so many that they hold about so many characters"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one"""
    processes: int = 1
    """processes of a training run (torchrun when more than 1), one per GPU"""
    prepare: bool = False
    """stop before training: make corpus, tokenizers, arrays and every run's config.yaml (docs/slurm.md)"""
    jobs: int | None = None
    """training runs at a time (none: one per CPU core, or one where there is a GPU)"""
    wandb: Literal["offline", "online", "disabled"] = "offline"
    """where wandb gets the metrics and the report"""
    out: Path = Path("out")
    """everything goes below out/<name>"""

    def __post_init__(self) -> None:
        for key in ("tokenizers", "models", "seeds"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty: give at least one")
        for key in ("tokenizers", "seeds"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key} names one twice: {getattr(self, key)}")
        for spec in self.tokenizers:
            check_spec(spec)
        if len({folder_name(spec) for spec in self.tokenizers}) < len(self.tokenizers):
            raise ValueError(f"tokenizers: two have the same folder name, move one's file: {self.tokenizers}")
        if self.train_chars < 1:
            raise ValueError(f"train_chars {self.train_chars} must be at least 1")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap {self.overlap} is not at least 0 and below 1")
        for name in [self.name, *self.models]:
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(f"'{name}' names a folder: letters, digits, '.', '-' and '_' only")
        if self.processes < 1 or (self.jobs is not None and self.jobs < 1):
            raise ValueError(f"processes {self.processes} and jobs {self.jobs} must be at least 1")
        self.runs()  # what a run refuses is refused before anything is made

    @property
    def folder(self) -> Path:
        """Where everything of this comparison goes."""
        return self.out / self.name

    def data(self, spec: str) -> Path:
        """Where the arrays of a tokenizer go; the tokenizer lies below."""
        return self.folder / "data" / folder_name(spec)

    def runs(self) -> list[TrainConfig]:
        """The training runs, a whole tokenizer after the other."""
        return [
            TrainConfig(
                data=self.data(spec),
                out=self.folder / "runs" / folder_name(spec) / name / f"seed{seed}",
                model=recipe.model,
                context=self.context,
                batch=self.batch,
                budget=self.budget,
                optimizer=recipe.optimizer,
                seed=seed,
                precision=self.precision,
                micro_batch=self.micro_batch,
                validations=self.validations,
                val_chars=self.val_chars,
                device=self.device,
                wandb=self.wandb,
                group=self.name,
            )
            for spec in self.tokenizers
            for name, recipe in self.models.items()
            for seed in self.seeds
        ]


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
    for run in comparison.runs():
        run.plan(TokenArrays(run.data), comparison.processes)  # refused before any run is touched
    freeze(comparison)
    measure_tokenizers(folder, comparison.tokenizers)
    if comparison.prepare:
        for run in comparison.runs():
            run.out.mkdir(parents=True, exist_ok=True)
            run.write(run.out / "config.yaml")
            say(f"{run.out / 'config.yaml'}")
        return
    run_all(comparison)
    before = read_json(folder / "report" / "results.json")
    results = make_report(folder)
    if results != before:
        log_report(folder, results, comparison.wandb)
    for row in results["lossy_rows"]:
        lost = f"{row['lossy_documents']:,} documents"
        say(f"{row['tokenizer']} {row['model']}: loses text of {lost}, so it is not ranked")
    say(f"\n{terminal_table(results['rows'])}\n\n{answer(results['rows']).replace('**', '')}")
    say(f"\n{folder / 'report' / 'report.html'}")


def say(line: str) -> None:
    """A line for the person who watches, at once."""
    print(line, flush=True)


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


def freeze(comparison: Comparison) -> None:
    """Write the resolved configuration, and in its first line which code ran it."""
    revision = git("rev-parse", "HEAD") or "unknown"
    changed = " with local changes" if git("status", "--porcelain") else ""
    content = asdict(comparison) | {"out": str(comparison.out)}
    for key in ("prepare", "jobs"):  # how it was run, not what it is
        del content[key]
    for name, recipe in comparison.models.items():
        content["models"][name]["model"] = asdict(recipe.model.resolved())
    text = yaml.safe_dump(content, sort_keys=False)
    write_file(comparison.folder / "comparison.yaml", f"# code: git revision {revision}{changed}\n{text}")


def git(*arguments: str) -> str:
    """What git says of the checkout this file is in; nothing where it is none."""
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


class Job:
    """One run under way: a training process, then an evaluation process, both logging to train.log."""

    def __init__(self, comparison: Comparison, run: TrainConfig, title: str, env: dict[str, str]) -> None:
        self.run, self.title, self.env = run, title, env
        train = [sys.executable]
        if comparison.processes > 1:
            train += ["-m", "torch.distributed.run", "--standalone"]
            train += [f"--nproc-per-node={comparison.processes}"]
        train += [str(ROOT / "train_ddp.py"), "--config", str(run.out / "config.yaml")]
        evaluate = [sys.executable, "-m", "eval.evaluate", f"--run={run.out}"]
        evaluate += [f"--overlap={comparison.overlap}", f"--device={run.device}"]
        self.commands = [train, evaluate]
        if trained(run, title):
            self.commands.remove(train)
        else:
            run.out.mkdir(parents=True, exist_ok=True)
            run.write(run.out / "config.yaml")
        self.log = run.out / "train.log"
        self.process = self.start()

    def start(self) -> subprocess.Popen:
        """Start the next command."""
        with open(self.log, "ab") as log:
            return subprocess.Popen(self.commands.pop(0), stdout=log, stderr=log, env=self.env)

    def done(self) -> bool:
        """Whether the last command has ended; starts the next one where one has.

        Raises:
            RuntimeError: a command failed; says what its log ends with.
            KeyboardInterrupt: the trainer was asked to stop, and has.
        """
        code = self.process.poll()
        if code is None:
            return False
        if code in (stop.STOPPED, 128 + signal.SIGINT):
            raise KeyboardInterrupt
        if code:
            lines = self.log.read_text(errors="replace").splitlines()
            ours = [line.removeprefix("codebook: ") for line in lines if line.startswith("codebook: ")]
            kind = ValueError if code == 2 else RuntimeError
            raise kind(f"{self.title} failed: {(ours or lines or ['no output'])[-1]} ({self.log})")
        if self.commands:
            self.process = self.start()
            return False
        return True

    def where(self) -> str:
        """How far the run is, for the progress bar."""
        if not self.commands:
            return f"{self.title} test"
        metrics, plan = read_metrics(self.run.out / "metrics.jsonl"), read_json(self.run.out / "plan.json")
        if not metrics or not plan:
            return f"{self.title} starts"
        return f"{self.title} {metrics[-1]['step'] / plan['steps']:.0%}"


def trained(run: TrainConfig, title: str) -> bool:
    """Whether the run's last checkpoint is there. One with other options or data is removed, aloud."""
    found = newest_checkpoint(run.out / "checkpoints")
    if not found:
        return False
    if differs := changes(run, found[1]):
        tqdm.write(f"{title}: {', '.join(differs)} changed, so this run is done again")
        shutil.rmtree(run.out)
        return False
    return found[1]["step"] == read_json(run.out / "plan.json")["steps"]


def changes(run: TrainConfig, state: dict) -> list[str]:
    """In what the run that a checkpoint's state is of differs from the one that is wanted."""
    return differences(state, {**run.identity(), **TokenArrays(run.data).fingerprints})


def run_all(comparison: Comparison) -> None:
    """Train and evaluate every run that is not done, `jobs` at a time; on a stop all write a checkpoint."""
    device = pick_device(comparison.device)
    cores = os.cpu_count() or 1
    jobs = comparison.jobs or (max(1, cores // comparison.processes) if device == "cpu" else 1)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Threads of processes that share a core wait for each other by spinning: a step takes far longer.
    env.setdefault("OMP_NUM_THREADS", str(max(1, cores // (jobs * comparison.processes))))
    waiting: list[tuple[TrainConfig, str]] = []
    for run in comparison.runs():
        title = str(run.out.relative_to(comparison.folder / "runs"))
        result = finished_result(run.out, comparison.overlap)
        if result and not changes(run, result["made_from"]):
            say(f"{title}: done")
        else:
            waiting.append((run, title))
    form = "{n_fmt}/{total_fmt} runs, {elapsed}{postfix}"
    progress = tqdm(total=len(waiting), bar_format=form, disable=None, leave=False)
    active: list[Job] = []
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                active.append(Job(comparison, *waiting.pop(0), env))
            time.sleep(0.2)
            for job in [job for job in active if job.done()]:
                active.remove(job)
                progress.update()
                bpc = read_json(job.run.out / "result.json")["test_bpc"]
                progress.write(f"{job.title}: {bpc:.4f} bits per character on the test split")
            if not progress.disable:
                progress.set_postfix_str(", ".join(job.where() for job in active))
    finally:
        for job in active:
            job.process.terminate()
        for job in active:
            job.process.wait()
        progress.close()


if __name__ == "__main__":
    run_command(main, Comparison, "Compare tokenizers: one comparison file in, one report out.")
