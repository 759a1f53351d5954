"""The training sample for tokenizers: whole documents, the same for all tokenizers."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.corpus import Corpus, CorpusConfig, make_corpus
from data_prep.sample import training_sample
from data_prep.tokenizer import make_tokenizer

SIZED = ["unigram-400", "spbpe-400", "bpe-300"]


def chars(texts: list[str]) -> int:
    return sum(map(len, texts))


@pytest.fixture(scope="module")
def train(tiny_corpus: Corpus) -> list[str]:
    return list(tiny_corpus.texts("train"))


@pytest.mark.parametrize("wanted", [1, 7, 1000, 50_000])
def test_a_sample_has_exactly_the_requested_characters(wanted: int, tiny_corpus: Corpus) -> None:
    assert chars(list(training_sample(tiny_corpus, wanted))) == wanted


def test_a_sample_as_large_as_the_split_is_the_split(tiny_corpus: Corpus, train: list[str]) -> None:
    for wanted in (chars(train), chars(train) + 1, 10**12):
        assert list(training_sample(tiny_corpus, wanted)) == train


def test_a_sample_consists_of_training_documents_in_order(tiny_corpus: Corpus, train: list[str]) -> None:
    sample = list(training_sample(tiny_corpus, chars(train) // 3))
    assert 20 < len(sample) < len(train) - 20
    places = [next(i for i, text in enumerate(train) if text.startswith(part)) for part in sample]
    assert places == sorted(places)
    assert sum(part not in train for part in sample) <= 1  # only the last one drawn is truncated


def test_a_larger_sample_contains_the_smaller_one(tiny_corpus: Corpus) -> None:
    small, large = (list(training_sample(tiny_corpus, wanted)) for wanted in (20_000, 60_000))
    assert sum(text in large for text in small) >= len(small) - 1


def test_the_order_of_the_documents_does_not_matter(tmp_path: Path) -> None:
    texts = [f"document {i}: " + "word " * (i % 50) for i in range(300)]
    samples = []
    for seed in (0, 1):
        random.Random(seed).shuffle(texts)
        (tmp_path / "x.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        corpus = make_corpus(CorpusConfig(f"jsonl:{tmp_path / 'x.jsonl'}"), tmp_path / str(seed))
        samples.append(sorted(training_sample(corpus, 5000)))
    assert samples[0] == samples[1]


@pytest.mark.parametrize("spec", SIZED)
def test_a_tokenizer_is_retrained_only_if_the_sample_changes(
    spec: str, tiny_corpus: Corpus, tmp_path: Path, train: list[str]
) -> None:
    first = make_tokenizer(tiny_corpus, spec, tmp_path / "a", 40_000)
    written = (tmp_path / "a" / "tokenizer.json").stat().st_mtime_ns
    make_tokenizer(tiny_corpus, spec, tmp_path / "a", 40_000)
    assert (tmp_path / "a" / "tokenizer.json").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match=r"another tokenizer \(train_chars\)"):
        make_tokenizer(tiny_corpus, spec, tmp_path / "a", chars(train))
    whole = make_tokenizer(tiny_corpus, spec, tmp_path / "a", chars(train), replace=True)
    assert whole.fingerprint != first.fingerprint
    made_from = json.loads((tmp_path / "a" / "made_from.json").read_text())
    assert made_from["train_chars"] == chars(train)


def test_char_uses_the_characters_of_the_whole_split(tiny_corpus: Corpus, tmp_path: Path) -> None:
    small = make_tokenizer(tiny_corpus, "char", tmp_path / "a", 10)
    assert small.fingerprint == make_tokenizer(tiny_corpus, "char", tmp_path / "b").fingerprint


@pytest.mark.parametrize("spec", SIZED)
def test_the_same_sample_gives_the_same_tokenizer_in_another_process(
    spec: str, tiny_corpus: Corpus, tmp_path: Path, run_python: Callable
) -> None:
    here = make_tokenizer(tiny_corpus, spec, tmp_path / "here", 50_000)
    done = run_python(
        *("-m", "data_prep.tokenizer", f"--corpus={tiny_corpus.folder}", f"--spec={spec}"),
        *(f"--out={tmp_path / 'there'}", "--train_chars=50000"),
        RAYON_NUM_THREADS="1",
        OMP_NUM_THREADS="3",
    )
    assert done.returncode == 0 and here.fingerprint[:12] in done.stdout


def test_an_empty_sample_is_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train_chars 0 must be at least 1"):
        make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "a", 0)
