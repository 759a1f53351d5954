"""Specs, the sizes that can be trained, and that no part of the training text is skipped."""

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from data_prep.corpus import Corpus
from tokenizers import Tokenizer, check_spec, train_tokenizer
from tokenizers.bpe import BPETokenizer
from tokenizers.patterns import PATTERNS

from .conftest import two_languages

SIZED = ["unigram", "spbpe", "bpe", "parity", "superbpe", "wordpiece"]
SENTENCEPIECE = ["unigram", "spbpe"]


@pytest.fixture(scope="module")
def texts(tiny_corpus: Corpus) -> list[str]:
    return list(tiny_corpus.texts("train"))


def train(spec: str, texts: list[str]) -> Tokenizer:
    """Train a tokenizer, if it needs languages on two of them."""
    return train_tokenizer(spec, texts, two_languages(texts))


def refusal(spec: str, texts: list[str]) -> str:
    """The one-line error of training this tokenizer."""
    with pytest.raises(ValueError) as caught:
        train(spec, texts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("size", [320, 401])
@pytest.mark.parametrize("family", SIZED)
def test_the_number_in_a_spec_is_the_whole_vocabulary(family: str, size: int, texts: list[str]) -> None:
    tokenizer = train(f"{family}-{size}", texts)
    assert tokenizer.vocab_size == size == len(tokenizer.token_bytes())


def test_the_vocabulary_of_byte_is_256_bytes_and_eot(texts: list[str]) -> None:
    tokenizer = train_tokenizer("byte", texts)
    assert tokenizer.vocab_size == 257 == len(tokenizer.token_bytes())


def test_the_vocabulary_of_char_is_bytes_characters_and_eot(texts: list[str]) -> None:
    beyond_ascii = {c for text in texts for c in text if ord(c) >= 128}
    tokenizer = train_tokenizer("char", texts)
    assert tokenizer.vocab_size == 256 + len(beyond_ascii) + 1 == len(tokenizer.token_bytes())


def test_char_gives_one_token_per_character_of_the_training_text(texts: list[str]) -> None:
    tokenizer = train_tokenizer("char", texts)
    assert all(len(tokenizer.encode(text)) == len(text) for text in texts)


def test_char_gives_the_bytes_of_an_unseen_character() -> None:
    tokenizer = train_tokenizer("char", ["aé"])
    assert tokenizer.encode("é€a").tolist() == [256, 0xE2, 0x82, 0xAC, ord("a")]


def test_char_can_be_trained_on_ascii_alone() -> None:
    tokenizer = train_tokenizer("char", ["abc"])
    assert tokenizer.vocab_size == 257
    assert tokenizer.decode(tokenizer.encode("abcé")) == "abcé"


def test_every_id_except_eot_has_its_own_bytes(tokenizer: Tokenizer) -> None:
    """Except with byte fallback, where a character and its byte may both be tokens."""
    table = tokenizer.token_bytes()
    assert [i for i, token in enumerate(table) if not token] == [tokenizer.eot]
    if "unigram" not in tokenizer.spec and "spbpe" not in tokenizer.spec:
        assert len(set(table)) == tokenizer.vocab_size


def test_every_byte_is_a_token(tokenizer: Tokenizer) -> None:
    assert {bytes([i]) for i in range(256)} <= set(tokenizer.token_bytes())


def test_sentencepiece_gives_the_ids_of_the_library(texts: list[str]) -> None:
    for family in SENTENCEPIECE:
        tokenizer = train_tokenizer(f"{family}-400", texts)
        for text in texts:
            ids = tokenizer.encode(text).tolist()
            assert ids == tokenizer.processor.encode(text)
            assert tokenizer.decode(ids) == tokenizer.processor.decode(ids)


def test_bpe_token_bytes_are_those_of_the_library(texts: list[str]) -> None:
    tokenizer = train_tokenizer("bpe-400", texts)
    library = [tokenizer.encoding.decode_single_token_bytes(i) for i in range(tokenizer.eot)]
    assert tokenizer.token_bytes() == [*library, b""]


@pytest.mark.parametrize("family", SIZED)
def test_a_larger_vocabulary_gives_fewer_tokens(family: str, texts: list[str]) -> None:
    tokenizers = [train(f"{family}-{size}", texts) for size in (320, 360, 400)]
    counts = [sum(len(tokenizer.encode(text)) for text in texts) for tokenizer in tokenizers]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("family", [family for family in SIZED if family != "wordpiece"])
def test_a_run_of_spaces_becomes_a_token(family: str, texts: list[str]) -> None:
    program = "".join(f"    if {i}:\n        return {i}\n" for i in range(1000))
    assert b"    " in train(f"{family}-400", [*texts, program]).token_bytes()


@pytest.mark.parametrize("family", [family for family in SIZED if family != "superbpe"])
def test_too_large_a_size_names_the_largest_that_works(family: str, texts: list[str]) -> None:
    message = refusal(f"{family}-50000", texts)
    assert message.startswith(f"{family}-50000: ")
    largest = int(re.search(r"at most (\d+)", message)[1])
    assert train(f"{family}-{largest}", texts).vocab_size == largest
    refusal(f"{family}-{largest + 1}", texts)


@pytest.mark.parametrize("family", [family for family in SIZED if family != "wordpiece"])
def test_too_small_a_size_names_the_smallest_that_works(family: str, texts: list[str]) -> None:
    message = refusal(f"{family}-100", texts)
    assert message.startswith(f"{family}-100: ")
    smallest = int(re.search(r"at least (\d+)", message)[1])
    assert train(f"{family}-{smallest}", texts).vocab_size == smallest
    refusal(f"{family}-{smallest - 1}", texts)


@pytest.mark.parametrize("size", [2**31, 2**32 + 1, 10**20])
@pytest.mark.parametrize("family", SIZED)
def test_a_size_too_large_for_the_librarys_integers_is_refused(
    family: str, size: int, texts: list[str]
) -> None:
    assert f"{family}-{size}" in refusal(f"{family}-{size}", texts)


@pytest.mark.parametrize("family", SIZED)
def test_a_text_of_one_letter_is_refused_as_too_short(family: str) -> None:
    assert "at most" in refusal(f"{family}-5000", ["a", "a" * 300])


@pytest.mark.parametrize(
    ("spec", "nearest"),
    [
        ("ungiram-512", "unigram-512"),
        ("uni-512", "unigram-512"),
        ("bep-4096", "bpe-4096"),
        ("spbp-300", "spbpe-300"),
        ("bytes", "byte"),
        ("chars", "char"),
        ("byte-300", "byte"),
        ("char-", "char"),
        ("bpe", "bpe-4096"),
        ("unigram-", "unigram-4096"),
        ("bpe-0512", "bpe-4096"),
        ("bpe-1e3", "bpe-4096"),
        ("spbpe--5", "spbpe-4096"),
        ("spbpe-٣٠٠", "spbpe-4096"),
        ("bpe-512 ", "bpe-4096"),
        ("bpe-512:gpt5", "bpe-512:gpt4"),
        ("wordpieces-512", "wordpiece-512"),
        ("superbpe", "superbpe-4096"),
        ("superbpe-512:512", "superbpe-512:409"),
        ("superbpe-512:256", "superbpe-512:409"),
        ("superbpe-512:gpt4", "superbpe-512:409"),
        ("parity-512:gpt5", "parity-512:gpt4"),
        ("bpe:gpt4", "bpe-4096"),
        ("unigram-512:gpt4", "unigram-512"),
        ("tiktoken", "tiktoken:gpt2"),
        ("tiktoken:", "tiktoken:gpt2"),
        ("tiktokn:gpt2", "tiktoken:gpt2"),
        ("sentencepiece-300", "sentencepiece:x.model"),
    ],
)
def test_the_error_for_a_wrong_spec_names_the_nearest_one(spec: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"'{nearest}'") as caught:
        check_spec(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["", "-", "qqq:gpt2"])
def test_the_error_for_a_spec_unlike_any_other_lists_all(spec: str) -> None:
    with pytest.raises(ValueError, match="byte, char, unigram-N, spbpe-N, bpe-N"):
        check_spec(spec)


# SentencePiece skips a training sentence that is too long (4,192 bytes by default) or contains one of its own
# marks, at most with a line in its log. To detect this, each document has a character that is in no other
# document, and must become a token.
HARD_DOCUMENTS = {
    "over a mebibyte long": " ".join(
        random.Random(0).choices("ß the king of a silver land".split(), k=300_000)
    ),
    "with its mark for a space": "ß" * 500 + "\u2581",
    "with its mark for unknown characters": "ß" * 500 + "\u2585",
    "with its name for the unknown piece": "ß" * 500 + "<unk>",
    "with NUL": "ß" * 500 + "\0",
    "with a tab": "ß" * 500 + "\t",
    "with a non-character": "ß" * 500 + "\ufffe",
    "with a replacement character": "ß" * 500 + "\ufffd",
    "with line ends": "ß\r\nß\rß\n" * 200,
}


@pytest.mark.parametrize("family", SENTENCEPIECE)
@pytest.mark.parametrize("document", HARD_DOCUMENTS.values(), ids=HARD_DOCUMENTS)
def test_no_training_document_is_skipped(family: str, document: str, texts: list[str]) -> None:
    tokenizer = train_tokenizer(f"{family}-400", [*texts, document])
    assert "ß".encode() in tokenizer.token_bytes()
    assert tokenizer.decode(tokenizer.encode(document)) == document


def test_unigram_trains_in_seconds_on_a_long_document_that_occurs_twice(texts: list[str]) -> None:
    """The time of the library's search for repeats is quadratic in their length: 19 s for this one."""
    book = "".join(texts)
    start = time.monotonic()
    train_tokenizer("unigram-400", [book, book])
    assert time.monotonic() - start < 6


@pytest.mark.parametrize("family", SIZED)
def test_the_order_of_the_specs_trained_before_does_not_matter(family: str, texts: list[str]) -> None:
    first = train(f"{family}-320", texts)
    train(f"{family}-400", texts[:50])
    assert train(f"{family}-320", texts).fingerprint == first.fingerprint


def test_the_same_text_gives_the_same_tokenizers_in_another_process(
    tiny_corpus: Corpus, texts: list[str], run_python: Callable
) -> None:
    specs = ["byte", "char", "unigram-400", "spbpe-400", "bpe-400", "superbpe-400", "wordpiece-400"]
    script = """
import json, pathlib, sys
from data_prep.corpus import Corpus
from tokenizers import train_tokenizer
corpus = Corpus(pathlib.Path(sys.argv[1]))
print(json.dumps([train_tokenizer(spec, corpus.texts("train")).fingerprint for spec in sys.argv[2:]]))
"""
    # Other hash seeds and numbers of threads must make no difference.
    elsewhere = run_python(
        "-c", script, tiny_corpus.folder, *specs, PYTHONHASHSEED="7", RAYON_NUM_THREADS="1"
    )
    assert json.loads(elsewhere.stdout) == [train_tokenizer(spec, texts).fingerprint for spec in specs]


def test_different_tokenizers_have_different_fingerprints(texts: list[str]) -> None:
    specs = ["byte", "char", "unigram-320", "unigram-400", "spbpe-320", "spbpe-400", "bpe-320", "bpe-400"]
    made = [train_tokenizer(spec, texts) for spec in specs]
    made += [train_tokenizer(spec, texts[:200]) for spec in specs if spec not in ("byte", "char")]
    assert len({tokenizer.fingerprint for tokenizer in made}) == len(made)


def test_the_fingerprint_covers_the_scores_of_pieces() -> None:
    one, other = (train_tokenizer("unigram-259", [text] * 10) for text in ("aab", "aaaab"))
    assert one.token_bytes() == other.token_bytes()
    assert one.fingerprint != other.fingerprint


def test_the_fingerprint_covers_the_pattern(texts: list[str]) -> None:
    tokenizer = train_tokenizer("bpe-400", texts)
    other = BPETokenizer(replace(tokenizer.ranks, pattern=r"\s+|\S+"), tokenizer.spec)
    assert tokenizer.token_bytes() == other.token_bytes()
    assert tokenizer.fingerprint != other.fingerprint


@pytest.mark.parametrize("family", ["unigram", "spbpe", "bpe"])
def test_a_training_document_with_a_million_spaces_does_no_harm(family: str, texts: list[str]) -> None:
    """The regular expression that finds words would overflow its stack, in training as in encoding."""
    assert train_tokenizer(f"{family}-400", [*texts, " " * 1_500_000 + "x"]).vocab_size == 400


@pytest.mark.parametrize("family", SENTENCEPIECE)
def test_a_small_vocabulary_works_for_a_text_of_thousands_of_characters(
    family: str, texts: list[str]
) -> None:
    """The library alone refuses a vocabulary too small for the characters that it must cover."""
    chinese = "".join(chr(0x4E00 + i % 3000) for i in range(60_000))
    tokenizer = train_tokenizer(f"{family}-512", [*texts, chinese])
    assert tokenizer.vocab_size == 512
    pieces = [token.decode() for token in tokenizer.token_bytes() if len(token) == 3 and token[0] > 0xE3]
    assert 20 < len(pieces) < 256
    assert any(token.strip().startswith(b"th") for token in tokenizer.table)  # room is left for words
    assert tokenizer.decode(tokenizer.encode(chinese)) == chinese


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_part_of_the_spec_and_of_the_fingerprint(name: str, texts: list[str]) -> None:
    tokenizer = train_tokenizer(f"bpe-400:{name}", texts)
    assert tokenizer.vocab_size == 400 and tokenizer.ranks.pattern == PATTERNS[name]
    same = tokenizer.fingerprint == train_tokenizer("bpe-400", texts).fingerprint
    assert same == (name == "gpt4")  # the default


def test_patterns_differ_in_the_number_of_digits_per_token(texts: list[str]) -> None:
    longest = {}
    for name in PATTERNS:
        # The other text makes sure that every pattern has something to merge.
        tokenizer = train_tokenizer(f"bpe-500:{name}", [" 1234567" * 100_000, *texts])
        longest[name] = max(len(re.sub(rb"\D", b"", token)) for token in tokenizer.table)
    digits = {"gpt2": 7, "gpt4": 3, "gpt4-2digits": 2, "gpt4-1digit": 1, "gpt4o": 3, "llama3": 3}
    assert longest == {**digits, "qwen": 1, "qwen3.5": 1}


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_skips_no_character(name: str, text: str) -> None:
    byte = {bytes([i]): i for i in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=PATTERNS[name], mergeable_ranks=byte, special_tokens={})
    assert encoding.decode(encoding.encode_ordinary(text)) == text
