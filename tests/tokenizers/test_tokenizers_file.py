"""`file:PATH`: the content decides what it is; the ids are those of its own library, or it is refused."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.corpus import Corpus
from tokenizers import (
    Tokenizer,
    folder_name,
    load_tokenizer,
    published_files,
    save_tokenizer,
    train_tokenizer,
)
from tokenizers.bpe import BPETokenizer
from tokenizers.huggingface import HuggingFaceTokenizer
from tokenizers.patterns import SAME_WORDS
from tokenizers.tokenizer_json import byte_letters

from . import conftest
from .damage import mutations, tokenizer_json
from .families import (
    BYTE_LEVEL_KINDS,
    OTHER_KINDS,
    WITHOUT_REGEX,
    Change,
    add,
    byte_level_file,
    other_file,
    sequence,
    split,
    written,
)
from .test_tokenizers_published import bytes_file, changed, check_ids, random_texts

FAST = {
    "gpt2",
    "NFC",
    "NFKC",
    "qwen3.5",
    "unknown token that cannot occur",
    "without the bytes that UTF-8 never has",
    "special in text",
}
"""kinds that tiktoken encodes; the others run by the Hugging Face library"""


@pytest.fixture(scope="module")
def train_texts(tiny_corpus: Corpus) -> list[str]:
    return list(tiny_corpus.texts("train"))


@pytest.fixture(scope="module")
def texts(tiny_corpus: Corpus) -> list[str]:
    """Prose, code, digits, marks that versions of Unicode disagree on, and random text."""
    code = Path(conftest.__file__).read_text() + "<|endoftext|></s>[SEP]"
    own = [
        "my lord  the king, thee; 'ſ 'K 12345678 1,000",
        "x \U00016d6a\U00016d63 \u0897\u0301",
        "a" * 300 + " " * 300,
    ]
    return [*tiny_corpus.texts("test"), code, *own, *random_texts(800)]


def read(path: Path) -> Tokenizer:
    return train_tokenizer(f"file:{path}", ())


# ---- tokenizer.json


@pytest.mark.parametrize("kind", [kind for kind in BYTE_LEVEL_KINDS if "matches nothing" not in kind])
def test_byte_level_bpe_gives_the_ids_of_its_library(
    kind: str, texts: list[str], train_texts: list[str], tmp_path: Path
) -> None:
    path = byte_level_file(kind, train_texts, tmp_path)
    tokenizer = read(path)
    assert isinstance(tokenizer, BPETokenizer if kind in FAST else HuggingFaceTokenizer)
    check_ids(tokenizer, path, texts, tmp_path)
    if kind in (
        "gpt2",
        "bloom",
        "falcon",
        "starcoder",
        "deepseek",
        "no words",
        "without the bytes that UTF-8 never has",
    ):
        assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_models_give_the_ids_of_their_library(
    kind: str, texts: list[str], train_texts: list[str], tmp_path: Path
) -> None:
    path = other_file(kind, train_texts, tmp_path)
    tokenizer = read(path)
    check_ids(tokenizer, path, texts, tmp_path)
    for text in texts if OTHER_KINDS[kind] else []:
        if "▁" not in text:  # the library cannot tell it from a space
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_special_token_in_a_text_is_text(train_texts: list[str], tmp_path: Path) -> None:
    for kind in ("special in text", "starcoder"):
        path = changed(
            byte_level_file(kind, train_texts, tmp_path), tmp_path, lambda c: add(c, "</s>", special=True)
        )
        tokenizer = read(path)
        for text in ("a </s> b", "<|endoftext|></s>"):
            assert tokenizer.eot not in tokenizer.encode(text)
            assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_pattern_that_the_library_cannot_use_is_one_line(train_texts: list[str], tmp_path: Path) -> None:
    path = byte_level_file("gpt2", train_texts, tmp_path)
    path = changed(path, tmp_path, lambda c: c.update(pre_tokenizer=split("(")))
    with pytest.raises(ValueError, match="the Hugging Face library cannot read it") as caught:
        read(path)
    assert "\n" not in str(caught.value)


REFUSED: dict[str, tuple[Change, str]] = {
    "dropout": (lambda c: c["model"].update(dropout=0.1), "dropout 0.1, which gives other ids each time"),
    "a prefix that no merge has": (
        lambda c: c["model"].update(continuing_subword_prefix="xx"),
        "whose result is not a token",
    ),
    "a merge longer than every token": (
        lambda c: c["model"]["merges"].append([max(c["model"]["vocab"], key=len)] * 2),
        "whose result is not a token",
    ),
    "an id that takes all memory": (
        lambda c: c["model"]["vocab"].update(there=4_000_000_000),
        "its largest id is 4000000000",
    ),
}
"""changes that the library accepts, or at which it ends the process"""


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_library_would_not_refuse_is_refused(
    name: str, train_texts: list[str], tmp_path: Path
) -> None:
    change, message = REFUSED[name]
    path = changed(byte_level_file("gpt2", train_texts, tmp_path), tmp_path, change)
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["a pattern that matches nothing", "one split, other pattern", "NFC"])
def test_a_saved_tokenizer_is_complete(
    kind: str, texts: list[str], train_texts: list[str], tmp_path: Path
) -> None:
    tokenizer = read(byte_level_file(kind, train_texts, tmp_path / "there"))
    shutil.rmtree(tmp_path / "there")
    save_tokenizer(tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert type(loaded) is type(tokenizer)
    assert (loaded.fingerprint, loaded.eot, loaded.vocab_size) == (
        tokenizer.fingerprint,
        tokenizer.eot,
        tokenizer.vocab_size,
    )
    assert all(loaded.encode(text).tolist() == tokenizer.encode(text).tolist() for text in texts[:300])


# ---- other forms


def test_gpt2s_two_files_are_read_from_either_or_from_their_folder(
    texts: list[str], train_texts: list[str], tmp_path: Path
) -> None:
    path = byte_level_file("gpt2", train_texts, tmp_path / "json")
    model = json.loads(path.read_text())["model"]
    folder = tmp_path / "two"
    written(model["vocab"], folder, "vocab.json")
    merges = "\n".join(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    for given in (folder, folder / "vocab.json", folder / "merges.txt"):
        assert all(
            read(given).encode(text).tolist() == read(path).encode(text).tolist() for text in texts[:300]
        )
    (folder / "merges.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"merges\.txt is damaged: it is not text in UTF-8"):
        read(folder)
    (folder / "merges.txt").unlink()
    with pytest.raises(ValueError, match=r"a vocabulary without its merges: put merges\.txt beside it"):
        read(folder)


def test_berts_vocabulary_is_read_with_its_case(train_texts: list[str], tmp_path: Path) -> None:
    content = json.loads(other_file("wordpiece", train_texts, tmp_path).read_text())
    pieces = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    uncased, from_json = read(tmp_path / "vocab.txt"), read(tmp_path / "tokenizer.json")
    assert uncased.encode("The KING").tolist() == from_json.encode("The KING").tolist()
    (tmp_path / "vocab.txt").write_text("\n".join([*pieces, "King"]) + "\n")
    assert read(tmp_path / "vocab.txt").encode("King").tolist() == [len(pieces)]


def test_tekken_is_ranks_behind_special_tokens(tmp_path: Path) -> None:
    tokens = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b"beyond"]
    vocab = [{"rank": i, "token_bytes": base64.b64encode(token).decode()} for i, token in enumerate(tokens)]
    config = {"pattern": r"\w+|\W+", "default_vocab_size": 268, "default_num_special_tokens": 10}
    path = written({"config": config, "vocab": vocab}, tmp_path, "tekken.json")
    tokenizer = read(path)
    assert (tokenizer.vocab_size, tokenizer.eot) == (268, 2)
    assert tokenizer.encode("the").tolist() == [267]
    assert tokenizer.decode(tokenizer.encode("beyond the </s>")) == "beyond the </s>"
    vocab[256]["rank"] = 255
    written({"config": config, "vocab": vocab}, tmp_path, "tekken.json")
    with pytest.raises(ValueError, match=r"not a complete tekken\.json: the token at place 256 has another"):
        read(path)


def test_a_ranks_file_is_known_by_its_content(tmp_path: Path) -> None:
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)]
    path = tmp_path / "tokenizer.model"  # as Llama 3's is called
    path.write_text("".join(lines) + "YWI= 256\n")
    with pytest.raises(ValueError, match=f"'file:{path}:gpt4'"):
        read(path)
    assert train_tokenizer(f"file:{path}:gpt4", ()).encode("abb").tolist() == [256, ord("b")]


def test_an_id_without_a_token_is_left_out(tmp_path: Path) -> None:
    """Whisper's file has one."""
    tokenizer = train_tokenizer(f"file:{bytes_file(tmp_path, '= 256')}:gpt4", ())
    assert (tokenizer.vocab_size, tokenizer.eot) == (257, 256)


