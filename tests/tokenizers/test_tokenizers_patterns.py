"""Our spelling of the published patterns splits text as the originals do."""

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from tiktoken_ext import openai_public

from benchmarks.published_files import REGEX
from tokenizers.patterns import OF_ENCODING, PATTERNS, grouped

# Pieces that the patterns treat differently.
PIECES = [
    " ",
    "  ",
    "\n",
    "\r",
    "\t",
    "\u3000",
    "a",
    "B",
    "é",
    "日",
    "e\u0301",
    "'s",
    "'LL",
    "'",
    "12",
    "²",
    ".",
    "/",
    "😀",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))


def words(pattern: str, text: str) -> list[str]:
    """The matches of a pattern, in order."""
    return regex.findall(pattern, text)


@pytest.fixture(scope="module")
def published() -> dict[str, str]:
    """tiktoken's own patterns, without downloading its ranks."""
    with pytest.MonkeyPatch.context() as patch:
        for loader in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
            patch.setattr(openai_public, loader, lambda *_, **__: {})
        return {name: getattr(openai_public, name)()["pat_str"] for name in OF_ENCODING}


@pytest.mark.parametrize("name", OF_ENCODING)
@given(text=TEXTS)
@example(text="a\n\n  ")
@example(text="a  \n")
@example(text=" \n \n\r b")
def test_words_are_those_of_tiktoken(name: str, published: dict[str, str], text: str) -> None:
    assert words(PATTERNS[OF_ENCODING[name]], text) == words(published[name], text)


@pytest.mark.parametrize("name", REGEX)
@given(text=TEXTS)
@example(text="a\n\n  ")
def test_words_are_those_of_the_published_expression(name: str, text: str) -> None:
    assert words(PATTERNS[name], text) == words(REGEX[name], text)


@pytest.mark.parametrize(("name", "digits"), [("gpt4-2digits", "1,2"), ("gpt4-1digit", "1")])
@given(text=TEXTS)
@example(text="1234567")
def test_patterns_with_fewer_digits_differ_only_in_digits(
    name: str, digits: str, published: dict[str, str], text: str
) -> None:
    pattern = published["cl100k_base"].replace("{1,3}", f"{{{digits}}}")
    assert words(PATTERNS[name], text) == words(pattern, text)


@pytest.mark.parametrize("name", PATTERNS)
@given(text=TEXTS)
def test_no_character_is_skipped(name: str, text: str) -> None:
    assert "".join(words(PATTERNS[name], text)) == text


@given(text=TEXTS)
def test_grouping_does_not_change_how_a_pattern_splits_text(published: dict[str, str], text: str) -> None:
    for pattern in [*published.values(), *PATTERNS.values()]:
        assert grouped(pattern) != pattern
        assert words(grouped(pattern), text) == words(pattern, text)
    assert grouped(r"\p{L}+|\s+") == r"\p{L}+|\s+"
