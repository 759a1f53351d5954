"""Held-out documents that also occur in the training text."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import data_prep.sources
from data_prep.config import CorpusConfig, Source
from data_prep.contamination import in_words, known_contamination, measure_contamination
from data_prep.corpus import make_corpus
from data_prep.held_out import HeldOut, shingles
from data_prep.parts import SPLITS
from data_prep.selection import HELD_OUT_TOO

CHINESE = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜金生丽水玉出昆冈"


def words(seed: int, count: int = 200) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghij", k=draw.randint(2, 9))) for _ in range(count)]


def changed(text: list[str], share: float, seed: int = 0) -> list[str]:
    """The words with a share of them replaced, evenly spaced."""
    new, count = list(text), round(share * len(text))
    for place in np.linspace(2, len(text) - 3, count).astype(int) if count else []:
        new[place] = f"other{seed}{place}"
    return new


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of the sets of 5-word shingles."""
    sets = [set(zip(*(text.split()[i:] for i in range(5)), strict=False)) for text in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@given(st.text(), st.text())
def test_equal_texts_are_found_exactly_and_no_others(one: str, other: str) -> None:
    exactly, _ = HeldOut([one]).find(other)
    assert exactly == ([0] if one == other else [])


def test_shingles_are_those_of_five_words() -> None:
    text = " ".join(words(0))
    assert len(shingles(text)) == len(set(zip(*(text.split()[i:] for i in range(5)), strict=False)))
    assert len(shingles("three short words")) == len(shingles("")) == 1


def test_case_punctuation_and_white_space_do_not_matter() -> None:
    text = words(1)
    other = "\n\n".join(f"“{word.upper()}”," if i % 3 else f"{word};" for i, word in enumerate(text))
    assert HeldOut([" ".join(text)]).find(other.replace("“", '"').replace("”", '"')) == ([], [0])


@pytest.mark.parametrize("text", ["Пять слов в этой строке, и ещё пять слов после них.", CHINESE])
def test_other_scripts(text: str) -> None:
    assert HeldOut([text, "something else"]).find(text + "!") == ([], [0])
    assert HeldOut([text]).find("nothing of the kind at all, not even close") == ([], [])


def test_similar_documents_are_found_and_others_are_not() -> None:
    """At a similarity of 0.9 nearly all are found, at 0.6 hardly any; at 0.8 about half, by the estimate."""
    texts = [words(seed) for seed in range(200)]
    known = HeldOut(" ".join(text) for text in texts)
    found, alike = {}, {}
    for share in (0.005, 0.01, 0.02, 0.05):
        others = [" ".join(changed(text, share, seed)) for seed, text in enumerate(texts)]
        alike[share] = np.mean([similarity(" ".join(a), b) for a, b in zip(texts, others, strict=True)])
        found[share] = np.mean([known.find(other)[1] == [i] for i, other in enumerate(others)])
    assert alike[0.01] > 0.88 and found[0.005] == 1 and found[0.01] > 0.97
    assert alike[0.05] < 0.65 and found[0.05] < 0.01
    assert not any(known.find(" ".join(words(seed)))[1] for seed in range(1000, 1200))


def test_a_repetitive_text_is_similar_to_itself_alone() -> None:
    known = HeldOut(["la la la la la la " * 50, " ".join(words(3))])
    assert known.find("la la la la la la la " * 10)[1] == [0]


def write(path: Path, copies: int, near: int, others: int = 300) -> CorpusConfig:
    """A corpus whose first test documents also occur in train, exactly or nearly."""
    rows = []
    for number in range(others):
        text, group = words(number), "test" if number % 3 == 0 else "val" if number % 3 == 1 else "train"
        rows.append({"text": " ".join(text), "group": group})
        if group == "test" and number // 3 < copies:
            rows.append({"text": " ".join(text), "group": "train"})
        elif group == "test" and number // 3 < copies + near:
            rows.append({"text": " ".join(changed(text, 0.005, number)), "group": "train"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return CorpusConfig(f"jsonl:{path}")


@pytest.fixture(autouse=True)
def split_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_prep.parts.hash_split", lambda key, *_: key if key in SPLITS else "test")


@pytest.mark.parametrize("processes", [1, 2])
def test_planted_documents_are_counted(processes: int, tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "x.jsonl", copies=5, near=8), tmp_path / "corpus")
    assert known_contamination(corpus.folder) is None
    found = measure_contamination(corpus, processes=processes)
    assert {name: found["test"][name] for name in ("documents", "exactly", "nearly")} == {
        "documents": 100,
        "exactly": 5,
        "nearly": 8,
    }
    assert found["val"] == {"documents": 100, "exactly": 0, "nearly": 0, "share": 0}
    assert found["train"] == {"documents": 13}
    lengths = [len(text) for text in corpus.texts("test")]
    assert found["test"]["share"] == sum(lengths[:13]) / sum(lengths)
    assert known_contamination(corpus.folder) == measure_contamination(corpus) == found
    (line,) = in_words(found)
    assert line.startswith("13 of 100 test documents, with 13.") and "5 exactly and 8 nearly" in line


def test_clean_text_is_not_said_to_be_contaminated(tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "x.jsonl", copies=0, near=0), tmp_path / "corpus")
    assert in_words(measure_contamination(corpus)) == []


def test_deduplicate_removes_them_from_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_prep.sources, "UNIT_BYTES", 10)
    write(tmp_path / "x.jsonl", copies=5, near=8)
    (tmp_path / "y.jsonl").write_text(json.dumps({"text": " ".join(words(3)), "group": "train"}) + "\n")
    plain = CorpusConfig(f"jsonl:{tmp_path}/*.jsonl")
    clean = CorpusConfig(plain.source, deduplicate=True)
    before = make_corpus(plain, tmp_path / "before")
    after = make_corpus(clean, tmp_path / "after", processes=2)
    assert [len(after.ids(split)) for split in SPLITS] == [100, 100, 100]
    assert len(before.ids("train")) == 114
    assert set(after.texts("train")) <= set(before.texts("train"))
    assert after.ids("test") == before.ids("test") and after.ids("val") == before.ids("val")
    assert after.left_out[HELD_OUT_TOO][0] == 14
    assert in_words(measure_contamination(after)) == []
    one = make_corpus(clean, tmp_path / "one", processes=1)
    assert one.manifest == after.manifest


def test_the_command_prints_the_counts(tmp_path: Path, run_python: Callable) -> None:
    corpus = make_corpus(write(tmp_path / "x.jsonl", copies=2, near=0), tmp_path / "corpus")
    done = run_python("-m", "data_prep.contamination", "--corpus", corpus.folder)
    assert done.returncode == 0 and "2 of 100 test documents" in done.stdout
    assert known_contamination(corpus.folder)


def test_a_further_text_is_compared_with_the_training_text_of_another_corpus(tmp_path: Path) -> None:
    corpus = make_corpus(write(tmp_path / "x.jsonl", copies=0, near=0), tmp_path / "corpus")
    rows = [{"text": text} for text in [*list(corpus.texts("train"))[:3], "not there", "nor is this"]]
    (tmp_path / "poems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    poems = make_corpus(Source(f"jsonl:{tmp_path / 'poems.jsonl'}"), tmp_path / "poems")
    found = measure_contamination(poems, corpus)
    assert found["test"]["exactly"] == 3 and found["train"] == {"documents": 3}
    (line,) = in_words(found, "poems")
    assert line.startswith("3 of 5 documents of poems, with ") and "deduplicate" not in line
    assert known_contamination(poems.folder, corpus.folder) == found
    assert known_contamination(poems.folder) is None
