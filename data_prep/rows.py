"""The rows of files: JSON lines and arrays, CSV, Parquet and Arrow."""

import codecs
import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from .inputs import InputFile, opened

CHUNK = 1 << 20  # bytes of a JSON array that are read at a time
BOM = codecs.BOM_UTF8
Choose = Callable[[list[str]], list[str]]  # the columns to read, of those that a file has


@dataclass(frozen=True)
class Row:
    """A row: the name of its document, its place in words, and its values or what is wrong with it."""

    id: str
    place: str
    values: dict[str, Any] | None
    problem: str = ""
    is_utf8: bool = False
    """True if its texts are known to have no lone surrogates, which UTF-8 cannot hold"""


def read_rows(path: InputFile, format_: str, choose: Choose) -> Iterator[Row]:
    """The rows of a file in a format: csv, parquet, arrow, or jsonl.

    `choose` gets the columns of a file that has the same in all rows.

    Raises:
        ValueError: the file is not in its format, or is damaged; or as `choose`.
    """
    if format_ == "csv":
        return _csv(path, choose)
    if format_ == "parquet":
        return _parquet(path, choose)
    if format_ == "arrow":
        return _arrow(path, choose)
    return _json(path)


def read_lines(path: InputFile) -> Iterator[str]:
    """The lines of a text file with their newlines; in UTF-8 no character crosses a newline.

    Raises:
        ValueError: the file is not UTF-8; says where. Or its compressed content is damaged.
    """
    offset = 0
    with opened(path) as file:
        for line in file:
            yield as_text(line, path, offset)
            offset += len(line)


