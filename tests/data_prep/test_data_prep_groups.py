"""Language and domain of a document: kept from the source to the corpus, or refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from data_prep.corpus import SPLITS, Corpus, CorpusConfig, make_corpus
from data_prep.sources import Document, hash_split, read_documents

ROWS = [
    {"text": "one", "language": "en", "domain": "news"},
    {"text": "zwei", "language": "de", "domain": None},
    {"text": "trois", "language": None, "domain": "日本"},
]


def documents(source: str, column: str = "text") -> list[Document]:
    return list(read_documents(source, column))


def write_rows(kind: str, path: Path, rows: list[dict]) -> str:
    """A source of this kind that holds these rows."""
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return f"{kind}:{path}"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_language_and_domain_of_a_row_are_kept(kind: str, tmp_path: Path) -> None:
    found = documents(write_rows(kind, tmp_path / "x", ROWS))
    assert [{"text": d.text, "language": d.language, "domain": d.domain} for d in found] == ROWS


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_source_may_have_only_one_of_them(kind: str, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "domain": row["domain"]} for row in ROWS]
    found = documents(write_rows(kind, tmp_path / "x", rows))
    assert [(d.language, d.domain) for d in found] == [(None, "news"), (None, None), (None, "日本")]


def test_a_line_of_jsonl_may_lack_what_another_has(tmp_path: Path) -> None:
    found = documents(write_rows("jsonl", tmp_path / "x", [{"text": "no"}, *ROWS[:1]]))
    assert [(d.language, d.domain) for d in found] == [(None, None), ("en", "news")]


@pytest.mark.parametrize("type_", [pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), pyarrow.null()])
def test_a_column_of_parquet_may_be_of_any_string_type_or_null(
    type_: pyarrow.DataType, tmp_path: Path
) -> None:
    value = None if type_ == pyarrow.null() else "en"
    table = pyarrow.table({"language": pyarrow.array([value]).cast(type_), "text": ["a"]})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert documents(f"parquet:{tmp_path}")[0].language == value


@pytest.mark.parametrize("name", ["language", "domain"])
@pytest.mark.parametrize(("value", "type_"), [(7, "int"), (["en"], "list"), (True, "bool")])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_language_or_domain_that_is_no_text_is_named(
    kind: str, value: object, type_: str, name: str, tmp_path: Path
) -> None:
    source = write_rows(kind, tmp_path / "x", [{"text": "a", name: value}])
    place = f"{tmp_path / 'x'}:{1 if kind == 'jsonl' else 0}"
    with pytest.raises(ValueError) as caught:
        documents(source)
    assert str(caught.value) == f"{place}: column '{name}' holds {type_}, not text: rename or remove it"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_column_of_the_text_is_no_group(kind: str, tmp_path: Path) -> None:
    source = write_rows(kind, tmp_path / "x", ROWS[:1])
    assert documents(source, "domain") == [Document(documents(source)[0].id, "news", language="en")]


HUB_SCRIPT = """
import json, sys
from data_prep.sources import read_documents
print(json.dumps([[d.text, d.language, d.domain] for d in read_documents("hub:" + sys.argv[1])]))
"""


def test_a_hub_data_set_keeps_language_and_domain(tmp_path: Path, run_python: Callable) -> None:
    write_rows("jsonl", tmp_path / "train.jsonl", [row | {"other": 1} for row in ROWS])
    done = run_python("-c", HUB_SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [[row["text"], row["language"], row["domain"]] for row in ROWS]


# ---- in a corpus


def write_languages(path: Path, languages: list[str | None]) -> CorpusConfig:
    rows = [{"text": f"document {i}", "language": value} for i, value in enumerate(languages)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return CorpusConfig(f"jsonl:{path}", val_fraction=0.2, test_fraction=0.2)


def test_the_groups_of_a_split_are_in_the_order_of_its_documents(tmp_path: Path) -> None:
    languages = ["en", "de", None] * 20
    corpus = make_corpus(write_languages(tmp_path / "x.jsonl", languages), tmp_path / "corpus")
    assert corpus.manifest["groups"] == ["language"]
    for split in SPLITS:
        numbers = [int(text.split()[1]) for text in corpus.texts(split)]
        assert corpus.groups(split) == {"language": [languages[number] for number in numbers]}


def test_a_corpus_without_groups_says_so(tiny_corpus: Corpus) -> None:
    assert tiny_corpus.manifest["groups"] == []
    assert tiny_corpus.groups("test") == {}
    column = pyarrow.parquet.read_table(tiny_corpus.files("test")[0]).column("language")
    assert column.null_count == len(column) > 0


def test_a_split_without_a_value_has_the_groups_of_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    texts = [f"document {i}" for i in range(60)]
    languages = ["en" if hash_split(text, 0.2, 0.2) == "train" else None for text in texts]
    corpus = make_corpus(write_languages(path, languages), tmp_path / "corpus")
    assert set(corpus.groups("test")["language"]) == {None}


def test_other_groups_are_another_fingerprint_but_the_same_text(tmp_path: Path) -> None:
    ways = [[None] * 60, ["en"] * 60, ["en"] * 59 + ["de"], ["en"] * 59 + [None]]
    made = [
        make_corpus(write_languages(tmp_path / f"{i}.jsonl", languages), tmp_path / f"corpus{i}")
        for i, languages in enumerate(ways)
    ]
    assert len({corpus.fingerprint for corpus in made}) == 4
    assert all(corpus.manifest["splits"] == made[0].manifest["splits"] for corpus in made)
