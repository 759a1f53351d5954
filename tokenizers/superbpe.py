"""SuperBPE: byte-level BPE whose later tokens may span words (Liu et al. 2025, arXiv 2503.13423).

The first stage is `bpe-T`. In the second, pairs are merged across words, but for numbers, runs of
punctuation and runs of spaces, which `PATTERN` splits off.
"""

from collections.abc import Iterable

import numpy as np

from .bpe import learn_ranks, merge_bytes
from .huggingface import HuggingFaceTokenizer
from .merges import END, MergeLearner
from .patterns import DEFAULT, PATTERNS
from .specs import superbpe_sizes
from .tokenizer_json import byte_letters

# The pattern and the two limits are those of the authors' code.
PATTERN = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]{2,}[\r\n/]*| +(?!\S)"
MOST_WORDS = 4  # in a token
NEVER = b": "  # in a token of the second stage

Pair = tuple[bytes, bytes]


def train_superbpe(texts: Iterable[str], spec: str) -> HuggingFaceTokenizer:
    """Train a tokenizer with the spec `superbpe-N` or `superbpe-N:T`; T is the size of the first stage.

    Raises:
        ValueError: the texts are too short for N ids, or T is too small.
    """
    texts = list(texts)
    size, transition = superbpe_sizes(spec)
    if size <= transition:
        raise ValueError(f"{spec}: too small: 256 bytes, end of text and another token need at least 258")
    ranks = learn_ranks(texts, transition, PATTERNS[DEFAULT], f"{spec}, first stage of {transition}")
    table = sorted(ranks, key=lambda token: ranks[token])
    merges = [pair_of(token, ranks, i) for i, token in enumerate(table) if len(token) > 1]
    known = dict(ranks)
    first_stage = HuggingFaceTokenizer(tokenizer_json(table, merges), spec)
    learner = MergeLearner(np.concatenate([words_of(first_stage, text) for text in texts]), size)
    while len(table) < size - 1:
        pair = learner.best_pair()
        if pair is None:
            raise ValueError(
                f"{spec}: with a first stage of {transition}, the training text is enough for a vocabulary "
                f"of at most {len(table) + 1}"
            )
        left, right = (table[token] for token in pair)
        if not is_allowed(left + right):
            continue
        merges.append((left, right))
        learner.merge(*pair, known.setdefault(left + right, len(table)))
        if len(known) > len(table):
            table.append(left + right)
    return HuggingFaceTokenizer(tokenizer_json(table, merges), spec)


def cut_superbpe(tokenizer: HuggingFaceTokenizer, spec: str) -> HuggingFaceTokenizer:
    """The tokenizer of a smaller size: the first tokens and merges of a larger one."""
    size, _ = superbpe_sizes(spec)
    letters = byte_letters()

    def read(half: str) -> bytes:
        return bytes(letters[letter] for letter in half)

    merges = [(read(left), read(right)) for left, right in tokenizer.content["model"]["merges"]]
    table = tokenizer.table[: size - 1]
    last = next(i for i, (left, right) in enumerate(merges) if left + right == table[-1])
    return HuggingFaceTokenizer(tokenizer_json(table, merges[: last + 1]), spec)


def pair_of(token: bytes, ranks: dict[bytes, int], rank: int) -> Pair:
    """The pair that a token was merged from."""
    left, right = merge_bytes(token, ranks, rank)
    return left, right


def is_allowed(token: bytes) -> bool:
    """False for a token that the second stage must not form."""
    return NEVER not in token and sum(map(bool, token.split(b" "))) <= MOST_WORDS


def words_of(tokenizer: HuggingFaceTokenizer, text: str) -> np.ndarray:
    """The ids of a text with `END` after each word, 1-d int64."""
    encoding = tokenizer.encoding(text)
    words = np.array(encoding.word_ids, dtype=np.int64)
    ends = np.flatnonzero(np.diff(words, append=-1)) + 1
    return np.insert(np.array(encoding.ids, dtype=np.int64), ends, END)


def tokenizer_json(table: list[bytes], merges: list[Pair]) -> dict:
    """The content of a tokenizer.json with these tokens, in order of ids, and merges."""
    letters = {byte: letter for letter, byte in byte_letters().items()}

    def word(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {word(token): i for i, token in enumerate(table)},
            "merges": [[word(left), word(right)] for left, right in merges],
        },
    }
