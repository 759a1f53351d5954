"""The text that tokenizers are trained on: the same for all of them."""

import hashlib
from array import array
from collections.abc import Iterator

import numpy as np

from .corpus import Corpus


def training_sample(corpus: Corpus, chars: int) -> Iterator[str]:
    """Documents of the training split that hold exactly `chars` characters, or all if it has less.

    Documents are drawn by the SHA-256 of their text, so that neither their order nor the machine matters;
    they come in the order of the corpus. The one with which the sample is full gives only its beginning.
    """
    if chars >= corpus.manifest["splits"]["train"]["chars"]:
        yield from corpus.texts("train")
        return
    draws, lengths = array("Q"), array("Q")
    for text in corpus.texts("train"):
        # Not the bytes that `hash_split` draws the split by.
        draws.append(int.from_bytes(hashlib.sha256(text.encode()).digest()[8:16], "little"))
        lengths.append(len(text))
    order = np.argsort(np.array(draws), kind="stable")
    ends = np.cumsum(np.array(lengths)[order])
    full = int(np.searchsorted(ends, chars))  # the draw with which the sample is full
    take = np.zeros(len(order), dtype=np.int64)  # characters of each document
    take[order[: full + 1]] = np.array(lengths)[order[: full + 1]]
    take[order[full]] -= int(ends[full]) - chars
    for text, length in zip(corpus.texts("train"), take.tolist(), strict=True):
        if length:
            yield text[:length]
