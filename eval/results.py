"""The rows of a comparison: what every tokenizer and model scored on the same text, with intervals."""

import math
from dataclasses import dataclass
from numbers import Number
from pathlib import Path

import numpy as np
import pyarrow.parquet
import yaml

from publish import read_json

from .ambiguity import read_ambiguity
from .protocol import matched_context, window_stride
from .statistics import bootstrap_bpc, interval, seed_errors
from .sweep import run_folders


@dataclass(frozen=True)
class Run:
    """An evaluated run."""

    tokenizer: str
    model: str
    folder: Path
    result: dict
    """its result.json"""
    bits: np.ndarray
    """of every test document, float64"""
    chars: np.ndarray
    """of every test document"""


def read_comparison(folder: Path) -> dict:
    """The frozen configuration of a comparison.

    Raises:
        ValueError: the folder holds none.
    """
    path = folder / "comparison.yaml"
    if not path.exists():
        raise ValueError(f"{folder} holds no comparison: make one with compare.py")
    return yaml.safe_load(path.read_text())


def read_run(
    comparison: dict, tokenizer: str, model: str, folder: Path, context_chars: int | None = None
) -> Run:
    """An evaluated run that is what the comparison asks for; `context_chars` as `matched_context` has it.

    Raises:
        ValueError: it is not evaluated, or of other options than the comparison's.
    """
    result = read_json(folder / "result.json")
    if result is None:
        raise ValueError(f"{folder} is not evaluated: run compare.py, or python -m eval.evaluate")
    recipe = comparison["models"][model]
    wanted = {key: comparison[key] for key in ("context", "batch")}
    wanted |= {key: recipe[key] for key in ("model", "params", "budget", "optimizer")}
    identity = result["made_from"]["identity"]
    if recipe["lr"]:
        wanted["optimizer"] = {**recipe["optimizer"], "lr": identity["optimizer"]["lr"]}
    if differs := [key for key in wanted if identity[key] != wanted[key]]:
        raise ValueError(f"{folder} was trained with another {', '.join(differs)} than comparison.yaml says")
    protocol = {
        "stride": window_stride(result["block_size"], comparison["overlap"]),
        "context_chars": context_chars,
    }
    for key, value in protocol.items():
        if result["made_from"][key] != value:
            raise ValueError(
                f"{folder} was evaluated with {key} {result['made_from'][key]}, not {value} as the "
                "comparison says: run compare.py"
            )
    table = pyarrow.parquet.read_table(folder / "documents.parquet")
    bits, chars = table.column("bits").to_numpy(), table.column("chars").to_numpy()
    if not math.isclose(bits.sum() / chars.sum(), result["test_bpc"]):
        raise ValueError(f"{folder / 'documents.parquet'} is not of {folder / 'result.json'}: remove both")
    return Run(tokenizer, model, folder, result, bits, chars)


def check_same_text(runs: list[Run]) -> None:
    """Whether all runs scored the same text.

    Raises:
        ValueError: one scored another.
    """
    for run in runs:
        for key in ("test_sha256", "test_chars", "test_documents"):
            if run.result[key] != runs[0].result[key]:
                raise ValueError(
                    f"{run.folder} scored another test text than {runs[0].folder} ({key} differs): "
                    "a report never mixes them; evaluate both on one corpus"
                )


def make_row(runs: list[Run]) -> dict:
    """The row of a tokenizer and a model: the mean of every number over its seeds; and its ambiguity."""
    results = [run.result for run in runs]
    row = {"tokenizer": runs[0].tokenizer, "model": runs[0].model}
    for key, value in results[0].items():
        values = [result[key] for result in results]
        if key in ("made_from", "seed"):
            continue
        same = all(other == value for other in values)
        row[key] = value if same or not isinstance(value, Number) else float(np.mean(values))
    row["seeds"] = [result["seed"] for result in results]
    bpc = [result["test_bpc"] for result in results]
    row["test_bpc_seed_sd"] = float(np.std(bpc, ddof=1)) if len(bpc) > 1 else None
    return row | read_ambiguity([(run.folder, run.result["made_from"]["checkpoint"]) for run in runs])


