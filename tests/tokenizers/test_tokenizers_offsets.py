"""Offsets: the characters that a token stands for, whether a tokenizer keeps the text or not."""

import math
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.corpus import Corpus
from tokenizers import Tokenizer, load_tokenizer, save_tokenizer
from tokenizers.huggingface import HuggingFaceTokenizer
from tokenizers.offsets import spread
from tokenizers.parts import MAX_PART

from .families import CHANGING, KEEPING, plugin
from .test_tokenizers_published import random_texts


@pytest.fixture(scope="module")
def make(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tokenizer]:
    """A function: the name of a tokenizer above to that tokenizer, saved and loaded, made once."""
    texts, made = list(tiny_corpus.texts("train")), {}

    def find(name: str) -> Tokenizer:
        if name not in made:
            folder, saved = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("saved")
            fresh = (CHANGING | KEEPING)[name](texts, folder)
            save_tokenizer(fresh, saved)
            made[name] = load_tokenizer(saved)
            assert np.array_equal(made[name].offsets(texts[0]), fresh.offsets(texts[0]))
        return made[name]

    return find


@pytest.fixture(scope="module", params=[*CHANGING, *KEEPING])
def tokenizer(request: pytest.FixtureRequest, make: Callable[[str], Tokenizer]) -> Tokenizer:
    return make(request.param)


ODD = "aAbthe  \n\té\u0301\u0302ﬁ①ﷺ가日本😀Ωß▁<|>\u3000\u200d\ufeff"
TEXT = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"])), min_size=1)


def check(tokenizer: Tokenizer, text: str) -> None:
    """The offsets of a text are ranges in it, one for each token, and what is spread by them adds up."""
    offsets = tokenizer.offsets(text)
    assert offsets.shape == (len(tokenizer.encode(text)), 2) and offsets.dtype == np.int64
    begins, ends = offsets.T
    assert (begins >= 0).all() and (begins <= ends).all() and (ends <= len(text)).all()
    assert (np.diff(begins) >= 0).all() and (np.diff(ends) >= 0).all()
    values = np.random.default_rng(0).exponential(3.0, len(offsets))
    found = spread(offsets, values, len(text))
    assert found.shape == (len(text),)
    assert math.isclose(found.sum(), values.sum(), rel_tol=1e-12)


@given(text=TEXT)
def test_whatever_is_spread_over_the_characters_of_any_text_adds_up(tokenizer: Tokenizer, text: str) -> None:
    check(tokenizer, text)


def test_it_adds_up_on_prose_and_on_odd_texts(tokenizer: Tokenizer, tiny_corpus: Corpus) -> None:
    for text in [*tiny_corpus.texts("test"), *random_texts(200), "▁", "▁a", " ", "  ▁ é", "a" * 300]:
        check(tokenizer, text)


