"""The answer in a few sentences, also as JSON: `python -m eval.recommend --help`."""

import itertools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from common.cli import run_command
from comparison import Comparison, load_comparison

from .ladder import at_ends, family, find_minimum, minima, open_end
from .results import collect_results, grouped
from .statistics import interval

FEW_DOCUMENTS = 10  # below this a bootstrap over documents says little


def recommend(comparison: Comparison, results: dict, samples: np.ndarray) -> dict:
    """What is best by model, and how the best size moves with the budget.

    `results` and `samples` are those of `collect_results`. Of each of `models`: the best row, `undecided`
    (tokenizers not distinguishable from it) and `ladders` (the minimum of each family of three sizes or
    more). `growth` has the factors by which a family's best size grows from one budget to a larger one, with
    intervals.
    """
    rows = results["rows"]
    found = []
    for model in comparison.models:
        of_model = [row for row in rows if row["model"] == model]
        if not of_model:
            continue
        best = of_model[0]
        ladders = _ladders(rows, samples, model)
        found.append(
            {
                "model": model,
                "kind": best["kind"],
                "best": {key: best[key] for key in BEST},
                "undecided": [row["tokenizer"] for row in of_model[1:] if not row["distinguishable"]],
                "tokenizers": len(of_model),
                "ladders": {name: asdict(find_minimum(*ladder)) for name, ladder in ladders.items()},
                "seeds": len(best["seeds"]),
                "documents": best["test_documents"],
            }
        )
    return {"models": found, "growth": _growth(comparison, rows, samples)}


Ladder = tuple[np.ndarray, np.ndarray, np.ndarray]  # sizes, bits per character, and their samples
BEST = ("tokenizer", "vocab_size", "test_bpc", "test_bpc_low", "test_bpc_high")


def _ladders(rows: list[dict], samples: np.ndarray, model: str) -> dict[str, Ladder]:
    """The ladders of a model by family, sizes in rising order; of families of three sizes or more."""
    of_model = [i for i, row in enumerate(rows) if row["model"] == model]
    of_model.sort(key=lambda i: rows[i]["vocab_size"])
    found = {}
    for name, index in sorted(grouped(of_model, lambda i: family(rows[i]["tokenizer"])).items()):
        if len(index) >= 3:
            sizes, bpc = (np.array([rows[i][key] for i in index]) for key in ("vocab_size", "test_bpc"))
            found[name] = sizes, bpc, samples[:, index]
    return found


def _growth(comparison: Comparison, rows: list[dict], samples: np.ndarray) -> list[dict]:
    """For models that differ in the amount of their budget alone, how much larger the best size is."""
    found, models = [], comparison.resolved().models
    for small, large in itertools.permutations(models, 2):
        ours, theirs = (replace(models[model], budget=None) for model in (small, large))
        if ours != theirs:
            continue
        budgets = [asdict(comparison.budget_of(model)) for model in (small, large)]
        unit = next(unit for unit, amount in budgets[0].items() if amount)
        if not (budgets[1][unit] or 0) > budgets[0][unit]:
            continue
        factor = budgets[1][unit] / budgets[0][unit]
        here, there = (_ladders(rows, samples, model) for model in (small, large))
        for name in here.keys() & there.keys():
            growth = {"family": name, "from": small, "to": large, "budget_factor": factor}
            found.append(growth | _size_factor(here[name], there[name], (small, large)))
    return sorted(found, key=lambda entry: (entry["from"], entry["to"], entry["family"]))


def _size_factor(here: Ladder, there: Ladder, models: tuple[str, str]) -> dict:
    """By which factor the best size of the second ladder is larger, where both have one.

    A minimum at an end of its ladder may lie beyond it, and the factor beyond the one that is computed.
    """
    named = zip(models, (here, there), strict=True)
    outside = [model for model, ladder in named if find_minimum(*ladder).where != "inside"]
    if outside:
        keys = ("size_factor", "size_factor_low", "size_factor_high", "open_low", "open_high")
        return {"outside": outside, **dict.fromkeys(keys)}
    (first, firsts), (second, seconds) = minima(*here), minima(*there)
    low, high = interval(2 ** (seconds - firsts))
    first_below, first_above = at_ends(np.log2(here[0]), firsts)
    second_below, second_above = at_ends(np.log2(there[0]), seconds)
    return {
        "outside": [],
        "size_factor": float(2 ** (second - first)),
        "size_factor_low": float(low),
        "size_factor_high": float(high),
        "open_low": open_end(first_above | second_below),
        "open_high": open_end(first_below | second_above),
    }