def test_qwens_ranks_are_read_as_qwen_reads_them(tmp_path: Path) -> None:
    """Its code normalizes text, and its pattern ends a word after a line end."""
    path = bytes_file(tmp_path, "CiA= 256\nIAo= 257\n")  # "\n ", " \n"
    tokenizer = train_tokenizer(f"file:{path}:qwen", ())
    assert tokenizer.encode("e\u0301 \n ").tolist() == [*"é".encode(), 257, ord(" ")]
    other = train_tokenizer(f"file:{path}:gpt4-1digit", ())
    assert other.encode("a \n ").tolist() == [ord("a"), ord(" "), 256]


def test_a_pattern_for_another_file_is_refused(train_texts: list[str], tmp_path: Path) -> None:
    path = byte_level_file("gpt2", train_texts, tmp_path)
    with pytest.raises(ValueError, match="is not a file of ranks: leave out ':gpt4'"):
        train_tokenizer(f"file:{path}:gpt4", ())


def test_every_file_that_determines_a_tokenizer_is_part_of_its_record(tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "other.txt"):
        (tmp_path / name).write_text("{}")
    for given in (tmp_path, tmp_path / "vocab.json", tmp_path / "merges.txt"):
        assert {file.name for file in published_files(f"file:{given}")} == {
            "vocab.json",
            "merges.txt",
            "tokenizer_config.json",
        }


