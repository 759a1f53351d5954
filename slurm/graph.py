"""The jobs of a comparison: their commands, their dependencies, and which of them are done."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from comparison import Comparison
from comparison.config import TEST
from comparison.protocol import matched_contexts
from comparison.runs import chosen_rates, trained, trials
from comparison.stages import find_text
from data_prep.corpus import find_corpus
from data_prep.encode import Encoding
from data_prep.tokenizer import find_tokenizer
from eval.evaluate import evaluated
from tokenizers import Tokenizer, is_beginning, trained_size

from .cluster import Cluster

Value = TypeVar("Value")


@dataclass(frozen=True)
class Stage:
    """A job, or an array of jobs."""

    name: str
    """name, such as train or encode bpe-2048"""
    kind: str
    """kind of its sbatch options: prep, train, evaluate or report"""
    command: list[str]
    """the script, by its name in slurm/, and its arguments"""
    needs: dict[str, str] = field(default_factory=dict)
    """the stages it waits for, each with sbatch's dependency type: afterok, afterany or aftercorr"""
    tasks: list[str] = field(default_factory=list)
    """names of the tasks of an array, of which the first is task 1; empty for a single job"""
    done: list[bool] = field(default_factory=list)
    """for each task, or for the single job: true if its output exists"""


def stages(comparison: Comparison, cluster: Cluster, frozen: str, replace: bool = False) -> list[Stage]:
    """All jobs of a comparison, each after those it waits for; `frozen` is the folder of `freeze`.

    With `replace` the jobs replace results of other options.
    """
    folder, config = comparison.folder, comparison.corpus
    corpus = find_corpus(config, folder / "corpus")
    replaces = ["--replace=true"] if replace else []
    given = {name: value for name, value in asdict(config).items() if value not in (None, {})}
    make_corpus = ["prep.sbatch", "data_prep.corpus", f"--out={folder / 'corpus'}", *replaces]
    make_corpus += [f"--corpus.{name}={_written(value)}" for name, value in given.items()]
    shared = [f"part {number}" for number in range(1, cluster.corpus_parts + 1)] * (cluster.corpus_parts > 1)
    found = [Stage("corpus", "prep", make_corpus, {}, shared, [bool(corpus)] * cluster.corpus_parts)]

    ready = {}  # for each tokenizer: true if its arrays exist
    tokenizers: dict[str, Tokenizer] = {}
    parts = [f"part {number}" for number in range(1, cluster.encode_parts + 1)]
    largest = {label: _largest(comparison, spec) for label, spec in comparison.specs.items()}
    for label in sorted(comparison.specs, key=lambda label: largest[label] is not None):
        spec = comparison.specs[label]
        data = comparison.data(label)
        tokenizer = (
            find_tokenizer(corpus, spec, data / "tokenizer", comparison.train_chars) if corpus else None
        )
        if tokenizer:
            tokenizers[label] = tokenizer
        ready[label] = bool(
            corpus and tokenizer and Encoding(corpus, tokenizer, data, comparison.allow_lossy).published()
        )
        where = [f"--corpus={folder / 'corpus'}", f"--tokenizer={data / 'tokenizer'}", f"--out={data}"]
        lossy = ["--allow_lossy=true"] if comparison.allow_lossy else []
        train = ["data_prep.tokenizer", where[0], f"--spec={spec}", f"--out={data / 'tokenizer'}"]
        train += [f"--train_chars={comparison.train_chars}", *replaces]
        after = ["corpus", *([f"tokenizer {largest[label]}"] if largest[label] else [])]
        found.append(_prep(f"tokenizer {label}", train, dict.fromkeys(after, "afterok"), bool(tokenizer)))
        encode = ["prep.sbatch", "data_prep.encode", *where, *lossy, *replaces]
        needs = {f"tokenizer {label}": "afterok"}
        found.append(Stage(f"encode {label}", "prep", encode, needs, parts, [ready[label]] * len(parts)))

    encoded = {f"encode {label}": "afterok" for label in comparison.specs}
    texts = {}  # for each further text: true if its corpus and arrays exist
    for name in comparison.texts:
        texts[name] = len(tokenizers) == len(comparison.specs) and find_text(comparison, name, tokenizers)
        text = ["slurm.prepare", "text", f"{frozen}/comparison.yaml", f"--text={name}", *replaces]
        found.append(_prep(f"text {name}", text, encoded, texts[name]))

    # Lists and config.yaml files of runs; with trials of learning rates a second time, for the chosen rates
    encoded = encoded | {f"text {name}": "afterok" for name in texts}
    prepare = ["slurm.prepare", f"{frozen}/comparison.yaml", *replaces]

    tried = trials(comparison)
    rates = _quietly(lambda: chosen_rates(comparison)) if tried else {}
    runs = comparison.runs(rates or {})
    matched = _quietly(lambda: matched_contexts(comparison)) if all(texts.values()) else None
    trial_done = [ready[run.tokenizer] and trained(run, trial=True) for run in tried]
    run_done = [rates is not None and ready[run.tokenizer] and trained(run) for run in runs]
    result_done = [
        done and matched is not None and evaluated(comparison, run, matched)
        for run, done in zip(runs, run_done, strict=True)
    ]
    names = [run.title for run in runs]
    lists = folder / "slurm"
    before_train = "prepare"
    if tried:
        found.append(_prep("prepare", prepare, encoded, all(trial_done)))
        sweep = ["sweep.sbatch", f"{lists}/trials.txt"]
        tried_names = [run.title for run in tried]
        found.append(Stage("trials", "train", sweep, {"prepare": "afterok"}, tried_names, trial_done))
        before_train = "rates"
        encoded["trials"] = "afterany"  # a rate that diverges is a result
    rates_wanted = ["--rates"] if tried else []
    found.append(_prep(before_train, [*prepare, *rates_wanted], encoded, all(result_done)))
    sweep = ["sweep.sbatch", f"{lists}/runs.txt"]
    found.append(Stage("train", "train", sweep, {before_train: "afterok"}, names, run_done))
    evaluate = ["evaluate.sbatch", f"{lists}/evaluations.txt"]
    needs = {before_train: "afterok", "train": "aftercorr"}
    found.append(Stage("evaluate", "evaluate", evaluate, needs, names, result_done))
    report = ["report.sbatch", str(folder)]
    scores = [run.scores(text) for run in runs for text in (TEST, *texts)]
    reported = all(result_done) and _is_newest(folder / "report" / "results.json", scores)
    return [*found, Stage("report", "report", report, {"evaluate": "afterok"}, done=[reported])]


def _largest(comparison: Comparison, spec: str) -> str | None:
    """The label of the largest tokenizer of which `spec` is the beginning, and from which it is cut."""
    larger = {label: other for label, other in comparison.specs.items() if is_beginning(spec, other)}
    return max(larger, key=lambda label: trained_size(larger[label]) or 0, default=None)


def _written(value: object) -> str:
    """The value of an option on the command line."""
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _prep(name: str, command: list[str], needs: dict[str, str], done: bool) -> Stage:
    return Stage(name, "prep", ["prep.sbatch", *command], needs, done=[done])


def _is_newest(report: Path, scores: list[Path]) -> bool:
    """True if the report exists and was written after all results; `scores` are their folders."""
    results = [(folder / "result.json").stat().st_mtime for folder in scores]
    return report.exists() and report.stat().st_mtime >= max(results)


def _quietly(found: Callable[[], Value]) -> Value | None:
    """The result of a function; None if the files it reads do not exist yet."""
    try:
        return found()
    except (ValueError, OSError):
        return None
