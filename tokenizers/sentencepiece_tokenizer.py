"""SentencePiece models, unigram and BPE, trained so that nothing is lost."""

import io
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import sentencepiece

from .base import Tokenizer

SPACE = "▁"  # U+2581: what SentencePiece writes for a space, and so cannot tell from one
# Longer training sentences are skipped in silence: cut before that. Unigram training takes time with the
# square of a repeat inside sentences, so that long ones are slow: 19 s for 190 kB twice, 0.2 s when cut here.
MAX_SENTENCE_BYTES = 1 << 16
RESERVED = "[\u2581\u2585]"  # U+2585 stands for the unknown while training: its sentences are skipped


class SentencePieceTokenizer(Tokenizer):
    """A unigram or BPE model of SentencePiece, with byte fallback.

    With byte fallback the unknown piece, id 0, is never the encoding of anything: it serves as `eot`,
    so that every one of the `vocab_size` ids is used.
    """

    def __init__(self, model: bytes, spec: str) -> None:
        self.spec = spec
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size = self.processor.vocab_size()
        self.eot = self.processor.unk_id()
        self._literal_space = [self.processor.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE.encode()]

    @classmethod
    def train(cls, texts: Iterable[str], spec: str) -> "SentencePieceTokenizer":
        """Train on whole texts, by a spec `unigram-N` or `spbpe-N`.

        Raises:
            ValueError: N is more than the texts can fill, or less than bytes and characters need.
        """
        family, size = spec.split("-")
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_sentences(texts),
                model_writer=model,
                model_type={"unigram": "unigram", "spbpe": "bpe"}[family],
                vocab_size=int(size),
                byte_fallback=True,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                allow_whitespace_only_pieces=True,
                max_sentence_length=MAX_SENTENCE_BYTES + 4,
                character_coverage=0.9995,
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=4,  # unigram pieces depend on it: the same on every machine
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ValueError(_refusal(spec, str(error))) from None
        return cls(model.getvalue(), spec)

    def _encode(self, text: str) -> np.ndarray:
        ids: list[int] = []
        for i, part in enumerate(text.split(SPACE)):
            ids += self._literal_space if i else []
            ids += self.processor.encode(part)
        return np.array(ids, dtype=np.uint32)

    def token_bytes(self) -> list[bytes]:
        """As `Tokenizer.token_bytes`."""
        return [self._bytes_of(i) for i in range(self.vocab_size)]

    def _bytes_of(self, i: int) -> bytes:
        piece = self.processor.id_to_piece(i)
        if i == self.eot:
            return b""
        if self.processor.is_byte(i):
            return bytes([int(piece[3:5], 16)])  # "<0xE2>"
        return piece.replace(SPACE, " ").encode()

    def _identity(self) -> Iterator[bytes]:
        # The model file also holds the training settings; pieces and scores alone decide the encoding.
        yield from super()._identity()
        yield self.spec.split("-")[0].encode()
        for i in range(self.vocab_size):
            yield struct.pack("<f", self.processor.get_score(i))

    def save(self, folder: Path) -> None:
        """Write `sentencepiece.model`."""
        (folder / "sentencepiece.model").write_bytes(self.model)

    @classmethod
    def load(cls, spec: str, folder: Path) -> "SentencePieceTokenizer":
        """As `Tokenizer.load`."""
        return cls((folder / "sentencepiece.model").read_bytes(), spec)


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    """Texts without U+2581 and U+2585, with which they are skipped, in parts short enough not to be."""
    limit = MAX_SENTENCE_BYTES // 4  # characters; UTF-8 takes at most four bytes each
    for text in texts:
        for part in re.split(RESERVED, text):
            for start in range(0, len(part), limit):
                yield part[start : start + limit]


def _refusal(spec: str, error: str) -> str:
    """One line for the two sizes that SentencePiece refuses."""
    if largest := re.search(r"Please set it to a value <= (\d+)", error):
        return f"{spec}: the training text fills a vocabulary of at most {largest[1]}: ask for no more"
    if smallest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
        return (
            f"{spec}: too small: the training text needs at least {smallest[1]} "
            "(256 bytes, end of text and its characters)"
        )
    return f"{spec}: sentencepiece cannot train: {error.splitlines()[-1]}"
