"""Every source gives its documents unchanged, or a one-line error with the place."""

import hashlib
import json
import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.config import CorpusConfig, check_source
from data_prep.document import Document
from data_prep.passages import FEW_FILES, PASSAGE_CHARS
from data_prep.sources import hash_split, read_documents

ODD_TEXT = "\ufeffone\r\ntwo\rthree\n\n\0 tab\t\u2028 \x85 e\u0301 \u2581 \U0001f9ff  \r\n\r\n end "


def documents(source: str, column: str = "text") -> list[Document]:
    return list(read_documents(CorpusConfig(source, column)))


def texts(source: str, column: str = "text") -> list[str]:
    return [document.text for document in documents(source, column)]


def refusal(source: str, column: str = "text") -> str:
    """The one-line error of reading this source."""
    with pytest.raises((ValueError, OSError)) as caught:
        documents(source, column)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_jsonl(path: Path, texts: list, column: str = "text") -> Path:
    path.write_text("".join(json.dumps({column: text}) + "\n" for text in texts))
    return path


def write_parquet(path: Path, texts: list, column: str = "text", **options: object) -> Path:
    pyarrow.parquet.write_table(pyarrow.table({"n": list(range(len(texts))), column: texts}), path, **options)
    return path


# ---- names of sources


@pytest.mark.parametrize(
    ("source", "nearest"),
    [("shakespear", "shakespeare"), ("json:x", "jsonl"), ("txt:x", "text"), ("parket:x", "parquet")],
)
def test_an_unknown_source_names_the_nearest(source: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"unknown corpus source '{source}'.*'{nearest}'"):
        check_source(source)


def test_the_error_for_a_source_unlike_any_other_lists_all() -> None:
    with pytest.raises(ValueError, match="shakespeare, files:, text:, jsonl:, parquet:, hub:"):
        check_source("/data/books")


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet", "hub"])
def test_the_error_for_a_source_without_a_path_says_what_is_missing(kind: str) -> None:
    with pytest.raises(ValueError, match="needs a path or name"):
        check_source(f"{kind}:")


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["missing", "missing/*", ""])
def test_a_path_without_files_is_named(kind: str, name: str, tmp_path: Path) -> None:
    assert str(tmp_path / name) in refusal(f"{kind}:{tmp_path / name}")


# ---- text


def test_a_text_file_is_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_bytes(ODD_TEXT.encode())
    assert "".join(texts(f"text:{path}")) == ODD_TEXT


PARTS = st.sampled_from(["\n\n", "\r\n\r\n", "\n \t\n", "\r", "\n", " ", "é" * 3000, "word " * 900, ODD_TEXT])


