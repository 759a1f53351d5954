"""The rows of a comparison: the score of every tokenizer and model on the same text, with intervals."""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from numbers import Number
from typing import Any, TypeVar

import numpy as np
import pyarrow.parquet

from common.files import read_json
from comparison import Comparison, RunSpec
from comparison.config import TEST
from comparison.labels import shortest_entries
from comparison.protocol import matched_context, window_stride
from comparison.runs import changes, known_runs
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from training.tracking import read_metrics

from .ambiguity import read_ambiguity
from .statistics import Errors, estimate_errors, interval, simultaneous

OF_RUN = ("seed", "lr", "steps", "train_seconds", "test_bpc", "test_bpb")  # listed for every run

Item = TypeVar("Item")
Key = TypeVar("Key")


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Group items by their `key`; groups and items keep their order."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


@dataclass(frozen=True)
class EvaluatedRun:
    """A run of a comparison and its scores."""

    asked: RunSpec
    """the run that the comparison asks for"""
    result: dict
    """its result.json"""
    bits: np.ndarray
    """bits of every test document, float64"""
    chars: np.ndarray
    """characters of every test document"""
    skipped_steps: int
    """steps that skipped their batch because the loss or a gradient was not finite"""


class NoResults(ValueError):
    """Nothing has been evaluated that can be ranked."""


def read_run(
    comparison: Comparison, run: RunSpec, context_chars: int | None = None, text: str = TEST
) -> EvaluatedRun:
    """Read the scores of a run on a text and check its options.

    `context_chars` is the return value of `matched_context`.

    Raises:
        ValueError: it is not evaluated, or its options or the text are not those of the comparison.
    """
    folder, result = run.folder, read_json(run.scores(text) / "result.json")
    if result is None:
        raise ValueError(f"{folder} is not evaluated: run compare.py, or python -m eval.evaluate")
    made_from = result["made_from"]
    if differs := changes(run, made_from):
        raise ValueError(f"{folder} was trained with a different {', '.join(differs)} from the comparison's")
    asked = {
        "stride": window_stride(result["block_size"], comparison.overlap),
        "context_chars": context_chars,
        "test_chars": comparison.test_chars,
        "scoring": comparison.scoring,
    }
    for key, value in asked.items():
        if (found := made_from.get(key)) != value:
            raise ValueError(
                f"{folder} was evaluated with {key} {found}, but the comparison has {value}: run compare.py"
            )
    if text != TEST and made_from["text"] != TokenArrays(comparison.data(run.tokenizer, text)).fingerprints:
        raise ValueError(f"{folder} was evaluated on another version of {text}: run compare.py")
    table = pyarrow.parquet.read_table(run.scores(text) / "documents.parquet")
    bits, chars = table.column("bits").to_numpy(), table.column("chars").to_numpy()
    if not math.isclose(bits.sum() / chars.sum(), result["test_bpc"]):
        raise ValueError(
            f"{run.scores(text)}: documents.parquet does not match result.json: delete both files"
        )
    metrics = read_metrics(folder / "metrics.jsonl")
    skipped = metrics[-1]["skipped_steps"] if metrics else 0
    return EvaluatedRun(run, result, bits, chars, skipped)


def evaluated_runs(comparison: Comparison, text: str = TEST) -> tuple[list[EvaluatedRun], dict | None]:
    """The runs that are evaluated on a text, and the progress: None if all runs are evaluated on it.

    The progress holds `evaluated` and `wanted`, numbers of runs, and `left_out`, a reason for each run that
    was evaluated, but not as the comparison asks.

    Raises:
        NoResults: no run is evaluated.
    """
    known, wanted = known_runs(comparison)
    ready = [run for run in known if (run.scores(text) / "result.json").exists()]
    context_chars = matched_context(_encoded(comparison, text), text) if ready else None
    runs: list[EvaluatedRun] = []
    left_out = []
    for run in ready:
        try:
            runs.append(read_run(comparison, run, context_chars, text))
        except ValueError as error:
            left_out.append(str(error))
    if not runs:
        none = f"none of its {wanted} runs is evaluated: compare.py run trains and evaluates them"
        none = f"{comparison.folder} has no results yet: {none}"
        if text != TEST:
            none = f"none of {wanted} runs is scored on it yet: compare.py run scores them"
        raise NoResults(left_out[0] if left_out else none)
    if len(runs) == wanted:
        return runs, None
    return runs, {"evaluated": len(runs), "wanted": wanted, "left_out": left_out}


