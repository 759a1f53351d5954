"""WordPiece as in BERT: pieces of words, of which those inside a word begin with `##`.

Like the trainer of the Hugging Face library, but the same pieces in every process: there, they depend on the
order of a hash table.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from .huggingface import HuggingFaceTokenizer
from .library import library
from .merges import END, MergeLearner

UNKNOWN = "[UNK]"  # what a word becomes of which a character has no piece
INSIDE = "##"
LONGEST = 100  # characters of a word that is not unknown


def train_wordpiece(texts: Iterable[str], spec: str) -> HuggingFaceTokenizer:
    """Train a tokenizer with the spec `wordpiece-N`; capitals and accents are kept.

    At most half of the pieces are single characters, unless there is nothing else; rarer characters are
    unknown.

    Raises:
        ValueError: the texts are too short for N ids, or N is too small.
    """
    room = int(spec.partition("-")[2]) - 2  # without `UNKNOWN` and `eot`
    if room < 1:
        raise ValueError(f"{spec}: too small: {UNKNOWN}, end of text and a character need at least 3")
    words = count_words(texts)
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for piece in characters(word):
            counts[piece] += count
    ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
    half = max(1, room // 2)
    pieces, rarer = sorted(ranked[:half]), iter(ranked[half:])
    known = {piece: i for i, piece in enumerate(pieces)}
    spelled = {word: [known.get(piece, END) for piece in characters(word)] for word in words}
    kept = {word: ids for word, ids in spelled.items() if END not in ids and len(word) <= LONGEST}
    tokens = np.array([i for ids in kept.values() for i in [*ids, END]])
    learner = MergeLearner(tokens, room, np.array([[words[word] for word in kept]]))
    while len(pieces) < room:
        if pair := learner.best_pair():
            left, right = (pieces[i] for i in pair)
            piece = left + right.removeprefix(INSIDE)
            learner.merge(*pair, known.setdefault(piece, len(pieces)))
        elif piece := next(rarer, ""):
            known[piece] = len(pieces)
        else:
            raise ValueError(
                f"{spec}: the training text is enough for a vocabulary of at most {len(pieces) + 2}"
            )
        if len(known) > len(pieces):
            pieces.append(piece)
    vocabulary = {piece: i for i, piece in enumerate([UNKNOWN, *pieces])}
    return HuggingFaceTokenizer(tokenizer_json(vocabulary, lowercase=False, added=[]), spec)


def characters(word: str) -> list[str]:
    """The pieces of a word that are one character each."""
    return [word[0], *(INSIDE + character for character in word[1:])]


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs: what stands between white space, or a punctuation mark."""
    normalizer = library().normalizers.BertNormalizer(lowercase=False)
    splitter = library().pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return words


def tokenizer_json(vocabulary: dict[str, int], lowercase: bool, added: list[dict]) -> dict:
    """The content of a tokenizer.json that splits text into words and pieces as BERT does."""
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": INSIDE, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": INSIDE,
            "max_input_chars_per_word": LONGEST,
            "vocab": vocabulary,
        },
    }
