"""Offsets: the characters of a text that each of its tokens stands for, as half-open ranges."""

import numpy as np


def by_bytes(sizes: np.ndarray, utf8: bytes) -> np.ndarray:
    """The offsets of tokens whose bytes are those of a text: (T, 2) int64.

    `sizes`, (T), is the number of bytes of each token. If there are more bytes than in `utf8`, the text, the
    first ones stand before it. A token that is part of a character stands for the whole of it.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    ends -= max(0, int(sizes.sum()) - len(utf8))
    begins, ends = np.maximum(ends - sizes, 0), np.maximum(ends, 0)
    # The character of each byte; one more for the end of the text
    starts = np.append((np.frombuffer(utf8, dtype=np.uint8) & 0xC0) != 0x80, True)
    character = np.cumsum(starts) - 1
    first = character[begins]
    return np.stack([first, np.where(ends > begins, character[ends - 1] + 1, first)], axis=1)


def through(offsets: np.ndarray, source: np.ndarray, chars: int) -> np.ndarray:
    """Offsets in a text, from those in its normalization: (T, 2) int64.

    `offsets`, (T, 2), are ranges of normalized characters, and `source`, (N, 2), holds the characters of the
    text that each of the N normalized ones comes from. `chars` is the length of the text.
    """
    begins = np.append(source[:, 0], chars)[offsets[:, 0]]
    ends = np.append(0, source[:, 1])[offsets[:, 1]]
    return np.stack([begins, np.where(offsets[:, 1] > offsets[:, 0], ends, begins)], axis=1)


def spread(offsets: np.ndarray, values: np.ndarray, chars: int) -> np.ndarray:
    """Spread the value of each token evenly over the characters that it stands for: (chars) float64.

    `offsets` is (T, 2), `values` is (T), and `chars` is at least 1. The value of a token that stands for no
    character is added to the next one, or to the last one at the end of the text. So the sum stays the same.
    """
    begins = np.minimum(offsets[:, 0], chars - 1)
    sizes = np.maximum(offsets[:, 1] - begins, 1)
    places = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - begins, sizes)
    return np.bincount(places, np.repeat(values / sizes, sizes), minlength=chars)
