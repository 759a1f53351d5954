"""Token arrays on disk: how they are written, opened and checked (docs/data-format.md).

    <split>-00000.tokens.npy      1-d uint8, uint16 or uint32: eot, document, eot, document, ..., eot
    <split>-00000.documents.npy   structured: start (index of the first token), chars, bytes
    manifest.json                 counts, dtype, vocabulary, and size and SHA-256 of every file

The trainer reads this module, so it imports no tokenizer library.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.cli import run_command
from common.files import read_manifest, sha256_file

FORMAT = 2
DOCUMENT = np.dtype([("start", np.int64), ("chars", np.int64), ("bytes", np.int64)])


def narrowest_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned integer type that holds every id below `vocab_size`."""
    return np.min_scalar_type(vocab_size - 1)


class ArrayWriter:
    """Writes a one-dimensional .npy file piece by piece, without knowing its length beforehand."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.file = open(path, "wb")
        self.dtype, self.length = dtype, 0
        self._header()

    def _header(self) -> None:
        # numpy pads a header so that the length can grow in place: the second one is as long.
        description = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def write(self, values: np.ndarray) -> None:
        """Append values, cast to the array's dtype."""
        self.file.write(values.astype(self.dtype, copy=False).data)
        self.length += len(values)

    def close(self) -> None:
        """Write the header again, with the length, and close the file."""
        self.file.seek(0)
        self._header()
        self.file.close()


def describe_file(path: Path) -> dict:
    """What a manifest keeps of a file: its size and SHA-256."""
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}


class Split:
    """One split of a corpus under one tokenizer: memory-mapped tokens and a table of documents."""

    def __init__(self, folder: Path, name: str, counts: dict) -> None:
        self.name = name
        self.chars: int = counts["chars"]
        self.bytes: int = counts["bytes"]
        self.text_sha256: str = counts["text_sha256"]
        self.tokens: int = counts["tokens"]  # without eot
        self.lossy_documents: int = counts["lossy_documents"]
        paths = sorted(folder.glob(f"{name}-*.tokens.npy"))
        self.shards = [np.load(path, mmap_mode="r") for path in paths]
        self.files = [open(path, "rb") for path in paths]
        self.tables = [
            np.load(path.with_name(path.name.replace(".tokens.", ".documents."))) for path in paths
        ]
        self.length = sum(len(shard) for shard in self.shards)  # with eot
        self.documents = sum(len(table) for table in self.tables)

    @property
    def chars_per_token(self) -> float:
        """Characters of text per token of text; eot is not counted."""
        return self.chars / self.tokens

    def crop(self, start: int, length: int) -> np.ndarray:
        """`length` tokens from `start` on, where `start` counts over `crop_starts(length)`.

        Raises:
            OSError: the file cannot be read, or has become shorter. (It is read, because on a mapped one
                that would be a signal that ends the process.)
        """
        for file, shard in zip(self.files, self.shards, strict=True):
            starts = max(0, len(shard) - length + 1)
            if start < starts:
                size = shard.itemsize
                raw = os.pread(file.fileno(), length * size, shard.offset + start * size)
                if len(raw) < length * size:
                    raise OSError(f"{file.name} became shorter while it was in use: encode it again")
                return np.frombuffer(raw, shard.dtype)
            start -= starts
        raise IndexError(start)

    def crop_starts(self, length: int) -> int:
        """How many crops of `length` there are; none reaches over the end of a shard."""
        return sum(max(0, len(shard) - length + 1) for shard in self.shards)

    def sequences(self) -> list[np.ndarray]:
        """Every document as a view of its tokens, with the `eot` before it and the one behind it."""
        found = []
        for shard, table in zip(self.shards, self.tables, strict=True):
            starts = table["start"] - 1
            ends = np.append(starts[1:] + 1, len(shard))
            found += [shard[start:end] for start, end in zip(starts, ends, strict=True)]
        return found

    def document_chars(self) -> np.ndarray:
        """Characters of each document, 1-d int64."""
        return np.concatenate([table["chars"] for table in self.tables])

    def document_bytes(self) -> np.ndarray:
        """Bytes of UTF-8 of each document, 1-d int64."""
        return np.concatenate([table["bytes"] for table in self.tables])


class TokenArrays:
    """A folder of token arrays, checked against its manifest.

    Raises:
        ValueError: no manifest, another format, or a file that is missing or is not the one described.
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
        """Whether the files are still those that were opened.

        Raises:
            OSError: one is gone, or was written since.
        """
        for name, opened in self._opened.items():
            if self._state(name) != opened:
                raise OSError(
                    f"{self.folder / name} changed or went away while it was in use: put it back; "
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
                problem = f"has {path.stat().st_size} bytes, the manifest says {known['size']}"
            elif ".tokens." in path.name and self._dtype(path) != self.manifest["dtype"]:
                problem = f"holds {self._dtype(path)}, the manifest says {self.manifest['dtype']}"
            elif verify and sha256_file(path) != known["sha256"]:
                problem = "has another SHA-256 than the manifest says"
            if problem:
                raise ValueError(f"{path} {problem}: encode it again with python -m data_prep.encode")

    @staticmethod
    def _dtype(path: Path) -> str:
        try:
            return str(np.load(path, mmap_mode="r").dtype)
        except ValueError:
            return "no array"

    def split(self, name: str) -> Split:
        """Open the train, val or test split."""
        return Split(self.folder, name, self.manifest["splits"][name])


@dataclass(frozen=True)
class Arguments:
    """Check token arrays."""

    folder: Path
    """folder of the arrays, such as out/shakespeare/data/bpe-2048"""
    verify: bool = False
    """compare the SHA-256 of every file too"""


def main(arguments: Arguments) -> None:
    """Check the arrays and print what is in them."""
    arrays = TokenArrays(arguments.folder, arguments.verify)
    print(f"{arrays.spec}  vocabulary {arrays.vocab_size}  {arrays.manifest['dtype']}")
    for name in arrays.manifest["splits"]:
        split = arrays.split(name)
        print(
            f"{name:5}  {split.documents:>9,} documents  {split.tokens:>13,} tokens  "
            f"{split.chars_per_token:.3f} characters a token"
        )


if __name__ == "__main__":
    run_command(main, Arguments, "Check token arrays against their manifest.")
