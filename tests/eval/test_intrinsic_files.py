"""Metrics of a comparison's tokenizers from its files: counting, storing, printing and reporting."""

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

import eval.intrinsic
from comparison import Comparison, Recipe
from data_prep.arrays import TokenArrays
from data_prep.corpus import SPLITS, Corpus, CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from eval.intrinsic import measure_tokenizers, terminal_table
from eval.report.intrinsic_section import report_section
from tokenizers import folder_name, load_tokenizer
from training.budget import Budget, TextAmount

LINES = {
    "en": "The old king saw his brother's ship, and a letter_2 of the year 1604 too.\n",
    "de": "Der müde König sah, daß die Brücke über den Fluß verschwunden war …\n",
    "hi": "यह हिन्दी भाषा का एक छोटा वाक्य है।\n",
    "ja": "日本語の文には空白がない。とても短い文です。\n",
    None: "e\u0301te\u0301 😀 — café\n",
}
DOMAINS = ["prose", "verse", None]


def comparison_of(folder: Path, specs: list[str]) -> Comparison:
    one = TextAmount(chars=1)
    common = {"models": {"gpt": Recipe()}, "context": one, "batch": one, "budget": Budget(chars=1)}
    return Comparison(name=folder.name, out=folder.parent, tokenizers=specs, **common)


def measured(folder: Path, specs: list[str]) -> dict[str, dict[str, dict]]:
    return measure_tokenizers(comparison_of(folder, specs))


def write_comparison(folder: Path, rows: list[dict], specs: list[str]) -> Path:
    """A comparison with its arrays, before training."""
    folder.mkdir()
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = CorpusConfig(f"jsonl:{source}", val_fraction=0.15, test_fraction=0.25)
    corpus = make_corpus(config, folder / "corpus")
    for spec in specs:
        data = folder / "data" / folder_name(spec)
        make_arrays(corpus, make_tokenizer(corpus, spec, data / "tokenizer"), data, processes=1)
    comparison_of(folder, specs).freeze("0")
    return folder


