"""The stages after the corpus: a tokenizer of its training split and arrays of all splits, made once."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import data_prep.corpus
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus, CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from data_prep.tokenizer import make_tokenizer
from tokenizers import Tokenizer, load_tokenizer, train_tokenizer
from tokenizers.simple import ByteTokenizer

ROOT = Path(__file__).parents[2]
SPECS = ["byte", "char", "unigram-400", "spbpe-400", "bpe-300"]


def corpus_of(texts: list[str], folder: Path) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    config = CorpusConfig(f"jsonl:{folder / 'x.jsonl'}", val_fraction=0.2, test_fraction=0.2)
    return make_corpus(config, folder / "corpus")


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below a folder: which it is, when it was written, and its content."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in files}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Sixty short documents."""
    return corpus_of([f"document {i}, and some more of it" for i in range(60)], tmp_path / "source")


# ---- the tokenizer


@pytest.mark.parametrize("spec", SPECS)
def test_a_tokenizer_is_trained_on_the_training_split_alone(
    spec: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    made = make_tokenizer(tiny_corpus, spec, tmp_path / "tokenizer")
    on_train = train_tokenizer(spec, tiny_corpus.texts("train"))
    assert made.fingerprint == load_tokenizer(tmp_path / "tokenizer").fingerprint == on_train.fingerprint


def test_characters_of_the_held_out_splits_get_no_token(tiny_corpus: Corpus, tmp_path: Path) -> None:
    held_out = {c for split in ("val", "test") for text in tiny_corpus.texts(split) for c in text}
    unseen = held_out.difference(*tiny_corpus.texts("train"))
    assert {"Ω", "м", "\u2581", "\U0001f9ff"} <= unseen
    table = make_tokenizer(tiny_corpus, "char", tmp_path / "tokenizer").token_bytes()
    assert not unseen & {token.decode(errors="replace") for token in table}


def test_an_unchanged_tokenizer_is_not_trained_again(tiny_corpus: Corpus, tmp_path: Path) -> None:
    first = make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer")
    before = state(tmp_path)
    assert make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer").fingerprint == first.fingerprint
    assert state(tmp_path) == before


def test_other_training_text_makes_another_tokenizer(corpus: Corpus, tmp_path: Path) -> None:
    first = make_tokenizer(corpus, "char", tmp_path / "tokenizer")
    other = corpus_of([f"Dokument {i}: größer" for i in range(60)], tmp_path / "other")
    assert make_tokenizer(other, "char", tmp_path / "tokenizer").fingerprint != first.fingerprint
    assert "ß" in load_tokenizer(tmp_path / "tokenizer").characters


def test_another_spec_makes_another_tokenizer(tiny_corpus: Corpus, tmp_path: Path) -> None:
    make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer")
    make_tokenizer(tiny_corpus, "spbpe-400", tmp_path / "tokenizer")
    assert load_tokenizer(tmp_path / "tokenizer").spec == "spbpe-400"
    assert not (tmp_path / "tokenizer" / "bpe.tiktoken").exists()


@pytest.mark.parametrize("spec", ["bpe-99999", "unigram-99999", "spbpe-5", "bep-300"])
def test_a_tokenizer_is_left_untouched_when_the_next_cannot_be_made(
    spec: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer")
    before = state(tmp_path)
    with pytest.raises(ValueError, match=spec):
        make_tokenizer(tiny_corpus, spec, tmp_path / "tokenizer")
    assert state(tmp_path) == before


@pytest.mark.parametrize("spec", SPECS[1:])
def test_a_damaged_tokenizer_is_made_again(spec: str, tiny_corpus: Corpus, tmp_path: Path) -> None:
    """As the message says with which it is refused wherever it is wanted."""
    folder = tmp_path / "tokenizer"
    first = make_tokenizer(tiny_corpus, spec, folder)
    file = next(p for p in folder.iterdir() if p.suffix in (".txt", ".model", ".tiktoken"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match="make the tokenizer again"):
        load_tokenizer(folder)
    assert make_tokenizer(tiny_corpus, spec, folder).fingerprint == first.fingerprint
    assert load_tokenizer(folder).fingerprint == first.fingerprint


def test_a_folder_that_holds_something_else_is_not_replaced(tiny_corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("do not lose this")
    with pytest.raises(ValueError, match=str(tmp_path)):
        make_tokenizer(tiny_corpus, "byte", tmp_path)
    assert (tmp_path / "letter.txt").exists()


# ---- the arrays


def test_unchanged_arrays_are_not_made_again(tiny_arrays: Callable[[str], Path], tiny_corpus: Corpus) -> None:
    folder = tiny_arrays("bpe-300")
    before = state(folder)
    make_arrays(tiny_corpus, load_tokenizer(folder / "tokenizer"), folder)
    assert state(folder) == before


def test_arrays_lie_beside_their_tokenizer_and_nothing_else_is_left(
    tiny_arrays: Callable[[str], Path],
) -> None:
    names = [
        f"{split}-00000.{kind}.npy" for split in ("train", "val", "test") for kind in ("tokens", "documents")
    ]
    assert sorted(os.listdir(tiny_arrays("bpe-300"))) == sorted([*names, "manifest.json", "tokenizer"])


def test_another_tokenizer_makes_the_arrays_again(tiny_corpus: Corpus, tmp_path: Path) -> None:
    for spec in ("byte", "bpe-300"):
        tokenizer = train_tokenizer(spec, tiny_corpus.texts("train"))
        arrays = make_arrays(tiny_corpus, tokenizer, tmp_path)
        assert arrays.fingerprints["tokenizer_fingerprint"] == tokenizer.fingerprint
        first = arrays.split("test").sequences()[0]
        assert tokenizer.decode(first) == next(tiny_corpus.texts("test"))


def test_another_corpus_makes_the_arrays_again(corpus: Corpus, tiny_corpus: Corpus, tmp_path: Path) -> None:
    for source in (corpus, tiny_corpus):
        arrays = make_arrays(source, ByteTokenizer(), tmp_path)
        assert arrays.fingerprints["corpus_fingerprint"] == source.fingerprint
        assert arrays.split("train").documents == len(source.ids("train"))


def test_fewer_shards_leave_none_of_the_old_ones(corpus: Corpus, tmp_path: Path) -> None:
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    shutil.copy(tmp_path / "train-00000.tokens.npy", tmp_path / "train-00001.tokens.npy")
    (tmp_path / "manifest.json").unlink()
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    assert not (tmp_path / "train-00001.tokens.npy").exists()


@pytest.mark.parametrize("damage", ["cut short", "missing", "one more"])
def test_damaged_arrays_are_made_again(damage: str, corpus: Corpus, tmp_path: Path) -> None:
    """As the message says with which they are refused wherever they are wanted."""
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    path = tmp_path / "val-00000.tokens.npy"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "missing":
        path.unlink()
    else:
        shutil.copy(path, tmp_path / "val-00001.tokens.npy")
    with pytest.raises(ValueError, match="encode it again"):
        TokenArrays(tmp_path)
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    TokenArrays(tmp_path, verify=True)


class Lowering(ByteTokenizer):
    """Loses what it should not: capital letters."""

    def __init__(self) -> None:
        super().__init__("lowering")

    encode_documents = Tokenizer.encode_documents

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        return super()._encode(text.lower(), text.lower().encode())


def test_a_tokenizer_that_loses_text_is_refused_with_the_document(tmp_path: Path) -> None:
    texts = [f"document {i}" for i in range(60)]
    rows = list(corpus_of(texts, tmp_path / "a").texts("train"))
    texts[texts.index(rows[3])] = rows[3].upper()
    changed = corpus_of(texts, tmp_path / "b")
    split, row = next(
        (split, list(changed.texts(split)).index(rows[3].upper()))
        for split in ("train", "val", "test")
        if rows[3].upper() in changed.texts(split)
    )
    with pytest.raises(ValueError, match="lowering loses text") as caught:
        make_arrays(changed, Lowering(), tmp_path / "arrays")
    assert f"{changed.files(split)[0]} row {row} " in str(caught.value)


def test_a_tokenizer_that_loses_text_leaves_earlier_arrays_untouched(
    tiny_corpus: Corpus, tmp_path: Path
) -> None:
    make_arrays(tiny_corpus, ByteTokenizer(), tmp_path)
    before = state(tmp_path)
    with pytest.raises(ValueError, match="loses text"):
        make_arrays(tiny_corpus, Lowering(), tmp_path)
    assert state(tmp_path) == before
    assert all(p.is_file() for p in tmp_path.iterdir())


def test_arrays_of_others_are_not_deleted(corpus: Corpus, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.arange(3))
    with contextlib.suppress(ValueError):  # it may be refused
        make_arrays(corpus, ByteTokenizer(), tmp_path)
    assert np.load(tmp_path / "mine.npy").tolist() == [0, 1, 2]


def test_a_process_killed_anywhere_leaves_whole_arrays_or_none(
    corpus: Corpus, tmp_path: Path, run_killing: Callable[..., None]
) -> None:
    script = """
import shutil
from pathlib import Path
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from data_prep.encode import make_arrays
from tokenizers import train_tokenizer

corpus, pristine, folder = Corpus(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
old, new = (train_tokenizer(spec, corpus.texts("train")) for spec in ("byte", "bpe-270"))
make_arrays(corpus, old, pristine)
shutil.copytree(pristine, folder)

def check(arrays, tokenizer):
    for split in ("train", "val", "test"):
        texts = [tokenizer.decode(sequence) for sequence in arrays.split(split).sequences()]
        assert texts == list(corpus.texts(split))

seen = []
for _ in killed_at_every_step(lambda: make_arrays(corpus, new, folder)):
    try:
        arrays = TokenArrays(folder, verify=True)
    except ValueError as error:
        assert "holds no token arrays" in str(error), error
        seen.append("none")
    else:
        tokenizer = {"byte": old, "bpe-270": new}[arrays.spec]
        check(arrays, tokenizer)
        seen.append(arrays.spec)
    check(make_arrays(corpus, new, folder), new)
    shutil.rmtree(folder)
    shutil.copytree(pristine, folder)
assert set(seen) == {"byte", "none", "bpe-270"}, seen
"""
    run_killing(script, corpus.folder, tmp_path / "pristine", tmp_path / "arrays")


# ---- several processes, large vocabularies, large documents


def test_any_number_of_processes_writes_the_same_files(
    tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_prep.corpus, "ROW_GROUP_CHARS", 5_000)
    monkeypatch.setattr(data_prep.corpus, "SHARD_CHARS", 40_000)
    source = tiny_corpus.manifest["config"]["source"]
    corpus = make_corpus(CorpusConfig(source, val_fraction=0.1, test_fraction=0.1), tmp_path / "corpus")
    assert len(corpus.files("train")) > 2
    tokenizer = train_tokenizer("bpe-300", corpus.texts("train"))
    for processes in (1, 2, 5):
        make_arrays(corpus, tokenizer, tmp_path / str(processes), processes)
    files = {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()}
    for processes in (2, 5):
        assert {path.name: path.read_bytes() for path in (tmp_path / str(processes)).iterdir()} == files
    decoded = [tokenizer.decode(s) for s in TokenArrays(tmp_path / "5").split("train").sequences()]
    assert decoded == list(corpus.texts("train"))


def test_a_document_that_loses_text_stops_all_processes(
    tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_prep.corpus, "ROW_GROUP_CHARS", 5_000)
    source = tiny_corpus.manifest["config"]["source"]
    corpus = make_corpus(CorpusConfig(source, val_fraction=0.1, test_fraction=0.1), tmp_path / "corpus")
    with pytest.raises(ValueError, match=r"lowering loses text: .*train/00000\.parquet row 0 "):
        make_arrays(corpus, Lowering(), tmp_path / "arrays", 2)
    assert not list((tmp_path / "arrays").iterdir())


def test_a_stopped_command_leaves_no_process(tiny_corpus: Corpus, tmp_path: Path) -> None:
    """Whether it is asked to stop or killed, the processes that encode for it end too."""
    script = """
import os, sys, time
from pathlib import Path
import numpy as np
from data_prep import row_groups
from tokenizers import Tokenizer
from tokenizers.simple import ByteTokenizer
class Slow(ByteTokenizer):
    encode_documents = Tokenizer.encode_documents
    def _encode(self, text, utf8):
        Path(sys.argv[1], str(os.getpid())).touch()
        time.sleep(60)
tasks = [row_groups.Task("train", 0, Path(sys.argv[2]), 0)] * 4
list(row_groups.encode_all(Slow(), np.dtype("uint16"), False, tasks, 2))
"""
    for number in (signal.SIGKILL, signal.SIGINT):
        seen = tmp_path / str(number)
        seen.mkdir()
        command = [sys.executable, "-c", script, str(seen), str(tiny_corpus.files("train")[0])]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while len(list(seen.iterdir())) < 2:
            time.sleep(0.05)
        process.send_signal(number)
        if number == signal.SIGINT:
            process.kill()  # it waits for what is under way, a minute here
        process.wait(timeout=30)
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{path.name}").exists() for path in seen.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_vocabulary_beyond_16_bits_is_stored_in_32(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrst", k=8)) for _ in range(30_000)]
    texts = [" ".join(draw.choices(words, k=2_000)) for _ in range(60)]
    corpus = corpus_of(texts, tmp_path / "source")
    tokenizer = make_tokenizer(corpus, "bpe-70000", tmp_path / "tokenizer")
    arrays = make_arrays(corpus, tokenizer, tmp_path / "arrays")
    assert (arrays.vocab_size, arrays.manifest["dtype"]) == (70_000, "uint32")
    tokens = arrays.split("train").shards[0]
    assert tokens.dtype == np.uint32 and tokens.max() > 65_535
    assert [tokenizer.decode(s) for s in arrays.split("test").sequences()] == list(corpus.texts("test"))


@pytest.mark.parametrize("spec", SPECS)
def test_a_document_of_ten_megabytes_on_one_line_survives(
    spec: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    line = "the king saw 日本 and 😀, \u2581 said <|endoftext|>. " * 190_000
    assert len(line.encode()) > 10_000_000
    corpus = corpus_of([line, *(f"document {i}" for i in range(60))], tmp_path / "source")
    tokenizer = train_tokenizer(spec, tiny_corpus.texts("train"))
    arrays = make_arrays(corpus, tokenizer, tmp_path / "arrays")  # which decodes it again
    assert max(int(arrays.split(s).document_chars().max()) for s in ("train", "val", "test")) == len(line)
