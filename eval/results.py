"""The rows of a comparison: what every tokenizer and model scored on the same text, with intervals."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Number
from typing import Any, TypeVar

import numpy as np
import pyarrow.parquet

from common.files import read_json
from comparison import Comparison, RunSpec
from comparison.protocol import matched_context, window_stride
from comparison.runs import changes, counted_runs
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from training.tracking import read_metrics

from .ambiguity import read_ambiguity
from .statistics import Errors, estimate_errors, interval, simultaneous

OF_RUN = ("seed", "lr", "steps", "train_seconds", "test_bpc", "test_bpb")  # kept of every run's result

Item = TypeVar("Item")
Key = TypeVar("Key")


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items by what `key` says of them; groups and their items in the order in which they come."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


@dataclass(frozen=True)
class EvaluatedRun:
    """A run of a comparison with what it scored."""

    asked: RunSpec
    """the run as the comparison asks for it"""
    result: dict
    """its result.json"""
    bits: np.ndarray
    """of every test document, float64"""
    chars: np.ndarray
    """of every test document"""
    skipped_steps: int
    """steps that passed over their batch, because loss or gradients were not finite"""


def read_run(comparison: Comparison, run: RunSpec, context_chars: int | None = None) -> EvaluatedRun:
    """An evaluated run that is what the comparison asks for; `context_chars` as `matched_context` has it.

    Raises:
        ValueError: it is not evaluated, or of other options than the comparison's.
    """
    folder, result = run.folder, read_json(run.folder / "result.json")
    if result is None:
        raise ValueError(f"{folder} is not evaluated: run compare.py, or python -m eval.evaluate")
    made_from = result["made_from"]
    if differs := changes(run, made_from):
        raise ValueError(f"{folder} was trained with another {', '.join(differs)} than the comparison says")
    asked = {
        "stride": window_stride(result["block_size"], comparison.overlap),
        "context_chars": context_chars,
        "test_chars": comparison.test_chars,
        "scoring": comparison.scoring,
    }
    for key, value in asked.items():
        if made_from[key] != value:
            raise ValueError(
                f"{folder} was evaluated with {key} {made_from[key]}, not {value} as the comparison says: "
                "run compare.py"
            )
    table = pyarrow.parquet.read_table(folder / "documents.parquet")
    bits, chars = table.column("bits").to_numpy(), table.column("chars").to_numpy()
    if not math.isclose(bits.sum() / chars.sum(), result["test_bpc"]):
        raise ValueError(f"{folder / 'documents.parquet'} is not of {folder / 'result.json'}: remove both")
    metrics = read_metrics(folder / "metrics.jsonl")
    skipped = metrics[-1]["skipped_steps"] if metrics else 0
    return EvaluatedRun(run, result, bits, chars, skipped)


def check_same_text(runs: list[EvaluatedRun]) -> None:
    """Check that all runs scored the same text, in the same precision.

    Raises:
        ValueError: one scored another, or in another precision.
    """
    for run in runs:
        precision, other = run.result["scoring"], runs[0].result["scoring"]
        if precision != other:
            raise ValueError(
                f"{run.asked.folder} was scored in {precision} and {runs[0].asked.folder} in {other}: "
                "a report never mixes them; evaluate both on one kind of device, or set scoring: fp32"
            )
        for key in ("test_sha256", "test_chars", "test_documents"):
            if run.result[key] != runs[0].result[key]:
                raise ValueError(
                    f"{run.asked.folder} scored another test text than {runs[0].asked.folder} "
                    f"({key} differs): a report never mixes them; evaluate both on one corpus"
                )


def first_runs(comparison: Comparison) -> dict[tuple[str, str], RunSpec]:
    """The run with the first seed of every tokenizer and model."""
    runs = counted_runs(comparison)
    return {(run.tokenizer, run.model): run for run in runs if run.seed == comparison.seeds_of(run.model)[0]}


def validations(run: RunSpec) -> list[dict]:
    """The lines of a run's metrics.jsonl that hold a validation."""
    return [line for line in read_metrics(run.folder / "metrics.jsonl") if "val_bpc" in line]


def _named(run: EvaluatedRun) -> dict[str, Any]:
    """The label and the spec of a run's tokenizer, and its model."""
    return {"tokenizer": run.asked.tokenizer, "spec": run.asked.spec, "model": run.asked.model}


def make_row(runs: list[EvaluatedRun]) -> dict:
    """The row of a tokenizer and a model: the mean of every number over its seeds; and its ambiguity."""
    results = [run.result for run in runs]
    row: dict[str, Any] = _named(runs[0])
    for key, value in results[0].items():
        values = [result[key] for result in results]
        if key in ("made_from", "seed", "tokenizer"):
            continue
        same = all(other == value for other in values)
        row[key] = value if same or not isinstance(value, Number) else float(np.mean(values))
    row["seeds"] = [result["seed"] for result in results]
    bpc = [result["test_bpc"] for result in results]
    row["test_bpc_seed_sd"] = float(np.std(bpc, ddof=1)) if len(bpc) > 1 else None
    return row | read_ambiguity([(run.asked.folder, run.result["made_from"]["checkpoint"]) for run in runs])


