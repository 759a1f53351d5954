"""Published tokenizers give the ids of their own library, or are refused with the unsupported part."""

import base64
import json
import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
import tiktoken

from data_prep.corpus import Corpus
from data_prep.encode import make_arrays
from tokenizers import Tokenizer, folder_name, load_tokenizer, save_tokenizer, train_tokenizer
from tokenizers.bpe import BPETokenizer
from tokenizers.huggingface import HuggingFaceTokenizer
from tokenizers.parts import MAX_PART
from tokenizers.patterns import PATTERNS

from . import fetched

ENCODINGS = ["gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base"]
JSON = ["gpt2", "llama3", "qwen2.5", "gpt4o", "mistral-nemo", "anthropic"]
NORMALIZING = {"qwen2.5": "NFC", "anthropic": "NFKC"}
ODD = ["▁", "\0", "\r", "\ufeff", "\ue000", "\U000e0fff", "e\u0301", "<|endoftext|>", "<|im_start|>", "</s>"]
HUGGING_FACE = """
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.encode_special_tokens = True
texts = json.loads(sys.stdin.read())
print(json.dumps([encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]))
"""
TRAIN_HUGGING_FACE = """
import json, sys
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet)
tokenizer.train_from_iterator(json.loads(sys.stdin.read()), trainer)
tokenizer.add_tokens([" " * n for n in (24, 8, 4, 2)] + ["|||EMAIL|||", "<think>"])
tokenizer.save(sys.argv[1])
"""


@pytest.fixture(scope="module", autouse=True)
def remove_downloads():
    yield
    fetched.remove()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill tiktoken's cache with every published encoding."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(fetched.tiktoken_cache()))


