"""The recommendation in a few sentences or as JSON: `python -m eval.recommend --help`."""

import itertools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from common.cli import run_command
from comparison import Comparison, load_comparison
from comparison.local import duration

from .ladder import at_ends, family, find_minimum, minima, open_end
from .results import collect_results, grouped, partial_sentences
from .statistics import Errors, interval

FEW = 10  # with fewer test documents, or groups of them, intervals are wide and depend on assumptions
ENOUGH_SEEDS = 3  # with two, intervals are valid but only large differences are found


def recommend(comparison: Comparison, results: dict, errors: dict[str, Errors]) -> dict:
    """The best tokenizers of each model, and the growth of the best size with the budget.

    `results` and `errors` are those of `collect_results`. Each entry of `models` has the row with the fewest
    bits, `may_be_best` (the tokenizers not shown to be worse; with one seed, all) and `ladders` (the minimum
    of each family with at least three sizes). With one seed, `to_test` is the cost of more seeds. In a
    partial comparison, entries cover the rows that can be compared; `not_compared` lists the other
    tokenizers.

    `growth` holds the factors by which the best size of a family grows from one budget to a larger one, with
    intervals.
    """
    rows = [row for row in results["rows"] if row["compared"]]
    found = []
    for model in comparison.models:
        of_model = [row for row in rows if row["model"] == model]
        if not of_model:
            continue
        best = of_model[0]
        ladders = _ladders(comparison, rows, errors, model)
        missing = ENOUGH_SEEDS - len(best["seeds"]) if len(best["seeds"]) == 1 else 0
        compared = {row["tokenizer"] for row in of_model}
        lossy = {row["tokenizer"] for row in results["lossy_rows"] if row["model"] == model}
        found.append(
            {
                "model": model,
                "kind": best["kind"],
                "best": {key: best[key] for key in BEST},
                "may_be_best": [row["tokenizer"] for row in of_model if not row["distinguishable"]],
                "tokenizers": len(of_model),
                "not_compared": [name for name in comparison.specs if name not in compared | lossy],
                "seeds_outlying": [row["tokenizer"] for row in of_model if row["seed_sd_outlying"]],
                "ladders": {name: asdict(find_minimum(*ladder)) for name, ladder in ladders.items()},
                "seeds": len(best["seeds"]),
                "seeds_missing": best["seeds_missing"],
                "to_test": {
                    "option": _more_seeds(comparison, model),
                    "runs": missing * len(of_model),
                    "train_seconds": missing * sum(row["train_seconds"] for row in of_model),
                },
                "documents": best["test_documents"],
                "groups": results["corpus"]["test_groups"],
            }
        )
    return {"models": found, "growth": _growth(comparison, rows, errors)}


def _more_seeds(comparison: Comparison, model: str) -> str:
    """The option that gives a model enough seeds, including those it has."""
    key = f"models.{model}.seeds" if comparison.models[model].seeds else "seeds"
    (seed,) = comparison.seeds_of(model)[:1]
    return f"{key}: {[seed + i for i in range(ENOUGH_SEEDS)]}"


Ladder = tuple[np.ndarray, np.ndarray, Errors]  # sizes, bits per character, and errors of these
BEST = ("tokenizer", "spec", "vocab_size", "test_bpc", "test_bpc_low", "test_bpc_high")


def _ladders(
    comparison: Comparison, rows: list[dict], errors: dict[str, Errors], model: str
) -> dict[str, Ladder]:
    """The ladders of a model by family, sizes in ascending order; only families with at least three sizes.

    Empty with one seed. If several labels of a family have the same size, the first in the comparison file
    is used.
    """
    labels = list(comparison.specs)
    rows = [row for row in rows if row["model"] == model]
    if not rows or len(rows[0]["seeds"]) == 1:
        return {}
    order = sorted(
        range(len(rows)), key=lambda i: (rows[i]["vocab_size"], labels.index(rows[i]["tokenizer"]))
    )
    found = {}
    for name, members in sorted(grouped(order, lambda i: family(rows[i]["spec"])).items()):
        index = [same[0] for same in grouped(members, lambda i: rows[i]["vocab_size"]).values()]
        if len(index) >= 3:
            sizes, bpc = (np.array([rows[i][key] for i in index]) for key in ("vocab_size", "test_bpc"))
            found[name] = sizes, bpc, errors[model].of(index)
    return found


