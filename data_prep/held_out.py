"""An index of held-out documents, which finds those that occur in a text, exactly or nearly.

Nearly: the Jaccard similarity of the 5-word shingles of the two texts is at least 0.8, as estimated by
MinHash (Broder 1997). Case, punctuation and white space are not compared. A held-out document that is a small
part of a longer text is not found.
"""

import hashlib
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import datasketch
import numpy as np

from .parts import read_texts

SIMILAR = 0.8
WORDS = 5  # in a shingle, as for FineWeb (Penedo et al. 2024)
BANDS, ROWS = 28, 4  # of MinHash: similarities of 0.8 are found with a probability above 0.9999
# Words are runs of ASCII letters and digits with all characters beyond ASCII. Chinese and Japanese have no
# spaces, so each of their characters is a word
APART = re.compile(rb"([\xe3-\xe9]..)", re.DOTALL)
BLANKS = bytes(byte if byte > 127 or chr(byte).isalnum() else ord(" ") for byte in range(256))
POWERS = np.array([0x9E3779B97F4A7C15 ** (i + 1) % 2**64 for i in range(WORDS)], dtype=np.uint64)


def shingles(text: str) -> np.ndarray:
    """Hashes of the distinct 5-word shingles of a text: 1-d uint64, sorted. A shorter text has one."""
    words = b" ".join(APART.split(text.lower().encode())).translate(BLANKS).split()
    hashes = np.fromiter(map(zlib.crc32, words), dtype=np.uint64, count=len(words))
    if len(hashes) <= WORDS:
        return np.array([zlib.crc32(b" ".join(words))], dtype=np.uint64)
    count = len(hashes) - WORDS + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for i, power in enumerate(POWERS):
        mixed = mixed * power + hashes[i : i + count]
    mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed * POWERS[0])


def signature(found: np.ndarray) -> datasketch.MinHash:
    """The MinHash of shingles."""
    minhash = datasketch.MinHash(num_perm=BANDS * ROWS, hashfunc=int)
    minhash.update_batch((found >> np.uint64(32)).tolist())
    return minhash


class HeldOut:
    """An index of held-out documents: which of them occur in a text."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.exactly: dict[bytes, list[int]] = {}
        self.nearly = datasketch.MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        self.signatures: list[datasketch.MinHash] = []
        every = []
        for number, text in enumerate(texts):
            self.exactly.setdefault(_digest(text), []).append(number)
            every.append(shingles(text))
            self.signatures.append(signature(every[-1]))
            self.nearly.insert(number, self.signatures[-1])
        # A bit for each shingle, and in all 32 times as many, so that few others share one
        size = 1 << max(16, (32 * sum(map(len, every))).bit_length())
        self.mask, self.bits = np.uint64(size - 1), np.zeros(size // 8, dtype=np.uint8)
        for found in every:
            np.bitwise_or.at(self.bits, self._byte(found), self._bit(found))

    def _byte(self, found: np.ndarray) -> np.ndarray:
        return (found & self.mask) >> np.uint64(3)

    def _bit(self, found: np.ndarray) -> np.ndarray:
        return np.left_shift(1, found & np.uint64(7), dtype=np.uint8, casting="unsafe")

    def find(self, text: str) -> tuple[list[int], list[int]]:
        """The numbers of documents that a text equals, and of other ones to which it is similar."""
        exactly, found = self.exactly.get(_digest(text), []), shingles(text)
        # A text with fewer known shingles is not similar to any document; most are decided here
        if np.mean((self.bits[self._byte(found)] & self._bit(found)) != 0) < SIMILAR:
            return exactly, []
        ours = signature(found)
        similar = [
            number
            for number in self.nearly.query(ours)
            if number not in exactly and ours.jaccard(self.signatures[number]) >= SIMILAR
        ]
        return exactly, sorted(similar)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def find_in_file(held_out: HeldOut, path: Path) -> tuple[np.ndarray, set[int], set[int]]:
    """The training documents of a Parquet file that are held out: 1-d bool; and the numbers of the held-out
    documents that occur there exactly, and nearly."""
    rows, exactly, nearly = [], set[int](), set[int]()
    for text in read_texts(path):
        equal, similar = held_out.find(text)
        rows.append(bool(equal or similar))
        exactly.update(equal)
        nearly.update(similar)
    return np.array(rows, dtype=bool), exactly, nearly