def test_a_sentencepiece_model_is_known_by_its_content(train_texts: list[str], tmp_path: Path) -> None:
    save_tokenizer(trained := train_tokenizer("unigram-400", train_texts), tmp_path)
    (tmp_path / "sentencepiece.model").rename(tmp_path / "any.name")
    assert (
        read(tmp_path / "any.name").encode(train_texts[0]).tolist() == trained.encode(train_texts[0]).tolist()
    )


NOT_TOKENIZERS = {
    b"": "is empty",
    b" \n": "is empty",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n": "is a Git LFS pointer",
    b"<!DOCTYPE html><html>": "is a web page",
    b"PK\x03\x04 and more": "is a zip archive",
    b"\x1f\x8b\x08\x00": "is compressed",
    b'{"model": {"vocab": {"a": 0}': "is damaged or cut",
    b'{"hidden_size": 768}': "is JSON, but not a tokenizer",
    b"[1, 2]": "is JSON, but not a tokenizer",
    b'{"model": {"vocab": {}}}': "the Hugging Face library cannot read it",
    b"any text at all\n": "is text, but not a tokenizer",
    b"\0" * 100: "is not a tokenizer in a known form",
}


@pytest.mark.parametrize("content", NOT_TOKENIZERS)
def test_another_file_is_one_line_that_says_what_it_is(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        with pytest.raises(ValueError, match=NOT_TOKENIZERS[content]) as caught:
            read(path)
        assert str(tmp_path / "tokenizer.json") in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path} contains no tokenizer"):
        read(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        read(tmp_path / "no.json")


# ---- whatever is in a file


@pytest.mark.parametrize("number", [25, pytest.param(250, marks=pytest.mark.extended)])
@pytest.mark.parametrize("kind", ["gpt2", "starcoder", "llama2", "wordpiece"])
def test_a_damaged_file_is_one_line_or_gives_the_ids_of_its_library(
    kind: str, number: int, texts: list[str], train_texts: list[str], tmp_path: Path
) -> None:
    make: Callable = byte_level_file if kind in BYTE_LEVEL_KINDS else other_file
    whole = make(kind, train_texts, tmp_path).read_bytes()
    some = texts[-150:]
    for i, content in enumerate(mutations(whole, number, seed=number)):
        path = tmp_path / f"{i}.json"
        path.write_bytes(content)
        try:
            tokenizer = read(path)
            ids = [tokenizer.encode(text).tolist() for text in some]
        except ValueError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            continue
        if isinstance(tokenizer, BPETokenizer):
            own = tokenizer_json(path)
            assert ids == [own(text) for text in some]


# ---- names


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("file:my/x.model", "x"),
        ("file:my/llama-2/tokenizer.model", "llama-2"),
        ("file:x.tiktoken:gpt4", "x"),
        (f"file:cache/models--Org--Name-1B/snapshots/{'0a' * 20}/tokenizer.json", "Name-1B"),
        ("hub:Org/Name-1B@main", "Name-1B"),
        ("tiktoken:gpt2", "tiktoken-gpt2"),
    ],
)
def test_the_label_of_a_file_is_a_short_name(spec: str, label: str) -> None:
    assert folder_name(spec) == label


# ---- words


@pytest.fixture(scope="module")
def pairs(train_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """A tokenizer.json with a token for every two bytes, so that ids show where words end."""
    path = byte_level_file("gpt2", train_texts, tmp_path_factory.mktemp("pairs"))
    content = json.loads(path.read_bytes())
    letters = sorted(byte_letters(), key=byte_letters().__getitem__)
    merges = [[left, right] for left in letters for right in letters]
    tokens = [*letters, *("".join(merge) for merge in merges)]
    content["model"].update(vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    return content


@pytest.mark.extended
@pytest.mark.parametrize("pattern", [None, *sorted(SAME_WORDS)])
def test_words_end_as_in_the_library(pattern: str | None, pairs: dict, tmp_path: Path) -> None:
    """Around every character of the planes that have characters of their own."""
    words = {"pre_tokenizer": sequence(split(pattern), WITHOUT_REGEX)} if pattern else {}
    path = written({**pairs, **words}, tmp_path)
    tokenizer, own = read(path), tokenizer_json(path)
    assert isinstance(tokenizer, BPETokenizer)
    points = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000)]
    for start in range(0, len(points), 500):
        text = "".join(f"a{c}B {c}{c}1{c}.{c} \n" for c in map(chr, points[start : start + 500]))
        assert tokenizer.encode(text).tolist() == own(text), hex(points[start])
