"""The parts of a corpus while it is made: each holds the documents of one unit of the source.

A part is a folder, `parts/00012/`, which appears once it is complete: Parquet files of each split, and a
`part.json` that says what it was made from. So an interrupted corpus is resumed at the first missing part.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import pyarrow
import pyarrow.parquet
from tqdm import tqdm

from common.files import fingerprint, new_folder, read_json, sha256_file, write_json

from .document import CATEGORY_COLUMNS, SITE, Document
from .hub import HubFile
from .inputs import LeftOut, state_of
from .processes import in_processes
from .sources import Unit, drawn_split, hash_split, read_unit

FORMAT = 6  # of a corpus
SPLITS = ("train", "val", "test")
HELD_OUT = ("val", "test")
LABEL_COLUMNS = (*CATEGORY_COLUMNS, "group")  # columns with repeated values
# Large strings have 64-bit offsets, so a row group is one array whatever its size.
SCHEMA = pyarrow.schema([(name, pyarrow.large_string()) for name in ("id", "text", *LABEL_COLUMNS)])
SHARD_CHARS = 100_000_000  # a Parquet file is closed once it holds this many characters
ROW_GROUP_CHARS = 1_000_000  # characters in memory at a time, when writing and reading
ROW_GROUP_DOCUMENTS = 50_000  # most documents in memory at a time, as each has an overhead


def read_texts(path: Path) -> Iterator[str]:
    """The texts of one Parquet file of a corpus, in order."""
    for columns in _read(path, ["text"]):
        yield from columns["text"]


def read_documents(path: Path, split: str) -> Iterator[Document]:
    """The documents of one Parquet file of a split, in order."""
    for columns in _read(path, SCHEMA.names):
        for values in zip(*columns.values(), strict=True):
            yield Document(split=split, **dict(zip(columns, values, strict=True)))


def _read(path: Path, names: list[str]) -> Iterator[dict[str, list]]:
    """The values of columns, one row group at a time."""
    file = pyarrow.parquet.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield file.read_row_group(group, columns=names, use_threads=False).to_pydict()


def made_from(unit: Unit, limit: int | None) -> str:
    """The fingerprint of all that the part of a unit depends on."""
    files = [asdict(file) if isinstance(file, HubFile) else state_of(file) for file in unit.files]
    options = [asdict(unit.config), unit.fractions, str(unit.folder), unit.domain]
    return fingerprint([FORMAT, options, files, limit])


def staged(folder: Path, unit: Unit) -> dict | None:
    """The content of part.json if the folder holds the part of this unit, else None."""
    part = read_json(folder / "part.json")
    return part if part and part["made_from"] == made_from(unit, part["limit"]) else None


def stage_all(units: list[Unit], folders: list[Path], processes: int) -> None:
    """Make the part of each unit in its folder, unless it is there.

    Units of a source with `max_chars` are read one after the other, up to that amount.

    Raises:
        ValueError: as `read_unit`. Complete parts stay.
    """
    left: dict[tuple[str | None, str | None], int] = {}
    free: list[tuple[Unit, Path]] = []
    with tqdm(total=len(units), desc="corpus", unit=" parts", leave=False, disable=None) as bar:
        for unit, folder in zip(units, folders, strict=True):
            if unit.config.max_chars is None:
                free.append((unit, folder))
                continue
            limit = left.get((unit.domain, unit.split), unit.config.max_chars)
            splits = stage((unit, folder), limit)["splits"]
            left[unit.domain, unit.split] = max(0, limit - sum(counts["chars"] for counts in splits.values()))
            bar.update()
        for _ in in_processes(stage, free, processes, ahead=len(free)):
            bar.update()


def stage(task: tuple[Unit, Path], limit: int | None = None) -> dict:
    """Make the part of a unit in a folder, unless it is there; returns the content of its part.json.

    Raises:
        ValueError: as `read_unit`.
    """
    unit, folder = task
    part = staged(folder, unit)
    if part is None or part["limit"] != limit:
        left_out = LeftOut()
        documents = () if limit == 0 else read_unit(unit, left_out, limit)
        record = {"made_from": made_from(unit, limit), "limit": limit}
        part = write_part(folder, documents, unit.fractions, left_out, record)
    return part


def split_of(document: Document, digest: bytes, fractions: tuple[float, float]) -> str:
    """The split of a document: its own or, without one, `hash_split` of its group or text.

    `digest` is the SHA-256 of its text.
    """
    if document.split is not None:
        return document.split
    group = _group(document)
    return drawn_split(digest, *fractions) if group is None else hash_split(group, *fractions)


def _group(document: Document) -> str | None:
    """The group that must be in one split. Pages of a site may be in different ones."""
    return None if (document.group or "").startswith(SITE) else document.group


def write_part(
    folder: Path,
    documents: Iterable[Document],
    fractions: tuple[float, float],
    left_out: LeftOut,
    record: dict,
) -> dict:
    """Write documents as a part, each in the split of `split_of`.

    `record` says what the part is made from. Returns the content of its part.json.
    """
    with new_folder(folder) as temporary:
        writers = {split: SplitWriter(temporary, split) for split in SPLITS}
        by_group = False
        try:
            for document in documents:
                by_group |= document.split is None and _group(document) is not None
                encoded = document.text.encode()
                digest = hashlib.sha256(encoded).digest()
                writers[split_of(document, digest, fractions)].add(document, encoded, digest)
            for writer in writers.values():
                writer.close()
        except BaseException:
            for writer in writers.values():
                writer.abandon()
            raise
        part = {
            **record,
            "splits": {split: writer.counts() for split, writer in writers.items()},
            "split_by_group": by_group,
            "labels": sorted(set().union(*(writer.labels for writer in writers.values()))),
            "left_out": left_out,
            "files": {path.name: sha256_file(path) for path in sorted(temporary.glob("*.parquet"))},
        }
        write_json(temporary / "part.json", part)
    return part


@lru_cache(10_000)
def _as_json(*labels: str | None) -> bytes:
    return json.dumps(labels[0] if len(labels) == 1 else labels).encode()


class SplitWriter:
    """Writes a split of a part, and counts its documents, characters and bytes and their SHA-256."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self.digest, self.category_digest, self.group_digest = (hashlib.sha256() for _ in range(3))
        self.documents = self.chars = self.bytes = 0
        self.shards = self.shard_chars = self.pending_chars = 0
        self.pending: list[Document] = []
        self.texts: list[bytes] = []  # of the pending documents, in UTF-8
        self.labels: set[str] = set()  # LABEL_COLUMNS that any document has
        self.writer: pyarrow.parquet.ParquetWriter | None = None

    def add(self, document: Document, encoded: bytes, digest: bytes) -> None:
        """Add a document, with its text in UTF-8 and the SHA-256 of that."""
        self.documents += 1
        self.chars += len(document.text)
        self.bytes += len(encoded)
        self.digest.update(digest)
        self.category_digest.update(_as_json(document.language, document.domain))
        self.group_digest.update(_as_json(document.group))
        if len(self.labels) < len(LABEL_COLUMNS):
            self.labels |= {name for name in LABEL_COLUMNS if getattr(document, name) is not None}
        self.pending.append(document)
        self.texts.append(encoded)
        self.pending_chars += len(document.text)
        if self.pending_chars >= ROW_GROUP_CHARS or len(self.pending) >= ROW_GROUP_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        if not self.pending:
            return
        if self.writer is None:
            path = self.folder / f"{self.split}-{self.shards:05}.parquet"
            self.writer = pyarrow.parquet.ParquetWriter(
                path,
                SCHEMA,
                compression="lz4",  # a third larger than zstd, read in a third of the time
                use_dictionary=list(LABEL_COLUMNS),  # ids and texts are unique
                write_statistics=False,  # would store the least and greatest text several times
            )
        columns: list = [[getattr(document, name) for document in self.pending] for name in SCHEMA.names]
        texts = pyarrow.array(self.texts, pyarrow.large_binary()).view(pyarrow.large_string())
        columns[SCHEMA.names.index("text")] = texts
        self.writer.write_table(pyarrow.table(columns, schema=SCHEMA))
        self.shard_chars += self.pending_chars
        self.pending, self.texts, self.pending_chars = [], [], 0
        if self.shard_chars >= SHARD_CHARS:
            self._end_shard()

    def _end_shard(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer, self.shards, self.shard_chars = None, self.shards + 1, 0

    def close(self) -> None:
        self._flush()
        self._end_shard()

    def abandon(self) -> None:
        """Leave the file as it is. Otherwise pyarrow would end it later, which fails again on a full disk."""
        if self.writer is not None:
            self.writer.is_open = False

    def counts(self) -> dict:
        return {
            "documents": self.documents,
            "chars": self.chars,
            "bytes": self.bytes,
            "sha256": self.digest.hexdigest(),
            "categories": self.category_digest.hexdigest(),
            "groups": self.group_digest.hexdigest(),
        }
