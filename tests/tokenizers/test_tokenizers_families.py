"""SuperBPE, parity-aware BPE and WordPiece, and sizes that are cut from a larger one."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from data_prep.corpus import Corpus, CorpusConfig, make_corpus
from data_prep.tokenizer import make_tokenizer
from tokenizers import Tokenizer, cut_tokenizer, is_beginning, load_tokenizer, save_tokenizer, train_tokenizer
from tokenizers.library import library
from tokenizers.superbpe import MOST_WORDS, NEVER
from tokenizers.wordpiece import train_wordpiece


@pytest.fixture(scope="module")
def texts(tiny_corpus: Corpus) -> list[str]:
    return list(tiny_corpus.texts("train"))


def count(tokenizer: Tokenizer, texts: list[str]) -> int:
    return sum(len(tokenizer.encode(text)) for text in texts)


def words_in(token: bytes) -> int:
    return sum(map(bool, token.split(b" ")))


# SuperBPE


def test_the_first_tokens_of_superbpe_are_those_of_its_first_stage(texts: list[str]) -> None:
    first, whole = train_tokenizer("bpe-350", texts), train_tokenizer("superbpe-500:350", texts)
    assert whole.table[:349] == first.table[:349]
    assert all(words_in(token) <= 1 for token in whole.table[:349])
    assert max(words_in(token) for token in whole.table[349:]) > 1


def test_by_default_four_fifths_are_of_the_first_stage(texts: list[str]) -> None:
    whole, said = (train_tokenizer(spec, texts) for spec in ("superbpe-500", "superbpe-500:400"))
    assert whole.table == said.table


def test_a_phrase_that_recurs_becomes_one_token() -> None:
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdefgh", k=5)) for _ in range(200)]
    texts = [" ".join(generator.choices(words, k=30)) + " by the way" for _ in range(100)]
    assert b" by the way" in train_tokenizer("superbpe-400:300", texts).table
    assert b" by the way" not in train_tokenizer("bpe-400", texts).table


def test_superbpe_needs_fewer_tokens_than_bpe_of_its_size(texts: list[str]) -> None:
    bpe, superbpe = (train_tokenizer(spec, texts) for spec in ("bpe-500", "superbpe-500"))
    assert count(superbpe, texts) < 0.95 * count(bpe, texts)


def largest_superbpe(texts: list[str], transition: int) -> Tokenizer:
    with pytest.raises(ValueError, match=r"^superbpe-90000:\d+: .* at most \d+$") as caught:
        train_tokenizer(f"superbpe-90000:{transition}", texts)
    largest = int(str(caught.value).rpartition(" ")[2])
    return train_tokenizer(f"superbpe-{largest}:{transition}", texts)


def test_superwords_have_up_to_four_words_and_cross_no_colon_and_no_number() -> None:
    texts = ["one two three four five six: seven 1234 eight\n"] * 50
    table = largest_superbpe(texts, 270).table
    longer = [token for token in table if words_in(token) > 1]
    assert longer and max(map(words_in, longer)) == MOST_WORDS
    assert not any(NEVER in token or any(digit in token for digit in b"1234") for token in longer)


def test_superbpe_names_the_largest_size_for_its_first_stage(texts: list[str]) -> None:
    whole = largest_superbpe(texts, 300)
    assert whole.spec == f"superbpe-{whole.vocab_size}:300"
    with pytest.raises(ValueError, match=r"first stage of 50000: .*at most"):
        train_tokenizer("superbpe-90000:50000", texts)


# Parity-aware BPE


def unequal_texts() -> tuple[list[str], list[str]]:
    """Texts in two languages without a letter in common, of which one has a twentieth of the text."""
    generator = random.Random(0)
    texts, languages = [], []
    for language, letters, documents in (("much", "abcdefghij", 400), ("little", "klmnopqrst", 20)):
        words = ["".join(generator.choices(letters, k=generator.randint(3, 9))) for _ in range(150)]
        texts += [" ".join(generator.choices(words, k=40)) for _ in range(documents)]
        languages += [language] * documents
    return texts, languages


def bytes_per_token(tokenizer: Tokenizer, texts: list[str], languages: list[str]) -> list[float]:
    rates = []
    for language in sorted(set(languages)):
        own = [text for text, its in zip(texts, languages, strict=True) if its == language]
        rates.append(sum(map(len, own)) / count(tokenizer, own))
    return rates


def test_parity_gives_each_language_as_many_bytes_per_token() -> None:
    texts, languages = unequal_texts()
    rates = bytes_per_token(train_tokenizer("parity-500", texts, languages), texts, languages)
    assert max(rates) < 1.03 * min(rates)
    rates = bytes_per_token(train_tokenizer("bpe-500", texts), texts, languages)
    assert max(rates) > 1.3 * min(rates)


def test_with_one_choice_of_pairs_parity_is_bpe(texts: list[str]) -> None:
    """If every text is there once in each language, each language would choose the same pairs."""
    parity = train_tokenizer("parity-400", [*texts, *texts], ["a"] * len(texts) + ["b"] * len(texts))
    assert set(parity.table[:330]) == set(train_tokenizer("bpe-400", texts).table[:330])


def test_parity_needs_languages(texts: list[str]) -> None:
    for languages in (["en"] * len(texts), [None] * len(texts)):
        with pytest.raises(ValueError, match=r"^parity-400: .*at least two languages.*'language'"):
            train_tokenizer("parity-400", texts, languages)


def test_parity_reads_the_languages_of_a_corpus(tmp_path: Path) -> None:
    rows = [{"text": text, "language": language} for text, language in zip(*unequal_texts(), strict=True)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = make_corpus(CorpusConfig(f"jsonl:{tmp_path / 'x.jsonl'}"), tmp_path / "corpus")
    train = list(corpus.texts("train"))
    languages = [language or "" for language in corpus.categories("train")["language"]]
    tokenizer = make_tokenizer(corpus, "parity-500", tmp_path / "t")
    assert tokenizer.fingerprint == train_tokenizer("parity-500", train, languages).fingerprint
    # A sample of the documents comes with their languages
    rates = bytes_per_token(make_tokenizer(corpus, "parity-400", tmp_path / "s", 20_000), train, languages)
    assert max(rates) < 1.15 * min(rates)

    for row in rows:
        row["language"] = "one" if row["language"] == "much" else "other"
    (tmp_path / "y.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    renamed = make_corpus(CorpusConfig(f"jsonl:{tmp_path / 'y.jsonl'}"), tmp_path / "renamed")
    with pytest.raises(ValueError, match="languages have changed"):
        make_tokenizer(renamed, "parity-500", tmp_path / "t")


def test_a_corpus_without_languages_is_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column 'language'"):
        make_tokenizer(tiny_corpus, "parity-400", tmp_path / "t")


# WordPiece


def test_wordpiece_gives_the_pieces_of_the_hugging_face_trainer() -> None:
    """On text without ties, which that trainer breaks at random."""
    generator = random.Random(0)
    wholes = ["".join(generator.choices("abcde", k=8)) for _ in range(40)]
    beginnings = {whole[:length] for whole in wholes for length in range(2, 9)}
    text = " ".join(f"{word} " * generator.randint(1, 1000) for word in sorted(beginnings))
    theirs = library().Tokenizer(library().models.WordPiece(unk_token="[UNK]"))
    theirs.normalizer = library().normalizers.BertNormalizer(lowercase=False)
    theirs.pre_tokenizer = library().pre_tokenizers.BertPreTokenizer()
    trainer = library().trainers.WordPieceTrainer(
        vocab_size=150, special_tokens=["[UNK]"], show_progress=False
    )
    theirs.train_from_iterator([text], trainer)
    ours = train_wordpiece([text], "wordpiece-151")
    assert set(ours._vocabulary) == set(theirs.get_vocab())
    assert any(len(piece) > 3 for piece in ours._vocabulary if piece.startswith("##"))


def test_wordpiece_is_refused_for_text_whose_white_space_it_loses(texts: list[str]) -> None:
    tokenizer = train_tokenizer("wordpiece-400", texts)
    assert tokenizer.decode(tokenizer.encode("the  great\nsword")) != "the  great\nsword"
    ids = tokenizer.encode("the great sword")
    assert tokenizer.decode(ids).strip() == "the great sword"


def test_wordpiece_keeps_room_for_pieces_in_text_of_many_characters() -> None:
    generator = random.Random(0)
    characters = [chr(0x4E00 + i) for i in range(3000)] + ["ab"] * 500
    texts = [" ".join(generator.choices(characters, k=100)) for _ in range(200)]
    tokenizer = train_tokenizer("wordpiece-200", texts)
    assert tokenizer.vocab_size == 200
    assert b" ab" in tokenizer.table


def test_wordpiece_of_two_ids_is_too_small(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^wordpiece-2: .* at least 3$"):
        train_tokenizer("wordpiece-2", texts)
    assert train_tokenizer("wordpiece-3", texts).vocab_size == 3


# All of them


@pytest.mark.parametrize("spec", ["superbpe-400", "superbpe-400:300", "wordpiece-400", "parity-400:gpt2"])
def test_a_saved_tokenizer_is_loaded(spec: str, texts: list[str], tmp_path: Path) -> None:
    languages = np.resize(["a", "b"], len(texts)).tolist()
    tokenizer = train_tokenizer(spec, texts, languages)
    save_tokenizer(tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert all(np.array_equal(loaded.encode(text), tokenizer.encode(text)) for text in texts[:50])


@pytest.mark.parametrize(
    ("spec", "other"),
    [
        ("bpe-300", "bpe-400"),
        ("bpe-257", "bpe-400"),
        ("bpe-300:gpt4", "bpe-400"),
        ("bpe-300:gpt2", "bpe-400:gpt2"),
        ("superbpe-350:300", "superbpe-400:300"),
        ("superbpe-301:300", "superbpe-400:300"),
    ],
)
def test_a_cut_tokenizer_is_the_one_that_is_trained(spec: str, other: str, texts: list[str]) -> None:
    assert is_beginning(spec, other)
    cut, trained = cut_tokenizer(train_tokenizer(other, texts), spec), train_tokenizer(spec, texts)
    assert cut.fingerprint == trained.fingerprint
    assert (cut.spec, cut.vocab_size, cut.eot) == (trained.spec, trained.vocab_size, trained.eot)


@pytest.mark.parametrize(
    ("spec", "other"),
    [
        ("bpe-400", "bpe-400"),
        ("bpe-400", "bpe-300"),
        ("bpe-300:gpt2", "bpe-400"),
        ("superbpe-300", "superbpe-400"),
        ("superbpe-300:280", "superbpe-400"),
        ("unigram-300", "unigram-400"),
        ("parity-300", "parity-400"),
        ("byte", "char"),
        ("file:x-1", "file:x-2"),
    ],
)
def test_other_tokenizers_are_not_beginnings(spec: str, other: str) -> None:
    assert not is_beginning(spec, other)


def test_a_ladder_of_a_comparison_is_trained_once(
    tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_tokenizer(tiny_corpus, "bpe-400", tmp_path / "data" / "bpe-400" / "tokenizer")
    apart = make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "apart")
    monkeypatch.setattr("data_prep.tokenizer.train_tokenizer", None)  # nothing more is trained
    cut = make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "data" / "small" / "tokenizer")
    assert cut.fingerprint == apart.fingerprint != whole.fingerprint
    with pytest.raises(TypeError):  # trained on other text
        make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "data" / "other" / "tokenizer", train_chars=1000)
