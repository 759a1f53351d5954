"""The one interface behind which every tokenizer stands."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np


class Tokenizer(ABC):
    """Text to token ids and back, without loss.

    1) `decode(encode(text)) == text` for every string that UTF-8 can encode
    2) ids are 0 <= id < vocab_size; `eot` is one of them and is never the encoding of any text,
       not even of the text "<|endoftext|>"
    3) the bytes of a text are the bytes of its tokens put together; a token may be part of a character
    """

    spec: str
    """the name the tokenizer was asked for by, such as `bpe-8192`"""
    vocab_size: int
    """number of ids, `eot` and fallback bytes included"""
    eot: int
    """the id that ends a document"""

    @abstractmethod
    def _encode(self, text: str) -> np.ndarray:
        """The ids of a text that is known to be encodable as UTF-8."""

    @abstractmethod
    def token_bytes(self) -> list[bytes]:
        """The bytes each id stands for, by id; `b""` for `eot`."""

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
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            raise ValueError(
                f"a lone surrogate (U+{code:04X}) at character {error.start}: UTF-8 cannot hold it"
            ) from None
        return self._encode(text)

    def encode_batch(self, texts: Iterable[str]) -> list[np.ndarray]:
        """`encode` of each text."""
        return [self.encode(text) for text in texts]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` stand for; `eot` stands for none."""
        table = self.table
        if isinstance(ids, np.ndarray):
            ids = ids.tolist()
        return b"".join([table[i] for i in ids])

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
        yield from self.table
