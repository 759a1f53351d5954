"""SentencePiece models, unigram and BPE: trained to be lossless, or published by others."""

import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_format

from .base import Tokenizer, to_utf8
from .parts import parts

SPACE = "▁"  # U+2581: SentencePiece's replacement for a space, which it cannot tell from a real U+2581
SPACE_BYTES = SPACE.encode()
# The library silently skips longer training sentences, so they are split. Unigram training time grows with
# the square of the length of a repeat in a sentence: 19 s for 190 kB twice, 0.2 s when split here.
MAX_SENTENCE_BYTES = 1 << 16
RESERVED = "[\u2581\u2585]"  # U+2585 marks unknown characters in training: sentences with it are skipped
COVERAGE = 0.9995  # share of the training text's characters that get a piece; the rest become bytes
BYTES = 256


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model.

    In a model trained here, byte fallback makes the unknown piece, id 0, unused. So it serves as `eot`, and
    all `vocab_size` ids are used. In a published model `eot` is its end-of-sentence piece or, if it has none,
    an additional id.
    """

    def __init__(self, model: bytes, spec: str) -> None:
        self.spec, self.model = spec, model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.format = model_format.ModelProto.FromString(model)
        pieces = self.processor.vocab_size()
        if self.processor.eos_id() >= 0:
            self.eot = self.processor.eos_id()
        elif self.format.trainer_spec.byte_fallback:
            self.eot = self.processor.unk_id()
        else:
            self.eot = pieces
        self.vocab_size = max(pieces, self.eot + 1)
        self._continuing = self.processor
        self._first_space: list[int] = []
        if self.format.normalizer_spec.add_dummy_prefix:
            self.prefix = b" "
            self._first_space = [self.processor.piece_to_id(SPACE)]
            self.format.normalizer_spec.add_dummy_prefix = False
            self._continuing = sentencepiece.SentencePieceProcessor(
                model_proto=self.format.SerializeToString()
            )
            self.format.normalizer_spec.add_dummy_prefix = True
        self._literal_space = [self.processor.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE_BYTES]

    @classmethod
    def train(cls, texts: Iterable[str], spec: str) -> "SentencePieceTokenizer":
        """Train a tokenizer with the spec `unigram-N` or `spbpe-N`.

        Raises:
            ValueError: the texts are too short for N ids, or N is too small for 256 bytes, `eot` and a
                character.
        """
        family, size = spec.split("-")
        coverage, sentences = _characters(list(_sentences(texts)), int(size) - BYTES - 1)
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                model_type={"unigram": "unigram", "spbpe": "bpe"}[family],
                vocab_size=int(size),
                byte_fallback=True,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                allow_whitespace_only_pieces=True,
                max_sentence_length=MAX_SENTENCE_BYTES + 4,
                character_coverage=coverage,
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=4,  # fixed, because unigram pieces depend on it
                minloglevel=int(os.environ.get("SENTENCEPIECE_LOG_LEVEL", "2")),  # 0 shows the progress
            )
        except RuntimeError as error:
            raise ValueError(_refusal(spec, str(error))) from None
        return cls(model.getvalue(), spec)

    @classmethod
    def read_content(cls, model: bytes, path: Path, spec: str) -> "SentencePieceTokenizer":
        """Load a published model from the bytes of a file; `path` is named in errors.

        Raises:
            ValueError: it is not a supported model.
        """
        try:
            tokenizer = cls(model, spec)
        except Exception as error:  # the library and protobuf raise their own types
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{path} is not a tokenizer in a known form (as SentencePiece: {reason})"
            ) from None
        if not tokenizer.format.normalizer_spec.escape_whitespaces:
            raise ValueError(f"{path}: models that do not escape white space are not supported")
        return tokenizer

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        return self._ids(self.processor, utf8)

    def _continue(self, text: str, utf8: bytes) -> np.ndarray:
        return self._ids(self._continuing, utf8)

    def _ids(self, processor: sentencepiece.SentencePieceProcessor, utf8: bytes) -> np.ndarray:
        if SPACE_BYTES not in utf8:
            return processor.encode(utf8, return_type="numpy").view(np.uint32)
        first, *others = utf8.split(SPACE_BYTES)
        ids: list[int] = processor.encode(first)
        if not first and processor is self.processor:
            ids = [*self._first_space]  # the library adds no dummy space to an empty text
        for part in others:
            ids += self._literal_space
            ids += self._continuing.encode(part)
        return np.array(ids, dtype=np.uint32)

    def offsets(self, text: str) -> np.ndarray:
        """See `Tokenizer.offsets`. In a text that is changed, they are those of the library.

        It gives a character that becomes several tokens to the last of them; the others stand for none.
        """
        if self.decode_bytes(self.encode(text)) == to_utf8(text, text):
            return super().offsets(text)
        ranges: list[tuple[int, int]] = []
        at, processor = 0, self.processor
        for part in parts(text):
            for number, piece in enumerate(part.split(SPACE)):  # as in `_ids`
                if number:
                    ranges += [(at, at + 1)] * len(self._literal_space)
                    at, processor = at + 1, self._continuing
                elif piece == "" != part and processor is self.processor:
                    ranges += [(at, at)] * len(self._first_space)
                found = processor.encode(piece, return_type="offset_mapping")["offsets"]
                ranges += [(at + begin, at + end) for begin, end in found]
                at += len(piece)
            processor = self._continuing
        return np.array(ranges, dtype=np.int64).reshape(-1, 2)

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`."""
        return [self._bytes_of(i) for i in range(self.vocab_size)]

    def _bytes_of(self, i: int) -> bytes:
        if i == self.eot or self.processor.is_control(i) or self.processor.is_unknown(i):
            return b""
        piece = self.processor.id_to_piece(i)
        if self.processor.is_byte(i):
            return bytes([int(piece[3:5], 16)])  # "<0xE2>"
        return piece.replace(SPACE, " ").encode()

    def _identity(self) -> Iterator[bytes]:
        # Not the whole model file, which also contains training settings that do not affect the encoding.
        yield from super()._identity()
        yield re.split("[-:]", self.spec)[0].encode()
        yield self.format.normalizer_spec.SerializeToString(deterministic=True)
        trainer = self.format.trainer_spec
        yield bytes([trainer.model_type, trainer.byte_fallback, trainer.treat_whitespace_as_suffix])
        yield np.array([piece.score for piece in self.format.pieces], dtype="<f4").tobytes()
        yield bytes(piece.type for piece in self.format.pieces)

    def save(self, folder: Path) -> None:
        """Write `sentencepiece.model`."""
        (folder / "sentencepiece.model").write_bytes(self.model)

    @classmethod
    def load(cls, spec: str, folder: Path) -> "SentencePieceTokenizer":
        """See `Tokenizer.load`."""
        return cls((folder / "sentencepiece.model").read_bytes(), spec)


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    """Split texts at U+2581 and U+2585 and into short parts: the library skips other training sentences."""
    limit = MAX_SENTENCE_BYTES // 4  # characters; UTF-8 takes at most four bytes each
    for text in texts:
        for part in re.split(RESERVED, text):
            for start in range(0, len(part), limit):
                yield part[start : start + limit]


def _characters(sentences: list[str], room: int) -> tuple[float, list[str]]:
    """The character coverage to pass to the library, and the sentences to train on.

    The library refuses a vocabulary too small for all characters that it must cover, of which a text with
    Chinese has thousands. In that case the most frequent characters take half of the `room`; sentences are
    split at the others, which are encoded as bytes.
    """
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(sentence)
    ranked = [character for character, _ in counts.most_common()]
    shares = itertools.accumulate(counts[character] / counts.total() for character in ranked)
    if sum(share < COVERAGE for share in shares) < room:
        return COVERAGE, sentences
    others = re.compile("[" + re.escape("".join(ranked[max(1, room // 2) :])) + "]+")
    return 1.0, [part for sentence in sentences for part in others.split(sentence) if part]


def _refusal(spec: str, error: str) -> str:
    """A one-line message for a size that SentencePiece refuses."""
    if largest := re.search(r"Please set it to a value <= (\d+)", error):
        return f"{spec}: the training text is enough for a vocabulary of at most {largest[1]}"
    if smallest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
        return (
            f"{spec}: too small: the training text needs at least {smallest[1]} "
            "(256 bytes, end of text and its characters)"
        )
    return f"{spec}: sentencepiece cannot train: {error.splitlines()[-1]}"
