"""Write, open and check token arrays on disk (docs/data-format.md).

    <split>-00000.tokens.npy      1-d uint8, uint16 or uint32: eot, document, eot, document, ..., eot
    <split>-00000.documents.npy   structured: start (index of the first token), chars, bytes
    <split>-00000.marks.npy       1-d uint32 or uint64: index of the token that contains every 32nd character
    manifest.json                 counts, dtype, vocabulary, and size and SHA-256 of every file

The trainer imports this module, so it must not import a tokenizer library.
"""

import math
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from common.cli import run_command
from common.files import fingerprint, read_manifest, sha256_file

from .file_array import OPEN_FILES, FileArray, check_unchanged, file_state

FORMAT = 3
MARK_CHARS = 32  # characters between two marks
DOCUMENT = np.dtype([("start", np.int64), ("chars", np.int64), ("bytes", np.int64)])


def narrowest_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned integer type for ids below `vocab_size`."""
    return np.min_scalar_type(vocab_size - 1)


class ArrayWriter:
    """Writes a one-dimensional .npy file piece by piece; its length need not be known in advance."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.file = open(path, "wb")
        self.dtype, self.length = dtype, 0
        self._header()

    def _header(self) -> None:
        # numpy pads the header so that the length can grow in place: the final one is equally long.
        description = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def write(self, values: np.ndarray) -> None:
        """Append values, cast to the array's dtype."""
        self.file.write(values.astype(self.dtype, copy=False).data)
        self.length += len(values)

    def close(self) -> None:
        """Write the final header, with the length, and close the file."""
        self.file.seek(0)
        self._header()
        self.file.close()


def describe_file(path: Path) -> dict:
    """The size and SHA-256 of a file, for a manifest."""
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}


def choose_documents(chars: np.ndarray, limit: int | None) -> np.ndarray:
    """Indices, in order, of documents drawn at random that hold `limit` characters in all.

    `chars` are the lengths of all documents, 1-d. All are chosen if they hold less, or without a limit.
    """
    order = np.random.default_rng(0).permutation(len(chars))
    if limit is None or limit >= chars.sum():
        return np.sort(order)
    enough = int(np.searchsorted(np.cumsum(chars[order]), limit)) + 1
    return np.sort(order[:enough])


def _beside(tokens: Path, kind: str) -> Path:
    """Another file of the shard with this file of tokens."""
    return tokens.with_name(tokens.name.replace(".tokens.", f".{kind}."))


