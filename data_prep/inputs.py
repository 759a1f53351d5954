"""The files of a local source: which are read, which are left out and why, and how they are opened."""

import bz2
import glob
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, cast

ENDINGS = {
    "text": (
        "txt text md markdown rst tex org adoc "
        "py pyi c h cc cpp cxx hpp cu java kt scala go rs swift js mjs jsx ts tsx rb php pl pm r jl lua sh "
        "sql cs fs hs ml clj ex erl f f90 m asm s css yaml yml toml ini cfg"
    ).split(),
    "jsonl": ["jsonl", "ndjson", "json"],
    "csv": ["csv", "tsv"],
    "parquet": ["parquet"],
    "arrow": ["arrow", "feather"],
}
FORMATS = {f".{ending}": name for name, endings in ENDINGS.items() for ending in endings}
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
NOT_HERE = (".ipynb_checkpoints", "__pycache__", "__MACOSX")
OF_SAVED_DATASET = ("dataset_dict.json", "dataset_info.json", "state.json")


class InputFile(Protocol):
    """A file to read, such as a path. As text it is what messages and documents call it."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    def open(self, mode: Literal["rb"], buffering: int = -1) -> BinaryIO:
        """Open it, with `peek`; or, with `buffering` 0, for reading here and there."""


class LeftOut(dict[str, tuple[int, str]]):
    """What is not in a corpus: for each reason, how much of it, and the first example."""

    def add(self, reason: str, example: object) -> None:
        """Count one more."""
        count, first = self.get(reason, (0, str(example)))
        self[reason] = count + 1, first

    def merge(self, other: "LeftOut") -> None:
        """Add what another one has counted."""
        for reason, (count, first) in other.items():
            self[reason] = self.get(reason, (0, first))[0] + count, self.get(reason, (0, first))[1]

    def lines(self) -> list[str]:
        """A line for each reason."""
        return [f"left out: {count:,} {reason}, such as {first}" for reason, (count, first) in self.items()]


@dataclass(frozen=True)
class Found:
    """The files of a source, sorted, and those that are left out."""

    files: list[Path]
    left_out: LeftOut = field(default_factory=LeftOut)


def state_of(path: Path) -> list:
    """The path, size and modification time of a file, which show whether it has changed."""
    return [str(path), path.stat().st_size, path.stat().st_mtime_ns]


def format_of(path: Path) -> str | None:
    """The format that the name of a file tells, a key of `ENDINGS`; None if it tells none."""
    name = path.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return FORMATS.get(os.path.splitext(name)[1])


def sniff(path: Path) -> str:
    """The format that the content of a file tells: a key of `ENDINGS`."""
    with opened(path) as file:
        start = file.read(1000)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    return "jsonl" if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else "text"


def find_files(argument: str, formats: tuple[str, ...]) -> Found:
    """The files at a path, in a folder or of a glob that have one of the `formats`.

    A file that is named itself is taken whatever its name. In a folder, hidden files and links to what is
    already there are left out.

    Raises:
        FileNotFoundError: there is no such file; says what is there instead.
    """
    left_out = LeftOut()
    if os.path.isfile(argument):  # before the glob, as the name may contain [ or *
        return Found([Path(argument)])
    if os.path.isdir(argument):
        files = [path for path in _walk(Path(argument), left_out) if _is_wanted(path, formats, left_out)]
    else:
        files = [Path(path) for path in glob.glob(argument, recursive=True) if os.path.isfile(path)]
        if "text" not in formats or len(formats) > 1:
            files = [path for path in files if _is_wanted(path, formats, left_out)]
    if not files:
        others = "".join(f"; {line}" for line in left_out.lines())
        raise FileNotFoundError(f"no {' or '.join(formats)} file at {argument}{others}")
    return Found(sorted(files), left_out)


def _walk(folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """The files below a folder, each once, but for hidden ones."""
    seen: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        if real in seen:
            left_out.add("folders that links lead to twice", at)
            folders.clear()
            continue
        seen.add(real)
        for name in [name for name in folders if name.startswith(".") or name in NOT_HERE]:
            left_out.add("hidden folders", os.path.join(at, name))
            folders.remove(name)
        for name in [name for name in folders if _is_output(Path(at, name))]:
            left_out.add("folders that Codebook wrote", os.path.join(at, name))
            folders.remove(name)
        folders.sort()
        for name in sorted(names):
            path = Path(at, name)
            if name.startswith("."):
                left_out.add("hidden files", path)
            elif name in OF_SAVED_DATASET and any(other.endswith((".arrow", ".json")) for other in names):
                left_out.add("files that describe a saved data set", path)
            elif not path.is_file():
                left_out.add("broken links and special files", path)
            elif (real := os.path.realpath(path)) in seen:
                left_out.add("files that links lead to twice", path)
            else:
                seen.add(real)
                yield path


def _is_output(at: Path) -> bool:
    """True for the folder of a comparison or a corpus, also while it is made."""
    return any(
        (folder / "parts" / ".lock").exists()
        or ((folder / "manifest.json").exists() and (folder / "train").exists())
        for folder in (at, at / "corpus")
    )


def _is_wanted(path: Path, formats: tuple[str, ...], left_out: LeftOut) -> bool:
    if format_of(path) in formats:
        return True
    ending = "".join(path.suffixes[-2:]) if path.suffix.lower() in COMPRESSED else path.suffix
    left_out.add(f"files with the ending {ending}" if ending else "files without an ending", path)
    return False


@contextmanager
def opened(path: InputFile) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; a compressed one is decompressed, whatever its name.

    Raises:
        ValueError: in the block, if the compressed content is damaged or cut.
    """
    with path.open("rb") as raw:
        magic = raw.peek(6)  # type: ignore[attr-defined]
        try:
            if magic.startswith(b"\x1f\x8b"):
                with gzip.open(raw) as file:
                    yield cast(BinaryIO, file)
            elif magic.startswith(b"BZh"):
                with bz2.open(raw) as file:
                    yield cast(BinaryIO, file)
            elif magic.startswith(b"\xfd7zXZ\0"):
                with lzma.open(raw) as file:
                    yield cast(BinaryIO, file)
            elif magic.startswith(b"\x28\xb5\x2f\xfd"):
                import pyarrow  # takes a while to import

                with pyarrow.CompressedInputStream(raw, "zstd") as stream:
                    yield io.BufferedReader(stream)
            else:
                yield raw
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise ValueError(f"{path} is damaged or cut: {error}") from None
        except OSError as error:
            if error.errno is not None:  # of the disk, not of the content
                raise
            raise ValueError(f"{path} is damaged or cut: {error}") from None