def sentences(entry: dict) -> list[str]:
    """Three sentences on one model: what is best, what the ladders say, and how certain it is."""
    best, undecided = entry["best"], entry["undecided"]
    first = (
        f"{best['tokenizer']} (vocabulary {best['vocab_size']:,}) needs the fewest bits: "
        f"{best['test_bpc']:.3f} per character, 95 % interval {best['test_bpc_low']:.3f} to "
        f"{best['test_bpc_high']:.3f}."
    )
    ladders = "; ".join(f"for {name} {_size(ladder)}" for name, ladder in entry["ladders"].items())
    second = (
        f"By a parabola over log V the best size is {ladders}."
        if ladders
        else "No family has three sizes here, so nothing is said of sizes between and beyond them."
    )
    if entry["documents"] < FEW_DOCUMENTS:
        third = f"The test text is {entry['documents']} documents, too few to trust an interval."
    else:
        covers = f"text and {entry['seeds']} seeds" if entry["seeds"] > 1 else "text, not the one seed"
        others = "every other tokenizer is worse" if entry["tokenizers"] > 1 else "nothing was compared"
        told = f"not distinguishable from the best: {', '.join(undecided)}" if undecided else others
        third = f"Intervals cover the choice of {covers}; {told}."
    return [first, second, third]


def _size(ladder: dict) -> str:
    """Where the best size lies, and which of the measured ones to take."""
    size, rung, nearest = f"{ladder['size']:,.0f}", ladder["rung"], ladder["nearest"]
    if ladder["where"] == "flat":
        return "any of those tried, which are alike"
    at = {
        "inside": size,
        "below": f"below {size}, the smallest tried",
        "above": f"beyond {size}, the largest tried",
    }[ladder["where"]]
    known = _span(ladder, "size", ",.0f")
    if rung != nearest:
        known += f"; of those tried {rung:,}, as {nearest:,} is nearer but distinguishably worse"
    elif ladder["where"] == "inside":
        known += f"; of those tried {rung:,}"
    return f"{at} ({known})"


def _span(found: dict, key: str, form: str) -> str:
    """An interval; where an end of it is the end of a ladder, it may lie farther out."""
    low, high = format(found[f"{key}_low"], form), format(found[f"{key}_high"], form)
    ends = [f"{low}{' or less' * found['open_low']}", f"{high}{' or more' * found['open_high']}"]
    return " to ".join(ends[1:] if ends[0] == high else ends[:1] if ends[1] == low else ends)


def growth_sentences(answer: dict) -> list[str]:
    """A sentence for each family and pair of budgets."""
    found = []
    for entry in answer["growth"]:
        line = f"From {entry['from']} to {entry['to']}, {entry['budget_factor']:.3g} times the budget, "
        if entry["outside"]:
            line += f"the growth of {entry['family']} is not known: its ladder does not hold the best size "
            found.append(line + f"under {' and '.join(entry['outside'])}.")
        else:
            line += f"the best size of {entry['family']} becomes {entry['size_factor']:.2f} times as large "
            found.append(line + f"(95 % interval {_span(entry, 'size_factor', '.2f')}).")
    return found


@dataclass(frozen=True)
class Arguments:
    """Say which tokenizer is best."""

    folder: Path
    """folder of a finished comparison, such as out/shakespeare"""
    json: bool = False
    """print the figures behind the sentences as JSON"""


def main(arguments: Arguments) -> None:
    """Print the answer."""
    comparison = load_comparison(arguments.folder)
    answer = recommend(comparison, *collect_results(comparison))
    if arguments.json:
        print(json.dumps(answer, indent=1))
        return
    for entry in answer["models"]:
        print(f"{entry['model']}: {' '.join(sentences(entry))}\n")
    for line in growth_sentences(answer):
        print(line)


if __name__ == "__main__":
    run_command(main, Arguments, "Which tokenizer, and how large a vocabulary: the answer of a comparison.")