class Split:
    """One split of a corpus under one tokenizer: tokens, marks, and a table of documents.

    For training the tokens form a circle: `eot`, document, `eot`, document, ..., and back to the first `eot`.
    Marks are positions in the text that are the same for every tokenizer.

    For scoring, a split can be limited to whole documents with `limit` characters in all. They are drawn at
    random, the same ones for every tokenizer; `chosen` has their indices.
    """

    def __init__(self, folder: Path, name: str, counts: dict, limit: int | None = None) -> None:
        self.name = name
        self.documents: int = counts["documents"]
        self.chars: int = counts["chars"]
        self.bytes: int = counts["bytes"]
        self.text_sha256: str = counts["text_sha256"]
        self.tokens: int = counts["tokens"]  # without eot
        self.lossy_documents: int = counts["lossy_documents"]
        # Absolute: they are opened later, and while another thread reads YAML the current folder is another
        self.paths = sorted(folder.absolute().glob(f"{name}-*.tokens.npy"))
        if limit is not None and limit < self.chars:
            self._choose(limit)

    def _choose(self, limit: int) -> None:
        """Limit the split to some of its documents."""
        self.chosen = choose_documents(self.document_chars(), limit)
        self.documents = len(self.chosen)
        self.chars, self.bytes = int(self.document_chars().sum()), int(self.document_bytes().sum())
        self.tokens = sum(len(sequence) - 2 for sequence in self.sequences())
        self.text_sha256 = fingerprint([self.text_sha256, self.chosen.tolist()])

    # Opened when they are needed: training needs no tables, scoring no marks

    @cached_property
    def circle(self) -> FileArray:
        """The tokens; the last `eot` of a shard is the first of the next one."""
        return FileArray(self.paths, left_out=1)

    @cached_property
    def marks(self) -> FileArray:
        """For every 32nd character, the index in the shard of the token that contains it."""
        return FileArray([_beside(path, "marks") for path in self.paths])

    @cached_property
    def tables(self) -> list[np.ndarray]:
        """The documents of each shard, 1-d of `DOCUMENT`."""
        return [np.load(_beside(path, "documents")) for path in self.paths]

    @cached_property
    def chosen(self) -> np.ndarray:
        """The indices of the documents, 1-d int64."""
        return np.arange(self.documents)

    def shards(self) -> Iterator[np.memmap]:
        """The tokens of each shard, memory-mapped, with the `eot` before and after them."""
        for path in self.paths:
            yield np.load(path, mmap_mode="r")

    @property
    def length(self) -> int:
        """The length of the circle: tokens, and an `eot` for each document."""
        return len(self.circle)

    @property
    def chars_per_token(self) -> float:
        """Characters of text per token of text; eot is not counted. NaN in an empty split."""
        return self.chars / self.tokens if self.tokens else math.nan

    @property
    def places(self) -> int:
        """The number of marks, one for every 32 characters."""
        return len(self.marks)

    def token_before(self, marks: np.ndarray) -> np.ndarray:
        """The positions on the circle of the tokens before those that contain the marked characters.

        For the first character of a document that is the `eot` before it. Argument and result are 1-d int64.

        Raises:
            OSError: as for `crops`.
        """
        shards = np.searchsorted(self.marks.ends, marks, side="right")
        return self.circle.begins[shards] + self.marks.read(marks, 1)[:, 0] - 1

    def crops(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Read `length` tokens of the circle from each of the `starts` on: (starts, length) int64.

        Raises:
            OSError: a file cannot be read, or was changed.
        """
        return self.circle.read(starts, length)

    def sequences(self) -> list[np.ndarray]:
        """The documents as views of their memory-mapped tokens, each with the `eot` before and after it."""
        found = []
        if len(self.paths) > OPEN_FILES:  # each mapping keeps its file open
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for shard, table in zip(self.shards(), self.tables, strict=True):
            starts = table["start"] - 1
            ends = np.append(starts[1:] + 1, len(shard))
            found += [shard[start:end] for start, end in zip(starts, ends, strict=True)]
        return found if len(self.chosen) == len(found) else [found[i] for i in self.chosen]

    def document_chars(self) -> np.ndarray:
        """The number of characters in each document, 1-d int64."""
        return self._column("chars")

    def document_bytes(self) -> np.ndarray:
        """The number of UTF-8 bytes in each document, 1-d int64."""
        return self._column("bytes")

    def _column(self, name: str) -> np.ndarray:
        empty = np.empty(0, dtype=np.int64)
        return np.concatenate([empty, *(table[name] for table in self.tables)])[self.chosen]


class TokenArrays:
    """A folder of token arrays, checked against its manifest.

    Raises:
        ValueError: the manifest is missing or has another format, or a file is missing or does not match it.
    """

    def __init__(self, folder: Path, verify: bool = False) -> None:
        manifest = read_manifest(folder, FORMAT, "token arrays", "data_prep.encode")
        self.folder, self.manifest = folder, manifest
        self.spec: str = manifest["tokenizer"]
        self.vocab_size: int = manifest["vocab_size"]
        self.eot: int = manifest["eot"]
        self.lossy_documents = sum(counts["lossy_documents"] for counts in manifest["splits"].values())
        self.fingerprints = {key: manifest[key] for key in ("corpus_fingerprint", "tokenizer_fingerprint")}
        self._check_files(verify)
        paths = [folder.absolute() / name for name in manifest["files"]]
        self._opened = {path: file_state(path) for path in paths}

    def check_unchanged(self) -> None:
        """Check that the files are still those that were opened.

        Raises:
            OSError: a file was deleted, replaced or written to.
        """
        for path, opened in self._opened.items():
            check_unchanged(path, opened)

    def _check_files(self, verify: bool) -> None:
        listed = self.manifest["files"]
        for path in [self.folder / name for name in listed] + sorted(self.folder.glob("*.npy")):
            known = listed.get(path.name)
            problem = None
            if known is None:
                problem = "is not in the manifest"
            elif not path.exists():
                problem = "is missing"
            elif path.stat().st_size != known["size"]:
                problem = f"has {path.stat().st_size} bytes, but {known['size']} in the manifest"
            elif ".tokens." in path.name and self._dtype(path) != self.manifest["dtype"]:
                problem = f"has dtype {self._dtype(path)}, but {self.manifest['dtype']} in the manifest"
            elif verify and sha256_file(path) != known["sha256"]:
                problem = "does not match its SHA-256 in the manifest"
            if problem:
                raise ValueError(f"{path} {problem}: encode it again with python -m data_prep.encode")

    @staticmethod
    def _dtype(path: Path) -> str:
        try:
            return str(np.load(path, mmap_mode="r").dtype)
        except ValueError:
            return "unknown"

    def split(self, name: str, limit: int | None = None) -> Split:
        """Open the train, val or test split; with a `limit`, documents with so many characters of it."""
        return Split(self.folder, name, self.manifest["splits"][name], limit)


@dataclass(frozen=True)
class Arguments:
    """Check token arrays."""

    folder: Path
    """folder of the arrays, such as out/shakespeare/data/bpe-2048"""
    verify: bool = False
    """also compare the SHA-256 of every file"""


def main(arguments: Arguments) -> None:
    """Check the arrays and print their counts."""
    arrays = TokenArrays(arguments.folder, arguments.verify)
    print(f"{arrays.spec}  vocabulary {arrays.vocab_size}  {arrays.manifest['dtype']}")
    for name in arrays.manifest["splits"]:
        if not (split := arrays.split(name)).documents:
            continue
        print(
            f"{name:5}  {split.documents:>9,} documents  {split.tokens:>13,} tokens  "
            f"{split.chars_per_token:.3f} characters per token"
        )


if __name__ == "__main__":
    run_command(main, Arguments, "Check token arrays against their manifest.")