def partial_sentences(partial: dict | None) -> list[str]:
    """The progress of a partial comparison in sentences, and why evaluated runs were left out."""
    if not partial:
        return []
    counts = f"{partial['evaluated']:,} of {partial['wanted']:,} runs are evaluated"
    return [f"Partial: {counts}.", *(f"Left out: {reason}." for reason in partial["left_out"])]


def _encoded(comparison: Comparison, text: str) -> Comparison:
    """The comparison, limited to tokenizers whose arrays of a text exist."""
    specs = {
        label: spec
        for label, spec in comparison.specs.items()
        if (comparison.data(label, text) / "manifest.json").exists()
    }
    return replace(comparison, tokenizers=shortest_entries(specs)) if specs else comparison


def evaluated_part(comparison: Comparison, results: dict) -> Comparison:
    """The comparison, limited to the tokenizers, models and seeds in its results.

    A model has the seeds under which its rows are compared. Descriptions of the protocol are about this part.
    If the results are complete, it is the whole comparison.
    """
    if not results["partial"]:
        return comparison
    rows = results["rows"] + results["lossy_rows"]
    labels = {row["tokenizer"] for row in rows}
    specs = {label: spec for label, spec in comparison.specs.items() if label in labels}
    seeds: dict[str, list[int]] = {}
    for row in rows:
        seeds.setdefault(row["model"], row["seeds"])
    models = {
        name: replace(recipe, seeds=seeds[name])
        for name, recipe in comparison.models.items()
        if name in seeds
    }
    return replace(comparison, tokenizers=shortest_entries(specs), models=models)


def check_same_text(runs: list[EvaluatedRun]) -> None:
    """Check that all runs scored the same text in the same precision.

    Raises:
        ValueError: the text or the precision differs.
    """
    for run in runs:
        precision, other = run.result["scoring"], runs[0].result["scoring"]
        if precision != other:
            raise ValueError(
                f"{run.asked.folder} was scored in {precision} and {runs[0].asked.folder} in {other}, which "
                "cannot be compared: evaluate both on the same kind of device, or set scoring: fp32"
            )
        for key in ("test_sha256", "test_chars", "test_documents"):
            if run.result[key] != runs[0].result[key]:
                raise ValueError(
                    f"{run.asked.folder} and {runs[0].asked.folder} scored different test texts "
                    f"({key} differs), which cannot be compared: evaluate both on the same corpus"
                )


def first_runs(comparison: Comparison, rows: list[dict]) -> dict[tuple[str, str], RunSpec]:
    """The run with the first seed of each row, by tokenizer and model."""
    found = {}
    for row in rows:
        tokenizer, model = row["tokenizer"], row["model"]
        lr = row["lr"] if comparison.models[model].lr else None
        found[tokenizer, model] = comparison.run(tokenizer, model, row["seeds"][0], lr)
    return found


def validations(run: RunSpec) -> list[dict]:
    """The lines of a run's metrics.jsonl that hold a validation."""
    return [line for line in read_metrics(run.folder / "metrics.jsonl") if "val_bpc" in line]


def _named(run: EvaluatedRun) -> dict[str, Any]:
    """The label and spec of a run's tokenizer, and its model."""
    return {"tokenizer": run.asked.tokenizer, "spec": run.asked.spec, "model": run.asked.model}


