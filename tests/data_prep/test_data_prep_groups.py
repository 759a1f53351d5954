"""Language, domain and group of a document are kept from the source to the corpus, or refused in one line."""

import json
import random
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.debian_corpus import group as debian_group
from data_prep.corpus import SPLITS, Corpus, CorpusConfig, make_corpus
from data_prep.document import Document
from data_prep.inputs import LeftOut
from data_prep.sources import _site, hash_split, read_documents

ROWS = [
    {"text": "one", "language": "en", "domain": "news"},
    {"text": "zwei", "language": "de", "domain": None},
    {"text": "trois", "language": None, "domain": "日本"},
]


def documents(source: str, column: str = "text") -> list[Document]:
    return list(read_documents(CorpusConfig(source, column)))


def write_rows(kind: str, path: Path, rows: list[dict]) -> str:
    """A source of this kind with these rows."""
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
def test_a_source_can_have_only_one_of_them(kind: str, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "domain": row["domain"]} for row in ROWS]
    found = documents(write_rows(kind, tmp_path / "x", rows))
    assert [(d.language, d.domain) for d in found] == [(None, "news"), (None, None), (None, "日本")]


def test_lines_of_jsonl_can_have_different_columns(tmp_path: Path) -> None:
    found = documents(write_rows("jsonl", tmp_path / "x", [{"text": "no"}, *ROWS[:1]]))
    assert [(d.language, d.domain) for d in found] == [(None, None), ("en", "news")]


@pytest.mark.parametrize("type_", [pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), pyarrow.null()])
def test_a_column_of_parquet_can_have_any_string_type_or_null(
    type_: pyarrow.DataType, tmp_path: Path
) -> None:
    value = None if type_ == pyarrow.null() else "en"
    table = pyarrow.table({"language": pyarrow.array([value]).cast(type_), "text": ["a"]})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert documents(f"parquet:{tmp_path}")[0].language == value


@pytest.mark.parametrize("name", ["language", "domain", "group"])
@pytest.mark.parametrize(
    ("value", "label"), [(7, "7"), (True, "true"), (0.5, "0.5"), (["en"], None), ({"a": "b"}, None)]
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_label_that_is_not_text_becomes_text_or_is_left_out_and_counted(
    kind: str, value: object, label: str | None, name: str, tmp_path: Path
) -> None:
    source, left_out = write_rows(kind, tmp_path / "x", [{"text": "a", name: value}]), LeftOut()
    (document,) = read_documents(CorpusConfig(source), left_out)
    assert getattr(document, name) == label
    place = f"{tmp_path / 'x'} {'line 1' if kind == 'jsonl' else 'row 0'}"
    reason = f"values of the column '{name}' that are not text"
    assert left_out == ({} if label else {reason: (1, place)})


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_the_column_of_the_text_is_not_a_category(kind: str, tmp_path: Path) -> None:
    source = write_rows(kind, tmp_path / "x", ROWS[:1])
    assert documents(source, "domain") == [Document(documents(source)[0].id, "news", language="en")]


HUB_SCRIPT = """
import json, sys
from data_prep.config import CorpusConfig
from data_prep.sources import read_documents
documents = read_documents(CorpusConfig("hub:" + sys.argv[1]))
print(json.dumps([[d.text, d.language, d.domain, d.group] for d in documents]))
"""


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        ({"other": 1}, [None, None, None]),
        ({"group": 7, "url": "https://a.org/"}, ["7", "7", "7"]),
        ({"url": "https://www.a.org/page"}, ["site:a.org", "site:a.org", "site:a.org"]),
    ],
)
def test_a_hub_data_set_keeps_language_domain_and_group(
    columns: dict, groups: list[str | None], tmp_path: Path, run_python: Callable
) -> None:
    write_rows("jsonl", tmp_path / "train.jsonl", [row | columns for row in ROWS])
    done = run_python("-c", HUB_SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = zip(ROWS, groups, strict=True)
    assert found == [[row["text"], row["language"], row["domain"], group] for row, group in expected]


# ---- groups


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (["a", None, "日本", ""], ["a", None, "日本", None]),
        ([7, None, -1, 2**60], ["7", None, "-1", str(2**60)]),
    ],
)
def test_the_group_of_a_row_is_kept_and_integers_become_text(
    kind: str, values: list, groups: list[str | None], tmp_path: Path
) -> None:
    source = write_rows(kind, tmp_path / "x", [{"text": "t", "group": value} for value in values])
    assert [document.group for document in documents(source)] == groups


