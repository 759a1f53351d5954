"""Tokenizers that run by the Hugging Face library: `tokenizer.json` of every model."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .base import MOST_IDS, Tokenizer, to_utf8
from .library import library, library_errors
from .tokenizer_json import byte_letters, end_of_text

CONTENT = "huggingface.json"
SPACE = "▁"  # U+2581, which stands for a space in vocabularies of SentencePiece's kind
# Parts of a tokenizer.json that put special tokens around a text, or cut or fill it to a length.
NOT_ENCODING = ("truncation", "padding", "post_processor")
PROBES = ["", " ", "a", "Hello, world! 123\n\n  x", "é日本🙂\u200d\u0301", "\0\t\r\n", "<|endoftext|></s>"]


class HuggingFaceTokenizer(Tokenizer):
    """A tokenizer.json, encoded by the Hugging Face library.

    Special tokens in a text are text. What the file says about truncation, padding and special tokens around
    a text is left out.
    """

    def __init__(self, content: dict, spec: str, end: str | None = None) -> None:
        """Load the content of a tokenizer.json.

        `end` is the special token that ends a document (default: one that has the name of an end, or else an
        added id).

        Raises:
            ValueError: the library cannot load it, or fails on simple texts.
        """
        self.spec = spec
        self.content = {**content, **dict.fromkeys(NOT_ENCODING)}
        self._end = end
        check_model(content["model"])
        with library_errors("the Hugging Face library cannot read it"):
            self._tokenizer = library().Tokenizer.from_str(json.dumps(content))
            self._tokenizer.encode_special_tokens = True
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
            self._tokenizer.post_processor = None  # it may cut spaces off the offsets
            self._vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
            largest = max(self._vocabulary.values(), default=-1)
            self.typed: dict = json.loads(self._tokenizer.to_str())
        if largest >= MOST_IDS:
            raise ValueError(f"its largest id is {largest}, not at most {MOST_IDS - 1}")
        for text in PROBES:
            self._encode(text, b"")
        eot = end_of_text(self.typed, end)
        self.eot = largest + 1 if eot is None else eot
        self.vocab_size = max(largest, self.eot) + 1
        if add_prefix_space(self.typed):
            self.prefix = b" "

    def __reduce__(self) -> tuple:
        return type(self), (self.content, self.spec, self._end)

    def encoding(self, text: str) -> Any:
        """The library's `Encoding` of a text, with `ids`, `offsets` and `word_ids`.

        Raises:
            ValueError: as for `encode`, or the library fails on the text.
        """
        to_utf8(text, text)
        with library_errors(f"{self.spec}: the Hugging Face library fails on a text"):
            return self._tokenizer.encode(text, add_special_tokens=False)

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        with library_errors(f"{self.spec}: the Hugging Face library fails on a text"):
            # Like `encode`, but without offsets, which take memory
            (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.uint32)

    def encode_parts(self, text: str) -> Iterator[tuple[bytes, np.ndarray]]:
        """Like `Tokenizer.encode_parts`, in one part: where any tokenizer ends a word is not known."""
        utf8 = to_utf8(text, text)
        yield utf8, self._encode(text, utf8)

    def offsets(self, text: str) -> np.ndarray:
        """See `Tokenizer.offsets`; they are those of the library."""
        return np.array(self.encoding(text).offsets, dtype=np.int64).reshape(-1, 2)

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`."""
        table = [b""] * self.vocab_size
        read = token_reader(self.typed)
        for token, i in self._vocabulary.items():
            table[i] = read(token)
        model = self.typed["model"]
        if (unknown := model.get("unk_token")) in self._vocabulary:
            table[self._vocabulary[unknown]] = b""
        elif isinstance(unk_id := model.get("unk_id"), int) and unk_id < len(table):
            table[unk_id] = b""
        own = model["vocab"] if isinstance(model["vocab"], dict) else {piece for piece, _ in model["vocab"]}
        for token in self.typed.get("added_tokens") or []:
            if token["special"]:
                table[token["id"]] = b""
            elif byte_level(self.typed) or token["content"] not in own:
                table[token["id"]] = token["content"].encode()
        table[self.eot] = b""
        return table

    def _identity(self) -> Iterator[bytes]:
        yield type(self).__name__.encode()
        yield self.eot.to_bytes(8, "little")
        yield json.dumps(self.content, sort_keys=True, ensure_ascii=False).encode()

    def save(self, folder: Path) -> None:
        """Write `huggingface.json`: the content of tokenizer.json, and `end`."""
        about = {"end": self._end, "content": self.content}
        (folder / CONTENT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, spec: str, folder: Path) -> "HuggingFaceTokenizer":
        """See `Tokenizer.load`."""
        about = json.loads((folder / CONTENT).read_text(encoding="utf-8"))
        return cls(about["content"], spec, about["end"])


