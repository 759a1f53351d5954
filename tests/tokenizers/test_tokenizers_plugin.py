"""`python:PATH.py:NAME`: a tokenizer of the user's own."""

import pickle
from pathlib import Path

import pytest

from comparison.labels import family
from data_prep.corpus import Corpus
from data_prep.encode import make_arrays
from tokenizers import check_spec, folder_name, load_tokenizer, save_tokenizer, train_tokenizer, trained_size

WORDS = '''
from collections import Counter
import re

class Words:
    """Bytes, and the most frequent words."""

    def __init__(self):
        self.words = []

    @property
    def vocab_size(self):
        return 256 + len(self.words)

    def train(self, texts, vocab_size):
        counts = Counter(word for text in texts for word in re.findall(r" ?\\\\w+", text))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        self.words = ranked[: vocab_size - 256]

    def token_bytes(self):
        return [bytes([i]) for i in range(256)] + [word.encode() for word in self.words]

    def encode(self, text):
        known = {word: 256 + i for i, word in enumerate(self.words)}
        ids = []
        for word in re.findall(r" ?\\\\w+|[^\\\\w]", text):
            ids += [known[word]] if word in known else list(word.encode())
        return ids

    def decode(self, ids):
        table = self.token_bytes()
        return b"".join(table[i] for i in ids).decode(errors="replace")

    def save(self, folder):
        (folder / "words.txt").write_text("\\\\n".join(self.words))

    def load(self, folder):
        self.words = (folder / "words.txt").read_text().split("\\\\n")


class Small:
    vocab_size = 3

    def encode(self, text):
        return ["abc".index(character) for character in text]

    def decode(self, ids):
        return "".join("abc"[i] for i in ids)


small = Small()


class Bytes:
    vocab_size = 256

    def encode(self, text):
        return list(text.encode())

    def decode(self, ids):
        return bytes(ids).decode()  # strictly


class Wrong(Small):
    def encode(self, text):
        return [5]


class Broken(Small):
    def encode(self, text):
        return 1 / 0
'''.replace("\\\\", "\\")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(WORDS)
    return path


def test_a_trained_one_is_like_any_other(file: Path, tiny_corpus: Corpus, tmp_path: Path) -> None:
    spec = f"python:{file}:Words-400"
    assert (check_spec(spec), trained_size(spec), folder_name(spec)) == ("python", 400, "Words-400")
    texts = list(tiny_corpus.texts("train"))
    tokenizer = train_tokenizer(spec, texts)
    assert (tokenizer.vocab_size, tokenizer.eot) == (400, 399)
    assert tokenizer.decode(tokenizer.encode(texts[0])) == texts[0]
    arrays = make_arrays(tiny_corpus, tokenizer, tmp_path / "arrays")
    assert arrays.split("test").lossy_documents == 0
    decoded = [tokenizer.decode(sequence) for sequence in arrays.split("test").sequences()]
    assert decoded == list(tiny_corpus.texts("test"))


def test_a_saved_one_needs_neither_the_file_nor_the_training_text(
    file: Path, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    texts = list(tiny_corpus.texts("train"))
    tokenizer = train_tokenizer(f"python:{file}:Words-400", texts)
    (tmp_path / "saved").mkdir()
    save_tokenizer(tokenizer, tmp_path / "saved")
    file.unlink()
    for again in (load_tokenizer(tmp_path / "saved"), pickle.loads(pickle.dumps(tokenizer))):
        assert again.fingerprint == tokenizer.fingerprint
        assert again.encode(texts[0]).tolist() == tokenizer.encode(texts[0]).tolist()
    words = tmp_path / "saved" / "saved" / "words.txt"
    words.write_text(words.read_text() + "\nking")
    with pytest.raises(ValueError, match="was changed after it was written"):
        load_tokenizer(tmp_path / "saved")


def test_a_changed_file_is_another_tokenizer(file: Path) -> None:
    before = train_tokenizer(f"python:{file}:small", ()).fingerprint
    assert train_tokenizer(f"python:{file}:Small", ()).fingerprint != before
    file.write_text(WORDS + "\n# another line\n")
    assert train_tokenizer(f"python:{file}:small", ()).fingerprint != before


def test_without_token_bytes_a_token_is_what_it_alone_decodes_to(file: Path) -> None:
    tokenizer = train_tokenizer(f"python:{file}:small", ())
    assert (tokenizer.vocab_size, tokenizer.eot) == (4, 3)
    assert tokenizer.token_bytes() == [b"a", b"b", b"c", b""]
    assert tokenizer.decode(tokenizer.encode("abba")) == "abba"


def test_a_token_that_alone_cannot_be_decoded_does_not_stop_an_encoding(
    file: Path, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    tokenizer = train_tokenizer(f"python:{file}:Bytes", ())
    assert any(not text.isascii() for text in tiny_corpus.texts("test"))
    arrays = make_arrays(tiny_corpus, tokenizer, tmp_path / "arrays")
    assert arrays.split("test").lossy_documents == 0


def test_two_files_are_two_families() -> None:
    one, other, larger = (f"python:{spec}" for spec in ("a.py:P-300", "b.py:P-300", "a.py:P-600"))
    assert family(one) == family(larger) != family(other)
    assert family("python:a.py:bpe-300") != family("bpe-300")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("None_", "has no 'None_'"),
        ("small-300", r"'small' has no method train\(\)"),
        ("re", r"'re' has no method encode\(\)"),
    ],
)
def test_what_is_missing_is_named(name: str, message: str, file: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train_tokenizer(f"python:{file}:{name}", ())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Wrong", "a", "the id 5, and vocab_size is 3"),
        ("Broken", "a", r"mine\.py line \d+: ZeroDivisionError: division by zero"),
        ("Small", "x", r"mine\.py line \d+: ValueError: substring not found"),
    ],
)
def test_an_error_of_its_code_says_where(name: str, text: str, message: str, file: Path) -> None:
    tokenizer = train_tokenizer(f"python:{file}:{name}", ())
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(text)


def test_a_file_that_does_not_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = (\n")
    with pytest.raises(ValueError, match=r"a\.py line 1: SyntaxError"):
        train_tokenizer(f"python:{tmp_path / 'a.py'}:x", ())
    with pytest.raises(ValueError, match="does not exist"):
        train_tokenizer(f"python:{tmp_path / 'b.py'}:x", ())
    with pytest.raises(ValueError, match=r"needs a file and a name in it"):
        check_spec("python:a.py")
