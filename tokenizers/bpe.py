"""Byte-level BPE: trained with rustbpe or published by others, encoded with tiktoken."""

import base64
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import tiktoken

from .base import MOST_IDS, Tokenizer, to_utf8
from .library import normalized_offsets, normalizer
from .offsets import by_bytes, through
from .parts import parts
from .patterns import DEFAULT, PATTERNS, grouped
from .specs import trained_size

NormalForm = Literal["NFC", "NFD", "NFKC", "NFKD"]
UTF8_BYTES = frozenset(range(256)) - {0xC0, 0xC1, *range(0xF5, 0x100)}
"""the bytes that occur in UTF-8"""


@dataclass(frozen=True)
class MergeRanks:
    """The tables of a byte-level BPE tokenizer."""

    ranks: dict[bytes, int]
    """token to id; of the pairs that can be merged, the one that gives the lowest id is merged first"""
    pattern: str
    """the regular expression that splits text into words; no merge crosses their boundaries"""
    special: dict[str, int] = field(default_factory=dict)
    """special ids by name; no text is ever encoded to them"""
    eot: int | None = None
    """the special id that ends a document; None: an id is added for it"""
    added: dict[str, int] = field(default_factory=dict)
    """texts that are always a token of their own, found before text is split into words"""
    normalization: NormalForm | None = None
    """the Unicode normalization form applied first; lossy for text that is not in this form"""

    def __post_init__(self) -> None:
        missing = [byte for byte in sorted(UTF8_BYTES) if bytes([byte]) not in self.ranks]
        # Otherwise tiktoken would panic, which is not an Exception, or take all memory
        if missing:
            raise ValueError(f"the vocabulary has no token for the byte 0x{missing[0]:02x}")
        ids = [*self.ranks.values(), *self.special.values(), *self.added.values()]
        if len(set(ids)) < len(ids):
            twice = next(i for i, count in Counter(ids).items() if count > 1)
            raise ValueError(f"several tokens have the id {twice}")
        if min(ids) < 0 or max(ids) >= MOST_IDS:
            raise ValueError(f"the ids are {min(ids)} to {max(ids)}, not 0 to at most {MOST_IDS - 1}")