def some_rows(count: int = 240) -> list[dict]:
    languages = list(LINES)
    return [
        {
            "text": LINES[languages[i % 5]] * (1 + i % 3) + f"{i} " * (i % 7),
            "language": languages[i % 5],
            "domain": DOMAINS[i % 3],
        }
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The spec of a SentencePiece model like the published ones: a space before every text."""
    prefix = tmp_path_factory.mktemp("published") / "model"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(row["text"] for row in some_rows()),
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return f"sentencepiece:{prefix}.model"


@pytest.fixture(scope="module")
def specs(published: str) -> list[str]:
    return ["byte", "char", "bpe-330", "unigram-360", published]


@pytest.fixture(scope="module")
def comparison(specs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(tmp_path_factory.mktemp("intrinsic") / "mixed", some_rows(), specs)


@pytest.fixture
def copy(comparison: Path, tmp_path: Path) -> Path:
    """A separate comparison of a byte and a character tokenizer."""
    return write_comparison(tmp_path / "copy", some_rows(60), ["byte", "char"])


def words(text: str) -> list[tuple[int, int]]:
    """Begin and end of each word of a text, in bytes."""
    marked = "".join(
        "w" if c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M" else " " for c in text
    )
    return [
        (len(text[: found.start()].encode()), len(text[: found.end()].encode()))
        for found in re.finditer("w+", marked)
    ]


# ---- counting


@pytest.mark.parametrize("split", SPLITS)
def test_counts_are_those_of_the_corpus_and_its_arrays(
    comparison: Path, specs: list[str], split: str
) -> None:
    texts = list(Corpus(comparison / "corpus").texts(split))
    for label, found in measured(comparison, specs).items():
        arrays = TokenArrays(comparison / "data" / label)
        tokens = [sequence[1:-1] for sequence in arrays.split(split).sequences()]
        lengths = [len(document) for document in tokens]
        counted = found[split]
        assert counted["documents"] == len(texts)
        assert counted["chars"] == sum(map(len, texts))
        assert counted["bytes"] == sum(len(text.encode()) for text in texts)
        assert counted["tokens"] == sum(lengths)
        assert counted["chars_per_token"] == arrays.split(split).chars_per_token
        assert counted["tokens_per_document_median"] == np.median(lengths)
        assert counted["tokens_per_document_p95"] == np.percentile(lengths, 95)
        types, times = np.unique(np.concatenate(tokens), return_counts=True)
        assert arrays.eot not in types
        assert counted["vocab_size"] == arrays.vocab_size
        assert counted["vocab_used"] == len(types) / (arrays.vocab_size - 1)
        assert counted["types_seen_100"] == sum(times >= 100) / (arrays.vocab_size - 1)


@pytest.mark.parametrize("split", SPLITS)
def test_words_of_one_token_match_a_plain_loop(comparison: Path, specs: list[str], split: str) -> None:
    """With every kind of tokenizer, including one that puts a space before each text."""
    texts = list(Corpus(comparison / "corpus").texts(split))
    for label, found in measured(comparison, specs).items():
        data = comparison / "data" / label
        tokenizer = load_tokenizer(data / "tokenizer")
        token_bytes = tokenizer.token_bytes()
        every = whole = 0
        for text, sequence in zip(texts, TokenArrays(data).split(split).sequences(), strict=True):
            sizes = [len(token_bytes[i]) for i in sequence[1:-1]]
            ends = set(np.cumsum(sizes) - len(tokenizer.prefix))
            assert max(ends) == len(text.encode())
            for start, end in words(text):
                every += 1
                whole += not ends & set(range(start + 1, end))
        assert (found[split]["words"], found[split]["words_one_token"]) == (every, whole / every)


def test_one_of_the_tokenizers_puts_a_space_before_a_text(comparison: Path, published: str) -> None:
    assert load_tokenizer(comparison / "data" / folder_name(published) / "tokenizer").prefix == b" "


def test_the_byte_tokenizer_has_words_of_one_token_only_of_one_byte(comparison: Path) -> None:
    found = measured(comparison, ["byte"])["byte"]["test"]
    texts = Corpus(comparison / "corpus").texts("test")
    lengths = [end - start for text in texts for start, end in words(text)]
    assert found["words_one_token"] == lengths.count(1) / len(lengths) > 0
    assert found["bytes_per_token"] == 1
    texts = Corpus(comparison / "corpus").texts("test")
    content = "".join(texts).encode()
    assert found["fallback_share"] == sum(byte >= 0x80 for byte in content) / len(content)


def test_the_char_tokenizer_has_parts_of_characters_only_for_characters_it_never_saw(
    comparison: Path,
) -> None:
    corpus = Corpus(comparison / "corpus")
    seen = set("".join(corpus.texts("train")))
    unseen = [c for text in corpus.texts("test") for c in text if c not in seen]
    found = measured(comparison, ["char"])["char"]
    assert found["train"]["fallback_share"] == 0
    assert found["train"]["chars_per_token"] == 1
    test = found["test"]
    assert test["fallback_share"] * test["tokens"] == pytest.approx(sum(len(c.encode()) for c in unseen))


def test_the_batch_size_does_not_matter(comparison: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, data = Corpus(comparison / "corpus"), comparison / "data" / "bpe-330"
    measured = []
    for chars in (1, 500, 10**9):
        monkeypatch.setattr(eval.intrinsic, "BATCH_CHARS", chars)
        tokenizer = load_tokenizer(data / "tokenizer")
        measured.append(eval.intrinsic.measure_split(corpus, TokenArrays(data), tokenizer, "train"))
    assert measured[0] == measured[1] == measured[2]


# ---- groups


@pytest.mark.parametrize("split", SPLITS)
def test_groups_add_up_to_the_whole(comparison: Path, specs: list[str], split: str) -> None:
    """All documents except those without a language, which are in no group."""
    corpus = Corpus(comparison / "corpus")
    none = [
        text
        for text, v in zip(corpus.texts(split), corpus.categories(split)["language"], strict=True)
        if not v
    ]
    for found in measured(comparison, specs).values():
        whole, groups = found[split], found[split]["groups"]["language"]
        assert set(groups) == {"en", "de", "hi", "ja"}
        assert all(set(group) == set(whole) - {"groups", "parity"} for group in groups.values())
        total = {key: sum(group[key] for group in groups.values()) for key in whole if key in NUMBERS}
        assert total["documents"] == whole["documents"] - len(none)
        assert total["chars"] == whole["chars"] - sum(map(len, none))
        assert total["words"] == whole["words"] - sum(len(words(text)) for text in none)
        if not none:
            assert total["tokens"] == whole["tokens"]
        assert all(group["vocab_used"] <= whole["vocab_used"] for group in groups.values())


NUMBERS = ("documents", "chars", "bytes", "tokens", "words")


def test_if_every_document_has_a_group_all_counts_add_up(tmp_path: Path) -> None:
    rows = [row for row in some_rows() if row["language"] and row["domain"]]
    folder = write_comparison(tmp_path / "full", rows, ["bpe-330"])
    for whole in measured(folder, ["bpe-330"])["bpe-330"].values():
        for groups in whole["groups"].values():
            for key in NUMBERS:
                assert sum(group[key] for group in groups.values()) == whole[key]
            for share, of in (("words_one_token", "words"), ("fallback_share", "tokens")):
                parts = sum(group[share] * group[of] for group in groups.values())
                assert parts == pytest.approx(whole[share] * whole[of])
        values = [group["chars_per_token"] for group in whole["groups"]["language"].values()]
        assert whole["parity"]["language"] == min(values) / max(values) < 1


def test_a_corpus_without_groups_has_none(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "plain", [{"text": row["text"]} for row in some_rows(60)], ["byte"])
    found = measured(folder, ["byte"])
    assert not {"groups", "parity", "groups_left_out"} & set(found["byte"]["test"])
    assert "By language" not in report_section(found)


def test_a_column_with_too_many_values_is_left_out_with_a_message(
    tmp_path: Path, run_python: Callable
) -> None:
    rows = [{**row, "domain": f"site {i % 101}"} for i, row in enumerate(some_rows())]
    folder = write_comparison(tmp_path / "sites", rows, ["byte"])
    test = measured(folder, ["byte"])["byte"]["test"]
    assert set(test["groups"]) == set(test["parity"]) == {"language"}
    assert test["groups_left_out"] == {"domain": 101}
    done = run_python("-m", "eval.intrinsic", "--folder", folder)
    assert (
        done.stdout.splitlines()[-1] == "The corpus has 101 distinct values of domain, too many for groups."
    )
    rows = [{**row, "domain": f"site {i % 100}" if i < 200 else None} for i, row in enumerate(some_rows())]
    folder = write_comparison(tmp_path / "fewer", rows, ["byte"])
    train = measured(folder, ["byte"])["byte"]["train"]
    assert set(train["groups"]) == {"language", "domain"} and "groups_left_out" not in train


# ---- a lossy tokenizer


def test_words_are_not_counted_with_a_lossy_tokenizer(copy: Path) -> None:
    manifest = json.loads((copy / "data/byte/manifest.json").read_text())
    manifest["splits"]["test"]["lossy_documents"] = 3
    (copy / "data/byte/manifest.json").write_text(json.dumps(manifest))
    found = measured(copy, ["byte"])["byte"]
    for test in (found["test"], *found["test"]["groups"]["language"].values()):
        assert test["words"] is None and test["words_one_token"] is None
        assert test["chars_per_token"] > 0
    assert found["val"]["words_one_token"] > 0
    assert terminal_table({"byte": found}, "test").splitlines()[-1].endswith(" –")
    assert report_section({"byte": found}).count("| – |") > 1


# ---- storing


def test_unchanged_tokenizers_are_not_measured_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(copy, ["byte", "char"])
    file = copy / "intrinsic" / "byte.json"
    kept = json.loads(file.read_text())
    assert kept["splits"] == first["byte"]
    assert set(kept["made_from"]) == {"format", "corpus_fingerprint", "tokenizer_fingerprint"}
    before = file.stat()
    monkeypatch.setattr(eval.intrinsic, "measure_split", None)
    assert measured(copy, ["byte", "char"]) == first
    assert file.stat() == before


def test_another_corpus_is_measured_again(copy: Path) -> None:
    first = measured(copy, ["byte"])["byte"]
    source = copy / "source.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in some_rows(90)))
    config = CorpusConfig(f"jsonl:{source}", val_fraction=0.15, test_fraction=0.25)
    corpus = make_corpus(config, copy / "corpus", replace=True)
    with pytest.raises(ValueError, match=f"{copy}/data/byte was not made from the text in {copy}/corpus"):
        measured(copy, ["byte"])
    make_arrays(corpus, load_tokenizer(copy / "data/byte/tokenizer"), copy / "data" / "byte", processes=1)
    assert measured(copy, ["byte"])["byte"]["train"]["documents"] > first["train"]["documents"]


# ---- printing and reporting


@pytest.mark.parametrize("split", [None, "train", "val"])
def test_the_command_prints_a_row_for_each_tokenizer_in_80_columns(
    comparison: Path, specs: list[str], split: str | None, run_python: Callable
) -> None:
    done = run_python("-m", "eval.intrinsic", "--folder", comparison, *(["--split", split] if split else []))
    assert (done.returncode, done.stderr) == (0, "")
    _, heading, *rows = done.stdout.splitlines()
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert heading.split()[:4] == ["tokenizer", "vocab", "token", "used"]
    for row, (label, splits) in zip(rows, measured(comparison, specs).items(), strict=True):
        found = splits[split or "test"]
        assert row[:19].strip().removeprefix("…") == label[-17:]
        assert row[19:].split()[:2] == [str(found["vocab_size"]), f"{found['chars_per_token']:.3f}"]
        assert row.endswith(f"{found['words_one_token']:.1%}")


BAD_INPUT = {
    "--folder {tmp}": "{tmp} holds no comparison",
    "--folder {copy} --split dev": "split",
    "--folder {copy} --fold x": "did you mean 'folder'?",
    "--folder {lost}": "{lost}/data/char holds no token arrays",
    "--folder {other}": "{other}/data/byte was not encoded by {other}/data/byte/tokenizer",
    "": "folder",
}


@pytest.mark.parametrize("command", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(
    command: str, copy: Path, tmp_path: Path, run_python: Callable
) -> None:
    made = {"tmp": tmp_path, "copy": copy, "lost": copy, "other": copy}
    if "{lost}" in command:
        (copy / "data/char/manifest.json").unlink()
    if "{other}" in command:
        (copy / "data/byte/tokenizer").rename(copy / "unused")
        (copy / "data/char/tokenizer").rename(copy / "data/byte/tokenizer")
    done = run_python("-m", "eval.intrinsic", *command.format(**made).split())
    assert done.returncode == 2
    assert re.fullmatch(r"codebook: .*\n", done.stderr)
    assert BAD_INPUT[command].format(**made) in done.stderr


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table of a Markdown page."""
    found = re.findall(r"(?:^\|.*\|\n)+", page + "\n", re.MULTILINE)
    return [[[c.strip() for c in row.strip("|").split("|")] for row in t.splitlines()] for t in found]


def test_the_report_shows_tokenizers_whole_and_by_group(comparison: Path, specs: list[str]) -> None:
    found = measured(comparison, specs)
    labels = [folder_name(spec) for spec in specs]
    page = report_section(found)
    assert page.startswith("## Tokenizers\n")
    assert re.findall(r"^### (.*)", page, re.MULTILINE) == ["By language", "By domain"]
    length, use, by_language, words_by_language, *_ = tables(page)
    for whole in (length, use):
        assert [row[0] for row in whole[2:]] == [f"`{label}`" for label in labels]
    assert by_language[0] == ["language", "characters", *(f"`{label}`" for label in labels)]
    for row in by_language[2:-1]:
        for label, cell in zip(labels, row[2:], strict=True):
            group = found[label]["test"]["groups"]["language"][row[0].strip("`")]
            assert cell == f"{group['chars_per_token']:.3f}"
    parity = [found[label]["test"]["parity"]["language"] for label in labels]
    assert by_language[-1] == ["lowest / highest", "", *(f"{value:.3f}" for value in parity)]
    assert len(words_by_language) == 2 + 4
    assert all(len({len(row) for row in table}) == 1 for table in tables(page))


@pytest.mark.parametrize("value", ["a|b", "`x`", "<b>x</b>", "two\nlines", "[x](y)", "", "  "])
def test_any_name_of_a_group_is_one_cell(value: str, copy: Path, tmp_path: Path) -> None:
    rows = [{**row, "domain": value} for row in some_rows(60)]
    folder = write_comparison(tmp_path / "odd", rows, ["byte"])
    table = tables(report_section(measured(folder, ["byte"])))[-1]
    assert [len(row) for row in table] == [3, 3, 3]
    assert re.fullmatch(r'`[^`]+`|""', table[-1][0])
