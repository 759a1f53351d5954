"""`python -m tokenizers.compare`: where two tokenizers cut text differently."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.corpus import Corpus
from tokenizers import Tokenizer, save_tokenizer, train_tokenizer
from tokenizers.compare import Difference, differences, in_lines, pieces_of, stretches

from .families import other_file


@pytest.fixture(scope="module")
def trained(tiny_corpus: Corpus) -> tuple[Tokenizer, Tokenizer]:
    first, second = (train_tokenizer(spec, tiny_corpus.texts("train")) for spec in ("bpe-400", "unigram-400"))
    return first, second


def test_a_stretch_begins_and_ends_with_a_token_of_both() -> None:
    first, second = [b"the", b" ki", b"ng", b"s"], [b"t", b"he", b" king", b"s"]
    assert list(stretches(first, second)) == [((b"the",), (b"t", b"he")), ((b" ki", b"ng"), (b" king",))]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_the_stretches_account_for_the_difference_in_tokens(
    trained: tuple[Tokenizer, Tokenizer], text: str
) -> None:
    found, tokens = differences(trained, [text])
    assert sum(each.more for each in found) == tokens[1] - tokens[0]
    for each in found:
        assert b"".join(each.pieces[0]) == b"".join(each.pieces[1]) != b""
    assert tokens == [len(pieces_of(tokenizer, text)) for tokenizer in trained]


def test_equal_tokenizers_have_no_differences(
    trained: tuple[Tokenizer, Tokenizer], tiny_corpus: Corpus
) -> None:
    assert differences((trained[0], trained[0]), tiny_corpus.texts("test"))[0] == []


def test_the_costliest_come_first() -> None:
    cheap, dear = ((b"a", b"b"), (b"ab",)), ((b"abc",), (b"a", b"b", b"c"))
    found = [Difference(10, dear), Difference(3, cheap)]
    lines = in_lines(found, ("one", "two"), rows=5)
    assert lines[0] == "costs two most"
    assert lines[2].split() == ["20", "10", "abc", "a│b│c"]
    assert lines[4] == "costs one most"
    assert lines[6].split() == ["3", "3", "a│b", "ab"]


def test_the_command_prints_a_table_or_one_line(
    trained: tuple[Tokenizer, Tokenizer], tiny_corpus: Corpus, tmp_path: Path, run_python: Callable
) -> None:
    (tmp_path / "bpe").mkdir()
    save_tokenizer(trained[0], tmp_path / "bpe")
    lossy = other_file("wordpiece", list(tiny_corpus.texts("train")), tmp_path / "wordpiece")
    command = ["-m", "tokenizers.compare", str(tmp_path / "bpe")]
    done = run_python(*command, "byte", "--corpus", str(tiny_corpus.folder), "--split", "test")
    assert done.returncode == 0
    assert "costs byte most" in done.stdout and max(map(len, done.stdout.splitlines())) <= 80
    for other, corpus, message in (
        (f"file:{lossy}", tiny_corpus.folder, "loses text"),
        ("byte", tmp_path, "contains no corpus"),
    ):
        done = run_python(*command, other, "--corpus", str(corpus))
        assert done.returncode == 2
        assert message in done.stderr and done.stderr.count("\n") == 1
