"""Metrics of a tokenizer, compared with a published package, closed forms and a plain loop."""

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenization_scorer.metrics import get_metric

from eval.intrinsic import count_metrics, count_words, length_metrics


def of_counts(counts: list[int] | np.ndarray, chars: int = 100) -> dict:
    """The metrics of these counts of types; `eot` is added."""
    counts = np.array([*counts, 0])
    return count_metrics(counts, chars, np.zeros(len(counts), dtype=bool))


COUNTS = st.lists(st.integers(0, 300), min_size=2, max_size=40).filter(any)

# ---- the published package


@given(COUNTS)
def test_renyi_efficiency_and_entropy_are_those_of_tokenization_scorer(counts: list[int]) -> None:
    text = [[str(i)] * n for i, n in enumerate(counts)]
    found = of_counts(counts, chars=sum(counts) * 3)
    published = get_metric("renyi_efficiency")(text, power=2.5, vocab=len(counts))
    assert found["renyi_efficiency"] == pytest.approx(float(published), abs=1e-12)
    entropy = float(get_metric("shannon_entropy")(text))
    assert found["unigram_entropy_bits_per_char"] == pytest.approx(entropy / 3, abs=1e-12)


# ---- closed forms


@pytest.mark.parametrize("types", [2, 20, 300, 1000])
def test_equally_frequent_types(types: int) -> None:
    found = of_counts([7] * types, chars=14 * types)
    assert found["vocab_size"] == types + 1
    assert found["vocab_used"] == 1
    assert found["unigram_entropy_bits_per_char"] == pytest.approx(math.log2(types) / 2)
    assert found["renyi_efficiency"] == pytest.approx(1)
    assert found["rank_95"] == math.ceil(types * 0.95)


def test_a_single_type() -> None:
    found = of_counts([0, 500, 0, 0])
    assert found["vocab_used"] == 0.25
    assert found["unigram_entropy_bits_per_char"] == found["renyi_efficiency"] == 0
    assert found["rank_95"] == 1
    assert found["types_seen_100"] == 0.25


def test_two_types_by_hand() -> None:
    """Three of four tokens are the same: 0.811 bits per token; the sum of p ** 2.5 is 0.5184."""
    found = of_counts([3, 1, 0, 0], chars=8)
    assert found["unigram_entropy_bits_per_char"] == pytest.approx(0.8112781 * 4 / 8)
    assert found["renyi_efficiency"] == pytest.approx(-math.log2(0.75**2.5 + 0.25**2.5) / 1.5 / 2)


@pytest.mark.parametrize(
    ("counts", "rank"), [([95, 5], 1), ([94, 6], 2), ([5, 95], 1), ([19, 1], 1), ([18, 1, 1], 2), ([1], 1)]
)
def test_the_most_frequent_types_cover_95_percent_of_the_tokens(counts: list[int], rank: int) -> None:
    assert of_counts([*counts, 0])["rank_95"] == rank


def test_a_type_is_counted_as_seen_often_from_100_occurrences() -> None:
    assert of_counts([99, 100, 101, 0])["types_seen_100"] == 0.5


def test_parts_of_characters_are_counted_by_occurrence() -> None:
    partial = np.array([False, True, True, False])
    assert count_metrics(np.array([6, 3, 1, 0]), 10, partial)["fallback_share"] == 0.4


def test_lengths_by_hand() -> None:
    found = length_metrics(np.array([1, 2, 3, 10]), np.array([4, 4, 4, 20]), np.array([4, 4, 8, 32]))
    assert found == {
        "documents": 4,
        "chars": 32,
        "bytes": 48,
        "tokens": 16,
        "chars_per_token": 2.0,
        "bytes_per_token": 3.0,
        "tokens_per_document_median": 2.5,
        "tokens_per_document_p95": pytest.approx(3 + 0.85 * 7),  # linear between the two greatest
    }


def test_text_without_tokens_has_no_ratios() -> None:
    """A lossy tokenizer can return no tokens."""
    assert length_metrics(np.array([0]), np.array([3]), np.array([3]))["chars_per_token"] is None
    found = of_counts([0, 0])
    assert found["fallback_share"] is None
    assert found["unigram_entropy_bits_per_char"] == found["renyi_efficiency"] == found["rank_95"] == 0


# ---- any counts


