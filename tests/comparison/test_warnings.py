"""Warnings before training: about seeds, test text, contexts and sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from comparison import Comparison, Recipe
from comparison import warnings as module
from comparison.warnings import comparison_warnings
from model import ModelConfig
from training.budget import Budget, TextAmount

LADDER = [f"bpe-{2**i}" for i in range(9, 14)]


@pytest.fixture
def said(monkeypatch):
    """A function that returns the warnings about a comparison with these test documents."""

    def sentences(
        chars: list[int] | None = None, groups: list[int] | None = None, **more: object
    ) -> list[str]:
        test = np.array(chars or [1000] * 50), None if groups is None else np.array(groups)
        monkeypatch.setattr(module, "_test_text", lambda comparison: test)
        return comparison_warnings(comparison(**more))

    return sentences


def comparison(**more: object) -> Comparison:
    plain = {"name": "tiny", "tokenizers": ["byte", *LADDER], "models": {"gpt": Recipe()}, "seeds": [0, 1, 2]}
    plain |= {"context": TextAmount(chars=100), "batch": TextAmount(chars=1), "budget": Budget(chars=1)}
    return Comparison(**plain | more)


def test_a_good_comparison_has_no_warnings(said):
    assert said() == []
    assert said(groups=list(range(50))) == []


def test_a_single_seed_is_warned_of_for_a_gpt_but_not_for_a_baseline(said):
    (line,) = said(seeds=[3])
    assert line.startswith("One seed (gpt): ")
    baseline = Recipe(model=ModelConfig(kind="bigram"), seeds=[0])
    assert said(models={"gpt": Recipe(), "bigram": baseline}) == []
    (line,) = said(models={"bigram": baseline})
    assert line.startswith("One seed (bigram): ")
    assert said(seeds=[0], tokenizers=["byte"]) == []  # no comparison


def test_few_documents_are_warned_of_with_the_wider_interval(said):
    (line,) = said([1000] * 12)
    assert line.startswith("The test text is 12 independent documents; fewer than 20 are few.")
    assert "1.12 times as wide" in line  # Student's t with 11 degrees of freedom: 2.201 / 1.960
    assert said([1000] * 20) == []


def test_few_groups_of_documents_are_warned_of(said):
    (line,) = said([1000] * 60, [i % 6 for i in range(60)])
    assert "6 independent groups of documents; " in line and "1.31 times" in line


def test_one_document_with_nearly_all_of_the_text_is_warned_of(said):
    (line,) = said([1000] * 50 + [60_000])
    assert "51 independent documents, as good as 3 of equal length" in line


@pytest.mark.parametrize(("groups", "unit"), [(None, "document"), ([0, 0], "group of documents")])
def test_a_single_document_or_group_is_warned_of(said, groups, unit):
    (line,) = said([500] * (2 if groups else 1), groups)
    assert line.startswith(f"The test text is one {unit}, so nothing is known about other text")


def test_documents_shorter_than_a_few_contexts_are_warned_of(said):
    (line,) = said([399] * 26 + [5000] * 24)
    assert line.startswith("Half of the test documents have 399 characters or fewer, 4.0 contexts of 100: ")
    assert said([400] * 26 + [5000] * 24) == []


def test_families_with_few_sizes_are_warned_of(said):
    (line,) = said(tokenizers=LADDER[:2])
    assert line.startswith("bpe has 2 sizes: a best size is estimated from at least 3")
    (line,) = said(tokenizers=LADDER[:4])
    assert line.startswith("bpe has 4 sizes: its best size is known better with at least 5")
    assert said(tokenizers=["byte", "bpe-512", "unigram-512"]) == []  # not a ladder
    assert said(tokenizers=[*LADDER, "bpe-512:gpt2"]) == []  # another family
    (line,) = said(tokenizers=["bpe-512", {"again": "bpe-512"}, "bpe-1024"])
    assert line.startswith("bpe has 2 sizes")


def test_warnings_need_only_the_corpus_and_the_arrays(tiny_corpus, tiny_arrays, tmp_path: Path):
    made = replace(comparison(out=tmp_path, tokenizers=["byte"]), context=TextAmount(tokens=2000))
    made.folder.mkdir()
    (made.folder / "corpus").symlink_to(tiny_corpus.folder)
    before = comparison_warnings(made)  # the length of a context in characters is not known yet
    made.data("byte").parent.mkdir()
    made.data("byte").symlink_to(tiny_arrays("byte"))
    (short,) = set(comparison_warnings(made)) - set(before)
    assert short.startswith("Half of the test documents have ")
