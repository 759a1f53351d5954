"""Whatever the text, its tokens hold all of it and nothing else."""

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
# What libraries are known to change, to drop or to read as something else.
ODD_TEXTS = [
    "\u2581",  # SentencePiece's sign for a space
    "\u2581\u2581 \u2581",
    "\u2585",  # SentencePiece's sign for the unknown while it trains
    "\u2047",  # SentencePiece's text for the unknown
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
    "e\u0301",  # a combining mark, then the same in one character
    "\u00e9",
    "\u0301",
    "\u212b",  # what NFC, NFKC or case folding would change
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
    "1.5 million line ends behind a sign": "!" + "\n" * 1_500_000 + "a",
    "a million line ends of two characters": "\r\n" * 1_000_000 + "a",
    "a million digits": "7" * 1_000_000,
    "a million combining marks": "e" + "\u0301" * 1_000_000,
    "half a million emoji": "😀" * 500_000,
    "100,000 characters that nobody has seen": "Ω" * 100_000,
}


@given(text=TEXTS)
@example("")
def test_decode_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=TEXTS)
def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(tokenizer: Tokenizer, text: str) -> None:
    table = tokenizer.token_bytes()
    assert b"".join(table[i] for i in tokenizer.encode(text)) == text.encode()


@given(text=TEXTS)
def test_no_text_encodes_to_the_end_of_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.eot not in tokenizer.encode(text)


@given(text=TEXTS)
@example("")
def test_ids_are_below_the_vocabulary_size(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids.dtype == np.uint32 and ids.ndim == 1
    assert all(i < tokenizer.vocab_size for i in ids.tolist())


@given(texts=st.lists(TEXTS, max_size=5))
def test_documents_are_each_text_encoded_and_the_end_of_text(tokenizer: Tokenizer, texts: list[str]) -> None:
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
def test_long_runs_survive(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tiktoken_alone_panics_on_a_million_spaces() -> None:
    """The reason for the cut in tokenizers/parts.py, which can go once this test fails."""
    encoding = tiktoken.Encoding(
        "bytes",
        pat_str=PATTERNS["gpt4"],
        mergeable_ranks={bytes([i]): i for i in range(256)},
        special_tokens={},
    )
    with pytest.raises(BaseException, match=r"(?i)stack") as caught:
        encoding.encode_ordinary(LONG_RUNS["1.5 million spaces, then a letter"])
    assert not isinstance(caught.value, Exception)


def test_bpe_without_long_runs_is_encoded_as_by_tiktoken_itself(tiny_corpus: Corpus) -> None:
    tokenizer = train_tokenizer("bpe-400", tiny_corpus.texts("train"))
    spaces = " " * 1000 + "\n\n" + "\t " * 500  # not as many as are cut, in a text that is longer
    text = spaces.join(tiny_corpus.texts("train"))
    assert tokenizer.encode(text).tolist() == tokenizer.encoding.encode_ordinary(text)


@pytest.mark.parametrize("character", ["Ω", "м", "🧿"])
def test_half_a_character_shows_as_a_replacement_and_is_lost_by_no_token(
    tokenizer: Tokenizer, character: str
) -> None:
    ids = tokenizer.encode(character)  # not in the training text, so in bytes
    assert len(ids) == len(character.encode())
    assert tokenizer.decode(ids[:1]) == "\ufffd"
    assert tokenizer.decode_bytes(ids[:1]) + tokenizer.decode_bytes(ids[1:]) == character.encode()


def test_the_end_of_text_stands_for_no_text(tokenizer: Tokenizer) -> None:
    king = tokenizer.encode("king").tolist()
    assert tokenizer.decode([tokenizer.eot, *king, tokenizer.eot]) == "king"
    assert tokenizer.token_bytes()[tokenizer.eot] == b""


def test_the_text_of_the_end_of_text_is_ordinary_text(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("<|endoftext|>")) > 1


def test_every_document_of_every_split_survives(tokenizer: Tokenizer, tiny_corpus: Corpus) -> None:
    for split in ("train", "val", "test"):
        for text in tiny_corpus.texts(split):
            assert tokenizer.decode(tokenizer.encode(text)) == text
