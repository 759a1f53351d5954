"""The GPT and its two baselines."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model import ModelConfig, build_model, load_model, save_model

KINDS = ["gpt", "bigram", "bag-of-words"]
V, T = 61, 24


def make(kind: str = "gpt", vocab_size: int = V, block_size: int = T, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(ModelConfig(kind=kind, n_layer=2, n_embd=32, **options), vocab_size, block_size)


def some_ids(*shape: int) -> torch.Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_have_one_row_of_the_vocabulary_for_each_position(kind):
    assert make(kind)(some_ids(3, 7)).shape == (3, 7, V)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_of_minus_log_p_of_the_targets(kind):
    model, idx, targets = make(kind), some_ids(3, T), some_ids(3, T + 1)[:, 1:]
    p = model(idx).softmax(dim=-1).gather(2, targets[..., None])
    torch.testing.assert_close(model(idx, targets), -p.log().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_no_position_sees_what_comes_after_it(kind):
    model, idx = make(kind), some_ids(2, T)
    changed = idx.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % V
    before, after = model(idx), model(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:]) or kind == "bigram"


def test_the_gpt_sees_everything_up_to_a_whole_block_back():
    model, idx = make(), some_ids(1, T)
    changed = idx.clone()
    changed[0, 0] = (changed[0, 0] + 1) % V
    assert not torch.equal(model(idx)[0, -1], model(changed)[0, -1])


def test_the_fused_attention_equals_the_reference_with_its_tril_buffer():
    fused, reference = make(attention="sdpa"), make(attention="reference")
    reference.load_state_dict(fused.state_dict())
    buffer = reference.blocks[0].attention.tril
    assert torch.equal(buffer, torch.tril(torch.ones(T, T)).bool())
    for length in (1, 2, T - 1, T):
        idx = some_ids(2, length)
        torch.testing.assert_close(fused(idx), reference(idx), atol=1e-6, rtol=1e-5)


def test_both_attentions_learn_by_the_same_gradients():
    fused, reference = make(attention="sdpa"), make(attention="reference")
    reference.load_state_dict(fused.state_dict())
    for model in (fused, reference):
        model(some_ids(2, T), some_ids(2, T)).backward()
    for (name, a), b in zip(fused.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("width", [32, 128, 512])
def test_the_first_softmax_is_diffuse(width):
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=2, n_embd=width), 1000, T)
    idx = torch.randint(1000, (8, T + 1))
    assert model(idx[:, :-1], idx[:, 1:]).item() == pytest.approx(math.log(1000), rel=0.05)


def test_the_first_attention_is_diffuse():
    attention = make(attention="reference").blocks[0].attention
    x = torch.nn.functional.layer_norm(torch.randn(1, T, 32), (32,))
    query, key, _ = attention.query_key_value(x).view(1, T, 3, 4, 8).permute(2, 0, 3, 1, 4)
    p = (query @ key.transpose(-2, -1) / math.sqrt(8)).softmax(dim=-1)
    assert p.max() < 3 / T


def test_the_bigram_model_knows_the_present_token_alone():
    model = make("bigram")
    torch.nn.init.normal_(model.table.weight)
    idx = torch.tensor([[3, 9, 5], [7, 1, 5]])
    assert torch.equal(model(idx)[0, 2], model(idx)[1, 2])
    assert torch.equal(model(idx)[0, 2], model.table.weight[5])


def test_the_bag_of_words_is_the_mean_of_what_came_before_in_any_order():
    model, idx = make("bag-of-words"), some_ids(1, 9)
    mean = model.token_embedding(idx[0]).mean(dim=0)
    torch.testing.assert_close(model(idx)[0, -1], model.output(mean))
    torch.testing.assert_close(model(idx)[0, -1], model(idx.flip(1))[0, -1])


@pytest.mark.parametrize("kind", KINDS)
def test_flops_are_the_matmuls_that_are_done(kind):
    options = {"attention": "reference"} if kind == "gpt" else {}
    model = make(kind, **options)
    with FlopCounterMode(display=False) as counter:
        model(some_ids(1, T))
    parts = model.flops_per_token()
    # The reference computes the whole square of the attention, twice what a causal kernel has to.
    forward = parts["body"] + parts["output"] + parts["attention"] * 2 * T / (T + 1)
    assert counter.get_total_flops() / T == pytest.approx(forward / 3)  # backward is twice forward


@pytest.mark.parametrize("kind", KINDS)
def test_params_embedding_are_those_that_grow_with_the_vocabulary(kind):
    def count(vocab_size: int) -> int:
        return sum(p.numel() for p in make(kind, vocab_size).parameters())

    if kind == "bigram":
        assert make(kind).params_embedding() == count(V) == V * V
    else:
        assert make(kind).params_embedding() * V == (count(2 * V) - count(V)) * V


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_needs_nothing_but_its_file(kind, tmp_path):
    model, idx = make(kind), some_ids(2, 5)
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert torch.equal(loaded(idx), model(idx))
    assert not loaded.training
    assert (loaded.config, loaded.vocab_size, loaded.block_size) == (model.config, V, T)


@pytest.mark.parametrize("options", [{"n_embd": 30, "n_head": 4}, {"n_layer": 0}, {"n_embd": -1}])
def test_a_shape_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=r"model\.n_"):
        ModelConfig(**options)
