"""Lossless conversion of text to token ids and back. A spec string names a tokenizer:

    byte            256 bytes
    char            the characters of the training text; other characters as UTF-8 bytes
    unigram-N       SentencePiece unigram with N ids
    spbpe-N         SentencePiece BPE with N ids
    bpe-N           byte-level BPE with N ids; bpe-N:PATTERN splits text into words by PATTERN

    file:PATH                   a published tokenizer in any form, or the folder of a model
    file:PATH:PATTERN           a .tiktoken file and its pattern, which the file does not contain
    hub:NAME                    the tokenizer of a model on the Hugging Face hub
    tiktoken:NAME               a published encoding, such as tiktoken:o200k_base

N is the size of the whole vocabulary, including end of text and fallback bytes. PATTERN is gpt2, gpt4 (the
default), gpt4-2digits, gpt4-1digit or gpt4o.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from .base import Tokenizer
from .bpe import BPETokenizer
from .files import files_of, read_file, read_hub
from .huggingface import HuggingFaceTokenizer
from .published import read_encoding
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .simple import ByteTokenizer, CharTokenizer
from .specs import LONGEST_LABEL, PUBLISHED, SIZED, check_spec, folder_name

__all__ = [
    "LONGEST_LABEL",
    "PUBLISHED",
    "SIZED",
    "Tokenizer",
    "check_spec",
    "folder_name",
    "load_tokenizer",
    "published_files",
    "save_tokenizer",
    "train_tokenizer",
]

CLASSES: tuple[type[Tokenizer], ...] = (
    ByteTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    BPETokenizer,
    HuggingFaceTokenizer,
)
ABOUT = "tokenizer.json"


def published_files(spec: str) -> list[Path]:
    """The files that determine a published tokenizer; empty if its spec names no existing file."""
    family = spec.partition(":")[0]
    return files_of(spec) if family in PUBLISHED and family != "hub" else []


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
    if family == "hub":
        return read_hub(spec)
    if family in PUBLISHED:
        return (read_encoding(spec) if family == "tiktoken" else None) or read_file(spec)
    if family == "bpe":
        return BPETokenizer.train(texts, spec)
    return SentencePieceTokenizer.train(texts, spec)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's files, and `tokenizer.json`, which describes them."""
    tokenizer.save(folder)
    about = {
        "spec": tokenizer.spec,
        "class": type(tokenizer).__name__,
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
        (cls,) = (cls for cls in CLASSES if cls.__name__ == about["class"])
    except (ValueError, KeyError, TypeError):
        raise changed from None
    # Check before the libraries read the files: their errors for a damaged file are unclear.
    if any(_sha256(folder / name) != known for name, known in files.items()):
        raise changed
    tokenizer = cls.load(spec, folder)
    if tokenizer.fingerprint != fingerprint:
        raise changed
    return tokenizer


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
