"""The sentences and the tables of a report."""

import pytest

from comparison import Comparison, Recipe
from comparison.protocol import in_words
from eval.report.answer import answer, distances
from eval.report.markdown import code
from eval.report.tables import as_markdown, columns_of
from eval.report.text import breakdown_tables, compared, labels_in_words, skipped_runs
from training.budget import Budget, TextAmount


def row(tokenizer: str, bpc: float, behind: tuple[float, float, float], **more: object) -> dict:
    return {
        "tokenizer": tokenizer,
        "model": "gpt",
        "kind": "gpt",
        "seeds": [0, 1, 2],
        "test_bpc_seed_sd": 0.01,
        "distinguishable": behind[1] > 0,
        "vocab_size": 512,
        "chars_per_token": 2.0,
        "block_size": 64,
        "train_seconds": 100.0,
        "test_bpc": bpc,
        "test_bpc_low": bpc - 0.1,
        "test_bpc_high": bpc + 0.1,
        "behind_best": behind[0],
        "behind_best_low": behind[1],
        "behind_best_high": behind[2],
        "test_documents": 50,
        "seeds_missing": [],
        "compared": True,
        "may_be_best": behind[1] <= 0,
        "ambiguity_bits_per_char": None,
        "ambiguity_bits_per_char_se": None,
        "ambiguity_of": None,
        **more,
    }


BEST = row("bpe-512", 2.0, (0, 0, 0))


def entry_of(*rows: dict) -> dict:
    best = rows[0]
    return {
        "model": best["model"],
        "kind": best["kind"],
        "best": best,
        "may_be_best": [row["tokenizer"] for row in rows if not row["distinguishable"]],
        "tokenizers": len(rows),
        "seeds_outlying": [],
        "ladders": {},
        "not_compared": [],
        "seeds": len(best["seeds"]),
        "seeds_missing": [],
        "to_test": {"option": "seeds: [0, 1, 2]", "runs": 4, "train_seconds": 90.0},
        "documents": best["test_documents"],
        "groups": None,
    }


def test_the_answer_begins_with_the_tokenizers_that_may_be_the_best():
    rows = BEST, row("char", 2.01, (0.01, -0.02, 0.04)), row("byte", 2.2, (0.2, 0.15, 0.25))
    (text,) = answer({"recommendation": {"models": [entry_of(*rows)], "growth": []}})
    assert text.startswith(
        "Any of 2 of the 3 tokenizers may be the best: bpe-512, char. Measured lowest: bpe-512"
    )


def test_only_numbers_of_rows_that_may_be_the_best_are_bold():
    rows = [BEST, row("char", 2.01, (0.01, -0.02, 0.04)), row("byte", 2.2, (0.2, 0.15, 0.25))]
    bits = columns_of(rows)["bits per character"]
    assert [bits(r) for r in rows] == ["**2.0000**", "**2.0100**", "2.2000"]


def test_with_one_seed_nothing_is_bold_and_distances_have_no_interval():
    once = {"seeds": [0], "distinguishable": False, "behind_best_low": None, "behind_best_high": None}
    once["may_be_best"] = False
    rows = [BEST | once, row("char", 2.2, (0.2, 0.1, 0.3)) | once]
    columns = columns_of(rows)
    assert [columns["bits per character"](r) for r in rows] == ["2.0000", "2.2000"]
    assert [columns["behind the lowest"](r) for r in rows] == ["–", "0.200"]
    (text,) = answer({"recommendation": {"models": [entry_of(*rows)], "growth": []}})
    assert text.startswith("Not tested: each tokenizer has one run")


def test_the_answer_is_about_the_gpt_even_if_a_baseline_needs_fewer_bits():
    entries = [
        entry_of(BEST) | each for each in ({"kind": "bigram", "model": "a"}, {"kind": "gpt", "model": "b"})
    ]
    results = {"recommendation": {"models": entries, "growth": []}}
    assert len(answer(results)) == 1


def ambiguous(row: dict, bits: float, error: float | None, of: str = "8 texts") -> dict:
    found = {"ambiguity_bits_per_char": bits, "ambiguity_bits_per_char_se": error, "ambiguity_of": of}
    return row | found


def test_the_share_of_ambiguity_in_a_distance_is_given_with_its_error():
    best = ambiguous(BEST, 0.017, 0.003)
    other = ambiguous(row("bpe-4096", 2.063, (0.063, 0.05, 0.07)), 0.030, 0.004)
    (line,) = distances([best, other])
    assert line == (
        "bpe-4096 (gpt) is 0.063 bits per character behind bpe-512; 0.013 of them, 21% (standard error 8%), "
        "are ambiguity, estimated on 8 texts."
    )
    assert "standard error unknown" in distances([best, ambiguous(other, 0.030, None)])[0]
    (line,) = distances([best, ambiguous(other, 0.010, 0.004)])
    assert "; none are ambiguity: it has 0.007 less of that (standard error 0.005), estimated" in line


@pytest.mark.parametrize(
    "other",
    [
        row("char", 2.2, (0.2, 0.15, 0.25)),
        ambiguous(row("char", 2.2, (0.2, 0.15, 0.25)), 0.03, 0.004, "9 texts"),
        ambiguous(row("char", 2.01, (0.01, -0.02, 0.04)), 0.03, 0.004),
    ],
    ids=["not estimated", "on other texts", "not distinguishable"],
)
def test_ambiguity_is_not_mentioned_without_estimates(other):
    assert distances([ambiguous(BEST, 0.017, 0.003), other]) == []


