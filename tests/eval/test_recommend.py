"""The answer in three sentences."""

import re

import numpy as np
import pytest

from comparison import Comparison, Recipe
from eval.recommend import growth_sentences, recommend, sentences
from training.budget import Budget, TextAmount

SIZES = [512, 1024, 2048, 4096, 8192]


def made_up(best: dict[str, float], seeds: int = 3) -> tuple[Comparison, dict, np.ndarray]:
    """A comparison of a ladder of bpe, and `char`: for each model log2 of the best size."""
    comparison = Comparison(
        name="tiny",
        tokenizers=[*(f"bpe-{size}" for size in SIZES), "char"],
        models={model: Recipe(budget=Budget(chars=100 * 4**i)) for i, model in enumerate(best)},
        context=TextAmount(chars=10),
        batch=TextAmount(chars=10),
        budget=Budget(chars=1),
    )
    rows = [
        {"tokenizer": name, "model": model, "vocab_size": size, "test_bpc": bpc, "kind": "gpt"}
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
        row |= {"seeds": list(range(seeds)), "test_documents": 50}
        row["distinguishable"] = row["test_bpc"] - ahead > 0.005
    noise = 0.001 * np.random.default_rng(0).standard_normal((2000, len(rows)))
    return comparison, {"rows": rows}, np.array([row["test_bpc"] for row in rows]) + noise


def test_three_sentences_say_what_is_best_which_size_and_how_certain():
    answer = recommend(*made_up({"gpt": 10.6}))
    (entry,) = answer["models"]
    best, size, certain = sentences(entry)
    assert best.startswith("bpe-2048 (vocabulary 2,048) needs the fewest bits: 2.002 per character")
    assert "for bpe 1,5" in size and entry["ladders"]["bpe"]["where"] == "inside"
    assert certain == (
        "Intervals cover the choice of text and 3 seeds; not distinguishable from the best: bpe-1024."
    )


def ladder(**found: object) -> dict:
    """What a ladder says whose answer is 2,000 and 2,048, except for `found`."""
    plain = {"size": 2000.0, "size_low": 1500.0, "size_high": 2500.0, "open_low": False, "open_high": False}
    return plain | {"nearest": 2048, "rung": 2048, "where": "inside"} | found


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({}, "for bpe 2,000 (1,500 to 2,500; of those tried 2,048)."),
        ({"open_high": True, "size_high": 8192.0}, "(1,500 to 8,192 or more; of those tried 2,048)"),
        ({"open_low": True, "size_low": 512.0}, "(512 or less to 2,500; of those tried 2,048)"),
        ({"rung": 4096}, "of those tried 4,096, as 2,048 is nearer but distinguishably worse)"),
        ({"where": "flat"}, "for bpe any of those tried, which are alike."),
    ],
)
def test_the_best_size_is_said_with_what_is_not_known_of_it(found, says):
    (entry,) = recommend(*made_up({"gpt": 10.6}))["models"]
    entry["ladders"]["bpe"] = ladder(**found)
    assert says in sentences(entry)[1]


@pytest.mark.parametrize(
    ("best", "says"),
    [
        (15.0, r"for bpe beyond 8,192, the largest tried \(8,192 or more\)"),
        (7.0, r"for bpe below 512, the smallest tried \(512 or less\)"),
    ],
)
def test_a_minimum_outside_the_ladder_says_where_to_look(best, says):
    (entry,) = recommend(*made_up({"gpt": best}))["models"]
    assert re.search(says, sentences(entry)[1])


def test_growth_of_the_best_size_is_a_factor_with_its_interval():
    answer = recommend(*made_up({"small": 10.0, "large": 11.0}))
    (entry,) = answer["growth"]
    assert (entry["from"], entry["to"], entry["budget_factor"]) == ("small", "large", 4)
    assert 1.8 < entry["size_factor_low"] < 2 < entry["size_factor_high"] < 2.2
    (line,) = growth_sentences(answer)
    assert "4 times the budget, the best size of bpe becomes 2.0" in line
    assert "or more" not in line and "or less" not in line


@pytest.mark.parametrize(
    ("small", "large", "where"),
    [(15.0, 18.0, "small and large"), (12.0, 15.0, "large"), (7.0, 10.0, "small")],
)
def test_growth_from_or_to_a_size_outside_the_ladder_is_not_known(small, large, where):
    answer = recommend(*made_up({"small": small, "large": large}))
    (entry,) = answer["growth"]
    assert entry["size_factor"] is entry["size_factor_low"] is entry["size_factor_high"] is None
    (line,) = growth_sentences(answer)
    assert line == (
        "From small to large, 4 times the budget, the growth of bpe is not known: its ladder does not hold "
        f"the best size under {where}."
    )


@pytest.mark.parametrize(
    ("small", "large", "says"),
    [
        (11.0, 12.97, r"interval 3\.\d+ to [34]\.\d+ or more\)"),
        (12.97, 11.0, r"interval 0\.\d+ or less to 0\.\d+\)"),
        (9.03, 11.0, r"interval 3\.\d+ to [34]\.\d+ or more\)"),
        (11.0, 9.03, r"interval 0\.\d+ or less to 0\.\d+\)"),
    ],
)
def test_growth_is_open_on_the_side_where_resampled_minima_leave_the_ladder(small, large, says):
    (line,) = growth_sentences(recommend(*made_up({"small": small, "large": large})))
    assert re.search(says, line)


def test_without_three_sizes_nothing_is_said_of_others():
    comparison, results, samples = made_up({"gpt": 10.6}, seeds=1)
    keep = [i for i, row in enumerate(results["rows"]) if row["vocab_size"] in (258, 512, 2048)]
    results["rows"] = [results["rows"][i] for i in keep]
    (entry,) = recommend(comparison, results, samples[:, keep])["models"]
    assert sentences(entry)[1].startswith("No family has three sizes")
    assert "text, not the one seed" in sentences(entry)[2]