class BPETokenizer(Tokenizer):
    """Byte-level BPE: a table of ranks, a pattern and special ids."""

    def __init__(self, ranks: MergeRanks, spec: str) -> None:
        self.spec, self.ranks = spec, ranks
        ids = [*ranks.ranks.values(), *ranks.special.values(), *ranks.added.values()]
        self.eot = max(ids) + 1 if ranks.eot is None else ranks.eot
        self.vocab_size = max(*ids, self.eot) + 1
        # Never empty: without any special token `encode_to_numpy` is slow.
        special = ranks.special or {"<|endoftext|>": self.eot}
        # tiktoken needs a rank for every byte, also for those that no text contains
        never = [bytes([byte]) for byte in range(256) if bytes([byte]) not in ranks.ranks]
        beyond = {byte: self.vocab_size + i for i, byte in enumerate(never)}
        self.encoding = tiktoken.Encoding(
            name=spec,
            pat_str=grouped(ranks.pattern),
            mergeable_ranks=ranks.ranks | beyond,
            special_tokens=special,
        )
        longest_first = sorted(ranks.added, key=len, reverse=True)
        self._added = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    @classmethod
    def train(cls, texts: Iterable[str], spec: str) -> "BPETokenizer":
        """Train a tokenizer with the spec `bpe-N` or `bpe-N:PATTERN`.

        Raises:
            ValueError: the texts are too short for N ids, or N is too small for 256 bytes and `eot`.
        """
        family, _, name = spec.partition(":")
        pattern = PATTERNS[name or DEFAULT]
        return cls(MergeRanks(learn_ranks(texts, int(family.split("-")[1]), pattern, spec), pattern), spec)

    def cut(self, spec: str) -> "BPETokenizer":
        """The trained tokenizer `spec` of a smaller size and the same pattern, from the first ranks."""
        size = trained_size(spec)
        assert size
        ranks = {token: i for token, i in self.ranks.ranks.items() if i < size - 1}
        return BPETokenizer(MergeRanks(ranks, self.ranks.pattern), spec)

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        if self.ranks.normalization and not text.isascii():
            # Python's tables are of another version of Unicode, and so give other ids
            text = normalizer(self.ranks.normalization).normalize_str(text)
        if not any(token in text for token in self.ranks.added):
            return self._words(text)
        pieces = [
            np.array([self.ranks.added[piece]], dtype=np.uint32) if i % 2 else self._words(piece)
            for i, piece in enumerate(self._added.split(text))
        ]
        return np.concatenate(pieces)

    def _words(self, text: str) -> np.ndarray:
        return self.encoding.encode_to_numpy(text, disallowed_special=())

    def offsets(self, text: str) -> np.ndarray:
        """See `Tokenizer.offsets`."""
        ids = self.encode(text)
        spelled = self.decode_bytes(ids)
        if not self.ranks.normalization or spelled == to_utf8(text, text):
            return super().offsets(text)
        sources, done = [], 0
        for part in parts(text):
            sources.append(done + normalized_offsets(self.ranks.normalization, part))
            done += len(part)
        return through(by_bytes(self._sizes(ids), spelled), np.concatenate(sources), len(text))

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`."""
        table = [b""] * self.vocab_size
        for token, i in self.ranks.ranks.items():
            table[i] = token
        for text, i in self.ranks.added.items():
            table[i] = text.encode()
        return table

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        yield self.ranks.pattern.encode()
        yield json.dumps([self.ranks.added, self.ranks.normalization], sort_keys=True).encode()

    def save(self, folder: Path) -> None:
        """Write `bpe.tiktoken` (OpenAI's format: base64 of the bytes, then the rank) and `encoding.json`."""
        lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in self.ranks.ranks.items()]
        (folder / "bpe.tiktoken").write_text("".join(lines))
        rest = {key: value for key, value in vars(self.ranks).items() if key != "ranks"}
        (folder / "encoding.json").write_text(json.dumps(rest, indent=1) + "\n")

    @classmethod
    def load(cls, spec: str, folder: Path) -> "BPETokenizer":
        """See `Tokenizer.load`."""
        rest = json.loads((folder / "encoding.json").read_text())
        return cls(MergeRanks(read_ranks(folder / "bpe.tiktoken"), **rest), spec)


def learn_ranks(texts: Iterable[str], size: int, pattern: str, spec: str) -> dict[bytes, int]:
    """Train byte-level BPE on texts; returns `size` - 1 tokens with their ids, as `eot` takes one.

    The first tokens are those of a smaller size.

    Raises:
        ValueError: the texts are too short for the size, or it is too small; begins with `spec`.
    """
    if size < 257:
        raise ValueError(f"{spec}: too small: 256 bytes and end of text need at least 257")
    import rustbpe  # needed only for training

    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(
        (part for text in texts for part in parts(text)), size - 1, pattern=grouped(pattern)
    )
    ranks = {bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}
    if len(ranks) < size - 1:
        raise ValueError(f"{spec}: the training text is enough for a vocabulary of at most {len(ranks) + 1}")
    return ranks


def merge_bytes(token: bytes, ranks: dict[bytes, int], below: int) -> list[bytes]:
    """Merge the bytes of a token with all ranks lower than `below`."""
    pieces = [bytes([byte]) for byte in token]
    while len(pieces) > 1:
        candidates = [ranks.get(a + b, below) for a, b in itertools.pairwise(pieces)]
        lowest = min(candidates)
        if lowest >= below:
            break
        at = candidates.index(lowest)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def read_ranks(path: Path) -> dict[bytes, int]:
    """Read a `.tiktoken` file: one line per token, with base64 of its bytes and its rank.

    Raises:
        ValueError: the file does not have this format; names the line.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            token, rank = line.split()
            if token != b"=":  # an id without a token, in Whisper's file
                ranks[base64.b64decode(token, validate=True)] = int(rank)
        except ValueError:
            raise ValueError(
                f"{path} line {number} is not a token in base64 and its rank: "
                "give a .tiktoken file, or a tokenizer.json whose name ends in .json"
            ) from None
    return ranks
