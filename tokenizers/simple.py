"""The two tokenizers without merges: bytes and characters."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .base import Tokenizer

UNICODE = 0x110000  # number of code points


class ByteTokenizer(Tokenizer):
    """A token is a byte of UTF-8; `eot` is id 256."""

    def __init__(self, spec: str = "byte") -> None:
        self.spec, self.vocab_size, self.eot = spec, 257, 256

    def _encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint32)

    def token_bytes(self) -> list[bytes]:
        """As `Tokenizer.token_bytes`."""
        return [bytes([i]) for i in range(256)] + [b""]

    def save(self, folder: Path) -> None:
        """Nothing to write: the tokenizer is the same everywhere."""

    @classmethod
    def load(cls, spec: str, folder: Path) -> "ByteTokenizer":
        """As `Tokenizer.load`."""
        return cls(spec)


class CharTokenizer(Tokenizer):
    """A token is a character of the training text; any other character is its UTF-8 bytes.

    Ids 0..255 are the bytes, and so ids 0..127 are also the ASCII characters; then the other
    characters in the order of their code points; then `eot`.
    """

    def __init__(self, characters: Iterable[str], spec: str = "char") -> None:
        self.spec = spec
        self.characters = sorted({c for c in characters if ord(c) >= 128})
        self.eot = 256 + len(self.characters)
        self.vocab_size = self.eot + 1
        self._id_of = np.full(UNICODE, self.vocab_size, dtype=np.uint32)  # vocab_size: unknown
        self._id_of[:128] = np.arange(128)
        self._id_of[[ord(c) for c in self.characters]] = np.arange(256, self.eot)

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharTokenizer":
        """The tokenizer of all characters that occur in `texts`."""
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        return cls(characters)

    def _encode(self, text: str) -> np.ndarray:
        ids = self._id_of[np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)]
        unknown = np.flatnonzero(ids == self.vocab_size)
        if len(unknown) == 0:
            return ids
        pieces, end = [], 0
        for i in unknown.tolist():
            pieces += [ids[end:i], np.frombuffer(text[i].encode(), dtype=np.uint8).astype(np.uint32)]
            end = i + 1
        return np.concatenate([*pieces, ids[end:]])

    def token_bytes(self) -> list[bytes]:
        """As `Tokenizer.token_bytes`."""
        return [bytes([i]) for i in range(256)] + [c.encode() for c in self.characters] + [b""]

    def save(self, folder: Path) -> None:
        """Write `characters.txt`: the characters beyond ASCII, UTF-8, in id order."""
        (folder / "characters.txt").write_bytes("".join(self.characters).encode())

    @classmethod
    def load(cls, spec: str, folder: Path) -> "CharTokenizer":
        """As `Tokenizer.load`."""
        return cls((folder / "characters.txt").read_bytes().decode(), spec)
