"""Bits of characters, and their sums by context, frequency, kind and group."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.arrays import Split, TokenArrays
from data_prep.corpus import Corpus
from data_prep.encode import make_arrays
from eval import breakdown
from eval.breakdown import break_down_bits, character_bits, context_seen, read_test_text
from eval.report.passages import choose_passages, cut
from model.scoring import windows
from tests.tokenizers.families import CHANGING, plugin
from tokenizers import Tokenizer, load_tokenizer, save_tokenizer

SPECS = ["byte", "char", "bpe-400", "unigram-400"]


def laid(corpus: Corpus, folder: Path) -> tuple:
    """The test text, its split under a tokenizer, made-up bits of the tokens, and the characters' bits."""
    split = TokenArrays(folder).split("test")
    text = read_test_text(corpus, split.chosen)
    tokenizer = load_tokenizer(folder / "tokenizer")
    token_bits = np.random.default_rng(0).random(split.tokens + split.documents).astype(np.float16)
    found = character_bits(text, split, tokenizer, token_bits)
    return text, split, token_bits, *found


@pytest.fixture(scope="module", params=[*SPECS, *CHANGING])
def folder(request, tiny_corpus, tiny_arrays, tmp_path_factory) -> Path:
    """Arrays of each tokenizer in turn; many lose text."""
    if request.param in SPECS:
        return tiny_arrays(request.param)
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("lossy")
    tokenizer = CHANGING[request.param](list(tiny_corpus.texts("train")), source)
    make_arrays(tiny_corpus, tokenizer, folder, allow_lossy=True)
    (folder / "tokenizer").mkdir()
    save_tokenizer(tokenizer, folder / "tokenizer")
    return folder


def test_the_characters_of_each_document_have_the_bits_of_its_tokens(folder, tiny_corpus):
    text, split, token_bits, bits, _ = laid(tiny_corpus, folder)
    assert len(bits) == split.chars
    at = done = 0
    for document, sequence in zip(text.texts, split.sequences(), strict=True):
        tokens = len(sequence) - 2
        expected = token_bits[at : at + tokens].astype(float).sum()
        assert bits[done : done + len(document)].sum() == pytest.approx(expected, rel=1e-12)
        at, done = at + tokens + 1, done + len(document)


def test_under_the_char_tokenizer_a_known_character_has_its_tokens_bits(tiny_corpus, tiny_arrays):
    text, split, token_bits, bits, token = laid(tiny_corpus, tiny_arrays("char"))
    plain = next(i for i, document in enumerate(text.texts) if document.isascii())
    begin = sum(map(len, text.texts[:plain]))
    at = sum(len(sequence) - 1 for sequence in split.sequences()[:plain])
    length = len(text.texts[plain])
    np.testing.assert_allclose(bits[begin : begin + length], token_bits[at : at + length])
    assert np.array_equal(np.diff(token[begin : begin + length]), np.ones(length - 1))


def test_the_answers_to_each_question_add_up_to_the_whole(folder, tiny_corpus):
    text, split, _, bits, token = laid(tiny_corpus, folder)
    found = break_down_bits(text, split, bits, token, 16, 8)
    assert list(found) == ["context in characters", "kind of character", "frequency of the word"]
    for answers in found.values():
        assert sum(answer["chars"] for answer in answers.values()) == split.chars
        assert sum(answer["bits"] for answer in answers.values()) == pytest.approx(bits.sum())


def encode(corpus: Corpus, name: str, folder: Path) -> Path:
    """The arrays and the tokenizer of a plug-in."""
    tokenizer = plugin(name, folder)
    make_arrays(corpus, tokenizer, folder / "data", allow_lossy=True)
    (folder / "data" / "tokenizer").mkdir()
    save_tokenizer(tokenizer, folder / "data" / "tokenizer")
    return folder / "data"


def test_a_token_has_its_bits_on_its_characters_alone(tiny_corpus, tmp_path):
    text, split, token_bits, bits, token = laid(tiny_corpus, encode(tiny_corpus, "Words", tmp_path))
    first, sequence = text.texts[0], split.sequences()[0]
    word = re.match(r"\w+", first)[0]
    assert len(word) > 1 and split.lossy_documents
    np.testing.assert_allclose(bits[: len(word)], float(token_bits[0]) / len(word))
    assert bits[len(word)] == 0  # the space behind it belongs to the next token
    assert token[len(word) - 1 : len(word) + 1].tolist() == [0, 1]
    assert token[len(first) - 1] == len(sequence) - 3  # and the last one to the last


@pytest.mark.parametrize("name", ["Unknown", "Lowering", "Fewer"])
def test_without_offsets_it_is_not_known_where_the_bits_go(name, tiny_corpus, tmp_path):
    message = "offsets of 2 tokens, not" if name == "Fewer" else "not known which characters a token stands"
    with pytest.raises(ValueError, match=message):
        laid(tiny_corpus, encode(tiny_corpus, name, tmp_path))


class Encoded(Split):
    """A split of these documents, of which some may be changed by the tokenizer."""

    lossy_documents = 1

    def __init__(self, texts: list[str], tokenizer: Tokenizer) -> None:
        encoded = [tokenizer.encode(text) for text in texts]
        self.sequenced = [np.array([tokenizer.eot, *ids, tokenizer.eot]) for ids in encoded]
        self.tokens = sum(map(len, encoded))

    def sequences(self) -> list[np.ndarray]:
        return self.sequenced


