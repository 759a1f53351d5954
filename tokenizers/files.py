"""Tokenizers in files: `file:PATH` and `hub:NAME`. The content of a file decides, not its name."""

import base64
import difflib
import json
import re
from pathlib import Path
from typing import Any

import tiktoken

from . import wordpiece
from .base import Tokenizer
from .bpe import BPETokenizer, MergeRanks
from .huggingface import HuggingFaceTokenizer
from .published import ranks_file
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .specs import path_and_pattern
from .tokenizer_json import END_OF_TEXT, read_tokenizer_json

# In a model's folder the first of these is read: each gives the ids of the others, or more is known from it.
IN_FOLDER = (
    "tokenizer.json",
    "tekken.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
)
OTHER_FILES = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run git lfs pull, or download it",
    b"PK\x03\x04": "is a zip archive: unpack it, and give the tokenizer file in it",
    b"\x1f\x8b": "is compressed: unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed: unpack it first",
    b"PAR1": "is a Parquet file, not a tokenizer",
}


def read_file(spec: str) -> Tokenizer:
    """Read the tokenizer of a spec `file:PATH`, or `file:PATH:PATTERN` for a ranks file.

    `tiktoken:PATH` and `sentencepiece:PATH` are older forms of the same.

    Raises:
        ValueError: there is no such file, or it contains no tokenizer that can be read; says what it is.
    """
    path, pattern = path_and_pattern(spec)
    if path.is_dir():
        path = file_in(path)
    if not path.is_file():
        if spec.startswith("tiktoken:"):
            names = tiktoken.list_encoding_names()
            near = difflib.get_close_matches(str(path), names, n=1)
            hint = f" (did you mean 'tiktoken:{near[0]}'?)" if near else ""
            raise ValueError(f"{spec} is neither a file nor a known encoding{hint}: {', '.join(names)}")
        raise ValueError(f"{spec}: {path} does not exist or is not a file")
    return read_content(path, spec, pattern)


def files_of(spec: str) -> list[Path]:
    """The files that determine the tokenizer of a spec; empty if it names neither a file nor a folder."""
    path, _ = path_and_pattern(spec)
    try:
        file = file_in(path) if path.is_dir() else path
    except ValueError:
        return []
    beside = [file.parent / name for name in ("vocab.json", "merges.txt", "tokenizer_config.json")]
    return [one for one in dict.fromkeys((file, *beside)) if one.is_file()] if file.is_file() else []


def file_in(folder: Path) -> Path:
    """The file with the tokenizer in a model's folder.

    Raises:
        ValueError: there is none, or it is not clear which.
    """
    for name in IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    others = sorted(path for end in ("*.model", "*.tiktoken") for path in folder.glob(end))
    if len(others) == 1:
        return others[0]
    raise ValueError(
        f"{folder} contains no tokenizer: none of {', '.join(IN_FOLDER)}, and not one .model or .tiktoken"
    )


