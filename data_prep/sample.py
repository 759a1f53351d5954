"""The training sample for tokenizers, the same for all of them."""

import hashlib
from array import array
from collections.abc import Iterator

import numpy as np

from .corpus import Corpus


def training_sample(corpus: Corpus, chars: int) -> Iterator[str]:
    """Yield training documents with exactly `chars` characters in all, or the whole split if it is shorter.

    Documents are drawn by the SHA-256 of their text, so their order and the machine do not matter. They are
    yielded in the order of the corpus. The last one drawn is truncated.
    """
    take = sampled_chars(corpus, chars)
    if take is None:
        yield from corpus.texts("train")
        return
    for text, length in zip(corpus.texts("train"), take.tolist(), strict=True):
        if length:
            yield text[:length]


def sample_languages(corpus: Corpus, chars: int) -> list[str | None]:
    """The language of each document of the training sample; empty if the corpus names no languages."""
    languages = corpus.categories("train").get("language", [])
    take = sampled_chars(corpus, chars)
    if take is None or not languages:
        return languages
    return [language for language, length in zip(languages, take.tolist(), strict=True) if length]


def sampled_chars(corpus: Corpus, chars: int) -> np.ndarray | None:
    """The characters of each training document in the sample, 1-d int64; None for the whole split."""
    if chars >= corpus.manifest["splits"]["train"]["chars"]:
        return None
    draws, lengths = array("Q"), array("Q")
    for text in corpus.texts("train"):
        # Not the bytes that `hash_split` uses.
        draws.append(int.from_bytes(hashlib.sha256(text.encode()).digest()[8:16], "little"))
        lengths.append(len(text))
    order = np.argsort(np.array(draws), kind="stable")
    ends = np.cumsum(np.array(lengths)[order])
    full = int(np.searchsorted(ends, chars))  # the draw that completes the sample
    take = np.zeros(len(order), dtype=np.int64)
    take[order[: full + 1]] = np.array(lengths)[order[: full + 1]]
    take[order[full]] -= int(ends[full]) - chars
    return take