def text_of(texts: list[str], **bands: tuple[list[str], np.ndarray]) -> breakdown.TestText:
    sizes = [len(character.encode()) for text in texts for character in text]
    return breakdown.TestText(texts, np.array(sizes, dtype=np.uint8), bands)


ANY = st.text(
    st.one_of(st.sampled_from("aAbthe  \né\u0301ﬁ①ﷺ日▁"), st.characters(exclude_categories=["Cs"])),
    min_size=1,
)


@given(texts=st.lists(ANY, min_size=1, max_size=5))
def test_the_bits_of_every_document_add_up_whatever_it_is(folder, texts):
    tokenizer = load_tokenizer(folder / "tokenizer")
    split = Encoded(texts, tokenizer)
    token_bits = np.random.default_rng(0).exponential(3, split.tokens + len(texts)).astype(np.float16)
    bits, token = character_bits(text_of(texts), split, tokenizer, token_bits)
    assert len(bits) == len(token) == sum(map(len, texts)) and (bits >= 0).all()
    at = done = 0
    for text, sequence in zip(texts, split.sequences(), strict=True):
        tokens = len(sequence) - 2
        expected = token_bits[at : at + tokens].astype(float).sum()
        assert bits[done : done + len(text)].sum() == pytest.approx(expected, rel=1e-12)
        at, done = at + tokens + 1, done + len(text)


def test_a_document_without_tokens_has_no_bits_and_no_context(tmp_path):
    kinds = ["letter", "space"], np.array([1, 1, 0, 0, 1, 0], dtype=np.uint8)
    texts, tokenizer = ["  ", "ab c"], plugin("Words", tmp_path)
    text, split = text_of(texts, kind=kinds), Encoded(texts, tokenizer)
    token_bits = np.array([7, 4, 2, 7], dtype=np.float16)  # eot is 7
    bits, token = character_bits(text, split, tokenizer, token_bits)
    assert bits.tolist() == [0, 0, 2, 2, 0, 2]
    assert token.tolist() == [-1, -1, 0, 0, 1, 1]
    found = break_down_bits(text, split, bits, token, 8, 4)
    context = found["context in characters"]
    assert {name: (part["chars"], part["bits"]) for name, part in context.items()} == {
        "0": (4, 4.0),
        "1 to 3": (2, 2.0),
    }
    assert found["kind"]["space"] == {"chars": 3, "bits": 0.0, "bpc": 0.0}


def test_characters_and_words_are_classified_as_a_reader_would(tiny_corpus, tiny_arrays):
    text = read_test_text(tiny_corpus, TokenArrays(tiny_arrays("byte")).split("test").chosen)
    joined = "".join(text.texts)
    names, codes = text.bands["kind of character"]
    expected = {"a": "lower case", "T": "upper case", " ": "space", "\n": "line end", ".": "punctuation"}
    for character, kind in expected.items():
        assert names[codes[joined.index(character)]] == kind
    names, codes = text.bands["frequency of the word"]
    assert names[codes[joined.index(" the ") + 1]] == "1,000 and more"
    assert names[codes[joined.index("мир")]] == "never seen"
    assert names[codes[joined.index(" ")]] == "no word"


class OneDocument:
    """A split with one document of this many tokens."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def sequences(self) -> list[np.ndarray]:
        return [np.zeros(self.tokens + 2, dtype=np.uint16)]


@given(st.integers(1, 70), st.integers(2, 9), st.data())
def test_the_context_is_that_of_the_window_that_scores_the_token(tokens, block_size, data):
    stride = data.draw(st.integers(1, block_size))
    chars = np.array(data.draw(st.lists(st.integers(0, 4), min_size=tokens, max_size=tokens)))
    expected = {}
    for start, end, first in windows(tokens + 1, block_size, stride):
        for target in range(first, end):  # target i is token i; input i is token i - 1, input 0 is eot
            expected[target] = chars[max(0, start - 1) : target].sum()
    seen = context_seen(OneDocument(tokens), chars, block_size, stride)
    assert seen.tolist() == [expected[i] for i in range(tokens)]


@given(st.lists(st.text(alphabet="ab \n", min_size=1, max_size=90), min_size=1, max_size=5))
def test_passages_are_the_whole_text_and_no_passage_is_empty(texts):
    begins = cut(texts, length=10)
    assert begins[0] == 0 and begins[-1] == sum(map(len, texts))
    assert (np.diff(begins) > 0).all()
    documents = np.cumsum([0, *map(len, texts)])
    assert set(documents) <= set(begins)  # no passage spans two documents


def test_the_passages_are_those_with_the_largest_differences():
    texts = ["word " * 3000]
    a, b = np.ones(15_000), np.ones(15_000)
    b[7_000:7_005] = 6.0  # 25 bits more
    b[1_000:1_005] = 0.0  # 5 bits less
    chosen = choose_passages(texts, {"a": a, "b": b})
    differences = [passage["totals"][1] - passage["totals"][0] for passage in chosen["passages"]]
    assert max(differences) == 25 and min(differences) == -5
    assert all(len(passage["text"]) < 500 for passage in chosen["passages"])