def read_content(path: Path, spec: str, pattern: str | None = None) -> Tokenizer:
    """Read a tokenizer from a file by what it contains. See `read_file`."""
    content = path.read_bytes()
    start = content[:200].lstrip().lower()
    if not content.strip():
        raise ValueError(f"{path} is empty")
    for begin, what in OTHER_FILES.items():
        if content.startswith(begin):
            raise ValueError(f"{path} {what}")
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise ValueError(f"{path} is a web page, not a tokenizer: download the file itself")
    if re.match(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n", content):
        try:
            return BPETokenizer(ranks_file(path, pattern, spec), spec)
        except ValueError as error:
            raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    if pattern:
        raise ValueError(f"{spec}: {path} is not a file of ranks: leave out ':{pattern}'")
    if start.startswith(b"{"):
        return _read_json(path, content, spec)
    if _is_text(content) and {b"[UNK]", b"[CLS]"} <= {line.strip() for line in content.splitlines()}:
        return _by_library(path, _wordpiece(path, content), spec)
    if start.startswith(b"["):
        return _read_json(path, content, spec)
    if start.startswith(b"#version") and (path.parent / "vocab.json").is_file():
        vocabulary = path.parent / "vocab.json"
        return _read_json(vocabulary, vocabulary.read_bytes(), spec)
    if _is_text(content):
        raise ValueError(f"{path} is text, but not a tokenizer in a known form")
    return SentencePieceTokenizer.read_content(content, path, spec)


def _is_text(content: bytes) -> bool:
    try:
        return b"\0" not in content and content.decode() is not None
    except UnicodeDecodeError:
        return False


def _read_json(path: Path, content: bytes, spec: str) -> Tokenizer:
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError(f"{path} is not a tokenizer: its JSON is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged or cut: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is JSON, but not a tokenizer")
    if isinstance(value.get("model"), dict) and "vocab" in value["model"]:
        return _by_library(path, value, spec)
    if isinstance(value.get("config"), dict) and isinstance(value.get("vocab"), list):
        return BPETokenizer(_tekken(path, value), spec)
    if all(isinstance(i, int) for i in value.values()):
        merges = path.parent / "merges.txt"
        if merges.is_file():
            return _by_library(path, _vocabulary_and_merges(path, value, merges), spec)
        if value and set(value.values()) == set(range(len(value))):
            raise ValueError(f"{path} is a vocabulary without its merges: put merges.txt beside it")
    raise ValueError(f"{path} is JSON, but not a tokenizer: it has no model with a vocabulary")


def _by_library(path: Path, content: dict, spec: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json: tiktoken where it gives the same ids, else its own library."""
    try:
        tokenizer = HuggingFaceTokenizer(content, spec, _end(path.parent))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return BPETokenizer(read_tokenizer_json(tokenizer.typed, tokenizer.eot), spec)
    except ValueError:
        return tokenizer


def _end(folder: Path) -> str | None:
    """The token that the folder's tokenizer_config.json calls `eos_token`."""
    try:
        name = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["eos_token"]
        name = name["content"] if isinstance(name, dict) else name
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _special(vocabulary: dict[str, int], names: tuple[str, ...]) -> list[dict]:
    """The added tokens of a tokenizer.json for those of the names that are in the vocabulary."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": vocabulary[name], "content": name, **flags} for name in names if name in vocabulary]


def _wordpiece(path: Path, content: bytes) -> dict:
    """The tokenizer.json of BERT's vocab.txt: a piece on each line."""
    vocabulary = {line: i for i, line in enumerate(content.decode().removesuffix("\n").split("\n"))}
    try:
        lowercase = json.loads((path.parent / "tokenizer_config.json").read_text())["do_lower_case"]
    except (OSError, ValueError, KeyError, TypeError):
        # BERT's cased vocabularies have capitals outside of names such as [UNK]
        lowercase = not any(re.match("[A-Z]", piece) for piece in vocabulary)
    special = _special(vocabulary, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    return wordpiece.tokenizer_json(vocabulary, lowercase, special)


def _vocabulary_and_merges(path: Path, vocabulary: dict[str, int], merges: Path) -> dict:
    """The tokenizer.json of GPT-2's vocab.json and merges.txt."""
    if any(token.endswith("</w>") for token in vocabulary):
        raise ValueError(
            f"{path}: its tokens end in </w>, so it is not byte-level BPE: give its tokenizer.json"
        )
    try:
        lines = merges.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{merges} is damaged: it is not text in UTF-8") from None
    if lines[0].startswith("#version"):
        del lines[0]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": _special(vocabulary, ("<s>", "<pad>", "<unk>", "<mask>", *END_OF_TEXT)),
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [line for line in lines if line.strip()]},
    }


def _tekken(path: Path, content: dict[str, Any]) -> MergeRanks:
    """The tables of Mistral's tekken.json: ranks, in front of which stand the ids of special tokens."""
    try:
        config = content["config"]
        shift = config["default_num_special_tokens"]
        size = config["default_vocab_size"] - shift
        if not isinstance(pattern := config["pattern"], str):
            raise ValueError("its pattern is not a text")
        ranks: dict[bytes, int] = {}
        for place, entry in enumerate(content["vocab"][:size]):
            if entry["rank"] != place:
                raise ValueError(f"the token at place {place} has another rank")
            ranks[base64.b64decode(entry["token_bytes"], validate=True)] = place + shift
        named = content.get("special_tokens") or [
            {"rank": i, "token_str": name} for i, name in enumerate(("<unk>", "<s>", "</s>"))
        ]
        special = {str(token["token_str"]): int(token["rank"]) for token in named}
        return MergeRanks(ranks, pattern, special, special.get("</s>"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a complete tekken.json: {' '.join(str(error).split())}") from None


def read_hub(spec: str) -> Tokenizer:
    """Read the tokenizer of a spec `hub:NAME` or `hub:NAME@REVISION`, a model on the Hugging Face hub.

    Raises:
        ValueError: it cannot be downloaded and is not in the library's cache, or cannot be read.
    """
    from huggingface_hub import snapshot_download  # takes a while to import

    name, _, revision = spec.partition(":")[2].partition("@")
    patterns = [*IN_FOLDER, "merges.txt", "tokenizer_config.json", "*.model", "*.tiktoken"]
    try:
        folder = snapshot_download(name, revision=revision or None, allow_patterns=patterns)
    except Exception as error:  # of the network, the hub, its cache
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(f"{spec} is not in the hub's cache and cannot be downloaded: {reason}") from None
    return read_content(file_in(Path(folder)), spec)