def _ranked(groups: list[list[EvaluatedRun]]) -> list[list[EvaluatedRun]]:
    """The rows' runs, those of a model together: the best model first, and the best of each first.

    Equal ones, such as `byte` and `char` on plain ASCII, stand by name, in whatever order they were listed.
    """

    def bpc_and_name(group: list[EvaluatedRun]) -> tuple[float, str]:
        return float(np.mean([run.result["test_bpc"] for run in group])), group[0].asked.tokenizer

    # A model comes in where its best tokenizer does
    by_model = grouped(sorted(groups, key=bpc_and_name), lambda group: group[0].asked.model)
    return [group for of_model in by_model.values() for group in of_model]


def collect_results(comparison: Comparison) -> tuple[dict, dict[str, Errors]]:
    """The content of results.json, rows by model and bits per character; and by what these may be off.

    The rows of a model stand together, the model with the best one first; the errors, over test documents and
    seeds, are by model, in the order of its rows. Every row says how far it is behind the best of its model,
    with intervals that hold for all rows of the model at once. With one seed there are none, and no row is
    `distinguishable`. Rows of tokenizers that lose text stand apart, in `lossy_rows`, and are not ranked.

    Raises:
        ValueError: a run that is not evaluated, is of other options than the comparison's or evaluated with
            others, or scored other text than the rest; or there is no tokenizer that keeps the text.
    """
    context_chars = matched_context(comparison)
    runs = [read_run(comparison, run, context_chars) for run in counted_runs(comparison)]
    check_same_text(runs)
    groups = list(grouped(runs, lambda run: (run.asked.tokenizer, run.asked.model)).values())
    lossy_rows = [make_row(group) for group in groups if group[0].result["lossy_documents"]]
    groups = _ranked([group for group in groups if not group[0].result["lossy_documents"]])
    if not groups:
        raise ValueError(
            f"{comparison.folder}: every tokenizer loses text, so there is nothing to rank: "
            "add one that does not"
        )
    rows = [make_row(group) for group in groups]
    clusters, chars = test_clusters(comparison), runs[0].chars
    groups_of_text = None if clusters is None else int(clusters.max()) + 1
    if groups_of_text == 1:  # of which no spread can be estimated
        clusters = None
    errors = {}
    for number, model in enumerate(comparison.models):
        of_model = [i for i, row in enumerate(rows) if row["model"] == model]
        if of_model:
            bits = np.array([[run.bits for run in groups[i]] for i in of_model])
            errors[model], outlying = estimate_errors(bits, chars, clusters, seed=number)
            _compare_with_best([rows[i] for i in of_model], errors[model], outlying)
    return {
        "comparison": comparison.name,
        "corpus": {key: runs[0].result[key] for key in ("test_chars", "test_documents", "test_sha256")}
        | {"test_groups": groups_of_text}
        | {"test_document_chars_median": float(np.median(runs[0].chars))},
        "rows": rows,
        "lossy_rows": lossy_rows,
        "runs": [
            {**_named(run), "skipped_steps": run.skipped_steps} | {key: run.result[key] for key in OF_RUN}
            for run in runs
        ],
    }, errors


def test_clusters(comparison: Comparison) -> np.ndarray | None:
    """The number of each scored document's group; None where every document is a group of its own."""
    clusters = Corpus(comparison.folder / "corpus").clusters("test")
    if clusters is None:
        return None
    some = TokenArrays(comparison.data(next(iter(comparison.specs)))).split("test", comparison.test_chars)
    groups, numbers = np.unique(clusters[some.chosen], return_inverse=True)
    return numbers if len(groups) < len(numbers) else None


def _compare_with_best(rows: list[dict], errors: Errors, outlying: np.ndarray) -> None:
    """Add intervals, and the distance to the first row, to the rows of one model, best first."""
    low, high = interval(errors.draws)
    half = simultaneous(errors, best=0)
    # With one seed a difference may be that of two seeds, with one document that of two documents
    tested = len(rows[0]["seeds"]) > 1 and rows[0]["test_documents"] > 1
    for i, row in enumerate(rows):
        row["test_bpc_low"], row["test_bpc_high"] = (float(row["test_bpc"] + end[i]) for end in (low, high))
        row["behind_best"] = behind = row["test_bpc"] - rows[0]["test_bpc"]
        row["behind_best_low"] = behind - float(half[i]) if tested else None
        row["behind_best_high"] = behind + float(half[i]) if tested else None
        row["distinguishable"] = tested and bool(behind > half[i])
        row["seed_sd_outlying"] = bool(outlying[i])
