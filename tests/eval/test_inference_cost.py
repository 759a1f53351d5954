"""The cost of generating text."""

import torch

from eval.inference_cost import measure_inference_cost
from model import ModelConfig, build_model


def test_a_gpt_caches_a_key_and_a_value_per_layer_and_token():
    model = build_model(ModelConfig(n_layer=3, n_embd=16, n_head=2), 50, 8)
    found = measure_inference_cost(model, "cpu")
    assert found["cache_bytes_per_token"] == 2 * 3 * 16 * 4
    assert found["tokens_per_second"] > 0


def test_a_bigram_model_has_no_cache():
    model = build_model(ModelConfig(kind="bigram"), 50, 8)
    assert measure_inference_cost(model, "cpu")["cache_bytes_per_token"] == 0


def test_measuring_does_not_change_the_random_state():
    model = build_model(ModelConfig(n_layer=1, n_embd=16, n_head=2), 50, 8)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    measure_inference_cost(model, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
