"""The recommendation in sentences."""

import re
from dataclasses import replace

import numpy as np
import pytest

from comparison import Comparison, Recipe
from eval.recommend import growth_sentences, recommend, sentences
from eval.statistics import Errors
from training.budget import Budget, TextAmount

SIZES = [512, 1024, 2048, 4096, 8192]


def made_up(best: dict[str, float], seeds: int = 3) -> tuple[Comparison, dict, dict[str, Errors]]:
    """A comparison of several sizes of bpe and `char`; `best` gives log2 of each best size."""
    comparison = Comparison(
        name="tiny",
        tokenizers=[*(f"bpe-{size}" for size in SIZES), "char"],
        models={model: Recipe(budget=Budget(chars=100 * 4**i)) for i, model in enumerate(best)},
        context=TextAmount(chars=10),
        batch=TextAmount(chars=10),
        budget=Budget(chars=1),
        seeds=[*range(seeds)],
    )
    rows = [
        {
            **{"tokenizer": name, "spec": name, "model": model},
            **{"vocab_size": size, "test_bpc": bpc, "kind": "gpt"},
        }
        for model, at in best.items()
        for name, size, bpc in [
            *((f"bpe-{size}", size, 2 + 0.01 * (np.log2(size) - at) ** 2) for size in SIZES),
            ("char", 258, 2.5),
        ]
    ]
    rows.sort(key=lambda row: row["test_bpc"])
    for row in rows:
        ahead = min(other["test_bpc"] for other in rows if other["model"] == row["model"])
        row |= {"test_bpc_low": row["test_bpc"] - 0.1, "test_bpc_high": row["test_bpc"] + 0.1}
        row |= {"seeds": list(range(seeds)), "test_documents": 50, "train_seconds": 60.0}
        row |= {"seed_sd_outlying": False, "compared": True, "seeds_missing": []}
        row["distinguishable"] = seeds > 1 and row["test_bpc"] - ahead > 0.005
    count, errors = len(SIZES) + 1, {}
    for number, model in enumerate(best):
        noise = 0.001 * np.random.default_rng(number).standard_normal((2000, count))
        errors[model] = Errors(noise, 1e-6 * np.eye(count))
    return comparison, {"rows": rows, "lossy_rows": [], "corpus": {"test_groups": None}}, errors


def test_the_answer_has_candidates_best_size_and_certainty():
    (entry,) = recommend(*made_up({"gpt": 10.6}))["models"]
    which, size, covers, at_once = sentences(entry)
    assert which == (
        "Any of 2 of the 6 tokenizers may be the best: bpe-2048, bpe-1024. Measured lowest: bpe-2048 "
        "(vocabulary 2,048), 2.002 bits per character (95 % interval 1.902 to 2.102)."
    )
    assert size.startswith(
        "The best size of bpe is 1,024 or 2,048 of those tried; a curve through them has its minimum at "
    )
    assert covers == "Intervals cover the choice of text (50 test documents) and 3 seeds."
    assert at_once.startswith("Statements about the best hold for all tokenizers at once")


def test_a_tokenizer_that_beats_all_others_is_the_best():
    comparison, results, errors = made_up({"gpt": 10.6})
    for row in results["rows"][1:]:
        row["distinguishable"] = True
    (entry,) = recommend(comparison, results, errors)["models"]
    assert sentences(entry)[0].startswith(
        "bpe-2048 (vocabulary 2,048) is the best of 6 tokenizers: 2.002 bits"
    )


def test_if_none_is_worse_no_tokenizer_is_called_better():
    comparison, results, errors = made_up({"gpt": 10.6})
    for row in results["rows"]:
        row["distinguishable"] = False
    (entry,) = recommend(comparison, results, errors)["models"]
    assert sentences(entry)[0].startswith(
        "No tokenizer of the 6 is shown to be better than another. Measured"
    )


def test_with_one_seed_nothing_is_claimed_and_the_cost_of_a_test_is_given():
    comparison, results, errors = made_up({"small": 10.0, "large": 11.0}, seeds=1)
    answer = recommend(comparison, results, errors)
    said = " ".join(sentences(answer["models"][0]))
    assert said.startswith("Not tested: each tokenizer has one run")
    assert "set seeds: [0, 1, 2]: 12 more runs, about 12 min of training" in said
    assert "may be the best" not in said and "is the best" not in said and "best size" not in said
    assert answer["growth"] == []


def test_reasons_for_uncertain_intervals_are_given():
    comparison, results, errors = made_up({"gpt": 10.6})
    results["corpus"]["test_groups"] = 3
    results["rows"][1]["seed_sd_outlying"] = True
    (entry,) = recommend(comparison, results, errors)["models"]
    said = sentences(entry)
    assert "Intervals cover the choice of text (50 test documents in 3 groups) and 3 seeds." in said
    assert "With so few groups they are wide and uncertain." in said
    assert f"Seeds of {results['rows'][1]['tokenizer']} vary more than those of the other tokenizers." in said


def test_a_size_under_two_labels_is_one_rung_with_the_first_label():
    comparison, results, errors = made_up({"gpt": 10.6})
    one = find_ladders(comparison, results, errors)
    at = [row["tokenizer"] for row in results["rows"]].index("bpe-1024")
    again = {**results["rows"][at], "tokenizer": "again", "test_bpc": 1.9}
    results["rows"] = [again, *results["rows"]]  # the best first
    errors = {"gpt": errors["gpt"].of([at, *range(len(SIZES) + 1)])}
    last = replace(comparison, tokenizers=[*comparison.tokenizers, {"again": "bpe-1024"}])
    assert find_ladders(last, results, errors) == one
    first = replace(comparison, tokenizers=[{"again": "bpe-1024"}, *comparison.tokenizers])
    assert find_ladders(first, results, errors)["bpe"]["rungs"] == [1024]


