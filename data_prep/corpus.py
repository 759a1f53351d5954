"""Read and split a source of text: `python -m data_prep.corpus --help`."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from common.cli import run_command
from common.files import (
    check_replaceable,
    fingerprint,
    new_folder,
    read_json,
    read_manifest,
    sha256_file,
    write_json,
)

from .config import CorpusConfig, Source
from .document import CATEGORY_COLUMNS, SITE, Document
from .inputs import LeftOut
from .sources import hash_split, input_files, read_documents

FORMAT = 5
SPLITS = ("train", "val", "test")
LABEL_COLUMNS = (*CATEGORY_COLUMNS, "group")  # columns with repeated values
# Large strings have 64-bit offsets, so a row group is one array whatever its size.
SCHEMA = pyarrow.schema([(name, pyarrow.large_string()) for name in ("id", "text", *LABEL_COLUMNS)])
SHARD_CHARS = 100_000_000  # a Parquet file is closed once it holds this many characters
# A site is large, and not treated as one group, if it exceeds both this number and this share of documents
LARGE_SITE_PAGES, LARGE_SITE = 20, 0.05
ROW_GROUP_CHARS = 1_000_000  # characters in memory at a time, when writing and reading
ROW_GROUP_DOCUMENTS = 50_000  # most documents in memory at a time, as each has an overhead


class Corpus:
    """A corpus on disk: `manifest.json` and, per split, Parquet files of `id`, `text` and `LABEL_COLUMNS`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder, FORMAT, "corpus", "data_prep.corpus")
        self.fingerprint: str = self.manifest["fingerprint"]

    @property
    def left_out(self) -> LeftOut:
        """What of the source is not in the corpus."""
        return LeftOut({reason: tuple(found) for reason, found in self.manifest["left_out"].items()})

    def files(self, split: str) -> list[Path]:
        """The Parquet files of a split, in order."""
        return [self.folder / name for name in self.manifest["files"] if name.startswith(f"{split}/")]

    def texts(self, split: str) -> Iterator[str]:
        """The texts of a split, in order, with one row group in memory at a time."""
        for path in self.files(split):
            yield from read_texts(path)

    def ids(self, split: str) -> list[str]:
        """The ids of a split's documents, in order."""
        return self._column(split, "id")

    def categories(self, split: str) -> dict[str, list[str | None]]:
        """The values of `language` and `domain` in a split, in order; only columns that any document has."""
        return {name: self._column(split, name) for name in self.manifest["categories"]}

    def clusters(self, split: str) -> np.ndarray | None:
        """The index of each document's group, 1-d int64; None if every document is its own group.

        Groups are numbered from 0 as they first appear in the split. A document without a group is its own
        group; so is each document of a large site, which is not a sample of sites.
        """
        groups, numbers = self._column(split, "group"), dict[str | int, int]()
        large = {
            group
            for group, count in Counter(groups).items()
            if (group or "").startswith(SITE) and count > max(LARGE_SITE_PAGES, LARGE_SITE * len(groups))
        }
        found = [
            numbers.setdefault(i if group is None or group in large else group, len(numbers))
            for i, group in enumerate(groups)
        ]
        return np.array(found, dtype=np.int64) if len(numbers) < len(found) else None

    def _column(self, split: str, name: str) -> list:
        tables = (pyarrow.parquet.read_table(path, columns=[name]) for path in self.files(split))
        return [value for table in tables for value in table.column(name).to_pylist()]


def read_texts(path: Path) -> Iterator[str]:
    """The texts of one Parquet file of a corpus, in order."""
    file = pyarrow.parquet.ParquetFile(path)
    for group in range(file.num_row_groups):
        yield from file.read_row_group(group, columns=["text"]).column("text").to_pylist()


