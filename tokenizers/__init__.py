"""Lossless conversion of text to token ids and back. A spec string names a tokenizer:

    byte            256 bytes
    char            the characters of the training text; other characters as UTF-8 bytes
    unigram-N       SentencePiece unigram with N ids
    spbpe-N         SentencePiece BPE with N ids
    bpe-N           byte-level BPE with N ids; bpe-N:PATTERN splits text into words by PATTERN
    parity-N        the same with a fair share for each language of the texts; parity-N:PATTERN
    superbpe-N      the same with tokens that span words, from id T on; superbpe-N:T (default T: 4/5 of N)
    wordpiece-N     WordPiece as in BERT, which loses white space

    file:PATH                   a published tokenizer in any form, or the folder of a model
    file:PATH:PATTERN           a .tiktoken file and its pattern, which the file does not contain
    hub:NAME                    the tokenizer of a model on the Hugging Face hub
    tiktoken:NAME               a published encoding, such as tiktoken:o200k_base
    python:PATH.py:NAME         a tokenizer of your own; python:PATH.py:NAME-N if it is trained

N is the size of the whole vocabulary, including end of text and fallback bytes. PATTERN is gpt2, gpt4 (the
default), gpt4-2digits, gpt4-1digit, gpt4o, llama3, qwen or qwen3.5.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from .base import Tokenizer
from .bpe import BPETokenizer
from .files import files_of, read_file, read_hub
from .huggingface import HuggingFaceTokenizer
from .parity import train_parity
from .plugin import PluginTokenizer
from .published import read_encoding
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .simple import ByteTokenizer, CharTokenizer
from .specs import LONGEST_LABEL, PUBLISHED, check_spec, folder_name, is_beginning, plugin_parts, trained_size
from .superbpe import cut_superbpe, train_superbpe
from .wordpiece import train_wordpiece

__all__ = [
    "LONGEST_LABEL",
    "PUBLISHED",
    "Tokenizer",
    "check_spec",
    "cut_tokenizer",
    "folder_name",
    "is_beginning",
    "is_saved",
    "load_tokenizer",
    "published_files",
    "save_tokenizer",
    "train_tokenizer",
    "trained_size",
]

CLASSES: dict[str, type[Tokenizer]] = {
    "byte": ByteTokenizer,
    "char": CharTokenizer,
    "sentencepiece": SentencePieceTokenizer,
    "bpe": BPETokenizer,
    "huggingface": HuggingFaceTokenizer,
    "python": PluginTokenizer,
}
ABOUT = "tokenizer.json"
# The classes of families, for a tokenizer that was saved before its class was
UNNAMED = {
    "byte": "byte",
    "char": "char",
    "unigram": "sentencepiece",
    "spbpe": "sentencepiece",
    "bpe": "bpe",
}


def published_files(spec: str) -> list[Path]:
    """The files that a tokenizer is read from; empty if its spec names no existing file."""
    family = spec.partition(":")[0]
    if family == "python":
        return [plugin_parts(spec)[0]] if plugin_parts(spec)[0].is_file() else []
    return files_of(spec) if family in PUBLISHED and family != "hub" else []


def train_tokenizer(spec: str, texts: Iterable[str], languages: Iterable[str | None] = ()) -> Tokenizer:
    """Train the tokenizer `spec` on `texts`, or load it if it is a published one.

    `languages` names the language of each text; only `parity` uses it.

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
    if family == "python":
        return PluginTokenizer.read(spec, texts)
    if family in PUBLISHED:
        return (read_encoding(spec) if family == "tiktoken" else None) or read_file(spec)
    if family == "bpe":
        return BPETokenizer.train(texts, spec)
    if family == "parity":
        return train_parity(texts, languages, spec)
    if family == "superbpe":
        return train_superbpe(texts, spec)
    if family == "wordpiece":
        return train_wordpiece(texts, spec)
    return SentencePieceTokenizer.train(texts, spec)


def cut_tokenizer(larger: Tokenizer, spec: str) -> Tokenizer:
    """The tokenizer `spec` from a larger one of which it is the beginning, as `train_tokenizer` makes it."""
    assert is_beginning(spec, larger.spec), f"{spec} is not the beginning of {larger.spec}"
    if isinstance(larger, BPETokenizer):
        return larger.cut(spec)
    assert isinstance(larger, HuggingFaceTokenizer)
    return cut_superbpe(larger, spec)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's files, and `tokenizer.json`, which describes them."""
    tokenizer.save(folder)
    about = {
        "spec": tokenizer.spec,
        "class": next(name for name, cls in CLASSES.items() if type(tokenizer) is cls),
        "vocab_size": tokenizer.vocab_size,
        "eot": tokenizer.eot,
        "fingerprint": tokenizer.fingerprint,
        "files": {
            str(path.relative_to(folder)): _sha256(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path != folder / ABOUT
        },
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")


def is_saved(folder: Path) -> bool:
    """True if `save_tokenizer` wrote the folder: a model's folder may contain a `tokenizer.json`, too."""
    try:
        return "fingerprint" in json.loads((folder / ABOUT).read_bytes())
    except (OSError, ValueError, TypeError):
        return False


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
        cls = CLASSES[about.get("class", UNNAMED.get(check_spec(spec)))]
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
