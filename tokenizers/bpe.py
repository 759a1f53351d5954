"""Byte-level BPE: trained by rustbpe, encoded by tiktoken."""

import base64
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import rustbpe
import tiktoken

from .base import Tokenizer

# How GPT-4 cuts text into words before merging (tiktoken's cl100k_base). It skips no character.
PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"""
    r"""|\s*[\r\n]|\s+(?!\S)|\s+"""
)
# tiktoken's regex overflows its stack on about a million white-space characters in a row, with a panic
# that is no Exception (tiktoken issue 245): longer runs are cut here, far above what text holds.
MAX_SPACES = 100_000


class BPETokenizer(Tokenizer):
    """Byte-level BPE. The last id is `eot`, every other one is a rank of the merge table."""

    def __init__(self, ranks: dict[bytes, int], spec: str, pattern: str = PATTERN) -> None:
        self.spec, self.ranks, self.pattern = spec, ranks, pattern
        self.eot = len(ranks)
        self.vocab_size = len(ranks) + 1
        self.encoding = tiktoken.Encoding(
            name=spec, pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
        )

    @classmethod
    def train(cls, texts: Iterable[str], spec: str) -> "BPETokenizer":
        """Train on texts, by a spec `bpe-N`.

        Raises:
            ValueError: N is more than the texts can fill, or too small for 256 bytes and `eot`.
        """
        size = int(spec.split("-")[1])
        if size < 257:
            raise ValueError(f"{spec}: too small: 256 bytes and end of text need at least 257")
        trainer = rustbpe.Tokenizer()
        parts = (part for text in texts for part in _cut_spaces(text))
        trainer.train_from_iterator(parts, size - 1, pattern=PATTERN)
        ranks = {bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}
        if len(ranks) < size - 1:
            raise ValueError(
                f"{spec}: the training text fills a vocabulary of at most {len(ranks) + 1}: ask for no more"
            )
        return cls(ranks, spec)

    def _encode(self, text: str) -> np.ndarray:
        ids = [self.encoding.encode_ordinary(part) for part in _cut_spaces(text)]
        return np.fromiter(itertools.chain(*ids), dtype=np.uint32)

    def token_bytes(self) -> list[bytes]:
        """As `Tokenizer.token_bytes`."""
        return [*sorted(self.ranks, key=self.ranks.__getitem__), b""]

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        yield self.pattern.encode()

    def save(self, folder: Path) -> None:
        """Write `bpe.tiktoken` (OpenAI's format: base64 of the bytes, the rank) and the pattern."""
        lines = [f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in self.ranks.items()]
        (folder / "bpe.tiktoken").write_text("".join(lines))
        (folder / "pattern.json").write_text(json.dumps({"pattern": self.pattern}, indent=1) + "\n")

    @classmethod
    def load(cls, spec: str, folder: Path) -> "BPETokenizer":
        """As `Tokenizer.load`."""
        lines = (folder / "bpe.tiktoken").read_text().splitlines()
        ranks = {base64.b64decode(token): int(rank) for token, rank in map(str.split, lines)}
        return cls(ranks, spec, json.loads((folder / "pattern.json").read_text())["pattern"])


def _cut_spaces(text: str) -> Iterator[str]:
    """The text in parts none of which holds more than `MAX_SPACES` white-space characters in a row."""
    start = 0
    if len(text) > MAX_SPACES:
        for run in re.finditer(r"\s+", text):
            for cut in range(run.start() + MAX_SPACES, run.end(), MAX_SPACES):
                yield text[start:cut]
                start = cut
    yield text[start:]
