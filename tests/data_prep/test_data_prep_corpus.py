"""A source becomes three splits in Parquet, which are left alone if nothing has changed."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

import data_prep.parts
from data_prep.corpus import SPLITS, Corpus, CorpusConfig, make_corpus, read_texts
from data_prep.sources import hash_split


def write_jsonl(path: Path, texts: list[str]) -> CorpusConfig:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return CorpusConfig(f"jsonl:{path}", val_fraction=0.2, test_fraction=0.2)


@pytest.fixture
def config(tmp_path: Path) -> CorpusConfig:
    """Sixty short documents."""
    return write_jsonl(tmp_path / "source.jsonl", [f"document {i}" for i in range(60)])


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """The files below a folder, with their identity, time of writing and content."""
    return {
        str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes())
        for p in folder.rglob("*")
        if p.is_file()
    }


# ---- content


def test_parquet_has_the_columns_id_text_language_domain_and_group(tiny_corpus: Corpus) -> None:
    for split in SPLITS:
        for path in tiny_corpus.files(split):
            schema = pyarrow.parquet.read_schema(path)
            assert schema.names == ["id", "text", "language", "domain", "group"]
            assert {str(field.type) for field in schema} == {"large_string"}


def test_columns_with_few_values_are_dictionary_encoded(tiny_corpus: Corpus) -> None:
    metadata = pyarrow.parquet.read_metadata(tiny_corpus.files("train")[0]).row_group(0)
    columns = [metadata.column(i) for i in range(metadata.num_columns)]
    with_dictionary = [c.path_in_schema for c in columns if "RLE_DICTIONARY" in c.encodings]
    assert with_dictionary == ["language", "domain", "group"]


def test_every_document_is_in_one_split_in_the_order_of_the_source(
    tiny_corpus: Corpus, tiny_source: Path
) -> None:
    lines = [json.loads(line)["text"] for line in tiny_source.read_text().splitlines()]
    config = tiny_corpus.manifest["config"]
    for split in SPLITS:
        expected = [
            (f"{tiny_source}:{number}", text)
            for number, text in enumerate(lines, start=1)
            if hash_split(text, config["val_fraction"], config["test_fraction"]) == split
        ]
        assert expected
        assert list(zip(tiny_corpus.ids(split), tiny_corpus.texts(split), strict=True)) == expected


def test_the_manifest_has_the_right_counts(tiny_corpus: Corpus) -> None:
    for split in SPLITS:
        texts = list(tiny_corpus.texts(split))
        counts = tiny_corpus.manifest["splits"][split]
        assert counts["documents"] == len(texts)
        assert counts["chars"] == sum(map(len, texts))
        assert counts["bytes"] == sum(len(text.encode()) for text in texts)


def test_the_manifest_has_the_hash_of_every_file(tiny_corpus: Corpus) -> None:
    files = {str(p.relative_to(tiny_corpus.folder)): p for p in tiny_corpus.folder.rglob("*.parquet")}
    assert tiny_corpus.manifest["files"] == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }


def test_equal_documents_are_in_one_split(tmp_path: Path) -> None:
    config = write_jsonl(tmp_path / "x.jsonl", [f"document {i % 100}" for i in range(300)])
    corpus = make_corpus(config, tmp_path / "corpus")
    found = {split: Counter(corpus.texts(split)) for split in SPLITS}
    assert sum(map(len, found.values())) == 100
    assert all(count == 3 for texts in found.values() for count in texts.values())


def test_empty_documents_are_dropped_and_counted_but_blank_ones_kept(tmp_path: Path) -> None:
    texts = [text for i in range(60) for text in (" " * i + "\n", "")]
    corpus = make_corpus(write_jsonl(tmp_path / "x.jsonl", texts), tmp_path / "corpus")
    assert corpus.left_out["empty documents"] == (60, f"{tmp_path / 'x.jsonl'}:2")
    assert sum(counts["documents"] for counts in corpus.manifest["splits"].values()) == 60


def test_a_large_corpus_is_written_in_several_files(
    config: CorpusConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_corpus(config, tmp_path / "whole")
    monkeypatch.setattr(data_prep.parts, "ROW_GROUP_CHARS", 50)
    monkeypatch.setattr(data_prep.parts, "SHARD_CHARS", 120)
    parts = make_corpus(config, tmp_path / "parts")
    assert len(whole.files("train")) == 1 < len(parts.files("train"))
    assert all(sum(map(len, read_texts(path))) >= 120 for path in parts.files("train")[:-1])
    monkeypatch.setattr(data_prep.parts, "ROW_GROUP_DOCUMENTS", 1)
    single = make_corpus(config, tmp_path / "single")
    file = pyarrow.parquet.ParquetFile(single.files("train")[0])
    assert {file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)} == {1}
    for split in SPLITS:
        assert list(parts.texts(split)) == list(single.texts(split)) == list(whole.texts(split))
        assert parts.ids(split) == whole.ids(split)
    assert parts.fingerprint == whole.fingerprint


def test_the_fingerprint_depends_on_the_text_not_on_its_location(
    config: CorpusConfig, tmp_path: Path
) -> None:
    first = make_corpus(config, tmp_path / "one")
    moved = write_jsonl(tmp_path / "moved.jsonl", [f"document {i}" for i in range(60)])
    assert make_corpus(moved, tmp_path / "two").fingerprint == first.fingerprint


def test_the_fingerprint_depends_on_how_the_same_text_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"a held-out text": "val", "another one": "test"}
    monkeypatch.setattr(data_prep.parts, "split_of", lambda document, *_: own.get(document.text, "train"))
    made = []
    for i, cut in enumerate((["ab", "c"], ["a", "bc"])):
        config = write_jsonl(tmp_path / f"{i}.jsonl", [*cut, *own])
        made.append(make_corpus(config, tmp_path / f"corpus{i}").fingerprint)
    assert made[0] != made[1]


# ---- made only once


def test_an_unchanged_corpus_is_not_made_again(config: CorpusConfig, tmp_path: Path) -> None:
    first = make_corpus(config, tmp_path / "corpus")
    before = state(first.folder)
    assert make_corpus(config, tmp_path / "corpus").fingerprint == first.fingerprint
    assert state(first.folder) == before


@pytest.mark.parametrize("change", ["another document", "the same size", "one file more", "the split"])
def test_a_corpus_of_other_text_is_replaced_only_when_told_to(change: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    config = write_jsonl(tmp_path / "in" / "a.jsonl", [f"document {i}" for i in range(60)])
    config = CorpusConfig(f"jsonl:{tmp_path / 'in'}", val_fraction=0.2, test_fraction=0.2)
    first = make_corpus(config, tmp_path / "corpus")
    if change == "another document":
        write_jsonl(tmp_path / "in" / "a.jsonl", [f"document {i}" for i in range(61)])
    elif change == "the same size":
        write_jsonl(tmp_path / "in" / "a.jsonl", [f"Document {i}" for i in range(60)])
        os.utime(tmp_path / "in" / "a.jsonl", (1, 1))
    elif change == "one file more":
        write_jsonl(tmp_path / "in" / "b.jsonl", ["one more"])
    else:
        config = CorpusConfig(config.source, val_fraction=0.3, test_fraction=0.2)
    before = state(first.folder)
    with pytest.raises(ValueError, match=r"holds (another corpus|a corpus of other text).*--replace"):
        make_corpus(config, tmp_path / "corpus")
    assert state(first.folder) == before
    assert make_corpus(config, tmp_path / "corpus", replace=True).fingerprint != first.fingerprint


def test_a_changed_hub_folder_remakes_the_corpus(tmp_path: Path, run_python: Callable) -> None:
    source, out = tmp_path / "set", tmp_path / "corpus"
    source.mkdir()
    for count in (60, 61):
        write_jsonl(source / "train.jsonl", [f"document {i}" for i in range(count)])
        fractions = ("--corpus.val_fraction", 0.2, "--corpus.test_fraction", 0.2)
        options = ("--out", out, "--corpus.source", f"hub:{source}", *fractions)
        done = run_python("-m", "data_prep.corpus", *options, *(["--replace"] if count > 60 else []))
        assert done.returncode == 0, done.stderr
        assert sum(counts["documents"] for counts in Corpus(out).manifest["splits"].values()) == count


def test_a_missing_file_remakes_the_corpus(config: CorpusConfig, tmp_path: Path) -> None:
    first = make_corpus(config, tmp_path / "corpus")
    first.files("test")[0].unlink()
    assert list(make_corpus(config, tmp_path / "corpus").texts("test"))


# ---- errors, which leave everything unchanged


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "holds no text"),
        (['{"text": ""}'], "holds no text"),
        (['{"text": "alone"}'], "no document falls into the"),
        (['{"text": "a"}', '{"body": "b"}'], "line 2 has no column 'text'"),
        (['{"text": "a"}', '{"text": "b\\ud800"}'], " line 2 has a lone surrogate at character 1"),
        (['{"text": "a", "group": "alone"}'], "no document falls into the .* remove the column"),
        (['{"text": "a", "group": "a"}'], "no document falls into the .* remove the column"),
        (['{"text": "a"}', "\udcff"], "is not UTF-8"),
    ],
)
def test_an_invalid_source_is_refused(lines: list[str], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes("".join(line + "\n" for line in lines).encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=f"{path}.*{complaint}") as caught:
        make_corpus(CorpusConfig(f"jsonl:{path}"), tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["x.jsonl"]


def test_a_corpus_is_left_unchanged_if_remaking_it_fails(config: CorpusConfig, tmp_path: Path) -> None:
    folder = make_corpus(config, tmp_path / "corpus").folder
    before = state(folder)
    with open(tmp_path / "source.jsonl", "ab") as file:
        file.write(b'{"text": "\xff"}\n')
    with pytest.raises(ValueError, match="is not UTF-8"):
        make_corpus(config, folder)
    assert state(folder) == before
    assert sorted(os.listdir(tmp_path)) == ["corpus", "source.jsonl"]


def test_a_folder_with_other_content_is_not_replaced(config: CorpusConfig, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("do not lose this")
    with pytest.raises(ValueError, match=str(tmp_path / "mine")):
        make_corpus(config, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "do not lose this"


def test_the_source_is_not_replaced_by_the_corpus(config: CorpusConfig, tmp_path: Path) -> None:
    folder = CorpusConfig(f"jsonl:{tmp_path}", val_fraction=0.2, test_fraction=0.2)
    with pytest.raises(ValueError, match=str(tmp_path)):
        make_corpus(folder, tmp_path)
    assert (tmp_path / "source.jsonl").exists()


@pytest.mark.parametrize(("val", "test"), [(0, 0.1), (0.1, 0), (-0.1, 0.1), (0.5, 0.5), (0.9, 0.2), (0.1, 2)])
def test_fractions_that_leave_a_split_empty_are_refused(val: float, test: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and together below 1"):
        CorpusConfig(val_fraction=val, test_fraction=test)


def test_an_unknown_source_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="did you mean 'jsonl'"):
        CorpusConfig("jsonlines:x")


def test_the_error_for_a_folder_without_a_corpus_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no corpus.*python -m data_prep\.corpus"):
        Corpus(tmp_path)


def test_a_corpus_of_another_format_is_refused(config: CorpusConfig, tmp_path: Path) -> None:
    folder = make_corpus(config, tmp_path / "corpus").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        Corpus(folder)


def test_a_manifest_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match=str(tmp_path)):
        Corpus(tmp_path)


def test_a_manifest_that_is_not_json_is_named(config: CorpusConfig, tmp_path: Path) -> None:
    folder = make_corpus(config, tmp_path / "corpus").folder
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is not JSON.*remove it"):
        make_corpus(config, folder)
