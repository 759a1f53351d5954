"""The interface of all tokenizers."""

import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow

from .arrow import BATCH_BYTES, array
from .offsets import by_bytes
from .parts import parts

# Marks the end of a text in bytes, where it takes the place of `eot`; UTF-8 never contains this byte. So if
# decoded and source bytes are equal, the texts end in the same places.
END = b"\xff"
MOST_IDS = 1 << 24  # far more than published vocabularies have: a damaged file would take all memory
FEW_TOKENS = 300  # below this a Python loop decodes faster than a call to pyarrow


class Tokenizer(ABC):
    """A lossless conversion of text to token ids and back.

    1) `decode(encode(text)) == text` for every string that UTF-8 can encode. A published model that changes
       text breaks this rule; `data_prep.encode` refuses the documents that it changes
    2) ids are 0 <= id < vocab_size; `eot` is one of them and is never part of the encoding of a text, not
       even of the text "<|endoftext|>"
    3) the concatenated bytes of the tokens are `prefix` and the bytes of the text; a token may be part of a
       character
    """

    spec: str
    """the spec of the tokenizer, such as `bpe-8192`"""
    vocab_size: int
    """number of ids, including `eot` and fallback bytes"""
    eot: int
    """the id that ends a document"""
    has_bytes: bool = True
    """false if the bytes of tokens are unknown, so that 3) does not hold"""
    prefix: bytes = b""
    """bytes that encoding adds before a text and decoding removes: a SentencePiece model's dummy space"""

    @abstractmethod
    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        """The ids of a text, given as a string and as UTF-8; 1-d, of any unsigned type."""

    def _continue(self, text: str, utf8: bytes) -> np.ndarray:
        """The ids of a text that continues another one: without `prefix`."""
        return self._encode(text, utf8)

    @abstractmethod
    def token_bytes(self) -> list[bytes]:
        """The bytes of each id, in order of ids; `b""` for `eot` and other special ids."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the tokenizer's own files to an existing folder."""

    @classmethod
    @abstractmethod
    def load(cls, spec: str, folder: Path) -> "Tokenizer":
        """Load the tokenizer that `save` wrote."""

    def encode(self, text: str) -> np.ndarray:
        """Encode `text` as token ids, 1-d uint32.

        Raises:
            ValueError: the text contains a lone surrogate, which UTF-8 cannot encode; gives its position.
        """
        ids = [ids for _, ids in self.encode_parts(text)]
        return (ids[0] if len(ids) == 1 else np.concatenate(ids)).astype(np.uint32, copy=False)

    def encode_parts(self, text: str) -> Iterator[tuple[bytes, np.ndarray]]:
        """Encode a text in parts, so that memory is bounded; yields the UTF-8 bytes and ids of each part.

        A part has up to 500,000 characters (`parts`). The concatenated ids are those of `encode`; they may be
        of any unsigned type.

        Raises:
            ValueError: as for `encode`.
        """
        encode = self._encode
        for part in parts(text):
            utf8 = to_utf8(part, text)
            yield utf8, encode(part, utf8)
            encode = self._continue

    def encode_documents(
        self, texts: pyarrow.LargeStringArray, chars: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Encode texts with `eot` after each, decode them again and compare; `chars` are their lengths.

        Returns the ids of all texts (1-d, of any unsigned type), the position of each `eot` in them (1-d
        int64), and a flag for each text that is true if it round-trips (1-d bool).
        """
        pieces: list[np.ndarray] = []
        ends: list[int] = []
        source: list[bytes] = []  # of the last `len(source)` pieces, which have yet to be compared
        length = waiting = 0
        same = True
        for utf8, ids in self._documents(texts):
            pieces.append(ids)
            source.append(utf8)
            length += len(ids)
            waiting += len(utf8)
            if utf8 == END:
                ends.append(length - 1)
            if waiting > BATCH_BYTES or len(ends) == len(texts):
                back = self._arrow_join(np.concatenate(pieces[-len(source) :]))
                same = same and back == b"".join(source)
                source, waiting = [], 0
        kept = np.ones(len(texts), dtype=bool)
        tokens, places = np.concatenate(pieces), np.array(ends)
        if not same:
            begins = np.append(0, places[:-1] + 1)
            decoded = (self.decode_bytes(tokens[i:j]) for i, j in zip(begins, places, strict=True))
            kept[:] = [text.encode() == got for text, got in zip(texts.to_pylist(), decoded, strict=True)]
        return tokens, places, kept

    def _documents(self, texts: pyarrow.LargeStringArray) -> Iterator[tuple[bytes, np.ndarray]]:
        """Yield bytes and ids of the parts of each text, `prefix` included, then `END` and `eot`."""
        eot = np.array([self.eot], dtype=np.uint32)
        for text in texts.to_pylist():
            prefix = self.prefix
            for utf8, ids in self.encode_parts(text):
                yield prefix + utf8, ids
                prefix = b""
            yield END, eot

    def join(self, ids: np.ndarray) -> bytes:
        """The concatenated bytes of the tokens, `prefix` included."""
        if len(ids) >= FEW_TOKENS:
            return self._arrow_join(ids[ids != self.eot])
        table = self.table
        return b"".join([table[i] for i in ids.tolist()])

    def _arrow_join(self, ids: np.ndarray) -> bytes:
        """Like `join`, but with `END` in place of `eot`."""
        if not hasattr(self, "_arrow"):
            table = [*self.table]
            table[self.eot] = END
            ends = np.cumsum([0, *map(len, table)])
            buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(table))]
            self._arrow = pyarrow.Array.from_buffers(pyarrow.large_binary(), len(table), buffers)
        _, offsets, data = self._arrow.take(array(ids)).buffers()
        size = int(np.frombuffer(offsets, dtype=np.int64)[len(ids)])
        return data.slice(0, size).to_pybytes()

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode `ids` to the bytes of a text; `eot` is skipped."""
        if not isinstance(ids, np.ndarray):
            ids = np.fromiter(ids, dtype=np.uint32)
        return self.join(ids).removeprefix(self.prefix)

    def decode(self, ids: Iterable[int]) -> str:
        """Decode `ids` to a text; bytes that are not valid UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def offsets(self, text: str) -> np.ndarray:
        """The characters of `text` that each of its tokens stands for, as ranges [begin, end): (T, 2) int64.

        T is the number of ids in `encode(text)`. The parts of a character stand for the same character. A
        token may stand for no character, so that its range is empty, and a character for which no token
        stands is in no range.

        Raises:
            ValueError: it is not known, because the bytes of the tokens are not those of the text; or as for
                `encode`.
        """
        utf8, ids = to_utf8(text, text), self.encode(text)
        if not self.has_bytes or self.decode_bytes(ids) != utf8:
            raise ValueError(f"{self.spec}: it is not known which characters a token stands for")
        return by_bytes(self._sizes(ids), utf8)

    def _sizes(self, ids: np.ndarray) -> np.ndarray:
        """The number of bytes of each token, 1-d int64."""
        table = self.table
        return np.array([len(table[i]) for i in ids.tolist()], dtype=np.int64)

    @property
    def table(self) -> list[bytes]:
        """`token_bytes()`, computed once."""
        if not hasattr(self, "_table"):
            self._table = self.token_bytes()
        return self._table

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything that determines the encoding; equal on every machine."""
        digest = hashlib.sha256()
        for part in self._identity():
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        """The content that the fingerprint is computed from."""
        yield type(self).__name__.encode()
        yield self.eot.to_bytes(8, "little")
        yield np.array([len(token) for token in self.table]).tobytes() + b"".join(self.table)


def to_utf8(part: str, text: str) -> bytes:
    """The UTF-8 bytes of a part of `text`.

    Raises:
        ValueError: the part contains a lone surrogate; gives its position in `text`.
    """
    try:
        return part.encode()
    except UnicodeEncodeError:
        place = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
        raise ValueError(
            f"lone surrogate (U+{ord(text[place]):04X}) at character {place}: UTF-8 cannot encode it"
        ) from None
