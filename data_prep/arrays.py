"""Write, open and check token arrays on disk (docs/data-format.md).

    <split>-00000.tokens.npy      1-d uint8, uint16 or uint32: eot, document, eot, document, ..., eot
    <split>-00000.documents.npy   structured: start (index of the first token), chars, bytes
    <split>-00000.marks.npy       1-d uint32 or uint64: index of the token that contains every 32nd character
    manifest.json                 counts, dtype, vocabulary, and size and SHA-256 of every file

The trainer imports this module, so it must not import a tokenizer library.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.cli import run_command
from common.files import fingerprint, read_manifest, sha256_file

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


class Split:
    """One split of a corpus under one tokenizer: memory-mapped tokens, a table of documents, and marks.

    For training the tokens form a circle: `eot`, document, `eot`, document, ..., and back to the first `eot`.
    Marks are positions in the text that are the same for every tokenizer.

    For scoring, a split can be limited to whole documents with `limit` characters in all. They are drawn at
    random, the same ones for every tokenizer; `chosen` has their indices.
    """

    def __init__(self, folder: Path, name: str, counts: dict, limit: int | None = None) -> None:
        self.name = name
        self.chars: int = counts["chars"]
        self.bytes: int = counts["bytes"]
        self.text_sha256: str = counts["text_sha256"]
        self.tokens: int = counts["tokens"]  # without eot
        self.lossy_documents: int = counts["lossy_documents"]
        paths = sorted(folder.glob(f"{name}-*.tokens.npy"))
        self.shards: list[np.memmap] = [np.load(path, mmap_mode="r") for path in paths]
        self.files = [open(path, "rb") for path in paths]
        self.tables = [
            np.load(path.with_name(path.name.replace(".tokens.", ".documents."))) for path in paths
        ]
        marks = [path.with_name(path.name.replace(".tokens.", ".marks.")) for path in paths]
        self.marks: list[np.memmap] = [np.load(path, mmap_mode="r") for path in marks]
        self.mark_files = [open(path, "rb") for path in marks]
        self.documents = sum(len(table) for table in self.tables)
        # The last eot of a shard is the first of the next one
        self.ends = np.cumsum([len(shard) - 1 for shard in self.shards])  # of each shard on the circle
        self.mark_ends = np.cumsum([len(marks) for marks in self.marks])
        self.length = (
            int(self.ends[-1]) if paths else 0
        )  # of the circle: tokens, and an eot for each document
        self.chosen = np.arange(self.documents)
        if limit is not None and limit < self.chars:
            self._choose(limit)

    def _choose(self, limit: int) -> None:
        """Limit the split to some of its documents."""
        self.chosen = choose_documents(self.document_chars(), limit)
        self.documents = len(self.chosen)
        self.chars, self.bytes = int(self.document_chars().sum()), int(self.document_bytes().sum())
        self.tokens = sum(len(sequence) - 2 for sequence in self.sequences())
        self.text_sha256 = fingerprint([self.text_sha256, self.chosen.tolist()])

    @property
    def chars_per_token(self) -> float:
        """Characters of text per token of text; eot is not counted. NaN in an empty split."""
        return self.chars / self.tokens if self.tokens else math.nan

    @property
    def places(self) -> int:
        """The number of marks, one for every 32 characters."""
        return int(self.mark_ends[-1]) if len(self.mark_ends) else 0

    def token_before(self, marks: np.ndarray) -> np.ndarray:
        """The positions on the circle of the tokens before those that contain the marked characters.

        For the first character of a document that is the `eot` before it. Argument and result are 1-d int64.

        Raises:
            OSError: as for `crop`.
        """
        found = np.empty(len(marks), dtype=np.int64)
        for i, mark in enumerate(marks.tolist()):
            number = int(np.searchsorted(self.mark_ends, mark, side="right"))
            array = self.marks[number]
            place = mark - int(self.mark_ends[number]) + len(array)
            begin = int(self.ends[number]) - len(self.shards[number]) + 1
            found[i] = begin + int(_read(self.mark_files[number], array, place, 1)[0]) - 1
        return found

    def crop(self, start: int, length: int) -> np.ndarray:
        """Read `length` tokens of the circle from `start` on, in the arrays' dtype.

        Raises:
            OSError: the file cannot be read, or was truncated.
        """
        parts = []
        while length:
            number = int(np.searchsorted(self.ends, start, side="right"))
            place = start - int(self.ends[number]) + len(self.shards[number]) - 1
            count = min(length, int(self.ends[number]) - start)
            parts.append(_read(self.files[number], self.shards[number], place, count))
            start, length = (start + count) % self.length, length - count
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def sequences(self) -> list[np.ndarray]:
        """The documents as views of their tokens, each with the `eot` before and after it."""
        found = []
        for shard, table in zip(self.shards, self.tables, strict=True):
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


def _read(file: BinaryIO, array: np.memmap, start: int, count: int) -> np.ndarray:
    """Read values of a memory-mapped array from its file.

    If the file was truncated, access to the mapping would kill the process with a signal.

    Raises:
        OSError: the file was truncated.
    """
    size = array.itemsize * count
    raw = os.pread(file.fileno(), size, array.offset + start * array.itemsize)
    if len(raw) < size:
        raise OSError(f"{file.name} was truncated while it was in use: encode it again")
    return np.frombuffer(raw, array.dtype)


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
        self._opened = {name: self._state(name) for name in manifest["files"]}

    def check_unchanged(self) -> None:
        """Check that the files are still those that were opened.

        Raises:
            OSError: a file was deleted, replaced or written to.
        """
        for name, opened in self._opened.items():
            if self._state(name) != opened:
                raise OSError(
                    f"{self.folder / name} was changed or deleted while it was in use: restore it; "
                    "the same command resumes from the last checkpoint"
                )

    def _state(self, name: str) -> tuple[int, int, int] | None:
        try:
            status = (self.folder / name).stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

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
