"""The trainer of pairs gives what counting every pair anew at each step gives."""

import itertools
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenizers.merges import END, LEAST, MergeLearner

Word = tuple[int, ...]
LETTERS = 3
STEPS = 12
# Words of few letters, with how often each occurs in two languages
WORDS = st.dictionaries(
    st.lists(st.integers(0, LETTERS - 1), min_size=1, max_size=12).map(tuple),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


def pairs_of(words: dict[Word, list[int]], counts: dict[Word, tuple[int, int]], language: int) -> Counter:
    pairs: Counter[tuple[int, int]] = Counter()
    for word, tokens in words.items():
        for pair in itertools.pairwise(tokens):
            pairs[pair] += counts[word][language]
    return pairs


def merged(tokens: list[int], pair: tuple[int, int], token: int) -> list[int]:
    out: list[int] = []
    i = 0
    while i < len(tokens):
        found = tuple(tokens[i : i + 2]) == pair
        out.append(token if found else tokens[i])
        i += 2 if found else 1
    return out


def learner_of(counts: dict[Word, tuple[int, int]]) -> MergeLearner:
    tokens = np.array([token for word in counts for token in (*word, END)])
    return MergeLearner(tokens, LETTERS + STEPS, np.array(list(counts.values())).T)


@given(counts=WORDS, languages=st.lists(st.integers(0, 1), min_size=STEPS, max_size=STEPS))
def test_each_pair_is_the_most_frequent_of_its_language(
    counts: dict[Word, tuple[int, int]], languages: list[int]
) -> None:
    words, learner = {word: list(word) for word in counts}, learner_of(counts)
    for step, language in enumerate(languages):
        pairs = pairs_of(words, counts, language)
        frequent = [pair for pair, count in pairs.items() if count >= LEAST]
        best = min(frequent, key=lambda pair: (-pairs[pair], pair), default=None)
        assert learner.best_pair(language) == best
        if best:
            learner.merge(*best, LETTERS + step)
            words = {word: merged(tokens, best, LETTERS + step) for word, tokens in words.items()}
        lengths = [sum(len(words[word]) * counts[word][each] for word in words) for each in (0, 1)]
        assert learner.lengths.tolist() == lengths


@given(counts=WORDS)
def test_a_pair_that_is_not_merged_is_not_found_again(counts: dict[Word, tuple[int, int]]) -> None:
    learner = learner_of(counts)
    found = []
    while pair := learner.best_pair():
        found.append(pair)
    pairs = pairs_of({word: list(word) for word in counts}, counts, 0)
    assert sorted(found) == sorted(pair for pair, count in pairs.items() if count >= LEAST)


@given(counts=WORDS)
def test_several_pairs_may_give_the_same_token(counts: dict[Word, tuple[int, int]]) -> None:
    words, learner = {word: list(word) for word in counts}, learner_of(counts)
    for step in range(STEPS):
        token = LETTERS + step % 2
        pairs = pairs_of(words, counts, 0)
        frequent = [pair for pair, count in pairs.items() if count >= LEAST]
        best = min(frequent, key=lambda pair: (-pairs[pair], pair), default=None)
        assert learner.best_pair() == best
        if not best:
            break
        learner.merge(*best, token)
        words = {word: merged(tokens, best, token) for word, tokens in words.items()}