URLS = [
    ("https://example.org/a/page?q=1#part", "site:example.org"),
    ("http://www.example.org", "site:example.org"),
    ("HTTPS://User:Secret@WWW.Example.Org:8080/", "site:example.org"),
    ("//cdn.example.org/x", "site:cdn.example.org"),
    ("https://www2.example.org/", "site:www2.example.org"),
    ("https://[2001:db8::1]:80/", "site:2001:db8::1"),
    ("https://пример.рф/страница", "site:пример.рф"),
    ("https://www./", None),
    ("https://[broken/", None),
    ("https://\u2100.org/", None),  # becomes a/c.org in NFKC, which urllib refuses
    ("mailto:me@example.org", None),
    ("example.org/page", None),
    ("no URL at all", None),
    ("", None),
    (None, None),
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_without_a_column_group_it_is_the_host_of_the_url(kind: str, tmp_path: Path) -> None:
    source = write_rows(kind, tmp_path / "x", [{"text": "a", "url": url} for url, _ in URLS])
    assert [document.group for document in documents(source)] == [host for _, host in URLS]


NO_TEXT = [7, True, ["https://example.org"], {"host": "example.org"}]


@pytest.mark.parametrize(
    ("kind", "url"),
    [*(("jsonl", url) for url in NO_TEXT), *(("parquet", url) for url in [*NO_TEXT, b"https://example.org"])],
)
def test_a_url_that_is_not_text_gives_no_group(kind: str, url: object, tmp_path: Path) -> None:
    (found,) = documents(write_rows(kind, tmp_path / "x", [{"text": "a", "url": url}]))
    assert found.group is None


URL_PARTS = st.sampled_from(
    ["http://", "//", "www.", "a", "ß", "[", "]", ":", "@", "/", "%", "℀", "\ud800", " "]
)


@given(urls=st.lists(st.one_of(st.text(), st.lists(URL_PARTS).map("".join)), min_size=1))
def test_no_value_of_the_column_url_is_an_error(
    urls: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "urls.jsonl"
    found = documents(write_rows("jsonl", path, [{"text": "a", "url": url} for url in urls]))
    for document, url in zip(found, urls, strict=True):
        assert document.group is None or (document.group.encode() and "//" in url)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_with_a_column_group_the_url_is_not_used(kind: str, tmp_path: Path) -> None:
    rows = [{"text": "a", "group": value, "url": "https://example.org/"} for value in ("one", None)]
    found = documents(write_rows(kind, tmp_path / "x", rows))
    assert [document.group for document in found] == ["one", None]


def test_each_line_of_jsonl_has_its_own_columns(tmp_path: Path) -> None:
    rows = [{"group": "one"}, {"url": "https://example.org/"}, {}]
    found = documents(write_rows("jsonl", tmp_path / "x", [{"text": "a", **row} for row in rows]))
    assert [document.group for document in found] == ["one", "site:example.org", None]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(("column", "group"), [("group", "site:example.org"), ("url", None)])
def test_the_column_of_the_text_is_not_a_group(
    kind: str, column: str, group: str | None, tmp_path: Path
) -> None:
    row = {"group": "a text"} if column == "group" else {}
    source = write_rows(kind, tmp_path / "x", [{**row, "url": "https://example.org/"}])
    assert [document.group for document in documents(source, column)] == [group]


@pytest.mark.parametrize(
    ("there", "read"),
    [
        (["text", "url", "group", "domain", "html"], ["text", "domain", "group"]),
        (["html", "url", "text"], ["text", "url"]),
        (["html", "text"], ["text"]),
    ],
)
def test_only_the_needed_columns_are_read(
    there: list[str], read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    iter_batches = pyarrow.parquet.ParquetFile.iter_batches

    def record(file: pyarrow.parquet.ParquetFile, columns: list[str], **options: object) -> object:
        asked.append(columns)
        return iter_batches(file, columns=columns, **options)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", record)
    documents(write_rows("parquet", tmp_path / "x", [dict.fromkeys(there, "a")]))
    assert asked == [read]


# ---- in a corpus


def write_languages(path: Path, languages: list[str | None]) -> CorpusConfig:
    rows = [{"text": f"document {i}", "language": value} for i, value in enumerate(languages)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return CorpusConfig(f"jsonl:{path}", val_fraction=0.2, test_fraction=0.2)


def test_the_categories_of_a_split_are_in_the_order_of_its_documents(tmp_path: Path) -> None:
    languages = ["en", "de", None] * 20
    corpus = make_corpus(write_languages(tmp_path / "x.jsonl", languages), tmp_path / "corpus")
    assert corpus.manifest["categories"] == ["language"]
    for split in SPLITS:
        numbers = [int(text.split()[1]) for text in corpus.texts(split)]
        assert corpus.categories(split) == {"language": [languages[number] for number in numbers]}


def test_a_corpus_without_categories_and_groups_has_none(tiny_corpus: Corpus) -> None:
    assert tiny_corpus.manifest["categories"] == []
    assert tiny_corpus.categories("test") == {}
    assert all(tiny_corpus.clusters(split) is None for split in SPLITS)
    table = pyarrow.parquet.read_table(tiny_corpus.files("test")[0])
    for name in ("language", "domain", "group"):
        assert table.column(name).null_count == len(table) > 0


def test_a_split_without_a_value_has_the_categories_of_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    texts = [f"document {i}" for i in range(60)]
    languages = ["en" if hash_split(text, 0.2, 0.2) == "train" else None for text in texts]
    corpus = make_corpus(write_languages(path, languages), tmp_path / "corpus")
    assert set(corpus.categories("test")["language"]) == {None}


def test_other_categories_change_the_fingerprint_but_not_the_text(tmp_path: Path) -> None:
    ways = [[None] * 60, ["en"] * 60, ["en"] * 59 + ["de"], ["en"] * 59 + [None]]
    made = [
        make_corpus(write_languages(tmp_path / f"{i}.jsonl", languages), tmp_path / f"corpus{i}")
        for i, languages in enumerate(ways)
    ]
    assert len({corpus.fingerprint for corpus in made}) == 4
    assert all(corpus.manifest["splits"] == made[0].manifest["splits"] for corpus in made)


def write_groups(path: Path, texts: list[str], groups: list[str | None]) -> CorpusConfig:
    rows = [{"text": text, "group": group} for text, group in zip(texts, groups, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return CorpusConfig(f"jsonl:{path}", val_fraction=0.2, test_fraction=0.2)


TEXTS = [f"document {i}" for i in range(60)]
OF_SPLIT = {split: [text for text in TEXTS if hash_split(text, 0.2, 0.2) == split] for split in SPLITS}
NO_GROUP = [OF_SPLIT[split][0] for split in SPLITS]  # so that no split is empty


@given(groups=st.lists(st.one_of(st.none(), st.sampled_from("abcdefghij"), st.text(max_size=2)), max_size=40))
@settings(max_examples=40)
def test_a_group_is_in_one_split_and_its_documents_have_one_number(
    groups: list[str | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.getbasetemp()
    texts = [*NO_GROUP, *(f"text {i}" for i in range(len(groups)))]
    config = write_groups(base / "groups.jsonl", texts, [None, None, None, *groups])
    corpus = make_corpus(config, base / "groups", replace=True)
    group_of = dict(zip(texts, [None, None, None, *(group or None for group in groups)], strict=True))
    split_of: dict[str | None, str] = {}
    for split in SPLITS:
        found = [group_of[text] for text in corpus.texts(split)]
        for group in set(found) - {None}:
            assert split_of.setdefault(group, split) == split
        own = [str(i) if group is None else (group,) for i, group in enumerate(found)]
        first = list(dict.fromkeys(own))  # the groups in order of first appearance
        clusters = corpus.clusters(split)
        if len(first) == len(own):
            assert clusters is None
        else:
            assert clusters is not None and clusters.dtype == np.int64
            assert clusters.tolist() == [first.index(group) for group in own]


def test_the_split_of_a_group_is_drawn_from_its_name(tmp_path: Path) -> None:
    names = [f"site {i}" for i in range(100)]
    groups = random.Random(0).choices(names, k=500)
    texts = [f"text {i}" for i in range(500)]
    corpus = make_corpus(write_groups(tmp_path / "x.jsonl", texts, groups), tmp_path / "corpus")
    for split in SPLITS:
        expected = [
            text for text, group in zip(texts, groups, strict=True) if hash_split(group, 0.2, 0.2) == split
        ]
        assert list(corpus.texts(split)) == expected


def test_equal_texts_of_different_groups_may_be_in_different_splits(tmp_path: Path) -> None:
    config = write_groups(tmp_path / "x.jsonl", ["the same"] * 60, TEXTS)
    corpus = make_corpus(config, tmp_path / "corpus")
    assert all(set(corpus.texts(split)) == {"the same"} for split in SPLITS)


def test_the_error_for_too_few_groups_says_what_to_do(tmp_path: Path) -> None:
    config = write_groups(tmp_path / "x.jsonl", TEXTS, ["one", "two"] * 30)
    with pytest.raises(ValueError) as caught:
        make_corpus(config, tmp_path / "corpus")
    message = str(caught.value)
    assert (
        "few groups" in message and "larger fractions" in message and "remove the column 'group'" in message
    )
    assert "more documents" not in message and "\n" not in message


def test_other_groups_change_the_fingerprint_but_not_the_text(tmp_path: Path) -> None:
    """Here only training documents have a group, and its name belongs to the training split, too."""
    first, second = [name for name in map(str, range(20)) if hash_split(name, 0.2, 0.2) == "train"][:2]
    train = OF_SPLIT["train"]
    ways: list[dict[str, str]] = [
        {},
        dict.fromkeys(train, first),
        dict.fromkeys(train, second),
        dict.fromkeys(train, first) | {train[-1]: second},
        dict.fromkeys(train[:-1], first),
    ]
    made = [
        make_corpus(
            write_groups(tmp_path / f"{i}.jsonl", TEXTS, [way.get(text) for text in TEXTS]),
            tmp_path / f"corpus{i}",
        )
        for i, way in enumerate(ways)
    ]
    assert len({corpus.fingerprint for corpus in made}) == len(ways)
    assert all(corpus.manifest["splits"] == made[0].manifest["splits"] for corpus in made)
    plain = make_corpus(write_languages(tmp_path / "plain.jsonl", [None] * 60), tmp_path / "plain")
    assert plain.fingerprint == made[0].fingerprint


def test_passages_of_a_file_that_was_moved_have_the_same_fingerprint(tmp_path: Path) -> None:
    made = []
    for folder in (tmp_path / "here", tmp_path / "elsewhere" / "deep"):
        (folder / "in").mkdir(parents=True)
        for name in "ab":
            (folder / "in" / f"{name}.txt").write_text("".join(f"{name} {i}\n\n" for i in range(500)))
        config = CorpusConfig(f"text:{folder / 'in'}", val_fraction=0.2, test_fraction=0.2)
        made.append(make_corpus(config, folder / "corpus"))
    assert made[0].fingerprint == made[1].fingerprint
    for split in SPLITS:
        clusters = made[0].clusters(split)
        assert clusters is not None
        assert clusters.tolist() == [{"a": 0, "b": 1}[text[0]] for text in made[0].texts(split)]


# ---- the groups of Debian's documentation


@pytest.mark.parametrize(
    ("domain", "path", "group"),
    [
        ("manual", "usr/share/man/man1/ls.1.gz", "manual/ls.1"),
        ("manual", "usr/share/man/zh_CN/man1/ls.1.gz", "manual/ls.1"),
        ("kernel", "usr/share/doc/linux-doc-6.1/Documentation/atomic_t.txt.gz", "kernel/atomic_t.txt"),
        (
            "kernel",
            "usr/share/doc/linux-doc-6.1/html/_sources/translations/it_IT/process/howto.rst.txt",
            "kernel/process/howto.rst.txt",
        ),
        (
            "kernel",
            "usr/share/doc/linux-doc-6.1/html/_sources/process/howto.rst.txt",
            "kernel/process/howto.rst.txt",
        ),
        (
            "kernel",
            "usr/share/doc/linux-doc-6.1/Documentation/devicetree/bindings/net/wireless/qca,ath9k.txt.gz",
            "kernel/devicetree/bindings/net",
        ),
        (
            "python",
            "usr/share/doc/python3.11/html/_sources/library/os.rst.txt",
            "python/library/os.rst.txt",
        ),
        ("perl", "usr/share/perl/5.36.0/pod/perlop.pod", "perl/pod/perlop.pod"),
        ("code", "usr/lib/python3.11/json/decoder.py", "code/json/decoder.py"),
        ("code", "usr/include/linux/netfilter/xt_set.h", "code/linux/netfilter/xt_set.h"),
    ],
)
def test_a_debian_document_has_the_group_of_its_page_or_folder(domain: str, path: str, group: str) -> None:
    assert debian_group(domain, path) == group


def corpus_of_sites(tmp_path: Path, sites: list[str]) -> Corpus:
    rows = [{"text": f"page {i}", "url": f"https://{site}/{i}"} for i, site in enumerate(sites)]
    return make_corpus(CorpusConfig(write_rows("jsonl", tmp_path / "sites", rows)), tmp_path / "corpus")


def test_pages_of_one_site_are_split_by_their_text_so_that_no_split_is_empty(tmp_path: Path) -> None:
    corpus = corpus_of_sites(tmp_path, ["encyclopedia.org"] * 300)
    assert all(counts["documents"] for counts in corpus.manifest["splits"].values())
    assert corpus.clusters("train") is None  # a single site: its pages are the sampled units


def test_small_sites_are_groups_and_pages_of_a_large_one_are_not(tmp_path: Path) -> None:
    corpus = corpus_of_sites(tmp_path, [f"small-{i // 5}.org" for i in range(500)] + ["large.org"] * 500)
    clusters = corpus.clusters("train")
    pages = sum(text.startswith("page") and int(text[5:]) >= 500 for text in corpus.texts("train"))
    _, counts = np.unique(clusters, return_counts=True)
    assert (counts == 1).sum() >= pages
    assert counts.max() <= 5


@given(st.lists(st.sampled_from(["http://", "https://", "www.", "a", "b9", ".", *"-/?#@éA\n %", ":80"])))
def test_the_site_of_a_url_is_its_host(parts: list[str]) -> None:
    url = "".join(parts)
    try:
        host = (urllib.parse.urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        host = ""
    assert _site(url) == (f"site:{host}" if host else None)