@given(parts=st.lists(PARTS, max_size=20))
def test_the_concatenated_passages_of_a_file_are_the_file(
    parts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "passages.txt"
    path.write_bytes("".join(parts).encode())
    assert "".join(texts(f"text:{path}")).encode() == path.read_bytes()


def write_book(path: Path, paragraphs: int, end: str = "\n\n") -> Path:
    """Paragraphs (or lines, with another `end`) of 500 characters and the end."""
    path.write_text("".join(f"{i:<9} {'a word ' * 70}{end}" for i in range(paragraphs)))
    return path


def test_a_passage_ends_at_the_first_paragraph_end_past_its_length(tmp_path: Path) -> None:
    found = texts(f"text:{write_book(tmp_path / 'book.txt', 2000)}")
    assert all(PASSAGE_CHARS <= len(text) < PASSAGE_CHARS + 502 for text in found[:-1])
    assert all(text.endswith("\n\n") for text in found)


def test_without_paragraphs_a_passage_ends_at_a_line_end(tmp_path: Path) -> None:
    found = texts(f"text:{write_book(tmp_path / 'book.txt', 2000, end=chr(10))}")
    assert all(2 * PASSAGE_CHARS <= len(text) < 2 * PASSAGE_CHARS + 501 for text in found[:-1])
    assert all(text.endswith("\n") for text in found)


def test_a_small_book_has_shorter_passages_so_that_some_are_held_out(tmp_path: Path) -> None:
    found = documents(f"text:{write_book(tmp_path / 'book.txt', 100)}")
    assert 30 <= len(found) <= 60
    assert {document.split for document in found} == {"train", "val", "test"}


@pytest.mark.parametrize(("val", "test"), [(0.05, 0.05), (0.1, 0.2), (0.3, 0.02)])
def test_the_end_of_a_book_is_held_out(val: float, test: float, tmp_path: Path) -> None:
    path = write_book(tmp_path / "book.txt", 5000)
    found = list(read_documents(CorpusConfig(f"text:{path}", val_fraction=val, test_fraction=test)))
    splits = [document.split for document in found]
    assert splits == sorted(splits, key=["train", "val", "test"].index)  # in this order, not mixed
    chars = {s: sum(len(d.text) for d in found if d.split == s) for s in ("train", "val", "test")}
    total = sum(chars.values())
    assert chars["val"] / total == pytest.approx(val, abs=0.01)
    assert chars["test"] / total == pytest.approx(test, abs=0.01)


def test_each_of_a_few_files_is_split_into_passages(tmp_path: Path) -> None:
    for i in range(FEW_FILES - 1):
        (tmp_path / f"{i:02}.txt").write_text(f"{i}\n" * PASSAGE_CHARS + "\n\nrest")
    found = documents(f"text:{tmp_path}")
    groups = [document.group for document in found]
    assert list(dict.fromkeys(groups)) == [f"{i:02}.txt" for i in range(FEW_FILES - 1)]
    assert len(groups) > 2 * FEW_FILES


@pytest.mark.parametrize(
    ("names", "argument", "groups"),
    [
        (["in/a.txt"], "in/a.txt", ["a.txt"]),
        (["in/a.txt", "in/b/c.txt"], "in", ["a.txt", "b/c.txt"]),
        (["in/a/x.txt", "in/b/x.txt"], "in/*/x.txt", ["a/x.txt", "b/x.txt"]),
        (["in/a/x.txt", "in/a/y.txt"], "in", ["x.txt", "y.txt"]),
    ],
)
@pytest.mark.parametrize("relative", [True, False])
def test_the_group_of_a_passage_is_its_file_below_the_common_folder(
    names: list[str],
    argument: str,
    groups: list[str],
    relative: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever that folder is."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("some text")
    monkeypatch.chdir(tmp_path)
    found = documents(f"text:{'' if relative else f'{tmp_path}/'}{argument}")
    assert [document.group for document in found] == groups


def test_each_of_many_files_is_a_document(tmp_path: Path) -> None:
    for i in range(FEW_FILES):
        (tmp_path / f"{i:02}.txt").write_text(f"{i:02}" * PASSAGE_CHARS + "\n\nrest")
    found = documents(f"text:{tmp_path}")
    assert [document.text[:2] for document in found] == [f"{i:02}" for i in range(FEW_FILES)]
    assert {document.split for document in found} == {document.group for document in found} == {None}


def test_a_folder_gives_its_text_files_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    for name in ("b.txt", "deep/a.md", "deep/deeper/c.txt", "deep/no.csv", "no"):
        (tmp_path / name).write_text(name)
    assert sorted(texts(f"text:{tmp_path}")) == ["b.txt", "deep/a.md", "deep/deeper/c.txt"]


def test_a_folder_named_like_a_text_file_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "chapters.txt").mkdir()
    (tmp_path / "chapters.txt" / "one.txt").write_text("one")
    assert texts(f"text:{tmp_path}") == ["one"]


def test_a_glob_gives_the_files_that_it_matches(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.txt", "b.log", "deep/c.log"):
        (tmp_path / name).write_text(name)
    assert texts(f"text:{tmp_path}/*.log") == ["b.log"]
    assert sorted(texts(f"text:{tmp_path}/**/*.log")) == ["b.log", "deep/c.log"]


@pytest.mark.parametrize(
    "name", ["notes", "notes.log", "a:b.txt", "50% [draft].txt", "what?.txt", "日本.txt"]
)
def test_a_file_can_have_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("some text")
    assert texts(f"text:{tmp_path / name}") == ["some text"]


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"\xff", 0),
        (b"caf\xe9 au lait", 3),
        ("é€😀".encode() + b"\xed\xa0\x80", 9),  # a surrogate
        (b"a\xc0\x80", 1),  # an overlong NUL
        (b"x" * 100_000 + "€".encode()[:2], 100_000),  # cut short
    ],
)
@pytest.mark.parametrize("kind", ["text", "jsonl"])
def test_the_byte_offset_of_text_that_is_not_utf8_is_named(
    kind: str, content: bytes, offset: int, tmp_path: Path
) -> None:
    before = b'{"text": "fine \xe2\x82\xac"}\n' * 2 + b'{"text": "' if kind == "jsonl" else b""
    path = tmp_path / f"bad.{kind}"
    path.write_bytes(before + content)
    message = refusal(f"{kind}:{path}")
    assert str(path) in message
    assert re.search(rf"offset {len(before) + offset}\b", message)


def test_that_offset_counts_from_the_beginning_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes("é\n".encode() * 1000 + b"\xe2\n")
    assert "byte 0xe2 at offset 3000;" in refusal(f"text:{path}")


# ---- jsonl


def test_jsonl_gives_one_document_per_line(tmp_path: Path) -> None:
    written = [ODD_TEXT, "second", " "]
    assert texts(f"jsonl:{write_jsonl(tmp_path / 'x.jsonl', written)}") == written


def test_jsonl_can_have_literal_and_escaped_characters(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"text": "é😀\u2028\x85"}\r\n{"text": "\\u00e9\\ud83d\\ude00\\r\\n"}'.encode())
    assert texts(f"jsonl:{path}") == ["é😀\u2028\x85", "é😀\r\n"]


def test_blank_lines_of_jsonl_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('\n{"text": "a"}\n  \n\n{"text": "b"}')
    found = documents(f"jsonl:{path}")
    assert [document.text for document in found] == ["a", "b"]
    assert [document.id for document in found] == [f"{path}:2", f"{path}:5"]