def as_text(content: bytes, path: InputFile, offset: int = 0) -> str:
    """Decode the bytes at an offset of a file.

    Raises:
        ValueError: they are not UTF-8; says where.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} at offset {offset + error.start}; "
            "convert the file with iconv, or leave it out"
        ) from None


def _json(path: InputFile) -> Iterator[Row]:
    with opened(path) as file:
        start = file.peek(4096).removeprefix(BOM).lstrip()  # type: ignore[attr-defined]
        if start[:1] == b"[" and b"{" in start[:2000]:
            yield from _json_array(path, file)
            return
        offset = 0
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(BOM) if number == 1 else line
            if content.strip():
                yield _parsed(f"{path}:{number}", f"{path} line {number}", content, offset)
            offset += len(line)


def _parsed(id_: str, place: str, content: bytes, offset: int) -> Row:
    try:
        values = orjson.loads(content)
    except ValueError:  # not JSON, or what it refuses and json reads, such as NaN and lone surrogates
        return _parsed_slowly(id_, place, content, offset)
    problem = "" if isinstance(values, dict) else "is not a JSON object"
    return Row(id_, place, None if problem else values, problem, is_utf8=True)


def _parsed_slowly(id_: str, place: str, content: bytes, offset: int) -> Row:
    problem = ""
    try:
        values = json.loads(content.decode())
        if not isinstance(values, dict):
            problem = "is not a JSON object"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: byte 0x{content[error.start]:02x} at offset {offset + error.start}"
    except RecursionError:
        problem = "is JSON that is nested too deeply"
    except ValueError as error:
        problem = f"is not JSON: {error}"
    return Row(id_, place, None if problem else values, problem)


def _json_array(path: InputFile, file: BinaryIO) -> Iterator[Row]:
    """The items of an array, of which one, and a chunk of the file, is in memory at a time."""
    decoder, decode = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8-sig")().decode
    buffer, number, size = "", 0, CHUNK
    ended = False

    def more() -> bool:
        nonlocal buffer, ended
        chunk = file.read(size)
        try:
            buffer += decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8: {error.reason}") from None
        ended = not chunk
        return not ended

    more()
    buffer = buffer.lstrip()[1:]
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        if not buffer and not ended:
            more()
            continue
        if buffer.startswith("]"):
            return
        try:
            values, end = decoder.raw_decode(buffer)
        except RecursionError:
            raise ValueError(f"{path} item {number + 1} is nested too deeply") from None
        except ValueError as error:
            if ended:
                raise ValueError(f"{path} item {number + 1} is not JSON: {error}") from None
            size *= 2  # a long item is not parsed once for every chunk
            more()
            continue
        number, size, buffer = number + 1, CHUNK, buffer[end:]
        problem = "" if isinstance(values, dict) else "is not a JSON object"
        yield Row(f"{path}:{number}", f"{path} item {number}", None if problem else values, problem)


def _csv(path: InputFile, choose: Choose) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    name = path.name.lower()
    delimiter = "\t" if ".tsv" in name else ","
    lines = read_lines(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    number = 0
    while True:
        values, problem = [], ""
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # the reader continues with the next line
            problem = f"is not CSV: {error}"
        place = f"{path} line {reader.line_num}"
        if not header and problem:
            raise ValueError(f"{place} {problem}")
        if not header:
            header = [column.removeprefix("\ufeff") for column in values]
            _refuse_twice(path, header)
            choose(header)
            continue
        if not values and not problem:  # an empty line
            continue
        number += 1
        if not problem and len(values) != len(header):
            problem = f"has {len(values)} fields, and the header {len(header)}"
        row = None if problem else dict(zip(header, values, strict=True))
        yield Row(f"{path}:{number}", place, row, problem)


def _parquet(path: InputFile, choose: Choose) -> Iterator[Row]:
    import pyarrow.parquet

    try:
        local = isinstance(path, Path)
        file, buffer = (path, 1 << 20) if local else (path.open("rb", 0), 1 << 22)  # for fewer requests
        # Without these options the file, or a whole row group, stays in memory.
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=buffer)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file: {_first_line(error)}") from None
    _refuse_twice(path, table.schema_arrow.names)
    columns = choose(table.schema_arrow.names)
    batches = table.iter_batches(batch_size=256, columns=columns, use_threads=False)
    yield from _of_batches(path, batches, columns)


def _arrow(path: InputFile, choose: Choose) -> Iterator[Row]:
    import pyarrow.ipc

    is_path = isinstance(path, Path)
    with pyarrow.OSFile(str(path)) if is_path else pyarrow.PythonFile(path.open("rb"), "r") as file:
        try:
            try:
                reader = pyarrow.ipc.open_file(file)
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            except pyarrow.ArrowInvalid:  # a stream, as data sets are saved
                file.seek(0)
                reader = pyarrow.ipc.open_stream(file)
                batches = iter(reader)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{path} is not an Arrow file: {_first_line(error)}") from None
        _refuse_twice(path, reader.schema.names)
        columns = choose(reader.schema.names)
        yield from _of_batches(path, (_valid(batch.select(columns)) for batch in batches), columns)


def _valid(batch: Any) -> Any:
    """The batch, unless its content is damaged, on which pyarrow would crash the process."""
    batch.validate(full=True)
    return batch


def _of_batches(path: InputFile, batches: Iterator[Any], columns: list[str]) -> Iterator[Row]:
    import pyarrow

    number = 0
    while True:
        try:
            batch = next(batches, None)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged after row {number}: {_first_line(error)}") from None
        if batch is None:
            return
        for values, problem in _values(batch, columns):
            row = None if problem else values
            yield Row(f"{path}:{number}", f"{path} row {number}", row, problem, is_utf8=True)
            number += 1


def _values(batch: Any, columns: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """The values of each row of a batch, and what is wrong with it."""
    try:
        for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
            yield dict(zip(columns, row, strict=True)), ""
    except UnicodeDecodeError:  # raised before the first row
        for scalars in zip(*map(batch.column, columns), strict=True):
            values, problem = {}, ""
            for name, scalar in zip(columns, scalars, strict=True):
                try:
                    values[name] = scalar.as_py()
                except UnicodeDecodeError as error:
                    problem = (
                        f"column '{name}' is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
                        f"{error.start} of the text"
                    )
            yield values, problem


def _refuse_twice(path: InputFile, columns: list[str]) -> None:
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} has two columns '{twice}': rename or remove one")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
