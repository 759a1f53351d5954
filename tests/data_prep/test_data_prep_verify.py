"""`data_prep.inspect` shows what is in a corpus; `data_prep.verify` finds any damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.files import read_json, sha256_file, write_json
from data_prep.arrays import TokenArrays
from data_prep.config import CorpusConfig
from data_prep.corpus import Corpus, make_corpus
from data_prep.inspect import describe, show_examples
from data_prep.verify import verify_arrays, verify_corpus
from tokenizers import load_tokenizer, train_tokenizer


@pytest.fixture
def folder(tiny_corpus: Corpus, tiny_arrays: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a corpus and of its arrays with one tokenizer, in the layout of a comparison."""
    shutil.copytree(tiny_corpus.folder, tmp_path / "corpus")
    shutil.copytree(tiny_arrays("bpe-300"), tmp_path / "data" / "bpe-300")
    return tmp_path


def verify(folder: Path) -> None:
    corpus, data = Corpus(folder / "corpus"), folder / "data" / "bpe-300"
    verify_corpus(corpus)
    verify_arrays(corpus, TokenArrays(data), load_tokenizer(data / "tokenizer"))


def test_what_is_intact_is_found_intact(folder: Path, run_python: Callable) -> None:
    verify(folder)
    done = run_python("-m", "data_prep.verify", "--folder", folder)
    assert done.returncode == 0, done.stderr
    assert "bpe-300: 9 files are intact, and decode to the corpus" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["train/00000.parquet", "test/00000.parquet"])
def test_a_flipped_bit_of_the_corpus_is_found(name: str, folder: Path) -> None:
    path = folder / "corpus" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} does not match its SHA-256"):
        verify(folder)


def test_a_missing_file_of_the_corpus_is_named(folder: Path) -> None:
    (folder / "corpus" / "val" / "00000.parquet").unlink()
    with pytest.raises(ValueError, match=r"val/00000\.parquet is missing"):
        verify(folder)


@pytest.mark.parametrize("wrong", ["beyond the vocabulary", "does not decode to its text"])
def test_wrong_ids_are_found_even_if_the_hashes_match(wrong: str, folder: Path) -> None:
    data = folder / "data" / "bpe-300"
    path = data / "val-00000.tokens.npy"
    tokens = np.load(path)
    tokens[5] = 65_000 if wrong == "beyond the vocabulary" else tokens[5] ^ 1
    np.save(path, tokens)
    manifest = read_json(data / "manifest.json")
    manifest["files"][path.name] = {"size": path.stat().st_size, "sha256": sha256_file(path)}
    write_json(data / "manifest.json", manifest)
    TokenArrays(data, verify=True)
    with pytest.raises(ValueError, match=rf"val-00000\.tokens\.npy.*{wrong}"):
        verify(folder)


def test_arrays_of_another_corpus_or_tokenizer_are_found(folder: Path) -> None:
    corpus, arrays = Corpus(folder / "corpus"), TokenArrays(folder / "data" / "bpe-300")
    with pytest.raises(ValueError, match="made from another tokenizer"):
        verify_arrays(corpus, arrays, train_tokenizer("byte", ()))
    corpus.fingerprint = "0" * 64
    with pytest.raises(ValueError, match="made from another corpus"):
        verify_arrays(corpus, arrays, load_tokenizer(arrays.folder / "tokenizer"))


def test_a_corpus_is_described(tmp_path: Path) -> None:
    rows = [{"text": f"{i} " + "word " * (i % 7), "language": "en" if i % 3 else "de"} for i in range(300)]
    lines = "".join(json.dumps(row) + "\n" for row in [*rows, {"text": None}])
    (tmp_path / "x.jsonl").write_text(lines)
    corpus = make_corpus(CorpusConfig(f"files:{tmp_path / 'x.jsonl'}"), tmp_path / "corpus")
    shown = "\n".join(describe(corpus))
    train = corpus.manifest["splits"]["train"]
    assert f"{train['documents']:,}" in shown and f"{train['chars']:,}" in shown
    assert "\nen  " in shown and "\nde  " in shown
    assert f"left out: 1 rows whose text is null, such as {tmp_path / 'x.jsonl'} line 301" in shown
    assert max(map(len, describe(corpus)[1:-1])) <= 80


def test_examples_are_shown_in_pieces(tiny_corpus: Corpus, run_python: Callable, tmp_path: Path) -> None:
    lines = show_examples(tiny_corpus, "val", 2, [train_tokenizer("byte", ())])
    assert [line.split(":")[0] for line in lines if line.startswith("val ")] == [
        "val 0",
        f"val {tiny_corpus.manifest['splits']['val']['documents'] - 1:,}",
    ]
    text = next(tiny_corpus.texts("val"))
    assert text[:20].replace("\n", "⏎") in lines[2]
    assert lines[4].startswith("│".join(text[:5]))
    done = run_python("-m", "data_prep.inspect", "--corpus", tiny_corpus.folder, "--split", "nothing")
    assert done.returncode == 2 and "must be one of train, val, test" in done.stderr
