"""The two tokenizers without merges: bytes and characters."""

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow

from .arrow import batches, joined, take
from .base import END, Tokenizer

UNICODE = 0x110000  # number of code points
NO_CHARACTER = 0xDFFF  # a surrogate, which never occurs in text: for ids that are not a character


class BatchTokenizer(Tokenizer):
    """A tokenizer that encodes many texts at once."""

    def encode_documents(
        self, texts: pyarrow.LargeStringArray, chars: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Tokenizer.encode_documents`."""
        encoded = [self._encode_batch(texts[batch], chars[batch]) for batch in batches(texts)]
        if len(encoded) == 1:  # without a copy of a long text's tokens
            return encoded[0]
        tokens, ends, kept = zip(*encoded, strict=True)
        begins = np.cumsum([0, *map(len, tokens[:-1])])
        ends = [batch + begin for batch, begin in zip(ends, begins, strict=True)]
        return np.concatenate(tokens), np.concatenate(ends), np.concatenate(kept)

    @abstractmethod
    def _encode_batch(
        self, texts: pyarrow.LargeStringArray, chars: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Like `encode_documents`, for one batch."""


class ByteTokenizer(BatchTokenizer):
    """Each token is one byte of UTF-8; `eot` is id 256."""

    def __init__(self, spec: str = "byte") -> None:
        self.spec, self.vocab_size, self.eot = spec, 257, 256

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        return np.frombuffer(utf8, dtype=np.uint8)

    def _encode_batch(
        self, texts: pyarrow.LargeStringArray, chars: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        source = np.frombuffer(joined(texts, END), dtype=np.uint8)
        tokens = source.astype(np.uint16)
        ends = np.flatnonzero(source == ord(END))
        tokens[ends] = self.eot
        back = tokens.astype(np.uint8)  # 256 becomes 0
        back[ends] = ord(END)
        if not np.array_equal(back, source):
            return Tokenizer.encode_documents(self, texts, chars)  # which finds the text
        return tokens, ends, np.ones(len(texts), dtype=bool)

    def join(self, ids: np.ndarray) -> bytes:
        """Like `Tokenizer.join`, but without a table."""
        if ids.dtype != np.uint8:
            ids = ids[ids != self.eot].astype(np.uint8)
        return ids.tobytes()

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`."""
        return [bytes([i]) for i in range(256)] + [b""]

    def save(self, folder: Path) -> None:
        """Write nothing: the tokenizer has no files."""

    @classmethod
    def load(cls, spec: str, folder: Path) -> "ByteTokenizer":
        """See `Tokenizer.load`."""
        return cls(spec)


class CharTokenizer(BatchTokenizer):
    """Each token is one character of the training text; other characters become their UTF-8 bytes.

    Ids 0..255 are the bytes, of which 0..127 are also the ASCII characters. Then come the other characters in
    the order of their code points, and then `eot`.
    """

    def __init__(self, characters: Iterable[str], spec: str = "char") -> None:
        self.spec = spec
        self.characters = sorted({c for c in characters if ord(c) >= 128})
        self.eot = 256 + len(self.characters)
        self.vocab_size = self.eot + 1
        points = np.array([ord(c) for c in self.characters], dtype=np.uint32)
        # One more id than `vocab_size` marks characters without an id.
        self._id_of = np.full(UNICODE, self.vocab_size, dtype=np.min_scalar_type(self.vocab_size))
        self._id_of[:128] = np.arange(128)
        self._id_of[points] = np.arange(256, self.eot)
        wide = points.max(initial=0) > 0xFFFF
        self._codec = "utf-32-le" if wide else "utf-16-le"
        # Long enough for every uint16, so that no id is out of bounds.
        size = max(self.vocab_size + 1, 1 << 16)
        self._point_of = np.full(size, NO_CHARACTER, dtype=np.uint32 if wide else np.uint16)
        self._point_of[:128] = np.arange(128)
        self._point_of[256 : self.eot] = points

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharTokenizer":
        """Train a tokenizer on all characters that occur in `texts`."""
        seen = np.zeros(UNICODE, dtype=bool)
        for text in texts:
            if not text.isascii():
                seen[_points(text)] = True
        return cls(map(chr, np.flatnonzero(seen)))

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        if text.isascii():
            return np.frombuffer(utf8, dtype=np.uint8)
        points = _points(text)
        ids = take(self._id_of, points)
        if ids.max() < self.vocab_size:
            return ids
        unknown = ids == self.vocab_size
        # Repeat each unknown character as often as it has bytes, then fill in the bytes.
        sizes = np.where(unknown, _utf8_size(points), 1)
        spread = np.repeat(ids, sizes)
        missing = np.frombuffer("".join(map(chr, points[unknown])).encode(), dtype=np.uint8)
        spread[np.repeat(unknown, sizes)] = missing
        return spread

    def _encode_batch(
        self, texts: pyarrow.LargeStringArray, chars: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        source = _points(joined(texts, b"\n").decode())
        ends = np.cumsum(chars + 1) - 1
        tokens = take(self._id_of, source)
        tokens[ends] = self.eot
        back = take(self._point_of, tokens)
        back[ends] = ord("\n")
        if np.array_equal(back, source):
            return tokens, ends, np.ones(len(texts), dtype=bool)
        return Tokenizer.encode_documents(self, texts, chars)  # some character has no id

    def join(self, ids: np.ndarray) -> bytes:
        """Like `Tokenizer.join`, but from a table of code points if every token is a character."""
        if ids.dtype == np.uint8:
            return ids.tobytes()
        try:
            return str(take(self._point_of, ids).data, self._codec).encode()
        except UnicodeDecodeError:  # caused by `NO_CHARACTER`
            return super().join(ids)

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`."""
        return [bytes([i]) for i in range(256)] + [c.encode() for c in self.characters] + [b""]

    def save(self, folder: Path) -> None:
        """Write `characters.txt`: the non-ASCII characters in the order of their ids, as UTF-8."""
        (folder / "characters.txt").write_bytes("".join(self.characters).encode())

    @classmethod
    def load(cls, spec: str, folder: Path) -> "CharTokenizer":
        """See `Tokenizer.load`."""
        return cls((folder / "characters.txt").read_bytes().decode(), spec)


def _points(text: str) -> np.ndarray:
    """The code points of a text, 1-d: uint16 if all of them fit, which is faster, else uint32."""
    narrow = text.encode("utf-16-le")
    if len(narrow) == 2 * len(text):
        return np.frombuffer(narrow, dtype=np.uint16)
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _utf8_size(points: np.ndarray) -> np.ndarray:
    """The number of UTF-8 bytes of each code point."""
    return 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