def _growth(comparison: Comparison, rows: list[dict], errors: dict[str, Errors]) -> list[dict]:
    """The growth of the best size between models that differ only in the amount of their budget."""
    found, models = [], comparison.resolved().models
    for small, large in itertools.permutations(models, 2):
        ours, theirs = (replace(models[model], budget=None, seeds=None) for model in (small, large))
        if ours != theirs:
            continue
        budgets = [asdict(comparison.budget_of(model)) for model in (small, large)]
        unit = next(unit for unit, amount in budgets[0].items() if amount)
        if not (budgets[1][unit] or 0) > budgets[0][unit]:
            continue
        factor = budgets[1][unit] / budgets[0][unit]
        here, there = (_ladders(comparison, rows, errors, model) for model in (small, large))
        for name in here.keys() & there.keys():
            growth = {"family": name, "from": small, "to": large, "budget_factor": factor}
            found.append(growth | _size_factor(here[name], there[name], (small, large)))
    return sorted(found, key=lambda entry: (entry["from"], entry["to"], entry["family"]))


def _size_factor(here: Ladder, there: Ladder, models: tuple[str, str]) -> dict:
    """The factor by which the best size of the second ladder is larger; None if a ladder does not show one.

    A minimum at an end of a ladder may be outside it; the factor is then a bound, and its end is open.
    """
    named = zip(models, (here, there), strict=True)
    outside = [model for model, ladder in named if find_minimum(*ladder).where != "inside"]
    if outside:
        keys = ("size_factor", "size_factor_low", "size_factor_high", "open_low", "open_high")
        return {"outside": outside, **dict.fromkeys(keys)}
    firsts, seconds = minima(*here), minima(*there)
    low, high = interval(2 ** (seconds - firsts))
    first_below, first_above = at_ends(np.log2(here[0]), firsts)
    second_below, second_above = at_ends(np.log2(there[0]), seconds)
    return {
        "outside": [],
        "size_factor": float(2 ** (seconds.mean() - firsts.mean())),
        "size_factor_low": float(low),
        "size_factor_high": float(high),
        "open_low": open_end(first_above | second_below),
        "open_high": open_end(first_below | second_above),
    }


def sentences(entry: dict) -> list[str]:
    """A few sentences about one model: the tokenizers that may be the best, the best size, the certainty."""
    return [sentence for part in parts_of_answer(entry) for sentence in part]


def parts_of_answer(entry: dict) -> tuple[list[str], list[str], list[str]]:
    """The sentences in three parts: the tokenizers that may be the best, the best sizes, the certainty."""
    sizes = [f"The best size of {name} is {_size(ladder)}." for name, ladder in entry["ladders"].items()]
    waiting = [f"Not compared yet: {', '.join(entry['not_compared'])}."] if entry["not_compared"] else []
    return _which(entry), [*sizes, *waiting], _certainty(entry)


def _which(entry: dict) -> list[str]:
    """The tokenizers that may be the best."""
    best, may, count = entry["best"], entry["may_be_best"], entry["tokenizers"]
    name = f"{best['tokenizer']} (vocabulary {best['vocab_size']:,})"
    bits = f"{best['test_bpc']:.3f} bits per character"
    if best["test_bpc_low"] < best["test_bpc_high"]:  # equal with one document and one seed
        bits += f" (95 % interval {best['test_bpc_low']:.3f} to {best['test_bpc_high']:.3f})"
    so_far = " compared so far" if entry["not_compared"] else ""
    if count == 1:
        return [f"{name} needs {bits}; it is the only tokenizer."]
    if entry["seeds"] == 1:
        more = entry["to_test"]
        remedy = (
            f"To test it, set {more['option']}: {more['runs']} more runs, about "
            f"{duration(more['train_seconds'])} of training."
        )
        if entry["seeds_missing"]:
            remedy = "The runs with other seeds are not evaluated yet."
        return [
            "Not tested: each tokenizer has one run, and runs that differ only in their seed may differ as "
            f"much as these tokenizers do. {remedy}",
            f"Measured lowest: {name}, {bits}.",
        ]
    if len(may) == 1:
        return [f"{name} is the best of {count} tokenizers{so_far}: {bits}."]
    if len(may) == count:
        first = f"No tokenizer of the {count}{so_far} is shown to be better than another."
    else:
        first = f"Any of {len(may)} of the {count} tokenizers{so_far} may be the best: {', '.join(may)}."
    return [f"{first} Measured lowest: {name}, {bits}."]