def make_row(runs: list[EvaluatedRun], wanted: list[int]) -> dict:
    """The row of a tokenizer and a model: the mean of each number over its seeds, and its ambiguity.

    `seeds_missing` are the `wanted` seeds without a run.
    """
    results = [run.result for run in runs]
    row: dict[str, Any] = _named(runs[0])
    for key, value in results[0].items():
        values = [result[key] for result in results]
        if key in ("made_from", "seed", "tokenizer"):
            continue
        same = all(other == value for other in values)
        row[key] = value if same or not isinstance(value, Number) else float(np.mean(values))
    row["seeds"] = [result["seed"] for result in results]
    row["seeds_missing"] = [seed for seed in wanted if seed not in row["seeds"]]
    bpc = [result["test_bpc"] for result in results]
    row["test_bpc_seed_sd"] = float(np.std(bpc, ddof=1)) if len(bpc) > 1 else None
    return row | read_ambiguity([(run.asked.folder, run.result["made_from"]["checkpoint"]) for run in runs])


Group = list[EvaluatedRun]  # the runs of a row


def _bpc_and_name(group: Group) -> tuple[float, str]:
    """Sort key of rows; ties, such as `byte` and `char` on plain ASCII, are sorted by name."""
    return float(np.mean([run.result["test_bpc"] for run in group])), group[0].asked.tokenizer


def comparable_seeds(rows: list[set[int]]) -> set[int]:
    """The seeds under which rows are compared; `rows` holds the seeds of each row.

    Rows that lack one of these seeds are not compared. A seed affects all rows alike, so rows must have the
    same seeds to be compared. Among the sets that two rows have in common, this is the one with the most
    degrees of freedom, (rows - 1) * (seeds - 1); ties are broken by more rows, then by more seeds.
    """
    sets = [one & other for one, other in itertools.product(rows, repeat=2)]

    def worth(seeds: set[int]) -> tuple[int, int, int, list[int]]:
        count = sum(seeds <= row for row in rows)
        return (count - 1) * (len(seeds) - 1), count, len(seeds), sorted(-seed for seed in seeds)

    return max((seeds for seeds in sets if seeds), key=worth)


def _split_by_seeds(groups: list[Group]) -> tuple[list[Group], list[Group]]:
    """The rows of one model that are compared, with the seeds they all have, and the other rows."""
    seeds = comparable_seeds([{run.asked.seed for run in group} for group in groups])
    compared, others = [], []
    for group in sorted(groups, key=_bpc_and_name):
        of_seeds = [run for run in group if run.asked.seed in seeds]
        if len(of_seeds) == len(seeds):
            compared.append(of_seeds)
        else:
            others.append(group)
    return sorted(compared, key=_bpc_and_name), others