def test_the_table_has_ambiguity_if_it_was_estimated():
    estimated = ambiguous(row("char", 2.2, (0.2, 0.15, 0.25)), 0.03, 0.004)
    assert "ambiguity, bits/char (s.e.)" not in columns_of([BEST])
    show = columns_of([BEST, estimated])["ambiguity, bits/char (s.e.)"]
    assert [show(BEST), show(estimated)] == ["–", "0.0300 (0.0040)"]


def comparison(**more: object) -> Comparison:
    """What a caption needs to know of a comparison."""
    plain = {"context": TextAmount(chars=128), "seeds": [0, 1, 2], "models": {"gpt": Recipe()}}
    plain |= {"batch": TextAmount(chars=1), "budget": Budget(chars=1_200_000)}
    return Comparison(**{"name": "tiny", "tokenizers": ["byte"], **plain, **more})


def test_a_caption_has_the_protocol():
    said = (
        "Context 128 characters, documents alone, window overlap 50 %, 3 seeds, budget 1,200,000 characters."
    )
    assert in_words(comparison()) == said
    models = {"a": Recipe(budget=Budget(chars=500)), "b": Recipe(budget=Budget(flops=4e11))}
    context = TextAmount(tokens=32)
    assert in_words(comparison(models=models, seeds=[0], overlap=0.75, context=context)) == (
        "Context 32 tokens, documents alone, window overlap 75 %, 1 seed, "
        "budget a: 500 characters; b: 4e+11 FLOPs."
    )


def test_the_page_explains_labels():
    named = comparison(tokenizers=["byte", {"mine": "bpe-300"}, {"again": "bpe-300"}, "bpe-300:gpt2"])
    assert labels_in_words(named) == (
        "\n- **Labels**: `mine` is `bpe-300`; `again` is `bpe-300`; `bpe-300-gpt2` is `bpe-300:gpt2`."
    )
    assert labels_in_words(comparison()) == ""


def test_passages_say_which_tokenizers_model_and_seed_they_are_of():
    rows = [row(f"bpe-{size}", 2.0, (0, 0, 0)) for size in range(500, 510)]
    names = [row["tokenizer"] for row in rows]
    some, whole = (compared(rows, names[:count]) for count in (8, 10))
    assert some == "You can choose from the best 8 of 10 tokenizers, scored by gpt with the first seed."
    assert whole == "You can choose from 10 tokenizers, scored by gpt with the first seed."
    assert compared(rows, [*names[1:], "wordpiece"]) == (
        "You can choose from 9 of 10 tokenizers, scored by gpt with the first seed. "
        "Also shown, though they lose text: wordpiece."
    )


def test_no_name_breaks_a_table():
    columns = {"tokenizer": lambda r: r["tokenizer"], "model": lambda r: r["model"]}
    table = as_markdown([row("sentencepiece:a|b_`c`_<d>.model", 2.0, (0, 0, 0))], columns)
    assert table.splitlines()[-1] == "| `sentencepiece:a¦b_'c'_<d>.model` | gpt |"
    assert code("") == '""'


def where_by_language(**groups: dict) -> dict:
    return {"byte": {"context": {}, "kind": {}, "frequency": {}, "language": groups}}


def test_no_language_breaks_a_table():
    where = where_by_language(**{"a|b`": {"bpc": 2.0, "chars": 5000}, "de": {"bpc": 3.0, "chars": 6000}})
    title, _, head, line, chars, body = breakdown_tables(where, "of gpt.").splitlines()
    assert title == "Bits per character by language, of gpt."
    assert head == "| tokenizer | `a¦b'` | `de` |"
    assert (line, body) == ("|---|---:|---:|", "| `byte` | 2.000 | 3.000 |")
    assert chars == "| characters | 5,000 | 6,000 |"


def test_a_language_of_few_characters_is_said_to_be_one_or_left_out():
    where = where_by_language(
        de={"bpc": 2.0, "chars": 5000}, it={"bpc": 3.0, "chars": 1500}, ru={"bpc": 4.0, "chars": 40}
    )
    text = breakdown_tables(where, "of gpt.")
    assert "Uncertain, with fewer than 2,000 characters: `it`." in text
    assert "Left out, with fewer than 100 characters: `ru`." in text
    assert "| tokenizer | `de` | `it` |" in text
    assert breakdown_tables(where_by_language(ru={"bpc": 4.0, "chars": 40}), "of gpt.") == ""
    assert breakdown_tables({}, "of gpt.") == ""


def test_a_table_of_contexts_has_the_range_of_their_sizes():
    sizes = {"a": {"0": 150, "1 to 3": 4000, "4 to 15": 300}, "b": {"1 to 3": 5000, "4 to 15": 300}}
    where = {
        name: {"context": {answer: {"bpc": 2.0, "chars": chars} for answer, chars in of.items()}}
        for name, of in sizes.items()
    }
    said, *_, counts, first, second = breakdown_tables(where, "of gpt.", skip=0).splitlines()
    assert "Uncertain, with fewer than 2,000 characters: `4 to 15`." in said and "characters: `0`." in said
    assert counts == "| characters | 4,000 – 5,000 | 300 |"
    assert (first, second) == ("| `a` | 2.000 | 2.000 |", "| `b` | 2.000 | 2.000 |")


def test_runs_that_skipped_batches_are_named():
    runs = [{"tokenizer": "byte", "model": "gpt", "seed": seed, "skipped_steps": 3 * seed} for seed in (0, 1)]
    assert skipped_runs(runs).endswith("not finite: `byte` gpt seed 1 (3).\n")
    assert skipped_runs(runs[:1]) == ""
