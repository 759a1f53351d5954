"""Tokenizers of the user: `python:PATH.py:NAME`, or `python:PATH.py:NAME-N` for one that is trained."""

import hashlib
import importlib.machinery
import importlib.util
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .base import Tokenizer, to_utf8
from .specs import plugin_parts

SOURCE = "plugin.py"
SAVED = "saved"  # the folder that the user's `save` fills


class PluginTokenizer(Tokenizer):
    """An object with `encode(text) -> ids`, `decode(ids) -> text` and `vocab_size`.

    The name in the spec is such an object, or a class that makes one without arguments. `eot` is an id behind
    its own. It may also have:

    token_bytes() -> list[bytes]: the bytes of each id, which joined are those of the text
    offsets(text) -> list[tuple[int, int]]: the characters [begin, end) of the text that each token stands
        for; needed only where the bytes of tokens are unknown or are not those of the text
    train(texts, vocab_size): learn from an iterable of texts; `vocab_size` is N - 1, as `eot` is an id, too
    save(folder), load(folder): write what was learned to an existing folder, and read it again
    """

    def __init__(self, source: bytes, spec: str, tokenizer: Any) -> None:
        """Wrap `tokenizer`, the object that the spec names in `source`.

        Raises:
            ValueError: it has no usable `vocab_size` or `token_bytes`, or its code fails.
        """
        self.spec, self.source, self.tokenizer = spec, source, tokenizer
        self.path, self.name, self.size = plugin_parts(spec)
        with self._errors():
            self.eot = int(tokenizer.vocab_size)
            self._bytes = list(tokenizer.token_bytes()) if hasattr(tokenizer, "token_bytes") else None
            self._saved = self._save() if hasattr(tokenizer, "save") else None
        self.has_bytes = self._bytes is not None
        self.vocab_size = self.eot + 1
        if self.size and self.vocab_size != self.size:
            self._refuse(f"after train(), vocab_size is {self.eot}, not {self.size - 1}")
        if self._bytes is not None and len(self._bytes) != self.eot:
            self._refuse(f"token_bytes() has {len(self._bytes)} entries for a vocab_size of {self.eot}")

    @classmethod
    def read(cls, spec: str, texts: Iterable[str]) -> "PluginTokenizer":
        """Make the tokenizer of a spec; train it on `texts` if the spec has a size.

        Raises:
            ValueError: there is no such file or name, a method is missing, or its code fails; says where.
        """
        path, _, size = plugin_parts(spec)
        if not path.is_file():
            raise ValueError(f"{spec}: {path} does not exist or is not a file")
        source = path.read_bytes()
        tokenizer = find_object(source, spec)
        if size:
            with plugin_errors(path):
                tokenizer.train(texts, size - 1)
        return cls(source, spec, tokenizer)

    def _errors(self) -> Any:
        return plugin_errors(self.path)

    def _refuse(self, problem: str) -> None:
        raise ValueError(f"{self.path}: '{self.name}': {problem}")

    def _save(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save(Path(folder))
            files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    def __reduce__(self) -> tuple:
        return restore, (self.source, self.spec, self._saved)

    def encode_parts(self, text: str) -> Iterator[tuple[bytes, np.ndarray]]:
        """Like `Tokenizer.encode_parts`, in one part: where the tokenizer ends a word is not known."""
        utf8 = to_utf8(text, text)
        yield utf8, self._encode(text, utf8)

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        with self._errors():
            ids = np.asarray(self.tokenizer.encode(text))
        if not len(ids):
            return np.array([], dtype=np.uint32)
        if ids.dtype.kind not in "iu" or ids.ndim != 1:
            self._refuse(f"encode() returned {ids.dtype} of shape {ids.shape}, not a list of ids")
        if ids.min() < 0 or ids.max() >= self.eot:
            self._refuse(f"encode() returned the id {ids.max()}, and vocab_size is {self.eot}")
        return ids.astype(np.uint32)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Like `Tokenizer.decode_bytes`, by the user's `decode` where tokens have no bytes."""
        if self.has_bytes:
            return super().decode_bytes(ids)
        return self._decode(ids)

    def _decode(self, ids: Iterable[int]) -> bytes:
        with self._errors():
            return str(self.tokenizer.decode([int(i) for i in ids if i != self.eot])).encode()

    def offsets(self, text: str) -> np.ndarray:
        """See `Tokenizer.offsets`; by the user's `offsets` if there is one.

        Raises:
            ValueError: as for `Tokenizer.offsets`; or the user's are not ranges in the text.
        """
        if not hasattr(self.tokenizer, "offsets"):
            return super().offsets(text)
        with self._errors():
            ranges = np.asarray(self.tokenizer.offsets(text), dtype=np.int64)
        if ranges.size == 0:
            return np.zeros((0, 2), dtype=np.int64)
        if ranges.ndim != 2 or ranges.shape[1] != 2:
            self._refuse(f"offsets() returned an array of shape {ranges.shape}, not a pair for each token")
        if ranges.min() < 0 or ranges.max() > len(text) or (ranges[:, 0] > ranges[:, 1]).any():
            self._refuse("offsets() returned a range that is not in the text")
        return ranges

    def token_bytes(self) -> list[bytes]:
        """See `Tokenizer.token_bytes`. Without the user's own, what each id alone is decoded to."""
        if self._bytes is None:
            self._bytes = [self._alone(i) for i in range(self.eot)]
        return [*map(bytes, self._bytes), b""]

    def _alone(self, i: int) -> bytes:
        try:
            return self._decode([i])
        except ValueError:  # a part of a character may not be decoded alone
            return "\ufffd".encode()

    def _identity(self) -> Iterator[bytes]:
        yield type(self).__name__.encode()
        yield f"{self.name} {self.size}".encode()
        yield self.source
        for name, content in (self._saved or {}).items():
            yield name.encode()
            yield content

    def save(self, folder: Path) -> None:
        """Write `plugin.py`, a copy of the user's file, and what its `save` writes."""
        (folder / SOURCE).write_bytes(self.source)
        write_files(self._saved or {}, folder / SAVED)

    @classmethod
    def load(cls, spec: str, folder: Path) -> "PluginTokenizer":
        """See `Tokenizer.load`."""
        saved = folder / SAVED
        files = {
            str(path.relative_to(saved)): path.read_bytes() for path in saved.rglob("*") if path.is_file()
        }
        return restore((folder / SOURCE).read_bytes(), spec, files)


def restore(source: bytes, spec: str, saved: dict[str, bytes] | None) -> PluginTokenizer:
    """The tokenizer of a source and of the files that it saved."""
    tokenizer = find_object(source, spec)
    if saved:
        with tempfile.TemporaryDirectory() as folder, plugin_errors(plugin_parts(spec)[0]):
            write_files(saved, Path(folder))
            tokenizer.load(Path(folder))
    return PluginTokenizer(source, spec, tokenizer)


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Write files, by their path in the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def find_object(source: bytes, spec: str) -> Any:
    """Run the source as a module and return the object that the spec names.

    Raises:
        ValueError: the code fails, or has no such object with the methods that the spec needs.
    """
    path, name, size = plugin_parts(spec)
    module_name = f"codebook_plugin_{hashlib.sha256(str(path).encode() + source).hexdigest()[:16]}"
    with plugin_errors(path):
        if module_name not in sys.modules:
            module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(module_name, None))
            module.__file__ = str(path)
            sys.modules[module_name] = module  # before it runs: dataclasses look it up
            try:
                exec(compile(source, str(path), "exec"), module.__dict__)
            except BaseException:
                del sys.modules[module_name]
                raise
        found = getattr(sys.modules[module_name], name, None)
        tokenizer = found() if isinstance(found, type) else found
    if found is None:
        raise ValueError(f"{path} has no '{name}'")
    for method in ("encode", "decode", *(("train", "save", "load") if size else ())):
        if not callable(getattr(tokenizer, method, None)):
            raise ValueError(f"{path}: '{name}' has no method {method}()")
    if not size and not hasattr(tokenizer, "vocab_size"):
        raise ValueError(f"{path}: '{name}' has no vocab_size")
    return tokenizer


@contextmanager
def plugin_errors(path: Path) -> Iterator[None]:
    """Turn an error of the user's code into one line that says where it happened."""
    try:
        yield
    except Exception as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        where = f" line {lines[-1]}" if lines else ""
        problem = " ".join(str(error).split())
        raise ValueError(f"{path}{where}: {type(error).__name__}: {problem}") from None
