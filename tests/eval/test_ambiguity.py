"""Importance sampling over segmentations, compared with the sum over all of them."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
import yaml

from data_prep.corpus import CorpusConfig, make_corpus
from eval.ambiguity import estimate_ambiguity
from model import ModelConfig, build_model
from model.scoring import document_bits, score
from tokenizers import train_tokenizer
from training.checkpoint import newest_checkpoint

TEXT = "abaabab"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer("bpe-262", ["ab aab abab baab " * 50])


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    config = ModelConfig(n_layer=1, n_embd=16, n_head=2, preset="modern")
    return build_model(config, tokenizer.vocab_size, 16)


@pytest.fixture(scope="module")
def counts(tokenizer):
    return np.ones(tokenizer.vocab_size)


def segmentations(text: bytes, by_bytes: dict[bytes, int]) -> list[list[int]]:
    if not text:
        return [[]]
    ends = [end for end in range(1, len(text) + 1) if text[:end] in by_bytes]
    return [[by_bytes[text[:end]], *rest] for end in ends for rest in segmentations(text[end:], by_bytes)]


def exact_gain(model, tokenizer, text: str) -> float:
    """Bits per character between the tokenizer's own segmentation and the sum over all."""
    by_bytes = {content: token for token, content in enumerate(tokenizer.token_bytes()) if content}
    paths = segmentations(text.encode(), by_bytes)
    assert len(paths) > 8
    eot = tokenizer.eot
    sequences = [np.array([eot, *path, eot]) for path in [list(tokenizer.encode(text)), *paths]]
    bits = document_bits(score(model, sequences, 8), sequences)[0]
    return (bits[0] + np.logaddexp.reduce(-bits[1:] * math.log(2)) / math.log(2)) / len(text)


def test_many_draws_agree_with_the_sum_over_all_segmentations(model, tokenizer, counts):
    exact = exact_gain(model, tokenizer, TEXT)
    found = estimate_ambiguity(model, tokenizer, counts, [TEXT], samples=20_000)["bits_per_char"]
    assert exact > 0.001
    assert found == pytest.approx(exact, rel=0.1)


def test_the_probability_is_estimated_without_bias_from_few_draws(model, tokenizer, counts):
    exact = 2 ** (exact_gain(model, tokenizer, TEXT) * len(TEXT)) - 1
    found = [
        2
        ** (
            estimate_ambiguity(model, tokenizer, counts, [TEXT], samples=20, seed=seed)["bits_per_char"]
            * len(TEXT)
        )
        - 1
        for seed in range(300)
    ]
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / math.sqrt(len(found)))


def test_a_text_is_never_less_likely_than_one_of_its_segmentations(model, tokenizer, counts):
    found = estimate_ambiguity(model, tokenizer, counts, ["ab", "a b", "baab aab"], samples=4)
    assert found["bits_per_char"] >= 0 and found["texts"] == 3 and found["chars"] == 13


def test_bytes_have_one_segmentation():
    single = train_tokenizer("byte", [TEXT])
    model = build_model(ModelConfig(n_layer=1, n_embd=16, n_head=2), single.vocab_size, 16)
    found = estimate_ambiguity(model, single, np.ones(single.vocab_size), [TEXT], samples=5)
    assert found["bits_per_char"] == 0 and found["other_share"] == 0


def test_one_text_has_no_standard_error(model, tokenizer, counts):
    assert estimate_ambiguity(model, tokenizer, counts, [TEXT], samples=4)["bits_per_char_se"] is None


@pytest.fixture(scope="module")
def run(tiny_arrays, run_python, tmp_path_factory):
    """A run of a few steps."""
    run = tmp_path_factory.mktemp("run") / "run"
    options = "--context.chars 40 --batch.chars 700 --budget.steps 3"
    options += " --tracking.validations 1 --tracking.wandb disabled"
    model = "--model.n_layer 1 --model.n_embd 16 --model.n_head 2"
    paths = "--data", tiny_arrays("bpe-300"), "--out", run
    done = run_python("train_ddp.py", *paths, *options.split(), *model.split())
    assert done.returncode == 0, done.stderr
    return run


def test_the_estimate_is_saved_with_the_run_and_records_its_inputs(run, tiny_corpus, run_python):
    asked = "--texts", 3, "--chars", 50, "--samples", 4
    done = run_python("-m", "eval.ambiguity", "--run", run, "--corpus", tiny_corpus.folder, *asked)
    assert done.returncode == 0, done.stderr
    found = json.loads((run / "ambiguity.json").read_text())
    assert f"{found['bits_per_char']:.5f} bits per character" in done.stdout
    _, state = newest_checkpoint(run / "checkpoints")
    asked = {"texts": 3, "chars": 50, "samples": 4}
    assert found["made_from"] == {"checkpoint": state["files"], **asked}
    assert found["texts"] == 3 and found["bits_per_char_se"] >= 0


def test_a_corpus_other_than_that_of_the_run_is_refused(run, tiny_source, run_python, tmp_path):
    config = CorpusConfig(f"jsonl:{tiny_source}", val_fraction=0.1, test_fraction=0.2)
    make_corpus(config, tmp_path / "corpus")
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    done = run_python("-m", "eval.ambiguity", "--run", run, "--corpus", tmp_path / "corpus")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "is not the corpus that" in line
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_a_tokenizer_other_than_that_of_the_run_is_refused(
    run, tiny_arrays, tiny_corpus, run_python, tmp_path
):
    data, other = tmp_path / "data", tmp_path / "run"
    shutil.copytree(tiny_arrays("bpe-300"), data)
    shutil.rmtree(data / "tokenizer")
    shutil.copytree(tiny_arrays("byte") / "tokenizer", data / "tokenizer")
    shutil.copytree(run, other)
    config = yaml.safe_load((run / "config.yaml").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump(config | {"data": str(data)}))
    done = run_python("-m", "eval.ambiguity", "--run", other, "--corpus", tiny_corpus.folder)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "is not the tokenizer that" in line
