"""Parity-aware BPE: a fair share for each language (Foroutan et al. 2025, arXiv 2508.04796).

At each step, the language with the fewest bytes per token chooses: its most frequent pair becomes a token of
all languages. This is the authors' base variant with the ratio 1 for all languages, measured on the training
text, as a corpus rarely says the same in several languages.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from .bpe import BPETokenizer, MergeRanks
from .library import library
from .merges import END, MergeLearner
from .parts import parts
from .patterns import DEFAULT, PATTERNS
from .specs import trained_size

SEPARATOR = 0xFF  # a byte that UTF-8 never contains


def train_parity(texts: Iterable[str], languages: Iterable[str | None], spec: str) -> BPETokenizer:
    """Train a tokenizer with the spec `parity-N` or `parity-N:PATTERN` on texts and their languages.

    Texts without a language count as one more language.

    Raises:
        ValueError: the texts have no languages, they are too short for N ids, or N is too small.
    """
    size = trained_size(spec)
    assert size
    if size < 257:
        raise ValueError(f"{spec}: too small: 256 bytes and end of text need at least 257")
    pattern = PATTERNS[spec.partition(":")[2] or DEFAULT]
    languages = list(languages)
    if len(set(languages)) < 2:
        raise ValueError(f"{spec}: the documents need at least two languages, in a column 'language'")
    words = count_words(texts, languages, pattern)
    learner = MergeLearner(*as_tokens(list(words.values()), size))
    ranks = {bytes([byte]): byte for byte in range(256)}
    table = list(ranks)
    bytes_of, active = learner.lengths.copy(), np.ones(len(words), dtype=bool)
    while len(table) < size - 1:
        language = int(np.argmin(np.where(active, bytes_of / learner.lengths, np.inf)))
        if not active[language]:
            raise ValueError(
                f"{spec}: the training text is enough for a vocabulary of at most {len(table) + 1}"
            )
        pair = learner.best_pair(language)
        if pair is None:
            active[language] = False
            continue
        token = table[pair[0]] + table[pair[1]]
        learner.merge(*pair, ranks.setdefault(token, len(table)))
        if len(ranks) > len(table):
            table.append(token)
    return BPETokenizer(MergeRanks(ranks, pattern), spec)


def count_words(
    texts: Iterable[str], languages: Iterable[str | None], pattern: str
) -> dict[str | None, Counter[str]]:
    """How often each word occurs in each language."""
    splitter = library().pre_tokenizers.Split(library().Regex(pattern), "isolated")
    found: dict[str | None, Counter[str]] = {}
    for text, language in zip(texts, languages, strict=True):
        words = found.setdefault(language, Counter())
        for part in parts(text):
            words.update(word for word, _ in splitter.pre_tokenize_str(part))
    return {language: words for language, words in found.items() if words}


def as_tokens(words: list[Counter[str]], size: int) -> tuple[np.ndarray, int, np.ndarray]:
    """The bytes of all words, the size and the counts, as `MergeLearner` wants them."""
    different = sorted(set().union(*words))
    joined = "".join(f"{word}\udcff" for word in different).encode(errors="surrogateescape")
    tokens = np.frombuffer(joined, dtype=np.uint8).astype(np.int64)
    tokens[tokens == SEPARATOR] = END
    counts = [[count[word] for word in different] for count in words]
    return tokens, size, np.array(counts)