def _certainty(entry: dict) -> list[str]:
    """The sources of error that intervals and comparisons cover, and warnings."""
    groups, seeds, documents = entry["groups"], entry["seeds"], entry["documents"]
    if documents == 1:
        return ["The test text is one document, so nothing is known about other text: give more documents."]
    text = f"{documents:,} test documents" + (f" in {groups:,} groups" if groups and groups > 1 else "")
    drawn = (
        f"the choice of text ({text}) and {seeds} seeds" if seeds > 1 else f"only the choice of text ({text})"
    )
    found = [f"Intervals cover {drawn}."]
    if seeds > 1 and entry["tokenizers"] > 2:
        found.append("Statements about the best hold for all tokenizers at once, in 95 of 100 comparisons.")
    if groups == 1:
        found.append(
            "All documents are in one group and treated as independent, so intervals may be too narrow."
        )
    elif (groups or documents) < FEW:
        found.append(f"With so few {'groups' if groups else 'documents'} they are wide and uncertain.")
    if names := entry["seeds_outlying"]:
        found.append(f"Seeds of {', '.join(names)} vary more than those of the other tokenizers.")
    return found


def _size(ladder: dict) -> str:
    """The measured sizes that may be the best, and the best size between them."""
    rungs = [f"{size:,}" for size in ladder["rungs"]]
    tried = rungs[0] if len(rungs) == 1 else f"{', '.join(rungs[:-1])} or {rungs[-1]}"
    if ladder["where"] == "flat":
        return "any of those tried: they are not shown to differ"
    at = {
        "inside": f"a curve through them has its minimum at {ladder['size']:,.0f}",
        "below": "the best size may lie below the smallest",
        "above": "the best size may lie above the largest",
    }[ladder["where"]]
    return f"{tried} of those tried; {at} (95 % interval {_span(ladder, 'size', ',.0f')})"


def _span(found: dict, key: str, form: str) -> str:
    """An interval; an end that is the end of a ladder is marked "or less" or "or more"."""
    low, high = format(found[f"{key}_low"], form), format(found[f"{key}_high"], form)
    ends = [f"{low}{' or less' * found['open_low']}", f"{high}{' or more' * found['open_high']}"]
    return " to ".join(ends[1:] if ends[0] == high else ends[:1] if ends[1] == low else ends)


def growth_sentences(answer: dict) -> list[str]:
    """A sentence for each family and pair of budgets."""
    found = []
    for entry in answer["growth"]:
        line = f"From {entry['from']} to {entry['to']}, {entry['budget_factor']:.3g} times the budget, "
        if entry["outside"]:
            line += f"the growth of {entry['family']} is unknown: its sizes do not include the best one "
            found.append(line + f"under {' and '.join(entry['outside'])}.")
        else:
            line += f"the best size of {entry['family']} becomes {entry['size_factor']:.2f} times as large "
            found.append(line + f"(95 % interval {_span(entry, 'size_factor', '.2f')}).")
    return found


@dataclass(frozen=True)
class Arguments:
    """Recommend a tokenizer."""

    folder: Path
    """folder of a comparison, such as out/shakespeare"""
    json: bool = False
    """print the numbers behind the sentences as JSON"""


def main(arguments: Arguments) -> None:
    """Print the answer."""
    comparison = load_comparison(arguments.folder)
    results, errors = collect_results(comparison)
    answer = recommend(comparison, results, errors)
    if arguments.json:
        print(json.dumps(answer, indent=1))
        return
    for line in partial_sentences(results["partial"]):
        print(f"{line}\n")
    for entry in answer["models"]:
        print(f"{entry['model']}: {' '.join(sentences(entry))}\n")
    for line in growth_sentences(answer):
        print(line)


if __name__ == "__main__":
    run_command(main, Arguments, "Print which tokenizer and vocabulary size a comparison recommends.")