def find_ladders(comparison: Comparison, results: dict, errors: dict[str, Errors]) -> dict[str, dict]:
    (entry,) = recommend(comparison, results, errors)["models"]
    return entry["ladders"]


def test_the_family_follows_from_the_spec_and_not_the_label():
    comparison, results, errors = made_up({"gpt": 10.6})
    labels = {spec: f"number-{i}" for i, spec in enumerate(comparison.specs.values())}
    named = replace(comparison, tokenizers=[{label: spec} for spec, label in labels.items()])
    expected = find_ladders(comparison, results, errors)
    for row in results["rows"]:
        row["tokenizer"] = labels[row["spec"]]
    assert find_ladders(named, results, errors) == expected and list(expected) == ["bpe"]
    (entry,) = recommend(named, results, errors)["models"]
    assert (entry["best"]["tokenizer"], entry["best"]["spec"]) == (labels["bpe-2048"], "bpe-2048")


def ladder(**found: object) -> dict:
    """A ladder whose best size is about 2,000, except for `found`."""
    plain = {"size": 2000.0, "size_low": 1500.0, "size_high": 2500.0, "open_low": False, "open_high": False}
    return plain | {"rungs": [1024, 2048], "where": "inside"} | found


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            {},
            "The best size of bpe is 1,024 or 2,048 of those tried; a curve through them has its minimum at "
            "2,000 (95 % interval 1,500 to 2,500).",
        ),
        ({"open_high": True, "size_high": 8192.0}, "(95 % interval 1,500 to 8,192 or more)"),
        ({"open_low": True, "size_low": 512.0}, "(95 % interval 512 or less to 2,500)"),
        ({"rungs": [512, 1024, 2048]}, "is 512, 1,024 or 2,048 of those tried;"),
        ({"where": "flat"}, "The best size of bpe is any of those tried: they are not shown to differ."),
    ],
)
def test_the_best_size_is_given_with_its_uncertainty(found, says):
    (entry,) = recommend(*made_up({"gpt": 10.6}))["models"]
    entry["ladders"]["bpe"] = ladder(**found)
    assert says in sentences(entry)[1]


@pytest.mark.parametrize(
    ("best", "says"),
    [
        (15.0, r"8,192 of those tried; the best size may lie above the largest \(.*8,192 or more\)"),
        (7.0, r"512 of those tried; the best size may lie below the smallest \(.*512 or less"),
    ],
)
def test_a_minimum_outside_the_ladder_names_its_direction(best, says):
    (entry,) = recommend(*made_up({"gpt": best}))["models"]
    assert re.search(says, sentences(entry)[1])


def test_growth_of_the_best_size_is_a_factor_with_its_interval():
    answer = recommend(*made_up({"small": 10.0, "large": 11.0}))
    (entry,) = answer["growth"]
    assert (entry["from"], entry["to"], entry["budget_factor"]) == ("small", "large", 4)
    assert 1 < entry["size_factor_low"] < 2 < entry["size_factor_high"] < 4
    (line,) = growth_sentences(answer)
    assert "4 times the budget, the best size of bpe becomes " in line
    assert "or more" not in line and "or less" not in line


@pytest.mark.parametrize(
    ("small", "large", "where"),
    [(15.0, 18.0, "small and large"), (12.0, 15.0, "large"), (7.0, 10.0, "small")],
)
def test_growth_from_or_to_a_size_outside_the_ladder_is_unknown(small, large, where):
    answer = recommend(*made_up({"small": small, "large": large}))
    (entry,) = answer["growth"]
    assert entry["size_factor"] is entry["size_factor_low"] is entry["size_factor_high"] is None
    (line,) = growth_sentences(answer)
    assert line == (
        "From small to large, 4 times the budget, the growth of bpe is unknown: its sizes do not include "
        f"the best one under {where}."
    )


@pytest.mark.parametrize(
    ("small", "large", "says"),
    [
        (11.0, 12.7, r"interval \d\.\d+ to \d\.\d+ or more\)"),
        (12.7, 11.0, r"interval 0\.\d+ or less to 0\.\d+\)"),
        (9.3, 11.0, r"interval \d\.\d+ to \d\.\d+ or more\)"),
        (11.0, 9.3, r"interval 0\.\d+ or less to 0\.\d+\)"),
    ],
)
def test_growth_is_open_on_the_side_where_drawn_minima_leave_the_ladder(small, large, says):
    (line,) = growth_sentences(recommend(*made_up({"small": small, "large": large})))
    assert re.search(says, line)


def test_without_three_sizes_there_is_no_best_size():
    comparison, results, errors = made_up({"gpt": 10.6})
    keep = [i for i, row in enumerate(results["rows"]) if row["vocab_size"] in (258, 512, 2048)]
    results["rows"] = [results["rows"][i] for i in keep]
    (entry,) = recommend(comparison, results, {"gpt": errors["gpt"].of(keep)})["models"]
    assert entry["ladders"] == {}
    assert "best size" not in " ".join(sentences(entry))
