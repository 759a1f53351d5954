"""Tokenization is lossless for every text."""

import numpy as np
import pyarrow
import pytest
import tiktoken
from hypothesis import example, given
from hypothesis import strategies as st

from data_prep.corpus import Corpus
from tokenizers import Tokenizer, train_tokenizer
from tokenizers.patterns import PATTERNS

ANY_CHARACTER = st.characters(exclude_categories=["Cs"])  # every code point but surrogates
# Texts that libraries are known to change, drop or misread.
ODD_TEXTS = [
    "\u2581",  # SentencePiece's replacement for a space
    "\u2581\u2581 \u2581",
    "\u2585",  # SentencePiece's mark for unknown characters in training
    "\u2047",  # SentencePiece's text for the unknown piece
    "\0",
    "\r",
    "\r\n",
    "\n\n",
    "\t",
    " ",
    "   ",
    "\x1c",
    "\x85",
    "\u00a0",
    "\u2028",
    "\u3000",
    "\ufeff",  # byte order mark
    "\u200d",
    "\ue000",  # private use
    "\U000f0000",
    "\ufdd0",  # non-characters
    "\uffff",
    "\U0010ffff",
    "\ufffd",
    "e\u0301",  # a letter with a combining mark, then the same as one character
    "\u00e9",
    "\u0301",
    "\u212b",  # characters that NFC, NFKC or case folding would change
    "\ufb01",
    "ß",
    "İ",
    "👩‍👩‍👧",
    "🇩🇰",
    "😀",
    "<|endoftext|>",
    "<unk>",
    "<s>",
    "<0xE2>",
    "the king",
    "'s",
    "12345",
]
TEXTS = st.text(ANY_CHARACTER) | st.lists(
    st.sampled_from(ODD_TEXTS) | st.text(ANY_CHARACTER, max_size=3), max_size=20
).map("".join)
LONG_RUNS = {
    "a million equal letters": "a" * 1_000_000,
    "1.5 million spaces, then a letter": " " * 1_500_000 + "a",
    "1.5 million line ends after a punctuation mark": "!" + "\n" * 1_500_000 + "a",
    "a million line ends of two characters": "\r\n" * 1_000_000 + "a",
    "a million digits": "7" * 1_000_000,
    "a million combining marks": "e" + "\u0301" * 1_000_000,
    "half a million emoji": "😀" * 500_000,
    "100,000 characters that are not in the training text": "Ω" * 100_000,
}


@given(text=TEXTS)
@example("")
def test_decoding_an_encoded_text_restores_it(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=TEXTS)
def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(tokenizer: Tokenizer, text: str) -> None:
    table = tokenizer.token_bytes()
    assert b"".join(table[i] for i in tokenizer.encode(text)) == text.encode()


@given(text=TEXTS)
def test_no_text_is_encoded_to_eot(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.eot not in tokenizer.encode(text)


@given(text=TEXTS)
@example("")
def test_ids_are_below_the_vocabulary_size(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids.dtype == np.uint32 and ids.ndim == 1
    assert all(i < tokenizer.vocab_size for i in ids.tolist())


@given(texts=st.lists(TEXTS, max_size=5))
def test_documents_are_encoded_texts_each_followed_by_eot(tokenizer: Tokenizer, texts: list[str]) -> None:
    if not texts:
        return
    array = pyarrow.array(texts, pyarrow.large_string())
    tokens, ends, kept = tokenizer.encode_documents(array, np.array([len(text) for text in texts]))
    assert tokens.tolist() == [i for text in texts for i in [*tokenizer.encode(text).tolist(), tokenizer.eot]]
    assert [tokens[end] for end in ends] == [tokenizer.eot] * len(texts)
    assert np.diff(ends, prepend=-1).tolist() == [len(tokenizer.encode(text)) + 1 for text in texts]
    assert kept.all()


@given(text=st.text(max_size=10), code=st.integers(0xD800, 0xDFFF))
def test_a_lone_surrogate_is_refused_with_its_position(tokenizer: Tokenizer, text: str, code: int) -> None:
    with pytest.raises(ValueError, match=rf"U\+{code:04X}\) at character {len(text)}:"):
        tokenizer.encode(text + chr(code) + "b")


@pytest.mark.parametrize("text", LONG_RUNS.values(), ids=LONG_RUNS)
def test_long_runs_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tiktoken_alone_panics_on_a_million_spaces() -> None:
    """The reason for tokenizers/parts.py, which can be removed once this test fails."""
    encoding = tiktoken.Encoding(
        "bytes",
        pat_str=PATTERNS["gpt4"],
        mergeable_ranks={bytes([i]): i for i in range(256)},
        special_tokens={},
    )
    with pytest.raises(BaseException, match=r"(?i)stack") as caught:
        encoding.encode_ordinary(LONG_RUNS["1.5 million spaces, then a letter"])
    assert not isinstance(caught.value, Exception)


def test_bpe_of_text_without_long_runs_gives_the_ids_of_tiktoken_alone(tiny_corpus: Corpus) -> None:
    tokenizer = train_tokenizer("bpe-400", tiny_corpus.texts("train"))
    spaces = " " * 1000 + "\n\n" + "\t " * 500  # long, but far shorter than a part
    text = spaces.join(tiny_corpus.texts("train"))
    assert tokenizer.encode(text).tolist() == tokenizer.encoding.encode_ordinary(text)


@pytest.mark.parametrize("character", ["Ω", "м", "🧿"])
def test_part_of_a_character_decodes_to_a_replacement_and_its_bytes_are_kept(
    tokenizer: Tokenizer, character: str
) -> None:
    ids = tokenizer.encode(character)  # not in the training text, so encoded as bytes
    assert len(ids) == len(character.encode())
    assert tokenizer.decode(ids[:1]) == "\ufffd"
    assert tokenizer.decode_bytes(ids[:1]) + tokenizer.decode_bytes(ids[1:]) == character.encode()


def test_eot_decodes_to_nothing(tokenizer: Tokenizer) -> None:
    king = tokenizer.encode("king").tolist()
    assert tokenizer.decode([tokenizer.eot, *king, tokenizer.eot]) == "king"
    assert tokenizer.token_bytes()[tokenizer.eot] == b""


def test_the_text_endoftext_is_ordinary_text(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("<|endoftext|>")) > 1


def test_every_document_of_every_split_round_trips(tokenizer: Tokenizer, tiny_corpus: Corpus) -> None:
    for split in ("train", "val", "test"):
        for text in tiny_corpus.texts(split):
            assert tokenizer.decode(tokenizer.encode(text)) == text
