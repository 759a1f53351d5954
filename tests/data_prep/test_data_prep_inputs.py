"""Files as they are found: formats, compression, folders with all sorts of things, and damage."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.config import CorpusConfig
from data_prep.corpus import make_corpus
from data_prep.document import Document
from data_prep.inputs import LeftOut
from data_prep.passages import LONGEST_LINE
from data_prep.sources import read_documents

ROWS = [{"text": f'document {i}: é, "quoted"\nand\ta second line', "language": "en"} for i in range(300)]
DEEP = b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
TEXTS = [row["text"] for row in ROWS]


def as_json_lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_json_array(rows: list[dict]) -> bytes:
    return json.dumps(rows, indent=1, ensure_ascii=False).encode()


def as_csv(rows: list[dict], delimiter: str = ",") -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def as_parquet(rows: list[dict]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file, row_group_size=100)
    return file.getvalue()


def as_arrow_file(rows: list[dict]) -> bytes:
    file = io.BytesIO()
    pyarrow.feather.write_feather(pyarrow.Table.from_pylist(rows), file, compression="uncompressed")
    return file.getvalue()


def as_arrow_stream(rows: list[dict]) -> bytes:
    table, file = pyarrow.Table.from_pylist(rows), io.BytesIO()
    with pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=64)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[dict]], bytes]] = {
    "x.jsonl": as_json_lines,
    "x.ndjson": as_json_lines,
    "x.JSON": as_json_lines,
    "x.json": as_json_array,
    "x.csv": as_csv,
    "x.TSV": lambda rows: as_csv(rows, "\t"),
    "x.parquet": as_parquet,
    "x.feather": as_arrow_file,
    "data-00000-of-00001.arrow": as_arrow_stream,
}


def zstd(content: bytes) -> bytes:
    return pyarrow.Codec("zstd").compress(content, asbytes=True)


COMPRESSED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


def read(source: str, **options: object) -> tuple[list[Document], LeftOut]:
    left_out = LeftOut()
    return list(read_documents(CorpusConfig(source, **options), left_out)), left_out


def texts(source: str, **options: object) -> list[str]:
    return [document.text for document in read(source, **options)[0]]


# Formats


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_every_format_are_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMATS[name](ROWS))
    for source in (f"files:{tmp_path}", f"files:{tmp_path / name}"):
        found, left_out = read(source)
        assert [document.text for document in found] == TEXTS
        assert {document.language for document in found} == {"en"}
        assert not left_out


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.txt"])
def test_files_may_be_compressed(name: str, ending: str, tmp_path: Path) -> None:
    content = FORMATS[name](ROWS) if name in FORMATS else "\n".join(TEXTS).encode()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / name).write_bytes(content)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / (name + ending.upper())).write_bytes(COMPRESSED[ending](content))
    assert texts(f"files:{tmp_path / 'packed'}") == texts(f"files:{tmp_path / 'plain'}")
    (tmp_path / "other-name").write_bytes(COMPRESSED[ending](content))  # the content decides
    kind = "text" if name == "x.txt" else "files"
    if name != "x.csv":
        assert texts(f"{kind}:{tmp_path / 'other-name'}") == texts(f"files:{tmp_path / 'plain'}")


def test_one_folder_may_have_files_of_all_formats(tmp_path: Path) -> None:
    for number, (name, write) in enumerate(FORMATS.items()):
        (tmp_path / f"{number}{name}").write_bytes(write(ROWS[number : number + 1]))
    (tmp_path / "a.txt").write_text("a book")
    found = texts(f"files:{tmp_path}", document="file")
    assert sorted(found) == sorted([*TEXTS[: len(FORMATS)], "a book"])


def test_a_byte_order_mark_is_no_part_of_json_and_csv(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.json", "x.csv"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + FORMATS[name](ROWS))
        assert texts(f"files:{tmp_path / name}") == TEXTS


def test_a_long_json_array_is_read_item_by_item(tmp_path: Path) -> None:
    rows = [{"text": str(i) * 300_000} for i in range(9)]
    (tmp_path / "x.json").write_bytes(as_json_array(rows))
    assert texts(f"files:{tmp_path}") == [row["text"] for row in rows]


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_the_text_may_be_in_a_nested_column(name: str, tmp_path: Path) -> None:
    rows = [{"message": {"content": text, "role": "user"}, "text": "other"} for text in TEXTS]
    (tmp_path / name).write_bytes(FORMATS[name](rows))
    assert texts(f"files:{tmp_path}", text_column="message.content") == TEXTS
    with pytest.raises(ValueError, match=r"no column 'message.missing'|no column 'missing'"):
        texts(f"files:{tmp_path}", text_column="message.missing")


def test_other_columns_may_have_other_names(tmp_path: Path) -> None:
    row = {"body": "a", "lang": "de", "kind": "news", "book": 7, "key": "k1"}
    (tmp_path / "x.jsonl").write_bytes(as_json_lines([row]))
    columns = {"text": "body", "language": "lang", "domain": "kind", "group": "book", "id": "key"}
    options = {f"{name}_column": column for name, column in columns.items()}
    assert read(f"files:{tmp_path}", **options)[0] == [Document("k1", "a", None, "de", "news", "7")]


# What is left out


def test_what_is_left_out_of_a_folder_is_counted_and_named(tmp_path: Path) -> None:
    for name in ("a.txt", "B.TXT", "c.md", "e.rst", "README", "x.pdf", "y.PDF", ".hidden.txt", "._a.txt"):
        (tmp_path / name).write_text(name)
    for folder in (".ipynb_checkpoints", ".git", "deep"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "z.txt").write_text(folder)
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "broken.txt").symlink_to(tmp_path / "nowhere")
    found, left_out = read(f"text:{tmp_path}", document="file")
    assert sorted(document.text for document in found) == ["B.TXT", "a.txt", "c.md", "deep", "e.rst"]
    assert {reason: count for reason, (count, _) in left_out.items()} == {
        "hidden files": 2,
        "hidden folders": 2,
        "files without an ending": 1,
        "files with the ending .pdf": 1,
        "files with the ending .PDF": 1,
        "files that links lead to twice": 1,
        "folders that links lead to twice": 1,
        "broken links and special files": 1,
    }
    assert left_out["files without an ending"][1] == str(tmp_path / "README")


def test_of_a_saved_data_set_only_the_rows_are_read(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (tmp_path / "train" / "data-00000-of-00001.arrow").write_bytes(as_arrow_stream(ROWS))
    (tmp_path / "train" / "state.json").write_text("{}")
    (tmp_path / "train" / "dataset_info.json").write_text("{}")
    found, left_out = read(f"files:{tmp_path}")
    assert [document.text for document in found] == TEXTS
    assert left_out["files that describe a saved data set"][0] == 3


def test_a_folder_without_files_of_the_format_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "x.pdf").write_text("a")
    with pytest.raises(FileNotFoundError, match=r"no text file at .*; left out: 1 files .* \.pdf"):
        texts(f"text:{tmp_path}")


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.parquet"])
def test_rows_without_text_are_dropped_and_counted(name: str, tmp_path: Path) -> None:
    rows = [*ROWS[:200], {"text": None, "language": "en"}, {"text": "", "language": None}]
    (tmp_path / name).write_bytes(FORMATS[name](rows))
    corpus = make_corpus(CorpusConfig(f"files:{tmp_path}"), tmp_path / "corpus")
    assert sum(counts["documents"] for counts in corpus.manifest["splits"].values()) == 200
    assert corpus.left_out["rows whose text is null"][0] == corpus.left_out["empty documents"][0] == 1


def test_documents_are_left_out_by_length(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(as_json_lines([{"text": "x" * i} for i in range(1, 201)]))
    config = CorpusConfig(f"files:{tmp_path}", min_length=11, max_length=150)
    corpus = make_corpus(config, tmp_path / "corpus")
    lengths = {len(text) for split in ("train", "val", "test") for text in corpus.texts(split)}
    assert lengths == set(range(11, 151))
    assert corpus.left_out["documents shorter than 11 characters"][0] == 10
    assert corpus.left_out["documents longer than 150 characters"][0] == 50


# Bad rows and damaged files


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{cut", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"body": "a"}', "has no column 'text'"),
        (b'{"text": 7}', "has type int, not text"),
        (b'{"text": "\xff"}', "is not UTF-8: byte 0xff at offset"),
        (b'{"text": "\\ud800"}', "has a lone surrogate at character 0"),
        (
            DEEP,
            "is JSON that is nested too deeply",
        ),
    ],
)
def test_a_bad_row_stops_or_is_skipped_and_counted(line: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(as_json_lines(ROWS[:2]) + line + b"\n" + as_json_lines(ROWS[2:4]))
    with pytest.raises(ValueError) as caught:
        texts(f"files:{tmp_path}")
    assert f"{tmp_path / 'x.jsonl'} line 3 " in str(caught.value) and problem in str(caught.value)
    assert "\n" not in str(caught.value)
    found, left_out = read(f"files:{tmp_path}", on_bad_rows="skip")
    assert [document.text for document in found] == TEXTS[:4]
    assert left_out["bad rows"][0] == 1 and problem in left_out["bad rows"][1]


def test_bytes_that_are_utf8_are_text(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(as_parquet([{"text": text.encode()} for text in TEXTS]))
    assert texts(f"files:{tmp_path}") == TEXTS


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    table = pyarrow.Table.from_arrays([["a"], ["b"]], names=["text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "y.csv").write_text("text,text\na,b\n")
    for name in ("x.parquet", "y.csv"):
        with pytest.raises(ValueError, match=f"{name} has two columns 'text'"):
            texts(f"files:{tmp_path / name}")


def test_a_row_of_csv_with_too_many_fields_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,language\na,en\nb,en,more\n")
    with pytest.raises(ValueError, match=r"x\.csv line 3 has 3 fields, and the header 2"):
        texts(f"files:{tmp_path}")


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_compressed_file_that_is_cut_is_named(ending: str, tmp_path: Path) -> None:
    content = COMPRESSED[ending]("".join(random.Random(0).choices("abc \n", k=200_000)).encode())
    (tmp_path / f"x.txt{ending}").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"x\.txt\{ending} is damaged or cut"):
        texts(f"text:{tmp_path}")


def mutated(content: bytes, generator: random.Random) -> bytes:
    """The content with a few bytes changed, removed or repeated, or cut."""
    kind, at = generator.randrange(4), generator.randrange(len(content))
    length = generator.choice([1, 1, 4, 100])
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + generator.randbytes(length) + content[at + length :]
    if kind == 2:
        return content[:at] + content[at + length :]
    return content[:at] + content[at : at + length] * 2 + content[at + length :]


@pytest.mark.parametrize("name", [*FORMATS, "x.jsonl.gz", "x.csv.bz2", "x.json.xz", "x.txt", "x.txt.zst"])
def test_a_damaged_file_gives_documents_or_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    """200 of each, in both modes."""
    plain, _, packed = name.partition(".")[2].partition(".")
    content = FORMATS.get(f"x.{plain}", FORMATS.get(name, as_json_lines))(ROWS[:40])
    if plain == "txt":
        content = "\n\n".join(TEXTS).encode()
    content = COMPRESSED[f".{packed}"](content) if packed else content
    generator, refused = random.Random(name), 0
    for _ in range(200):
        path = tmp_path / name
        path.write_bytes(mutated(content, generator))
        for mode in ("stop", "skip"):
            try:
                found, left_out = read(f"files:{path}", on_bad_rows=mode)
            except ValueError as error:
                refused += 1
                assert str(path) in str(error) and "\n" not in str(error), error
            else:
                assert all(isinstance(document.text, str) for document in found)
                assert mode == "skip" or "bad rows" not in left_out
    assert refused or name == "x.txt.zst"


# Documents of text files


@given(text=st.text("ab \n\r\t語", max_size=400), scale=st.sampled_from([1, 30, 300]))
def test_the_documents_of_a_file_are_the_file(
    text: str, scale: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "whole.txt"
    path.write_bytes((text * scale).encode())
    assert "".join(texts(f"text:{path}")) == text * scale


@pytest.mark.parametrize("line_end", [" ", "\r", "\t"])
def test_a_file_without_line_ends_is_cut_at_white_space(line_end: str, tmp_path: Path) -> None:
    text = "".join(f"word{i}{line_end}" for i in range(20_000))
    (tmp_path / "x.txt").write_bytes(text.encode())
    corpus = make_corpus(CorpusConfig(f"text:{tmp_path / 'x.txt'}"), tmp_path / "corpus")
    parts = [list(corpus.texts(split)) for split in ("train", "val", "test")]
    assert "".join(text for split in parts for text in split) == text
    assert all(text.endswith(line_end) for split in parts for text in split)
    assert min(map(len, parts)) >= 3


def test_without_any_white_space_it_is_cut_anywhere(tmp_path: Path) -> None:
    text = "日本語" * 20_000
    (tmp_path / "x.txt").write_text(text)
    assert "".join(found := texts(f"text:{tmp_path}")) == text and len(found) > 50


def test_ordinary_long_lines_are_not_cut(tmp_path: Path) -> None:
    lines = [f"{i} " * 2 * LONGEST_LINE + "\n" for i in range(10)]
    (tmp_path / "x.txt").write_text("".join(lines))
    assert set("".join(text[-1] for text in texts(f"text:{tmp_path}"))) == {"\n"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("file", ["one\ntwo\r\n\n \nthree\n"]),
        ("line", ["one", "two", " ", "three"]),
        ("paragraph", ["one\ntwo", "three"]),
    ],
)
def test_documents_may_be_files_lines_or_paragraphs(
    document: str, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_bytes(b"one\ntwo\r\n\n \nthree\n")
    assert texts(f"text:{tmp_path}", document=document) == expected


def test_passages_of_many_files(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text("some words\n" * 100)
    assert len(texts(f"text:{tmp_path}")) == 30
    assert len(texts(f"text:{tmp_path}", document="passage")) > 30 * 10


def test_reading_continues_after_a_row_that_is_not_csv(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,number\none,1\n"bad"x,2\ntwo,3\n"never closed,4\n')
    found, left_out = read(f"files:{tmp_path}", on_bad_rows="skip")
    assert [document.text for document in found] == ["one", "two"]
    assert left_out["bad rows"][0] == 2
    with pytest.raises(ValueError, match=r"x\.csv line 3 is not CSV.*corpus\.on_bad_rows: skip"):
        read(f"files:{tmp_path}")