def find_corpus(config: Source, folder: Path) -> Corpus | None:
    """The corpus in `folder` if it is what `make_corpus` would make, else None.

    Raises:
        OSError: the source does not exist.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest and manifest["made_from"] == _made_from(config):
        corpus = Corpus(folder)
        if all((folder / name).exists() for name in manifest["files"]):
            return corpus
    return None


def corpus_changes(config: Source, folder: Path) -> list[str]:
    """The options in which the corpus in `folder` differs from `config`, such as corpus.source."""
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        return []
    if manifest.get("format") != FORMAT:
        return ["the format of an earlier version"]
    return [f"corpus.{key}" for key, value in asdict(config).items() if manifest["config"].get(key) != value]


def _made_from(config: Source) -> str:
    inputs = [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in input_files(config.source).files]
    return fingerprint([FORMAT, asdict(config), inputs])


def make_corpus(config: Source, folder: Path, replace: bool = False) -> Corpus:
    """Read a source, split it and write the corpus, unless `folder` already holds it.

    A corpus of other text is replaced only if `replace` is set. All documents of a source that is not a
    `CorpusConfig` are in the test split.

    Raises:
        ValueError: the source has no text, a split is empty, `folder` holds another corpus, or as
            `read_documents`. `folder` is unchanged.
    """
    if corpus := find_corpus(config, folder):
        return corpus
    check_replaceable(folder, "manifest.json")
    refusal = "give another folder or name, or --replace to discard it and everything made from it"
    if not replace and (differs := corpus_changes(config, folder)):
        raise ValueError(f"{folder} holds another corpus ({', '.join(differs)}): {refusal}")
    made_from, old = _made_from(config), read_json(folder / "manifest.json")
    splitting = config if isinstance(config, CorpusConfig) else None
    reading = splitting or CorpusConfig(**asdict(config))

    with new_folder(folder) as temporary:
        writers = {split: _SplitWriter(temporary, split) for split in SPLITS}
        left_out = LeftOut()
        split_by_group = False
        for document in read_documents(reading, left_out):
            if not document.text:
                left_out.add("empty documents", document.id)
                continue
            if not config.min_length <= len(document.text) <= (config.max_length or math.inf):
                short = len(document.text) < config.min_length
                bound = (
                    f"shorter than {config.min_length:,}" if short else f"longer than {config.max_length:,}"
                )
                left_out.add(f"documents {bound} characters", document.id)
                continue
            split = document.split if splitting else "test"
            if split is None:
                group = None if (document.group or "").startswith(SITE) else document.group
                split_by_group |= group is not None
                key = document.text if group is None else group
                split = hash_split(key, reading.val_fraction, reading.test_fraction)
            writers[split].add(document)
        for writer in writers.values():
            writer.close()
        splits = {split: writer.counts() for split, writer in writers.items()}
        if not any(counts["documents"] for counts in splits.values()):
            raise ValueError(f"{config.source} holds no text")
        for split, counts in splits.items():
            if not counts["documents"] and splitting:
                remedy = "give more documents or larger fractions"
                if split_by_group:
                    remedy = (
                        "there are few groups, and documents of a group stay together: give larger "
                        "fractions, or remove the column 'group'"
                    )
                raise ValueError(f"{config.source}: no document falls into the {split} split: {remedy}")
        labels = set().union(*(writer.labels for writer in writers.values()))
        categories = [name for name in CATEGORY_COLUMNS if name in labels]
        content = {split: counts["sha256"] for split, counts in splits.items()}
        if categories:
            content["categories"] = [writer.category_digest.hexdigest() for writer in writers.values()]
        if "group" in labels:
            content["groups"] = [writer.group_digest.hexdigest() for writer in writers.values()]
        if old and not replace and old["fingerprint"] != fingerprint(content):
            raise ValueError(
                f"{folder} holds a corpus of other text, because {config.source} has changed: {refusal}"
            )
        files = sorted(p for p in temporary.rglob("*.parquet"))
        manifest = {
            "format": FORMAT,
            "config": asdict(config),
            "made_from": made_from,
            "fingerprint": fingerprint(content),
            "splits": splits,
            "categories": categories,
            "left_out": left_out,
            "files": {str(p.relative_to(temporary)): sha256_file(p) for p in files},
        }
        write_json(temporary / "manifest.json", manifest)
    return Corpus(folder)


class _SplitWriter:
    """Writes a split, and counts its documents, characters and bytes and their SHA-256."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder / split
        self.folder.mkdir()
        self.digest, self.category_digest, self.group_digest = (hashlib.sha256() for _ in range(3))
        self.documents = self.chars = self.bytes = 0
        self.shards = self.shard_chars = self.pending_chars = 0
        self.pending: list[Document] = []
        self.labels: set[str] = set()  # LABEL_COLUMNS that any document has
        self.writer: pyarrow.parquet.ParquetWriter | None = None

    def add(self, document: Document) -> None:
        encoded = document.text.encode()
        self.documents += 1
        self.chars += len(document.text)
        self.bytes += len(encoded)
        # Lengths between the texts, so that the same text split in another way has another hash.
        self.digest.update(len(encoded).to_bytes(8, "little"))
        self.digest.update(encoded)
        categories = [getattr(document, name) for name in CATEGORY_COLUMNS]
        self.category_digest.update(json.dumps(categories).encode())
        self.group_digest.update(json.dumps(document.group).encode())
        self.labels |= {name for name in LABEL_COLUMNS if getattr(document, name) is not None}
        self.pending.append(document)
        self.pending_chars += len(document.text)
        if self.pending_chars >= ROW_GROUP_CHARS or len(self.pending) >= ROW_GROUP_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        if not self.pending:
            return
        if self.writer is None:
            path = self.folder / f"{self.shards:05}.parquet"
            self.writer = pyarrow.parquet.ParquetWriter(
                path,
                SCHEMA,
                compression="lz4",  # a third larger than zstd, read in a third of the time
                use_dictionary=list(LABEL_COLUMNS),  # ids and texts are unique
                write_statistics=False,  # would store the least and greatest text several times
            )
        columns = [[getattr(document, name) for document in self.pending] for name in SCHEMA.names]
        self.writer.write_table(pyarrow.table(columns, schema=SCHEMA))
        self.shard_chars += self.pending_chars
        self.pending, self.pending_chars = [], 0
        if self.shard_chars >= SHARD_CHARS:
            self._end_shard()

    def _end_shard(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer, self.shards, self.shard_chars = None, self.shards + 1, 0

    def close(self) -> None:
        self._flush()
        self._end_shard()

    def counts(self) -> dict:
        return {
            "documents": self.documents,
            "chars": self.chars,
            "bytes": self.bytes,
            "sha256": self.digest.hexdigest(),
        }


@dataclass(frozen=True)
class Arguments:
    """Make a corpus."""

    out: Path
    """folder to write, such as out/shakespeare/corpus"""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """the text and how it is split"""
    replace: bool = False
    """replace a corpus of other text in that folder"""


def main(arguments: Arguments) -> None:
    """Make the corpus and print the size of each split."""
    corpus = make_corpus(arguments.corpus, arguments.out, arguments.replace)
    for split, counts in corpus.manifest["splits"].items():
        print(f"{split:5}  {counts['documents']:>9,} documents  {counts['chars']:>13,} characters")
    for line in corpus.left_out.lines():
        print(line)


if __name__ == "__main__":
    run_command(main, Arguments, "Read a source of text into train, val and test documents.")
