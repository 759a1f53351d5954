"""A saved tokenizer is loaded unchanged, or refused."""

import shutil
from pathlib import Path

import pytest

from data_prep.corpus import Corpus
from tokenizers import Tokenizer, load_tokenizer, save_tokenizer, train_tokenizer


@pytest.fixture
def saved(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """The folder of the saved tokenizer."""
    save_tokenizer(tokenizer, tmp_path)
    return tmp_path


def saved_as(spec: str, corpus: Corpus, folder: Path) -> Path:
    save_tokenizer(train_tokenizer(spec, corpus.texts("train")), folder)
    return folder


def test_a_loaded_tokenizer_equals_the_saved_one(tokenizer: Tokenizer, saved: Path) -> None:
    loaded = load_tokenizer(saved)
    for name in ("spec", "vocab_size", "eot", "fingerprint"):
        assert getattr(loaded, name) == getattr(tokenizer, name)
    assert loaded.token_bytes() == tokenizer.token_bytes()


def test_a_loaded_tokenizer_encodes_the_same(tokenizer: Tokenizer, saved: Path, tiny_corpus: Corpus) -> None:
    texts = [*tiny_corpus.texts("test"), "\u2581 Ωмир 日本 \0\r\n <|endoftext|>"]
    loaded = load_tokenizer(saved)
    assert all(loaded.encode(text).tolist() == tokenizer.encode(text).tolist() for text in texts)


def test_saving_again_writes_the_same_files(tokenizer: Tokenizer, saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    save_tokenizer(load_tokenizer(saved), again)
    for path in again.iterdir():
        assert path.read_bytes() == (saved / path.name).read_bytes()


def test_a_folder_can_be_moved(tokenizer: Tokenizer, saved: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(saved, tmp_path / "elsewhere")
    assert load_tokenizer(moved).fingerprint == tokenizer.fingerprint


def test_the_error_for_a_folder_without_a_tokenizer_says_how_to_create_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"contains no tokenizer.*python -m data_prep\.tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("char", "characters.txt"),
        ("unigram-400", "sentencepiece.model"),
        ("spbpe-400", "sentencepiece.model"),
        ("bpe-400", "bpe.tiktoken"),
        ("bpe-400", "encoding.json"),
        ("byte", "tokenizer.json"),
    ],
)
@pytest.mark.parametrize("damage", ["cut short", "emptied", "removed"])
def test_a_damaged_file_is_refused(
    spec: str, name: str, damage: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    path = saved_as(spec, tiny_corpus, tmp_path) / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) * 2 // 3] if damage == "cut short" else b"")
    with pytest.raises((ValueError, OSError), match=str(tmp_path)):  # types that give exit code 2
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("spec", "name", "old", "new"),
    [
        ("char", "characters.txt", "é", "è"),
        ("char", "characters.txt", "é", "éè"),
        ("unigram-400", "sentencepiece.model", "the", "eht"),
        ("spbpe-400", "sentencepiece.model", "the", "eht"),
        ("bpe-400", "bpe.tiktoken", "dGhl ", "ZWh0 "),  # the, eht
        ("bpe-400", "encoding.json", "{1,3}", "{1,2}"),
        ("unigram-400", "tokenizer.json", "unigram", "spbpe"),
        ("bpe-400", "tokenizer.json", '"fingerprint": "', '"fingerprint": "0'),
    ],
)
def test_a_changed_file_is_refused(
    spec: str, name: str, old: str, new: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    path = saved_as(spec, tiny_corpus, tmp_path) / name
    assert old.encode() in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))
    with pytest.raises(ValueError, match=f"{tmp_path} was changed"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[]", '{"spec": "byte"}'])
def test_json_that_does_not_describe_a_tokenizer_is_refused(
    content: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    (saved_as("byte", tiny_corpus, tmp_path) / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=str(tmp_path)):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("spec", ["unigram-400", "spbpe-400"])
def test_a_model_with_other_normalisation_is_refused(spec: str, tiny_corpus: Corpus, tmp_path: Path) -> None:
    """Its pieces and scores are the same, but it encodes differently."""
    path = saved_as(spec, tiny_corpus, tmp_path) / "sentencepiece.model"
    # Concatenated protocol buffers are merged: normalizer_spec (field 3) { add_dummy_prefix (3): true }.
    path.write_bytes(path.read_bytes() + bytes([3 << 3 | 2, 2, 3 << 3, 1]))
    with pytest.raises(ValueError, match=f"{tmp_path} was changed"):
        load_tokenizer(tmp_path)
