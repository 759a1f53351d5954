"""Bits per character by context, by word frequency, by kind of character and by group of documents."""

import itertools
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np

from data_prep.arrays import Split
from data_prep.corpus import Corpus
from tokenizers import Tokenizer
from tokenizers.offsets import spread

from .intrinsic import code_values

CONTEXT = [0, 1, 4, 16, 64, 256, 1024, 4096]  # lower bounds of bands, in characters visible before a token
FREQUENCY = [0, 1, 10, 100, 1000]  # lower bounds of bands, per million words of training text
COUNTED = 50_000_000  # words are counted in at most this many characters of training text
KINDS = {"Ll": "lower case", "Lu": "upper case", "L": "other letters", "N": "digits", "P": "punctuation"}
OTHER = "other"
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TestText:
    """The test documents, and a few bytes of information about each of their characters."""

    texts: list[str]
    """the documents"""
    sizes: np.ndarray
    """UTF-8 bytes of each character, uint8"""
    bands: dict[str, tuple[list[str], np.ndarray]]
    """question -> (its answers, index of each character's answer as uint8; 255: no answer)"""


def read_test_text(corpus: Corpus, chosen: np.ndarray) -> TestText:
    """The test documents of a corpus, their characters classified in every way except by context.

    `chosen`, 1-d, holds the indices of the scored documents.
    """
    everything = list(corpus.texts("test"))
    texts = [everything[i] for i in chosen]
    points = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    different, number = np.unique(points, return_inverse=True)
    sizes = np.array([len(chr(point).encode()) for point in different], dtype=np.uint8)[number]
    names = [*KINDS.values(), "space", "line end", OTHER]
    kinds = np.array([names.index(_kind(chr(point))) for point in different], dtype=np.uint8)[number]
    bands = {"kind of character": (names, kinds), "frequency of the word": _word_bands(corpus, texts)}
    lengths = [len(text) for text in texts]
    for column, values in corpus.categories("test").items():
        names, codes = code_values([values[i] for i in chosen])
        if len(names) < 255:
            bands[column] = names, np.repeat(codes.astype(np.uint8), lengths)  # -1 becomes 255
    return TestText(texts, sizes, bands)


def _kind(character: str) -> str:
    if character.isspace():
        return "line end" if character in "\n\r" else "space"
    category = unicodedata.category(character)
    return KINDS.get(category) or KINDS.get(category[0]) or OTHER


def _word_bands(corpus: Corpus, texts: list[str]) -> tuple[list[str], np.ndarray]:
    """Bands of word frequency in the training text; characters outside words form a band of their own."""
    counts: Counter[str] = Counter()
    chars = 0
    for text in corpus.texts("train"):
        counts.update(WORD.findall(text))
        chars += len(text)
        if chars >= COUNTED:
            break
    words = max(1, counts.total())
    names = ["never seen", "below 1 in a million", *(f"{low:,} and more" for low in FREQUENCY[1:]), "no word"]
    parts = []
    for text in texts:
        codes = np.full(len(text), len(names) - 1, dtype=np.uint8)
        for found in WORD.finditer(text):
            count = counts[found[0]]
            band = np.searchsorted(FREQUENCY, count / words * 1e6, side="right") if count else 0
            codes[found.start() : found.end()] = band
        parts.append(codes)
    return names, np.concatenate(parts)


