"""Importance sampling over segmentations, held to the sum over all of them."""

import math

import numpy as np
import pytest
import torch

from eval.marginal import marginal_gain
from model import ModelConfig, build_model
from model.scoring import document_bits, score
from tokenizers import train_tokenizer

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
    found = marginal_gain(model, tokenizer, counts, [TEXT], samples=20_000)["bits_per_char"]
    assert exact > 0.001
    assert found == pytest.approx(exact, rel=0.1)


def test_the_probability_is_estimated_without_bias_from_few_draws(model, tokenizer, counts):
    exact = 2 ** (exact_gain(model, tokenizer, TEXT) * len(TEXT)) - 1
    found = [
        2
        ** (
            marginal_gain(model, tokenizer, counts, [TEXT], samples=20, seed=seed)["bits_per_char"]
            * len(TEXT)
        )
        - 1
        for seed in range(300)
    ]
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / math.sqrt(len(found)))


def test_a_text_is_never_less_likely_than_one_of_its_segmentations(model, tokenizer, counts):
    found = marginal_gain(model, tokenizer, counts, ["ab", "a b", "baab aab"], samples=4)
    assert found["bits_per_char"] >= 0 and found["texts"] == 3 and found["chars"] == 13


def test_bytes_have_one_segmentation():
    single = train_tokenizer("byte", [TEXT])
    model = build_model(ModelConfig(n_layer=1, n_embd=16, n_head=2), single.vocab_size, 16)
    found = marginal_gain(model, single, np.ones(single.vocab_size), [TEXT], samples=5)
    assert found["bits_per_char"] == 0 and found["other_share"] == 0