@given(COUNTS, st.randoms(use_true_random=False))
def test_metrics_are_within_bounds_and_do_not_depend_on_the_order_of_ids(counts: list[int], draw) -> None:
    found = of_counts(counts, chars=sum(counts))
    used = sum(map(bool, counts))
    assert found["vocab_used"] == used / len(counts)
    # An entropy is at most that of equal frequencies, and falls with its order.
    entropy = found["unigram_entropy_bits_per_char"]
    assert 0 <= entropy <= math.log2(used) + 1e-9
    assert 0 <= found["renyi_efficiency"] * math.log2(len(counts)) <= entropy + 1e-9
    assert 0.95 * used / len(counts) <= 1 and 1 <= found["rank_95"] <= used
    assert of_counts(draw.sample(counts, len(counts)), sum(counts)) == pytest.approx(found)


@given(COUNTS, st.integers(2, 9))
def test_repeating_the_text_changes_only_the_rare_types(counts: list[int], times: int) -> None:
    once = of_counts(counts, 100)
    again = of_counts([n * times for n in counts], 100 * times)
    assert again.pop("types_seen_100") >= once.pop("types_seen_100")
    assert again == pytest.approx(once)


# ---- words


def words_by_a_plain_loop(text: str, token_sizes: list[int]) -> tuple[int, int]:
    """The words of a text and those inside which no token ends; tokens are given as text."""
    ends = {sum(token_sizes[: i + 1]) for i in range(len(token_sizes))}
    words = whole = offset = 0
    start = None
    for character in [*text, "\n"]:
        if character.isalnum() or character == "_" or unicodedata.category(character).startswith("M"):
            start = offset if start is None else start
        elif start is not None:
            words += 1
            whole += not any(start < end < offset for end in ends)
            start = None
        offset += len(character.encode())
    return words, whole


def count(texts: list[str], cuts: list[list[int]], prefix: bytes = b"") -> list[list[int]]:
    """`count_words` of texts cut into tokens of so many bytes: id n is a token of n bytes, eot is 0."""
    sizes = np.arange(1 + max(max(cut) for cut in cuts))
    sizes[0] = 1
    sequences = [np.array([0, *cut, 0], dtype=np.uint16) for cut in cuts]
    return count_words(texts, sequences, sizes, prefix).tolist()


@pytest.mark.parametrize(
    ("tokens", "words", "whole"),
    [
        (["the", " cat", " sat"], 3, 3),  # a space may be in the token
        (["the ", "cat. ", "sat"], 3, 3),  # before or after, with punctuation
        (["th", "e cat"], 2, 1),
        (["the cat", " sat on"], 4, 4),  # a token of several words
        (["don", "'", "t"], 2, 2),
        (["snake", "_case"], 1, 0),
        (["snake_case42"], 1, 1),
        (["e", "\u0301", "tude"], 1, 0),  # a combining mark does not end a word
        (["e\u0301tude"], 1, 1),
        (["हिन्दी", " में"], 2, 2),  # vowel signs and virama
        (["हिन", "्दी"], 1, 0),
        (["日本", "語。", "私は"], 2, 1),  # a run of letters, where no spaces are written
        (["...", "—", " 😀"], 0, 0),
        (["\n", "a", "\n"], 1, 1),
    ],
)
def test_words_of_one_token(tokens: list[str], words: int, whole: int) -> None:
    assert count(["".join(tokens)], [[len(token.encode()) for token in tokens]]) == [[words], [whole]]


def test_a_word_may_be_split_inside_a_character() -> None:
    assert count(["é"], [[1, 1]]) == [[1], [0]]


def test_words_end_with_the_document() -> None:
    assert count(["one", "two"], [[3], [1, 2]]) == [[1, 1], [1, 0]]


# Among them the first and last characters of one, two, three and four bytes.
CHARACTERS = "ab_7 \n.'éя日🙂\u0301\u093f\u200d\u2028\0\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff"
TEXT = st.text(st.sampled_from(CHARACTERS), min_size=1, max_size=30)


@given(st.lists(st.tuples(TEXT, st.randoms(use_true_random=False)), min_size=1, max_size=6), st.booleans())
def test_words_match_a_plain_loop_however_tokens_split_the_bytes(drawn: list, dummy: bool) -> None:
    prefix = b" " * dummy
    texts, cuts, expected = [text for text, _ in drawn], [], []
    for text, draw in drawn:
        size = len(text.encode()) + dummy
        ends = sorted({*draw.sample(range(1, size), draw.randrange(size)), size})
        cuts.append([end - start for start, end in zip([0, *ends], ends, strict=False)])
        expected.append(words_by_a_plain_loop(" " * dummy + text, cuts[-1]))
    assert count(texts, cuts, prefix) == [list(column) for column in zip(*expected, strict=True)]
