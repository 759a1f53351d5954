"""The one interface behind which every tokenizer stands."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow

from .arrow import BATCH_BYTES, array
from .parts import parts

# Behind a text among bytes; UTF-8 never has it. Where bytes are equal that hold as many of it as there are
# `eot`, both are in the same places.
END = b"\xff"
FEW_TOKENS = 300  # below this a loop in Python decodes sooner than a call to pyarrow


class Tokenizer(ABC):
    """Text to token ids and back, without loss.

    1) `decode(encode(text)) == text` for every string that UTF-8 can encode; a published model that changes
       text breaks this, and `data_prep.encode` refuses the documents with which it does
    2) ids are 0 <= id < vocab_size; `eot` is one of them and is never the encoding of any text,
       not even of the text "<|endoftext|>"
    3) the bytes of the tokens put together are `prefix` and the bytes of the text; a token may be part of
       a character
    """

    spec: str
    """the name the tokenizer was asked for by, such as `bpe-8192`"""
    vocab_size: int
    """number of ids, `eot` and fallback bytes included"""
    eot: int
    """the id that ends a document"""
    prefix: bytes = b""
    """what encoding puts before a text and decoding takes off: a SentencePiece model's dummy space"""

    @abstractmethod
    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        """The ids of a text, which comes with its UTF-8; 1-d, of any unsigned type."""

    def _continue(self, text: str, utf8: bytes) -> np.ndarray:
        """The ids of a text that goes on after another one: no `prefix`."""
        return self._encode(text, utf8)

    @abstractmethod
    def token_bytes(self) -> list[bytes]:
        """The bytes each id stands for, by id; `b""` for `eot` and other special ids."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the tokenizer's own files into an existing folder."""

    @classmethod
    @abstractmethod
    def load(cls, spec: str, folder: Path) -> "Tokenizer":
        """The tokenizer that `save` wrote."""

    def encode(self, text: str) -> np.ndarray:
        """Token ids of `text`, 1-d uint32.

        Raises:
            ValueError: a lone surrogate, with its position; no UTF-8 text holds one.
        """
        ids = [ids for _, ids in self.encode_parts(text)]
        return (ids[0] if len(ids) == 1 else np.concatenate(ids)).astype(np.uint32, copy=False)

    def encode_parts(self, text: str) -> Iterator[tuple[bytes, np.ndarray]]:
        """The text in parts that are encoded one by one, so that memory is bounded: UTF-8 bytes and ids.

        Up to 500,000 characters are one part (`parts`). Put together, the ids are those of `encode`, of any
        unsigned type.

        Raises:
            ValueError: as `encode`.
        """
        encode = self._encode
        for part in parts(text):
            try:
                utf8 = part.encode()
            except UnicodeEncodeError:
                place = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
                raise ValueError(
                    f"a lone surrogate (U+{ord(text[place]):04X}) at character {place}: UTF-8 cannot hold it"
                ) from None
            yield utf8, encode(part, utf8)
            encode = self._continue

    def encode_documents(
        self, texts: pyarrow.LargeStringArray, chars: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Texts, of so many characters each, with `eot` behind each, decoded again and compared.

        Returns the ids of all (1-d, of any unsigned type), the place of each `eot` in them (1-d int64), and
        whether each text came back as it was (1-d bool).
        """
        pieces: list[np.ndarray] = []
        ends: list[int] = []
        source: list[bytes] = []  # of the last `len(source)` pieces, which are not compared yet
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
        """The parts of each text, `prefix` included, and behind it `END` and `eot`."""
        eot = np.array([self.eot], dtype=np.uint32)
        for text in texts.to_pylist():
            prefix = self.prefix
            for utf8, ids in self.encode_parts(text):
                yield prefix + utf8, ids
                prefix = b""
            yield END, eot

    def join(self, ids: np.ndarray) -> bytes:
        """The bytes of the tokens put together, `prefix` included."""
        if len(ids) >= FEW_TOKENS:
            return self._arrow_join(ids[ids != self.eot])
        table = self.table
        return b"".join([table[i] for i in ids.tolist()])

    def _arrow_join(self, ids: np.ndarray) -> bytes:
        """As `join`, with `END` for `eot`."""
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
        """The bytes of the text that `ids` stand for; `eot` stands for none."""
        if not isinstance(ids, np.ndarray):
            ids = np.fromiter(ids, dtype=np.uint32)
        return self.join(ids).removeprefix(self.prefix)

    def decode(self, ids: Iterable[int]) -> str:
        """The text that `ids` stand for; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    @property
    def table(self) -> list[bytes]:
        """`token_bytes()`, made once."""
        if not hasattr(self, "_table"):
            self._table = self.token_bytes()
        return self._table

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides the encoding; equal on every machine."""
        digest = hashlib.sha256()
        for part in self._identity():
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        """What the fingerprint is taken over."""
        yield type(self).__name__.encode()
        yield self.eot.to_bytes(8, "little")
        yield np.array([len(token) for token in self.table]).tobytes() + b"".join(self.table)
