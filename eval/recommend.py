"""The answer in a few sentences, also as JSON: `python -m eval.recommend --help`."""

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from command_line import run_command

from .ladder import family, find_minimum, minima
from .results import collect_results, read_comparison
from .statistics import interval

FEW_DOCUMENTS = 10  # below this a bootstrap over documents says little


def recommend(comparison: dict, results: dict, samples: np.ndarray) -> dict:
    """What is best by model, and how the best size moves with the budget.

    `results` and `samples` are those of `collect_results`. Of each of `models`: the best row, `undecided`
    (tokenizers not distinguishable from it) and `ladders` (the minimum of each family of three sizes or
    more). `growth` has the factors by which a family's best size grows from one budget to a larger one, with
    intervals.
    """
    rows = results["rows"]
    found = []
    for model in comparison["models"]:
        of_model = [row for row in rows if row["model"] == model]
        if not of_model:
            continue
        best = of_model[0]
        ladders = {
            name: asdict(find_minimum(*_ladder(rows, samples, index)))
            for name, index in _ladders(rows, model).items()
        }
        found.append(
            {
                "model": model,
                "kind": best["kind"],
                "best": {key: best[key] for key in BEST},
                "undecided": [row["tokenizer"] for row in of_model[1:] if not row["distinguishable"]],
                "tokenizers": len(of_model),
                "ladders": ladders,
                "seeds": len(best["seeds"]),
                "documents": best["test_documents"],
            }
        )
    return {"models": found, "growth": _growth(comparison, rows, samples)}


BEST = ("tokenizer", "vocab_size", "test_bpc", "test_bpc_low", "test_bpc_high")


def _ladders(rows: list[dict], model: str) -> dict[str, list[int]]:
    """The rows of a model by family, in rising order of sizes; families of three sizes or more."""
    families: dict[str, list[int]] = {}
    for i in sorted(range(len(rows)), key=lambda i: rows[i]["vocab_size"]):
        if rows[i]["model"] == model:
            families.setdefault(family(rows[i]["tokenizer"]), []).append(i)
    return {name: index for name, index in sorted(families.items()) if len(index) >= 3}


def _ladder(rows: list[dict], samples: np.ndarray, index: list[int]) -> tuple[np.ndarray, ...]:
    """Sizes, bits per character and their samples."""
    sizes, bpc = (np.array([rows[i][key] for i in index]) for key in ("vocab_size", "test_bpc"))
    return sizes, bpc, samples[:, index]


def _growth(comparison: dict, rows: list[dict], samples: np.ndarray) -> list[dict]:
    """For models that differ in the amount of their budget alone, how much larger the best size is."""
    found = []
    for small, large in itertools.permutations(comparison["models"], 2):
        ours, theirs = comparison["models"][small], comparison["models"][large]
        if any(ours[key] != theirs[key] for key in ours if key != "budget"):
            continue
        unit = next(unit for unit, amount in ours["budget"].items() if amount)
        if not (theirs["budget"][unit] or 0) > ours["budget"][unit]:
            continue
        here, there = _ladders(rows, small), _ladders(rows, large)
        for name in here.keys() & there.keys():
            ends = []
            for index in (here[name], there[name]):
                sizes, bpc, resampled = _ladder(rows, samples, index)
                at, sampled = minima(sizes, bpc, resampled)
                ends.append(np.clip([at, *sampled], *np.log2(sizes[[0, -1]])))
            factor = 2 ** (ends[1] - ends[0])
            low, high = interval(factor[1:])
            found.append(
                {
                    "family": name,
                    "from": small,
                    "to": large,
                    "budget_factor": theirs["budget"][unit] / ours["budget"][unit],
                    "size_factor": float(factor[0]),
                    "size_factor_low": float(low),
                    "size_factor_high": float(high),
                }
            )
    return sorted(found, key=lambda entry: (entry["from"], entry["to"], entry["family"]))


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
    if ladder["where"] != "inside":
        end, word = ("smallest", "smaller") if ladder["where"] == "below" else ("largest", "larger")
        return f"outside the ladder: its {end} rung {ladder['rung']:,} is the best, try {word} ones"
    return f"{ladder['size']:,.0f} ({ladder['size_low']:,.0f} to {ladder['size_high']:,.0f})"


def growth_sentences(answer: dict) -> list[str]:
    """A sentence for each family and pair of budgets."""
    return [
        f"From {entry['from']} to {entry['to']}, {entry['budget_factor']:.3g} times the budget, the best "
        f"size of {entry['family']} becomes {entry['size_factor']:.2f} times as large (95 % interval "
        f"{entry['size_factor_low']:.2f} to {entry['size_factor_high']:.2f})."
        for entry in answer["growth"]
    ]


@dataclass(frozen=True)
class Arguments:
    """Say which tokenizer is best."""

    folder: Path
    """folder of a finished comparison, such as out/shakespeare"""
    json: bool = False
    """print the figures behind the sentences as JSON"""


def main(arguments: Arguments) -> None:
    """Print the answer."""
    answer = recommend(read_comparison(arguments.folder), *collect_results(arguments.folder))
    if arguments.json:
        print(json.dumps(answer, indent=1))
        return
    for entry in answer["models"]:
        print(f"{entry['model']}: {' '.join(sentences(entry))}\n")
    for line in growth_sentences(answer):
        print(line)


if __name__ == "__main__":
    run_command(main, Arguments, "Which tokenizer, and how large a vocabulary: the answer of a comparison.")