@pytest.mark.parametrize("name", ["byte-level NFC", "sentencepiece", "bpe-400"])
def test_it_adds_up_on_a_text_of_several_parts(name: str, make: Callable[[str], Tokenizer]) -> None:
    text = "the king ﬁ e\u0301 ▁, " * (MAX_PART // 15)
    assert len(text) > MAX_PART
    check(make(name), text)


@pytest.mark.parametrize("name", KEEPING)
def test_the_characters_of_each_token_hold_its_bytes(name: str, make: Callable[[str], Tokenizer]) -> None:
    tokenizer = make(name)
    for text in [*random_texts(200), "The kingdom, é日本😀 e\u0301"]:
        ids = tokenizer.encode(text)
        if "▁" in text or tokenizer.decode(ids) != text:
            continue
        offsets = tokenizer.offsets(text)
        pieces = [tokenizer.table[i] for i in ids]
        pieces[0] = pieces[0].removeprefix(tokenizer.prefix)
        for piece, (begin, end) in zip(pieces, offsets, strict=True):
            held = text[begin:end].encode()
            assert piece == held or (len(text[begin:end]) <= 2 and piece in held) or not piece
            if len(piece) > 4:
                assert piece == held or len(held) - len(piece) <= 6
        assert sorted({i for begin, end in offsets for i in range(begin, end)}) == [*range(len(text))]


@pytest.mark.parametrize("name", ["gemma", "llama2", "falcon", "prefix space"])
def test_the_librarys_offsets_are_those_of_the_bytes(name: str, make: Callable[[str], Tokenizer]) -> None:
    tokenizer = make(name)
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    compared = 0
    for text in random_texts(400):
        if tokenizer.decode(tokenizer.encode(text)) != text:
            continue
        own, expected = tokenizer.offsets(text), Tokenizer.offsets(tokenizer, text)
        first = 1 if tokenizer.prefix else 0  # a token that is only the space before the text
        assert own[first:].tolist() == expected[first:].tolist(), ascii(text)
        compared += 1
    assert compared > 100


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [text[begin:end] for begin, end in tokenizer.offsets(text)]


def test_a_word_of_wordpiece_stands_for_its_characters_and_no_space(make: Callable[[str], Tokenizer]) -> None:
    tokenizer = make("wordpiece")
    text = "The  king,\n Zﬁé ÉAt the Ω 日本"
    shown = pieces(tokenizer, text)
    assert "".join(shown) == "".join(text.split())
    assert shown[:3] == ["The", "king", ","] and "Zﬁé" in shown and "Ω" in shown  # unknown words, too


def test_a_character_that_becomes_several_is_that_of_each_of_their_tokens(
    make: Callable[[str], Tokenizer],
) -> None:
    assert pieces(make("byte-level NFKC"), "ﬁ①") == ["ﬁ", "ﬁ", "①"]
    of_nfd = pieces(make("byte-level NFD"), "xé")  # e, and a mark of two bytes
    assert of_nfd[0] == "x" and len(of_nfd) > 2 and set(of_nfd[1:]) == {"é"}
    assert set(pieces(make("byte-level NFC"), "e\u0301x")) == {"e", "x"}  # of what becomes one, the first


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_the_tokens_of_normalized_text_stand_for_what_they_come_from(
    form: str, make: Callable[[str], Tokenizer]
) -> None:
    tokenizer = make(f"byte-level {form}")
    text = "The king é ﬁ e\u0301 ①② 가, ﷺ q\u0307\u0323 end"
    for word in ("The", " king", " end"):
        assert word in pieces(tokenizer, text) or word[1:] in pieces(tokenizer, text)
    for i, piece in zip(tokenizer.encode(text), pieces(tokenizer, text), strict=True):
        token = tokenizer.table[i].decode(errors="ignore")
        letters = [set(unicodedata.normalize("NFKD", letter)) for letter in (token, piece)]
        assert letters[0] <= letters[1] | {"\u0301", "\u0307", "\u0323"}


def test_spaces_of_robertas_kind_belong_to_the_word_behind_them(make: Callable[[str], Tokenizer]) -> None:
    assert "".join(pieces(make("prefix space"), "the king, the")) == "the king, the"


def test_a_plugin_without_offsets_or_bytes_has_none(tmp_path: Path) -> None:
    tokenizer = plugin("Unknown", tmp_path)
    assert tokenizer.decode(tokenizer.encode("aé")) == "aé"
    with pytest.raises(ValueError, match="it is not known which characters a token stands for"):
        tokenizer.offsets("aé")
    lowering = plugin("Lowering", tmp_path)
    assert lowering.offsets("aé").tolist() == [[0, 1], [1, 2], [1, 2]]
    with pytest.raises(ValueError, match="it is not known which characters"):
        lowering.offsets("A")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NotPairs", r"'NotPairs': offsets\(\) returned an array of shape \(2,\), not a pair for each token"),
        ("Outside", r"'Outside': offsets\(\) returned a range that is not in the text"),
        ("Broken", r"mine\.py line \d+: ZeroDivisionError"),
    ],
)
def test_wrong_offsets_of_a_plugin_are_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        plugin(name, tmp_path).offsets("ab")


@pytest.mark.parametrize("name", ["wordpiece", "sentencepiece", "byte-level NFC", "char"])
def test_a_lone_surrogate_is_refused_as_in_encoding(name: str, make: Callable[[str], Tokenizer]) -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        make(name).offsets("a\ud800")


def test_a_value_for_no_character_is_added_to_the_next_or_the_last() -> None:
    offsets = np.array([[0, 0], [0, 2], [2, 2], [3, 4], [4, 4]])
    assert spread(offsets, np.array([1.0, 2.0, 4.0, 8.0, 16.0]), 4).tolist() == [2.0, 1.0, 4.0, 24.0]
    assert spread(np.zeros((0, 2), dtype=np.int64), np.zeros(0), 2).tolist() == [0.0, 0.0]