def test_a_folder_of_jsonl_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in "bca":
        write_jsonl(tmp_path / f"{name}.jsonl", [name])
    assert texts(f"jsonl:{tmp_path}") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"text": "cut', "line 3 is not JSON"),
        ("plain text", "line 3 is not JSON"),
        ('["text"]', "line 3 is not a JSON object"),
        ('"text"', "line 3 is not a JSON object"),
        ('{"body": "x", "title": "y"}', "line 3 has no column 'text' (columns: body, title)"),
        ("{}", "line 3 has no column 'text'"),
        ('{"text": 7}', " line 3 column 'text' has type int, not text"),
        ('{"text": ["a"]}', " line 3 column 'text' has type list, not text"),
    ],
)
def test_an_invalid_line_is_named(line: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n\n' + line + "\n")
    message = refusal(f"jsonl:{path}")
    assert str(path) in message and complaint in message


# ---- parquet


def test_parquet_gives_one_document_per_row(tmp_path: Path) -> None:
    written = [ODD_TEXT, *map(str, range(1000))]
    path = write_parquet(tmp_path / "x.parquet", written, row_group_size=7)
    assert texts(f"parquet:{path}") == written


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_column_can_be_chosen(kind: str, tmp_path: Path) -> None:
    write = write_jsonl if kind == "jsonl" else write_parquet
    path = write(tmp_path / f"x.{kind}", ["a", "b"], column="body")
    assert texts(f"{kind}:{path}", "body") == ["a", "b"]
    assert "has no column 'text'" in refusal(f"{kind}:{path}") and "body" in refusal(f"{kind}:{path}")


@pytest.mark.parametrize(
    "type_", [pyarrow.large_string(), pyarrow.dictionary(pyarrow.int8(), pyarrow.string())]
)
def test_parquet_text_can_have_any_string_type(type_: pyarrow.DataType, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", pyarrow.array(["a", ODD_TEXT, "a"]).cast(type_))
    assert texts(f"parquet:{path}") == ["a", ODD_TEXT, "a"]


def test_a_parquet_row_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [7])
    assert refusal(f"parquet:{path}").startswith(f"{path} row 0 column 'text' has type int, not text")


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_a_broken_parquet_file_is_named(cut: int, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", ["text"] * 100)
    path.write_bytes(path.read_bytes()[:cut])
    assert str(path) in refusal(f"parquet:{path}")


def test_parquet_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    """Parquet does not check this, so other programs may write such files."""
    bad = pyarrow.array([b"fine", b"caf\xe9"]).view(pyarrow.binary())
    text = pyarrow.StringArray.from_buffers(2, bad.buffers()[1], bad.buffers()[2])
    path = write_parquet(tmp_path / "x.parquet", text)
    message = refusal(f"parquet:{path}")
    assert str(path) in message and "UTF-8" in message and "offset 3" in message


# ---- the split of a document


def test_the_split_does_not_change_from_version_to_version() -> None:
    """The first eight bytes of SHA-256 decide, so results on the same corpus remain comparable."""
    text = "to be"
    draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") / 2**64
    assert hash_split(text, 0.01, draw + 1e-9) == "test"
    assert hash_split(text, 0.01, draw - 1e-9) == "val"
    assert hash_split(text, 0.01, draw - 0.02) == "train"


def test_the_shares_are_close_to_the_fractions() -> None:
    found = [hash_split(f"document {i}", 0.1, 0.3) for i in range(20_000)]
    assert found.count("val") / len(found) == pytest.approx(0.1, abs=0.01)
    assert found.count("test") / len(found) == pytest.approx(0.3, abs=0.015)


def test_a_larger_test_split_contains_the_smaller_one() -> None:
    texts = [f"document {i}" for i in range(2000)]
    small = {text for text in texts if hash_split(text, 0.05, 0.05) == "test"}
    assert small <= {text for text in texts if hash_split(text, 0.05, 0.2) == "test"}


@pytest.mark.parametrize(("length", "paragraph"), [(3_000, 1), (560_000, 10**9), (560_000, 7)])
def test_a_single_file_is_split_in_order_by_the_fractions(
    tmp_path: Path, length: int, paragraph: int
) -> None:
    """A small file, one without empty lines, and an ordinary one."""
    lines = [f"line {i}\n" + "\n" * (i % paragraph == 0) for i in range(length // 10)]
    (tmp_path / "book.txt").write_text("".join(lines))
    documents = list(
        read_documents(CorpusConfig(f"text:{tmp_path}/book.txt", val_fraction=0.2, test_fraction=0.3))
    )
    assert "".join(d.text for d in documents) == "".join(lines)
    splits = [d.split for d in documents]
    assert splits == sorted(splits, key=["train", "val", "test"].index)
    total = sum(map(len, lines))
    for split, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        held = sum(len(d.text) for d in documents if d.split == split)
        assert held / total == pytest.approx(share, abs=0.05)
