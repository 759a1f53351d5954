"""Training of BPE on token ids: the most frequent pair of neighbours becomes a token, repeatedly.

For what the trainers of libraries cannot do: merges that are not allowed (`superbpe`), several languages
(`parity`), and the same result in every process (`wordpiece`).
"""

import heapq

import numpy as np

END = -1  # stands after each word, and before the first
GONE = -2  # the right half of a merged pair
LEAST = 2  # a pair that occurs less often is not merged


class MergeLearner:
    """Words as sequences of token ids, in which pairs of neighbours are merged."""

    def __init__(self, tokens: np.ndarray, size: int, counts: np.ndarray | None = None) -> None:
        """Count the pairs of the words.

        `tokens`, 1-d int, holds the ids of all words, each followed by `END`; `size` is larger than any id,
        those of merges included. `counts`, (languages, words) int, is how often each word occurs in each
        language; default: once, in one language.
        """
        self._tokens = np.concatenate([[END], tokens]).astype(np.int64)
        self._size = size
        # The length of a token, in tokens of the beginning, at the first and the last of its places.
        self._spans = np.ones(len(self._tokens), dtype=np.int32)
        self._word = None if counts is None else np.cumsum(self._tokens == END, dtype=np.int32) - 1
        self._words = counts
        order = np.argsort(self._tokens, kind="stable")
        different, firsts = np.unique(self._tokens[order], return_index=True)
        self._places = dict(zip(different.tolist(), np.split(order, firsts[1:]), strict=True))
        self._languages = range(1 if counts is None else len(counts))
        self._counts: list[dict[int, int]] = [{} for _ in self._languages]
        self._queues: list[list[tuple[int, int]]] = [[] for _ in self._languages]
        self._add(np.flatnonzero((self._tokens[:-1] >= 0) & (self._tokens[1:] >= 0)))
        self.lengths = self._total(np.flatnonzero(self._tokens >= 0))
        """the number of tokens in each language, 1-d int64"""

    def best_pair(self, language: int = 0) -> tuple[int, int] | None:
        """The most frequent pair of a language, of several the one with the lowest ids; None without any.

        It is not found again: it is to be merged, or is not allowed.
        """
        counts, queue = self._counts[language], self._queues[language]
        while queue:
            negative, pair = heapq.heappop(queue)
            count = counts.get(pair, 0)
            if count == -negative:
                for others in self._counts:
                    others.pop(pair, None)
                left, right = divmod(pair, self._size)
                return left, right
            if LEAST <= count < -negative:  # it was counted before some of it was merged
                heapq.heappush(queue, (-count, pair))
        return None

    def merge(self, left: int, right: int, token: int) -> None:
        """Put `token` for every `left` that `right` follows in a word, from the beginning of the word on."""
        tokens, spans = self._tokens, self._spans
        starts = self._find(left, right)
        seconds = starts + spans[starts]
        after, before = seconds + spans[seconds], starts - spans[starts - 1]
        has_next, alone = tokens[after] >= 0, tokens[before] >= 0
        alone[1:] &= before[1:] != seconds[:-1]  # the token before is not merged, too
        self._add(np.concatenate([seconds[has_next], before[alone]]), sign=-1)
        self.lengths -= self._total(starts)
        lengths = spans[starts] + spans[seconds]
        tokens[starts], tokens[seconds] = token, GONE
        spans[starts], spans[after - 1] = lengths, lengths
        self._add(np.concatenate([starts[has_next], before[alone]]))
        known = self._places.get(token)
        self._places[token] = starts if known is None else np.union1d(self._of(token), starts)

    def _of(self, token: int) -> np.ndarray:
        """The places where a token begins, 1-d int64, ascending."""
        places = self._places[token]
        places = self._places[token] = places[self._tokens[places] == token]
        return places

    def _find(self, left: int, right: int) -> np.ndarray:
        """The places of `left` that are merged with `right`: where pairs overlap, each second one is not."""
        if len(self._places[left]) <= len(self._places[right]):
            starts = self._of(left)
            starts = starts[self._tokens[starts + self._spans[starts]] == right]
        else:
            ends = self._of(right)
            starts = ends - self._spans[ends - 1]
            starts = starts[self._tokens[starts] == left]
        if left != right or not len(starts):
            return starts
        number = np.arange(len(starts))
        first = np.append(True, starts[1:] != starts[:-1] + self._spans[starts[:-1]])
        return starts[(number - np.maximum.accumulate(np.where(first, number, 0))) % 2 == 0]

    def _weights(self, places: np.ndarray, language: int) -> np.ndarray | None:
        """How often the word of each place occurs in a language, 1-d int; None if once."""
        if self._words is None or self._word is None:
            return None
        return self._words[language][self._word[places]]

    def _total(self, places: np.ndarray) -> np.ndarray:
        """The number of places in each language, 1-d int64."""
        weights = (self._weights(places, language) for language in self._languages)
        return np.array([len(places) if some is None else some.sum() for some in weights], dtype=np.int64)

    def _add(self, places: np.ndarray, sign: int = 1) -> None:
        """Count the pairs that begin at `places`, or with sign -1 count them no longer."""
        if not len(places):
            return
        pairs = self._tokens[places] * self._size + self._tokens[places + self._spans[places]]
        different, number = np.unique(pairs, return_inverse=True)
        for language in self._languages:
            counts, queue = self._counts[language], self._queues[language]
            sums = np.bincount(number, self._weights(places, language)).astype(np.int64)
            found = sums > 0
            for pair, count in zip(different[found].tolist(), sums[found].tolist(), strict=True):
                if sign > 0:
                    count = counts[pair] = counts.get(pair, 0) + count
                    if count >= LEAST:
                        heapq.heappush(queue, (-count, pair))
                elif pair in counts:  # not the pair that is being merged
                    counts[pair] -= count