def collect_results(comparison: Comparison, text: str = TEST) -> tuple[dict, dict[str, Errors]]:
    """The content of results.json about a text, rows by model and bits per character, and the errors of each
    model's rows.

    Rows are grouped by model, the model with the best row first. Errors, over test documents and seeds, are
    in the order of the model's rows. Each row has its distance to the best row of the model, with intervals
    that hold for all rows of the model at once. With one seed there are no intervals, and no row is
    `distinguishable`. Rows of lossy tokenizers are separate, in `lossy_rows`, and not ranked.

    `partial` is the progress from `evaluated_runs`. In a partial comparison, the rows of a model are
    compared under common seeds (`comparable_seeds`). Rows that lack one of these are not `compared`: they
    come last, with the seeds they have, and are not part of the errors.

    Raises:
        NoResults: no run is evaluated, or every tokenizer is lossy.
        ValueError: runs scored different texts.
    """
    runs, partial = evaluated_runs(comparison, text)
    check_same_text(runs)
    groups = list(grouped(runs, lambda run: (run.asked.tokenizer, run.asked.model)).values())
    lossy = [group for group in groups if group[0].result["lossy_documents"]]
    lossless = [group for group in groups if not group[0].result["lossy_documents"]]
    kept = grouped(lossless, lambda group: group[0].asked.model)
    if not kept:
        where = f"{comparison.folder}: " * (text == TEST)
        raise NoResults(f"{where}every tokenizer is lossy, so there is nothing to rank: add a lossless one")
    clusters, chars = test_clusters(comparison, text), runs[0].chars
    groups_of_text = None if clusters is None else int(clusters.max()) + 1
    if groups_of_text == 1:  # no spread can be estimated
        clusters = None
    errors, rows_of = {}, {}
    for number, model in enumerate(comparison.models):
        if model not in kept:
            continue
        compared, others = _split_by_seeds(kept[model])
        rows = [make_row(group, comparison.seeds_of(model)) for group in compared]
        bits = np.array([[run.bits for run in group] for group in compared])
        errors[model], outlying = estimate_errors(bits, chars, clusters, seed=number)
        _compare_with_best(rows, errors[model], outlying)
        for group in others:
            row = make_row(group, comparison.seeds_of(model))
            alone, _ = estimate_errors(np.array([[run.bits for run in group]]), chars, clusters, seed=number)
            rows.append(row | _interval(row, alone, 0) | NOT_COMPARED)
        rows_of[model] = rows
    best_first = sorted(rows_of.values(), key=lambda rows: (rows[0]["test_bpc"], rows[0]["tokenizer"]))
    return {
        "comparison": comparison.name,
        "partial": partial,
        "corpus": {key: runs[0].result[key] for key in ("test_chars", "test_documents", "test_sha256")}
        | {"test_groups": groups_of_text}
        | {"test_document_chars_median": float(np.median(runs[0].chars))},
        "rows": [row for rows in best_first for row in rows],
        "lossy_rows": [make_row(group, comparison.seeds_of(group[0].asked.model)) for group in lossy],
        "runs": [
            {**_named(run), "skipped_steps": run.skipped_steps} | {key: run.result[key] for key in OF_RUN}
            for run in runs
        ],
    }, errors


NOT_COMPARED = {
    "compared": False,
    "behind_best": None,
    "behind_best_low": None,
    "behind_best_high": None,
    "distinguishable": False,
    "may_be_best": False,
    "seed_sd_outlying": False,
}


def test_clusters(comparison: Comparison, text: str = TEST) -> np.ndarray | None:
    """The index of each scored document's group; None if every document is its own group."""
    clusters = Corpus(comparison.text_folder(text) / "corpus").clusters("test")
    if clusters is None:
        return None
    arrays = TokenArrays(comparison.data(next(iter(comparison.specs)), text))
    some = arrays.split("test", comparison.test_chars)
    groups, numbers = np.unique(clusters[some.chosen], return_inverse=True)
    return numbers if len(groups) < len(numbers) else None


def _interval(row: dict, errors: Errors, number: int) -> dict[str, float]:
    """The interval of a row's bits per character; `number` is its index in the errors."""
    low, high = interval(errors.draws[:, number])
    return {"test_bpc_low": float(row["test_bpc"] + low), "test_bpc_high": float(row["test_bpc"] + high)}


def are_tested(rows: list[dict]) -> bool:
    """True if differences between rows can be tested.

    With one seed, a difference may be due to the seed; with one document, to the document.
    """
    return len(rows[0]["seeds"]) > 1 and rows[0]["test_documents"] > 1


def _compare_with_best(rows: list[dict], errors: Errors, outlying: np.ndarray) -> None:
    """Add intervals and the distance to the best row to the rows of one model, sorted best first."""
    half, tested = simultaneous(errors, best=0), are_tested(rows)
    for i, row in enumerate(rows):
        row |= _interval(row, errors, i)
        row["compared"] = True
        row["behind_best"] = behind = row["test_bpc"] - rows[0]["test_bpc"]
        row["behind_best_low"] = behind - float(half[i]) if tested else None
        row["behind_best_high"] = behind + float(half[i]) if tested else None
        row["distinguishable"] = tested and bool(behind > half[i])
        row["may_be_best"] = tested and not row["distinguishable"]
        row["seed_sd_outlying"] = bool(outlying[i])