def hugging_face(script: str, path: Path, texts: list[str], elsewhere: Path) -> str:
    """The output of a script that uses the Hugging Face library, which our folder would shadow."""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(
        command, cwd=elsewhere, input=json.dumps(texts), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_ids(tokenizer: Tokenizer, path: Path, texts: list[str], elsewhere: Path) -> None:
    """The ids of all texts are those of the Hugging Face library in a process of its own."""
    expected = json.loads(hugging_face(HUGGING_FACE, path, texts, elsewhere))
    for text, ids in zip(texts, expected, strict=True):
        assert tokenizer.encode(text).tolist() == ids, ascii(text)


def random_texts(number: int) -> list[str]:
    """Short texts of characters that pre-tokenizers treat differently, and of random code points."""
    draw = random.Random(0)
    kinds = (
        " \n\r\t|aXé'sS|0123|日本|мир|العربية|😀👩\u200d|\u0301\u0308|!?./\\-_|\u00a0\u3000|²Ⅷ½|\0\x1f\ufeff"
    )
    texts = [
        "".join(draw.choice(draw.choice(kinds.split("|"))) for _ in range(draw.randrange(1, 40)))
        for _ in range(number)
    ]
    for _ in range(number // 4):
        points = (draw.randrange(0x110000) for _ in range(20))
        texts.append("".join(chr(point) for point in points if not 0xD800 <= point < 0xE000))
    return texts


@pytest.fixture(scope="module")
def texts(tiny_corpus: Corpus) -> list[str]:
    """Real prose, real code and random text."""
    code = [path.read_text() for path in Path(__file__).parents[2].glob("model/*.py")]
    return [*tiny_corpus.texts("test"), *code, "I'll say it's WE'VE 'tis", *random_texts(1500)]


# ---- tiktoken by name


@pytest.mark.extended
@pytest.mark.parametrize("name", ENCODINGS)
def test_a_published_encoding_gives_the_ids_of_tiktoken(name: str, cache: None, texts: list[str]) -> None:
    tokenizer = train_tokenizer(f"tiktoken:{name}", ())
    library = tiktoken.get_encoding(name)
    assert (tokenizer.eot, tokenizer.vocab_size) == (library.eot_token, library.n_vocab)
    for text in [*texts, *ODD]:
        assert tokenizer.encode(text).tolist() == library.encode_ordinary(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.extended
def test_gpt2_gives_its_well_known_ids(cache: None) -> None:
    tokenizer = train_tokenizer("tiktoken:gpt2", ())
    assert tokenizer.encode("Hello, world!").tolist() == [15496, 11, 995, 0]


@pytest.mark.extended
@pytest.mark.parametrize("name", ENCODINGS)
def test_the_text_of_a_special_token_is_ordinary_text(name: str, cache: None) -> None:
    tokenizer = train_tokenizer(f"tiktoken:{name}", ())
    for special in tokenizer.ranks.special:
        assert not {*tokenizer.ranks.special.values()} & {*tokenizer.encode(f"a {special} b").tolist()}


def test_the_error_for_a_failed_download_says_how_to_fill_the_cache(
    tmp_path: Path, run_python: Callable
) -> None:
    script = "from tokenizers import train_tokenizer; train_tokenizer('tiktoken:cl100k_base', ())"
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "TIKTOKEN_CACHE_DIR": str(tmp_path)}
    line = run_python("-c", script, **nowhere).stderr.splitlines()[-1]
    assert line.startswith(f"ValueError: tiktoken:cl100k_base is not in tiktoken's cache ({tmp_path})")
    assert "TIKTOKEN_CACHE_DIR=FOLDER" in line


@pytest.mark.parametrize(("name", "hint"), [("gpt22", "'tiktoken:gpt2'"), ("no/file.json", "no/file.json")])
def test_a_name_that_is_neither_an_encoding_nor_a_file_is_refused(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as caught:
        train_tokenizer(f"tiktoken:{name}", ())
    assert "cl100k_base" in str(caught.value)


# ---- ranks files


@pytest.mark.extended
@pytest.mark.parametrize("name", ["r50k_base", "cl100k_base", "o200k_base"])
def test_a_known_ranks_file_needs_no_pattern(name: str, cache: None, texts: list[str]) -> None:
    library = tiktoken.get_encoding(name)
    path = next(p for p in fetched.tiktoken_cache().iterdir() if ranks_of(p) == len(library._mergeable_ranks))
    tokenizer = train_tokenizer(f"tiktoken:{path}", ())
    assert all(tokenizer.encode(text).tolist() == library.encode_ordinary(text) for text in texts)


def ranks_of(path: Path) -> int:
    """The number of lines in a file."""
    return len(path.read_bytes().splitlines())


def bytes_file(folder: Path, extra: str = "") -> Path:
    """A ranks file of the 256 bytes."""
    path = folder / "own.tiktoken"
    path.write_text("".join(f"{base64.b64encode(bytes([i])).decode()} {i}\n" for i in range(256)) + extra)
    return path


def test_an_unknown_ranks_file_needs_the_name_of_its_pattern(tmp_path: Path) -> None:
    path = bytes_file(tmp_path, "YWI= 256\n")
    with pytest.raises(ValueError, match=f"tiktoken:{path}:gpt4") as caught:
        train_tokenizer(f"tiktoken:{path}", ())
    assert all(name in str(caught.value) for name in PATTERNS)
    tokenizer = train_tokenizer(f"tiktoken:{path}:gpt2", ())
    assert (tokenizer.vocab_size, tokenizer.eot) == (258, 257)
    assert tokenizer.encode("abb").tolist() == [256, ord("b")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("YWI= 256 1\n", "line 257 is not a token in base64 and its rank"),
        ("!!! 256\n", "line 257 is not a token"),
        ("YWI= x\n", "line 257 is not a token"),
    ],
)
def test_a_damaged_ranks_file_is_refused_and_the_line_named(
    content: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train_tokenizer(f"tiktoken:{bytes_file(tmp_path, content)}:gpt4", ())


def test_a_ranks_file_without_a_byte_is_refused(tmp_path: Path) -> None:
    """tiktoken would panic, which is not an Exception, at the first text with that byte."""
    path = bytes_file(tmp_path)
    path.write_text(path.read_text().replace("Zg== ", "YWI= "))
    with pytest.raises(ValueError, match="no token for the byte 0x66"):
        train_tokenizer(f"tiktoken:{path}:gpt4", ())


@pytest.mark.parametrize(
    ("line", "message"), [("YWI= 0\n", "the id 0"), ("YWI= -1\n", "the ids are -1 to 255")]
)
def test_ids_at_which_tiktoken_would_panic_are_refused(line: str, message: str, tmp_path: Path) -> None:
    path = bytes_file(tmp_path, line)
    with pytest.raises(ValueError, match=message) as caught:
        train_tokenizer(f"file:{path}:gpt4", ())
    assert str(path) in str(caught.value)


# ---- tokenizer.json


@pytest.mark.extended
@pytest.mark.parametrize("name", JSON)
def test_a_tokenizer_json_gives_the_ids_of_its_own_library(
    name: str, texts: list[str], tmp_path: Path
) -> None:
    path = fetched.tokenizer_json(name)
    tokenizer = train_tokenizer(f"file:{path}", ())
    assert isinstance(tokenizer, BPETokenizer)
    check_ids(tokenizer, path, texts, tmp_path)
    for text in texts:
        source = unicodedata.normalize(NORMALIZING[name], text) if name in NORMALIZING else text
        assert tokenizer.decode(tokenizer.encode(text)) == source


@pytest.mark.extended
def test_gpt2_is_the_same_from_openai_and_from_hugging_face(cache: None, texts: list[str]) -> None:
    one = train_tokenizer("tiktoken:gpt2", ())
    other = train_tokenizer(f"tiktoken:{fetched.tokenizer_json('gpt2')}", ())
    assert (one.eot, one.vocab_size) == (other.eot, other.vocab_size)
    assert one.token_bytes() == other.token_bytes()


@pytest.fixture(scope="module")
def own_json(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json made by its own library: special ids first, added ones such as runs of spaces last."""
    folder = tmp_path_factory.mktemp("own")
    hugging_face(TRAIN_HUGGING_FACE, folder / "tokenizer.json", list(tiny_corpus.texts("train")), folder)
    return folder / "tokenizer.json"


def test_added_tokens_that_are_not_special_are_matched_as_in_the_library(
    own_json: Path, texts: list[str], tmp_path: Path
) -> None:
    texts = [
        *texts,
        *("a" + " " * n + "b" for n in range(60)),
        "x|||EMAIL|||<think>|||EMAIL|| |",
        "<pad></s>",
    ]
    tokenizer = train_tokenizer(f"tiktoken:{own_json}", ())
    check_ids(tokenizer, own_json, texts[:-1], tmp_path)
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)
    assert tokenizer.eot == 1  # </s>
    assert not {0, 1} & {*tokenizer.encode(texts[-1]).tolist()}  # special tokens are never matched


def changed(path: Path, folder: Path, change: Callable[[dict], None]) -> Path:
    """A changed copy of a tokenizer.json."""
    content = json.loads(path.read_text())
    change(content)
    (folder / "changed.json").write_text(json.dumps(content))
    return folder / "changed.json"


CHANGES: dict[str, Callable[[dict], None]] = {
    "merges in another order": lambda c: c["model"]["merges"].reverse(),
    "a token that no merge produces": lambda c: c["model"]["merges"].pop(),
    "a merge of two tokens into a later one": lambda c: c["model"]["merges"].insert(
        0, c["model"]["merges"].pop()
    ),
    "an added token with lstrip": lambda c: c["added_tokens"][-1].update(lstrip=True),
    "an entry that is not of bytes": lambda c: c["model"]["vocab"].update({"日": 9999}),
    "no pre-tokenizer": lambda c: c.update(pre_tokenizer=None),
}


@pytest.mark.parametrize("part", CHANGES)
def test_what_tiktoken_might_encode_differently_is_encoded_by_its_own_library(
    part: str, own_json: Path, texts: list[str], tmp_path: Path
) -> None:
    path = changed(own_json, tmp_path, CHANGES[part])
    tokenizer = train_tokenizer(f"file:{path}", ())
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    check_ids(tokenizer, path, texts, tmp_path)


@pytest.mark.extended
@pytest.mark.parametrize("name", ["deepseek", "gemma"])
def test_a_published_file_of_another_kind_is_encoded_by_its_own_library(
    name: str, texts: list[str], tmp_path: Path
) -> None:
    path = fetched.tokenizer_json(name)
    tokenizer = train_tokenizer(f"file:{path}", ())
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    check_ids(tokenizer, path, texts, tmp_path)


# ---- SentencePiece


def nfkc_model(texts: list[str], folder: Path) -> Path:
    """A model with SentencePiece's default options: it normalises text and has no byte fallback."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "nfkc"), vocab_size=150, minloglevel=2
    )
    return folder / "nfkc.model"


@pytest.mark.extended
@pytest.mark.parametrize("version", ["v1", "v3"])
def test_a_published_model_gives_the_ids_of_sentencepiece(version: str, texts: list[str]) -> None:
    path = fetched.sentencepiece_model(version)
    tokenizer = train_tokenizer(f"sentencepiece:{path}", ())
    library = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert (tokenizer.vocab_size, tokenizer.eot) == (library.vocab_size(), library.eos_id())
    for text in [*texts, *ODD]:
        ids = tokenizer.encode(text).tolist()
        if "▁" not in text:  # the library cannot tell it from a space
            assert ids == library.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.eot not in ids


@pytest.mark.extended
@pytest.mark.parametrize("text", ["", "▁", "▁a", " ▁a", "a▁", "▁▁ ▁", " ", "  a", "a" * MAX_PART + "▁ b" * 9])
def test_the_dummy_space_of_a_published_model_is_removed_in_decoding(text: str) -> None:
    tokenizer = train_tokenizer(f"sentencepiece:{fetched.sentencepiece_model('v1')}", ())
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.join(ids) == (b" " + text.encode() if text else b"")


def test_a_lossy_model_is_refused_and_the_document_named_unless_allow_lossy_is_set(
    tiny_corpus: Corpus, tmp_path: Path
) -> None:
    spec = f"sentencepiece:{nfkc_model(list(tiny_corpus.texts('train')), tmp_path)}"
    tokenizer = train_tokenizer(spec, ())
    with pytest.raises(ValueError, match=r"loses text: .*00000\.parquet row \d+ does not round-trip"):
        make_arrays(tiny_corpus, tokenizer, tmp_path / "arrays")
    arrays = make_arrays(tiny_corpus, tokenizer, tmp_path / "arrays", allow_lossy=True)
    for split in ("train", "val", "test"):
        lost = sum(tokenizer.decode(tokenizer.encode(text)) != text for text in tiny_corpus.texts(split))
        assert arrays.split(split).lossy_documents == lost > 0
    with pytest.raises(ValueError, match="loses text"):
        make_arrays(tiny_corpus, tokenizer, tmp_path / "arrays")


# ---- all of them


@pytest.fixture(
    params=[
        "json",
        pytest.param("sentencepiece", marks=pytest.mark.extended),
        pytest.param("tiktoken:gpt2", marks=pytest.mark.extended),
    ]
)
def spec(request: pytest.FixtureRequest, own_json: Path) -> str:
    """A published tokenizer of each kind; but for the json, which is made here, they are fetched."""
    if request.param == "json":
        return f"tiktoken:{own_json}"
    if request.param == "sentencepiece":
        return f"sentencepiece:{fetched.sentencepiece_model('v1')}"
    request.getfixturevalue("cache")
    return request.param


def test_a_saved_published_tokenizer_is_complete(spec: str, texts: list[str], tmp_path: Path) -> None:
    """It needs neither the network nor the original file."""
    tokenizer = train_tokenizer(spec, ())
    save_tokenizer(tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert (loaded.eot, loaded.vocab_size, loaded.spec) == (tokenizer.eot, tokenizer.vocab_size, spec)
    assert all(loaded.encode(text).tolist() == tokenizer.encode(text).tolist() for text in texts[:300])


def test_a_published_tokenizer_encodes_a_corpus(spec: str, tiny_corpus: Corpus, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(spec, ())
    arrays = make_arrays(tiny_corpus, tokenizer, tmp_path / folder_name(spec))
    assert arrays.manifest["dtype"] == "uint16"
    decoded = [tokenizer.decode(sequence) for sequence in arrays.split("test").sequences()]
    assert decoded == list(tiny_corpus.texts("test"))
