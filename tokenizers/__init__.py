"""Lossless conversion of text to token ids and back. A spec string names a tokenizer:

    byte            256 bytes
    char            the characters of the training text; other characters as UTF-8 bytes
    unigram-N       SentencePiece unigram with N ids
    spbpe-N         SentencePiece BPE with N ids
    bpe-N           byte-level BPE with N ids; bpe-N:PATTERN splits text into words by PATTERN

    tiktoken:NAME               a published encoding, such as tiktoken:o200k_base
    tiktoken:PATH               a tokenizer.json whose model is byte-level BPE, or a .tiktoken file
    tiktoken:PATH:PATTERN       a .tiktoken file and its pattern, which the file does not contain
    sentencepiece:PATH          a published .model

N is the size of the whole vocabulary, including end of text and fallback bytes. PATTERN is gpt2, gpt4 (the
default), gpt4-2digits, gpt4-1digit or gpt4o.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from .base import Tokenizer
from .bpe import BPETokenizer
from .patterns import PATTERNS
from .published import read_published
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .simple import ByteTokenizer, CharTokenizer

__all__ = [
    "LONGEST_LABEL",
    "SIZED",
    "Tokenizer",
    "check_spec",
    "folder_name",
    "load_tokenizer",
    "published_file",
    "save_tokenizer",
    "train_tokenizer",
]

FAMILIES: dict[str, type[Tokenizer]] = {
    "byte": ByteTokenizer,
    "char": CharTokenizer,
    "unigram": SentencePieceTokenizer,
    "spbpe": SentencePieceTokenizer,
    "bpe": BPETokenizer,
    "tiktoken": BPETokenizer,
    "sentencepiece": SentencePieceTokenizer,
}
ABOUT = "tokenizer.json"
LONGEST_LABEL = 64  # characters
SIZED = ("unigram", "spbpe", "bpe")
PUBLISHED = {"tiktoken": "gpt2", "sentencepiece": "x.model"}  # each family with an example of a name or file
KNOWN = "byte, char, unigram-N, spbpe-N, bpe-N, tiktoken:NAME, tiktoken:PATH, sentencepiece:PATH"


def check_spec(spec: str) -> str:
    """Check a spec and return its family.

    Raises:
        ValueError: there is no such tokenizer; names the nearest one.
    """
    family = re.split("[-:]", spec, maxsplit=1)[0]
    sign, rest = spec[len(family) :][:1], spec[len(family) + 1 :]
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, n=1, cutoff=0.5)
        near = [near[0] + (sign + rest if near[0] in (*SIZED, *PUBLISHED) else "")] if near else []
        hint = f"did you mean '{near[0]}'?" if near else f"known: {KNOWN}"
        raise ValueError(f"unknown tokenizer '{spec}' ({hint})")
    if family in PUBLISHED:
        if sign != ":" or not rest:
            raise ValueError(f"tokenizer '{spec}' needs a name or file, as in '{family}:{PUBLISHED[family]}'")
        return family
    size, colon, pattern = rest.partition(":")
    if family not in SIZED:
        if sign:
            raise ValueError(f"tokenizer '{spec}' takes no size (did you mean '{family}'?)")
        return family
    # At most 9 digits: the libraries use 32-bit integers
    if sign != "-" or not re.fullmatch(r"[1-9][0-9]{0,8}", size):
        raise ValueError(f"tokenizer '{spec}' needs a vocabulary size, as in '{family}-4096'")
    if colon and family != "bpe":
        raise ValueError(f"tokenizer '{spec}' takes no pattern (did you mean '{family}-{size}'?)")
    if colon and pattern not in PATTERNS:
        near = difflib.get_close_matches(pattern, PATTERNS, n=1)
        hint = f"did you mean '{family}-{size}:{near[0]}'?" if near else f"known: {', '.join(PATTERNS)}"
        raise ValueError(f"tokenizer '{spec}': unknown pattern '{pattern}' ({hint})")
    return family


def folder_name(spec: str) -> str:
    """The default label of a tokenizer, which is also the name of its folder.

    It is the spec, or the end of a long one, with '-' in place of `/`, `:` and other special characters.
    """
    return re.sub(r"[^\w.-]+", "-", spec)[-LONGEST_LABEL:].strip("-.")


def published_file(spec: str) -> Path | None:
    """The file that the spec of a published tokenizer names; None if it names no existing file."""
    family, _, rest = spec.partition(":")
    paths = (rest, rest.rpartition(":")[0]) if family in PUBLISHED else ()
    return next((Path(path) for path in paths if Path(path).is_file()), None)


def train_tokenizer(spec: str, texts: Iterable[str]) -> Tokenizer:
    """Train the tokenizer `spec` on `texts`, or load it if it is a published one.

    Raises:
        ValueError: the spec is unknown, the texts are too short for its size, or a published tokenizer is
            missing or cannot be read.
    """
    family = check_spec(spec)
    if family == "byte":
        return ByteTokenizer()
    if family == "char":
        return CharTokenizer.train(texts)
    if family == "tiktoken":
        return read_published(spec)
    if family == "sentencepiece":
        return SentencePieceTokenizer.read(spec)
    if family == "bpe":
        return BPETokenizer.train(texts, spec)
    return SentencePieceTokenizer.train(texts, spec)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's files, and `tokenizer.json`, which describes them."""
    tokenizer.save(folder)
    about = {
        "spec": tokenizer.spec,
        "vocab_size": tokenizer.vocab_size,
        "eot": tokenizer.eot,
        "fingerprint": tokenizer.fingerprint,
        "files": {path.name: _sha256(path) for path in sorted(folder.iterdir()) if path != folder / ABOUT},
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a tokenizer from a folder that `save_tokenizer` wrote.

    Raises:
        ValueError: the folder contains no tokenizer, or its files have changed.
    """
    about_file = folder / ABOUT
    if not about_file.exists():
        raise ValueError(f"{folder} contains no tokenizer: create one with python -m data_prep.tokenizer")
    changed = ValueError(f"{folder} was changed after it was written: create the tokenizer again")
    try:
        about = json.loads(about_file.read_text())
        spec, files, fingerprint = about["spec"], about["files"], about["fingerprint"]
    except (ValueError, KeyError, TypeError):
        raise changed from None
    # Check before the libraries read the files: their errors for a damaged file are unclear.
    if any(_sha256(folder / name) != known for name, known in files.items()):
        raise changed
    tokenizer = FAMILIES[check_spec(spec)].load(spec, folder)
    if tokenizer.fingerprint != fingerprint:
        raise changed
    return tokenizer


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
