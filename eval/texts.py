"""The results on further test texts, and how the ranking of tokenizers changes from text to text."""

import itertools

import numpy as np
from scipy import stats

from comparison import Comparison

from .recommend import recommend
from .results import NoResults, are_tested, collect_results
from .statistics import Errors, between_all

Results = tuple[dict, dict[str, Errors]]  # the return value of `collect_results`


def collect_texts(comparison: Comparison, on_test: Results) -> dict[str, dict]:
    """The results on each further text by its name; `on_test` are those on the test split.

    Each has the `source` of the text and, as results.json of the test split, `rows`, `lossy_rows`, `runs`,
    `corpus`, `partial` and `recommendation`; and in `ranking`, for each model, what `compare_rankings` finds.
    If nothing can be ranked on a text, it has only the `source`, and the reason in `missing`.
    """
    found: dict[str, dict] = {}
    for name, source in comparison.texts.items():
        found[name] = {"source": source.source}
        try:
            results, errors = collect_results(comparison, name)
        except NoResults as error:
            found[name]["missing"] = str(error)
            continue
        ranking = [
            {
                "model": model,
                **compare_rankings(*(_of_model(each, model) for each in (on_test, (results, errors)))),
            }
            for model in errors
            if model in on_test[1]
        ]
        found[name] |= results
        found[name] |= {"recommendation": recommend(comparison, results, errors), "ranking": ranking}
    return found


Rows = tuple[list[dict], Errors]  # the compared rows of a model, best first, and their errors


def _of_model(results: Results, model: str) -> Rows:
    rows = [row for row in results[0]["rows"] if row["model"] == model and row["compared"]]
    return rows, results[1][model]


def compare_rankings(one: Rows, other: Rows) -> dict:
    """How the ranking of tokenizers changes from one text to another one, under one model.

    Returns the number of `tokenizers` that are compared on both texts, the rank correlation `kendall_tau` of
    these (None where it is undefined), and `tested`, false if differences cannot be tested. `reversed` lists
    pairs, the better one on the other text first, that are shown to differ on both texts, in opposite
    directions. The intervals of each text hold for all pairs at once.
    """
    (rows, errors), (other_rows, other_errors) = one, other
    here = {row["tokenizer"]: row["test_bpc"] for row in rows}
    there = {row["tokenizer"]: row["test_bpc"] for row in other_rows}
    both = [name for name in here if name in there]
    tau = np.nan
    if len(both) > 1:
        tau = stats.kendalltau([here[name] for name in both], [there[name] for name in both]).statistic
    better, better_there = shown_better(rows, errors), shown_better(other_rows, other_errors)
    return {
        "tokenizers": len(both),
        "kendall_tau": None if np.isnan(tau) else float(tau),
        "tested": are_tested(rows) and are_tested(other_rows),
        "reversed": [
            [a, b] for a, b in itertools.permutations(there, 2) if (a, b) in better_there and (b, a) in better
        ],
    }


def shown_better(rows: list[dict], errors: Errors) -> set[tuple[str, str]]:
    """The pairs (better, worse) of tokenizers of a model that are shown to differ, for all pairs at once."""
    if not are_tested(rows):
        return set()
    half = between_all(errors)
    return {
        (a["tokenizer"], b["tokenizer"])
        for (i, a), (j, b) in itertools.permutations(enumerate(rows), 2)
        if b["test_bpc"] - a["test_bpc"] > half[i, j]
    }


def ranks(rows: list[dict]) -> dict[str, int]:
    """The rank of each compared tokenizer of a model, from 1 for the fewest bits; equal rows share one."""
    compared = [row for row in rows if row["compared"]]
    found = stats.rankdata([row["test_bpc"] for row in compared], method="min")
    return {row["tokenizer"]: int(rank) for row, rank in zip(compared, found, strict=True)}