def check_model(model: dict) -> None:
    """Check what the library does not refuse in a usable way. Parts of another type are left to it.

    Of a merge whose result is longer than every token, or without `continuing_subword_prefix`, it panics in
    a way that ends the process.

    Raises:
        ValueError: a merge does not give a token, or `dropout` makes ids random.
    """
    if model.get("dropout"):
        raise ValueError(f"a BPE model with dropout {model['dropout']!r}, which gives other ids each time")
    vocabulary, merges = model.get("vocab"), model.get("merges")
    prefix = model.get("continuing_subword_prefix") or ""
    if not (isinstance(vocabulary, dict) and isinstance(merges, list) and isinstance(prefix, str)):
        return
    for merge in merges:
        halves = merge.split(" ") if isinstance(merge, str) else merge
        if not (isinstance(halves, list) and [type(half) for half in halves] == [str, str]):
            return
        left, right = halves
        if not right.startswith(prefix) or left + right.removeprefix(prefix) not in vocabulary:
            raise ValueError(f"the merge {merge!r}, whose result is not a token")


def steps(part: dict | None) -> list[dict]:
    """The steps of a normalizer, pre-tokenizer or decoder, which may be a sequence of sequences."""
    if part is None:
        return []
    if part["type"] == "Sequence":
        inner = next(value for key, value in part.items() if key != "type")
        return [step for one in inner for step in steps(one)]
    return [part]


def before_model(content: dict) -> list[dict]:
    """The steps of normalizer and pre-tokenizer."""
    return [*steps(content.get("normalizer")), *steps(content.get("pre_tokenizer"))]


def byte_level(content: dict) -> bool:
    """True if the vocabulary consists of letters that stand for bytes."""
    return any(step["type"] == "ByteLevel" for step in before_model(content))


def add_prefix_space(content: dict) -> bool:
    """True if a space is put before a text: `decode` removes it."""
    for step in steps(content.get("normalizer")):
        if step["type"] == "Prepend" and step["prepend"] == SPACE:
            return True
    for step in steps(content.get("pre_tokenizer")):
        if step["type"] == "ByteLevel" and step.get("add_prefix_space", True):
            return True
        if step["type"] == "Metaspace":
            scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
            return scheme != "never"
    return False


def token_reader(content: dict) -> Callable[[str], bytes]:
    """The function that gives the bytes of a token from its entry in the vocabulary.

    Entries are letters that stand for bytes (ByteLevel), text with U+2581 for a space and `<0xE2>` for a byte
    (as in SentencePiece), words and their continuations (WordPiece), or plain text.
    """
    model = content["model"]
    if byte_level(content):
        letters = byte_letters()
        return lambda token: b"".join(
            bytes([letters[letter]]) if letter in letters else letter.encode() for letter in token
        )
    if model.get("type") == "WordPiece":
        mark = model.get("continuing_subword_prefix", "##")
        return lambda token: (
            token.removeprefix(mark).encode() if token.startswith(mark) else f" {token}".encode()
        )
    spaces = any(
        step["type"] == "Metaspace" or SPACE in (step.get("prepend"), step.get("content"))
        for step in before_model(content)
    )

    def read(token: str) -> bytes:
        if model.get("byte_fallback") and re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            return bytes([int(token[3:5], 16)])
        return (token.replace(SPACE, " ") if spaces else token).encode()

    return read
