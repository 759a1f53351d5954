"""Text to token ids and back, without loss; a tokenizer is named by a spec string.

    byte            256 bytes
    char            the characters of the training text, other characters as UTF-8 bytes
    unigram-N       SentencePiece unigram, a vocabulary of N
    spbpe-N         SentencePiece BPE, a vocabulary of N
    bpe-N           byte-level BPE, a vocabulary of N

N is the whole vocabulary, end of text and fallback bytes included.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from .base import Tokenizer
from .bpe import BPETokenizer
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .simple import ByteTokenizer, CharTokenizer

__all__ = ["Tokenizer", "check_spec", "load_tokenizer", "save_tokenizer", "train_tokenizer"]

FAMILIES = {
    "byte": ByteTokenizer,
    "char": CharTokenizer,
    "unigram": SentencePieceTokenizer,
    "spbpe": SentencePieceTokenizer,
    "bpe": BPETokenizer,
}
ABOUT = "tokenizer.json"
SIZED = ("unigram", "spbpe", "bpe")


def check_spec(spec: str) -> str:
    """The family of a spec.

    Raises:
        ValueError: no such tokenizer; names the nearest.
    """
    family, dash, size = spec.partition("-")
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, n=1, cutoff=0.4)
        near = [near[0] + (dash + size if near[0] in SIZED else "")] if near else []
        hint = f"did you mean '{near[0]}'?" if near else "known: byte, char, unigram-N, spbpe-N, bpe-N"
        raise ValueError(f"no tokenizer '{spec}' ({hint})")
    if family in SIZED and not re.fullmatch(r"[1-9][0-9]{0,8}", size):  # the libraries' integers end at 2**31
        raise ValueError(f"tokenizer '{spec}' wants a vocabulary size, as in '{family}-4096'")
    if family not in SIZED and dash:
        raise ValueError(f"tokenizer '{spec}' takes no size (did you mean '{family}'?)")
    return family


def train_tokenizer(spec: str, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer `spec`, trained on `texts` where there is something to train.

    Raises:
        ValueError: an unknown spec, or a size that these texts cannot fill.
    """
    family = check_spec(spec)
    if family == "byte":
        return ByteTokenizer()
    if family == "char":
        return CharTokenizer.train(texts)
    return FAMILIES[family].train(texts, spec)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's files and `tokenizer.json`, which says which tokenizer they are."""
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
    """The tokenizer in a folder that `save_tokenizer` wrote.

    Raises:
        ValueError: the folder holds none, or its files are not those that were written.
    """
    about_file = folder / ABOUT
    if not about_file.exists():
        raise ValueError(f"{folder} holds no tokenizer: make one with python -m data_prep.tokenizer")
    changed = ValueError(f"{folder} was changed after it was made: make the tokenizer again")
    try:
        about = json.loads(about_file.read_text())
        spec, files, fingerprint = about["spec"], about["files"], about["fingerprint"]
    except (ValueError, KeyError, TypeError):
        raise changed from None
    # Before a library reads them: the libraries have worse words for a damaged file.
    if any(_sha256(folder / name) != known for name, known in files.items()):
        raise changed
    tokenizer = FAMILIES[check_spec(spec)].load(spec, folder)
    if tokenizer.fingerprint != fingerprint:
        raise changed
    return tokenizer


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
