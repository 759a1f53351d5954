"""The two tokenizers without merges: bytes and characters."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .base import Tokenizer

UNICODE = 0x110000  # number of code points
# Surrogates, which no text holds. They stand for `eot` and for ids that are a part of a character.
END, PART = 0xDFFF, 0xDFFE


class ByteTokenizer(Tokenizer):
    """A token is a byte of UTF-8; `eot` is id 256."""

    def __init__(self, spec: str = "byte") -> None:
        self.spec, self.vocab_size, self.eot = spec, 257, 256

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        return np.frombuffer(utf8, dtype=np.uint8)

    def encode_documents(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `Tokenizer.encode_documents`, all at once: 0xFF, which UTF-8 never has, stands for `eot`."""
        try:
            joined = b"\xff".join([*map(str.encode, texts), b""])
        except UnicodeEncodeError:
            return super().encode_documents(texts)  # which says where
        tokens = np.frombuffer(joined, dtype=np.uint8).astype(np.uint16)
        ends = np.flatnonzero(tokens == 0xFF)
        tokens[ends] = self.eot
        back = tokens.astype(np.uint8)  # 256 becomes 0
        back[ends] = 0xFF
        if back.tobytes() != joined or len(ends) != len(texts):
            return super().encode_documents(texts)
        return tokens, ends, np.ones(len(texts), dtype=bool)

    def join(self, ids: np.ndarray) -> bytes:
        """As `Tokenizer.join`, without a table."""
        if ids.dtype != np.uint8:
            ids = ids[ids != self.eot].astype(np.uint8)
        return ids.tobytes()

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
        points = np.array([ord(c) for c in self.characters], dtype=np.uint32)
        # Of the unsigned type that holds one id more, which stands for a character without an id.
        self._id_of = np.full(UNICODE, self.vocab_size, dtype=np.min_scalar_type(self.vocab_size))
        self._id_of[:128] = np.arange(128)
        self._id_of[points] = np.arange(256, self.eot)
        self._id_of[END] = self.eot
        wide = points.max(initial=0) > 0xFFFF
        self._codec = "utf-32-le" if wide else "utf-16-le"
        self._point_of = np.full(self.vocab_size, PART, dtype=np.uint32 if wide else np.uint16)
        self._point_of[:128] = np.arange(128)
        self._point_of[256 : self.eot] = points
        self._point_of[self.eot] = END

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharTokenizer":
        """The tokenizer of all characters that occur in `texts`."""
        seen = np.zeros(UNICODE, dtype=bool)
        for text in texts:
            if not text.isascii():
                seen[_points(text)] = True
        return cls(map(chr, np.flatnonzero(seen)))

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        if text.isascii():
            return np.frombuffer(utf8, dtype=np.uint8)
        points = _points(text)
        ids = self._id_of.take(points, mode="clip")  # three times as fast as without a mode
        if ids.max() < self.vocab_size:
            return ids
        unknown = ids == self.vocab_size
        # Each unknown character makes room for its bytes, which are then put there.
        sizes = np.where(unknown, _utf8_size(points), 1)
        spread = np.repeat(ids, sizes)
        missing = np.frombuffer("".join(map(chr, points[unknown])).encode(), dtype=np.uint8)
        spread[np.repeat(unknown, sizes)] = missing
        return spread

    def encode_documents(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `Tokenizer.encode_documents`, all at once where every character has an id."""
        points = _points(chr(END).join([*texts, ""]))
        tokens = self._id_of.take(points, mode="clip")
        if tokens.max(initial=0) < self.vocab_size:
            ends = np.flatnonzero(tokens == self.eot)
            back = self._point_of.take(tokens, mode="clip")
            if np.array_equal(back, points) and len(ends) == len(texts):
                return tokens, ends, np.ones(len(texts), dtype=bool)
        return super().encode_documents(texts)

    def join(self, ids: np.ndarray) -> bytes:
        """As `Tokenizer.join`; from a table of code points where every token is a character."""
        if ids.dtype == np.uint8:
            return ids.tobytes()
        try:
            return str(self._point_of.take(ids, mode="clip").data, self._codec).encode()
        except UnicodeDecodeError:  # for `END` and `PART`
            return super().join(ids)

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


def _points(text: str) -> np.ndarray:
    """The code points of a text, 1-d: uint16 if that holds them all, which is faster, else uint32."""
    narrow = text.encode("utf-16-le", "surrogatepass")
    if len(narrow) == 2 * len(text):
        return np.frombuffer(narrow, dtype=np.uint16)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _utf8_size(points: np.ndarray) -> np.ndarray:
    """How many bytes UTF-8 takes for each code point."""
    return 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