def character_bits(
    text: TestText, split: Split, tokenizer: Tokenizer, token_bits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bits of each character (1-d float64) and index of the token that it belongs to (1-d int64).

    The characters of a document have the bits of its tokens. `token_bits` has the content of
    `token_bits.npy`, every token and `eot`; the returned indices do not count `eot`. Where the bytes of
    tokens are those of the text, the bits of a token are spread evenly over its bytes, and a character
    belongs to the token with its first byte. Elsewhere they are spread evenly over the characters that the
    token stands for, and a character that none stands for belongs to the next token, or the last; -1 in a
    document without tokens.

    Raises:
        ValueError: it is not known which characters a token stands for.
    """
    sequences = split.sequences()
    is_text = np.ones(len(token_bits), dtype=bool)
    is_text[np.cumsum([len(sequence) - 1 for sequence in sequences]) - 1] = False  # eot
    values = token_bits[is_text].astype(np.float64)
    tokens = np.concatenate([sequence[1:-1] for sequence in sequences])
    sizes = np.array([len(content) for content in tokenizer.table])[tokens]
    if split.lossy_documents or not tokenizer.has_bytes or not sizes.all():
        return _by_offsets(text, sequences, tokenizer, values)
    shares = np.repeat(values / sizes, sizes)
    of_byte = np.repeat(np.arange(len(tokens)), sizes)
    taken = text.sizes.astype(np.int64)
    # Bytes that tokens have before the text belong to its first character
    taken[_starts([len(document) for document in text.texts])] += _bytes_before(split, sequences, sizes)
    ends = np.cumsum(taken)
    return np.add.reduceat(shares, ends - taken), of_byte[ends - text.sizes]


def _starts(lengths: list[int]) -> np.ndarray:
    """Where each of several consecutive parts begins, 1-d int64."""
    return np.cumsum([0, *lengths[:-1]])


def _bytes_before(split: Split, sequences: list[np.ndarray], sizes: np.ndarray) -> np.ndarray:
    """The number of bytes that the tokens of each document have before its text, 1-d int64."""
    starts = _starts([len(sequence) - 2 for sequence in sequences])
    return np.add.reduceat(sizes, starts) - split.document_bytes()


def _by_offsets(
    text: TestText, sequences: list[np.ndarray], tokenizer: Tokenizer, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Like `character_bits`, by the offsets of tokens; `values`, 1-d float64, are the bits of each token."""
    bits, token, done = [], [], 0
    for document, sequence in zip(text.texts, sequences, strict=True):
        tokens, offsets = len(sequence) - 2, tokenizer.offsets(document)
        if len(offsets) != tokens:
            raise ValueError(f"{tokenizer.spec}: there are offsets of {len(offsets)} tokens, not {tokens}")
        bits.append(spread(offsets, values[done : done + tokens], len(document)))
        ends = np.maximum.accumulate(offsets[:, 1])
        found = np.searchsorted(ends, np.arange(len(document)), side="right")
        token.append(done + np.minimum(found, tokens - 1) if tokens else np.full(len(document), -1))
        done += tokens
    return np.concatenate(bits), np.concatenate(token)


def context_seen(split: Split, token_chars: np.ndarray, block_size: int, stride: int) -> np.ndarray:
    """Characters before each token that are in its window, 1-d int64.

    `token_chars`, 1-d, is the number of characters that belong to each token; `eot` is not counted. The
    windows are those of `model.scoring.windows`.
    """
    found, done = [], 0
    for sequence in split.sequences():
        length = len(sequence) - 2
        before = np.concatenate([[0], np.cumsum(token_chars[done : done + length])])
        position = np.arange(length)  # of a target; its input is the token before it
        further = np.maximum(0, -(-(position - block_size + 1) // stride))  # windows after the first
        end = np.minimum(block_size + further * stride, length + 1)
        start = np.where(further > 0, np.maximum(end - block_size, 1), 1)
        found.append(before[position] - before[start - 1])
        done += length
    return np.concatenate(found)


def break_down_bits(
    text: TestText, split: Split, bits: np.ndarray, token: np.ndarray, block_size: int, stride: int
) -> dict[str, dict[str, dict]]:
    """The `chars`, `bits` and `bpc` of every answer to every question.

    The answers to a question add up to the whole text, except for documents without an answer, such as those
    without a language. `bits` and `token` are the return values of `character_bits`.
    """
    token_chars = np.bincount(token[token >= 0], minlength=split.tokens)
    seen = np.append(context_seen(split, token_chars, block_size, stride), 0)[token]  # 0 without tokens
    between = [f"{low:,} to {high - 1:,}" for low, high in itertools.pairwise(CONTEXT[1:])]
    names = [str(CONTEXT[0]), *between, f"{CONTEXT[-1]:,} and more"]
    context = (names, (np.searchsorted(CONTEXT, seen, side="right") - 1).astype(np.uint8))
    found = {}
    for question, (answers, codes) in {"context in characters": context, **text.bands}.items():
        chars, total = (np.bincount(codes, of, minlength=len(answers)) for of in (None, bits))
        found[question] = {
            answer: {"chars": int(chars[i]), "bits": float(total[i]), "bpc": float(total[i] / chars[i])}
            for i, answer in enumerate(answers)
            if chars[i]
        }
    return found