def _ranked(groups: list[list[Run]]) -> list[list[Run]]:
    """The rows' runs, those of a model together: the best model first, and the best of each first.

    Equal ones, such as `byte` and `char` on plain ASCII, stand by name, in whatever order they were listed.
    """

    def bpc_and_name(group: list[Run]) -> tuple[float, str]:
        return float(np.mean([run.result["test_bpc"] for run in group])), group[0].tokenizer

    by_model: dict[str, list[list[Run]]] = {}
    for group in sorted(groups, key=bpc_and_name):
        by_model.setdefault(group[0].model, []).append(group)  # a model comes in where its best one does
    return [group for of_model in by_model.values() for group in of_model]


def collect_results(folder: Path) -> tuple[dict, np.ndarray]:
    """The content of results.json, rows by model and bits per character; and their bootstrap samples.

    The rows of a model stand together, the model with the best one first. The samples are (resamples, rows)
    float64, in the order of the rows. Every row says how far it is behind the best of its model, with the
    interval of that paired difference. Rows of tokenizers that lose text stand apart, in `lossy_rows`, and
    are not ranked.

    Raises:
        ValueError: a run that is not evaluated, is of other options than the comparison's or evaluated with
            others, or scored other text than the rest; or there is no tokenizer that keeps the text.
    """
    comparison = read_comparison(folder)
    context_chars = matched_context(comparison, folder)
    runs = [
        read_run(comparison, tokenizer, model, run, context_chars)
        for tokenizer, model, _, run in run_folders(comparison, folder)
    ]
    check_same_text(runs)
    by_row: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_row.setdefault((run.tokenizer, run.model), []).append(run)
    groups = list(by_row.values())
    lossy_rows = [make_row(group) for group in groups if group[0].result["lossy_documents"]]
    groups = [group for group in groups if not group[0].result["lossy_documents"]]
    if not groups:
        raise ValueError(
            f"{folder}: every tokenizer loses text, so there is nothing to rank: add one that does not"
        )
    groups = _ranked(groups)
    rows = [make_row(group) for group in groups]
    samples = bootstrap_bpc(
        np.array([np.mean([run.bits for run in g], axis=0) for g in groups]), runs[0].chars
    )
    for number, model in enumerate(comparison["models"]):
        of_model = [i for i, row in enumerate(rows) if row["model"] == model]
        if of_model:
            bpc = np.array([[run.result["test_bpc"] for run in groups[i]] for i in of_model])
            samples[:, of_model] += seed_errors(bpc, seed=number + 1)  # each model's seeds err by themselves
            _compare_with_best([rows[i] for i in of_model], samples[:, of_model])
    return {
        "comparison": folder.name,
        "corpus": {key: runs[0].result[key] for key in ("test_chars", "test_documents", "test_sha256")},
        "rows": rows,
        "lossy_rows": lossy_rows,
        "runs": [
            {"tokenizer": run.tokenizer, "model": run.model}
            | {
                key: run.result[key]
                for key in ("seed", "lr", "steps", "train_seconds", "test_bpc", "test_bpb")
            }
            for run in runs
        ],
    }, samples


def _compare_with_best(rows: list[dict], samples: np.ndarray) -> None:
    """Add intervals, and the distance to the first row, to the rows of one model, best first."""
    low, high = interval(samples)
    behind_low, behind_high = interval(samples - samples[:, :1])
    for i, row in enumerate(rows):
        row["test_bpc_low"], row["test_bpc_high"] = float(low[i]), float(high[i])
        row["behind_best"] = row["test_bpc"] - rows[0]["test_bpc"]
        row["behind_best_low"], row["behind_best_high"] = float(behind_low[i]), float(behind_high[i])
        row["distinguishable"] = bool(behind_low[i] > 0)
