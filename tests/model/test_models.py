"""The GPT and its two baselines."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model import ModelConfig, build_model, load_model, save_model
from model.gpt import rotate

GPTS = {
    "gpt2": {"preset": "gpt2"},
    "modern": {"preset": "modern"},
    "untied": {"tied": False},
    "attention alone": {"mlp": "none"},
}
KINDS = [*GPTS, "bigram", "bag-of-words"]
V, T = 61, 24


def make(kind: str = "gpt2", vocab_size: int = V, block_size: int = T, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    options = GPTS.get(kind, {"kind": kind}) | options
    return build_model(ModelConfig(n_layer=2, n_embd=32, **options), vocab_size, block_size)


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


@pytest.mark.parametrize("kind", GPTS)
def test_the_gpt_sees_everything_up_to_a_whole_block_back(kind):
    model, idx = make(kind), some_ids(1, T)
    changed = idx.clone()
    changed[0, 0] = (changed[0, 0] + 1) % V
    assert not torch.equal(model(idx)[0, -1], model(changed)[0, -1])


@pytest.mark.parametrize("kind", GPTS)
def test_the_fused_attention_equals_the_reference_with_its_tril_buffer(kind):
    fused, reference = make(kind, attention="sdpa"), make(kind, attention="tril")
    reference.load_state_dict(fused.state_dict())
    buffer = reference.blocks[0].attention.tril
    assert torch.equal(buffer, torch.tril(torch.ones(T, T)).bool())
    for length in (1, 2, T - 1, T):
        idx = some_ids(2, length)
        torch.testing.assert_close(fused(idx), reference(idx), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", GPTS)
def test_both_attentions_learn_by_the_same_gradients(kind):
    fused, reference = make(kind, attention="sdpa"), make(kind, attention="tril")
    reference.load_state_dict(fused.state_dict())
    for model in (fused, reference):
        model(some_ids(2, T), some_ids(2, T)).backward()
    for (name, a), b in zip(fused.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", GPTS)
def test_auto_is_the_written_out_attention_in_bf16_on_a_cpu_and_else_the_fused_one(kind):
    auto, fused, tril = (make(kind, attention=form) for form in ("auto", "sdpa", "tril"))
    idx = some_ids(2, T)
    for model in (fused, tril):
        model.load_state_dict(auto.state_dict())
    assert torch.equal(auto(idx), fused(idx))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(auto(idx), tril(idx))
        torch.testing.assert_close(auto(idx), fused(idx), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("width", [32, 128, 512])
@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_the_first_softmax_is_diffuse(width, preset):
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=2, n_embd=width, preset=preset), 1000, T)
    idx = torch.randint(1000, (8, T + 1))
    assert model(idx[:, :-1], idx[:, 1:]).item() == pytest.approx(math.log(1000), rel=0.05)


def test_the_first_attention_is_diffuse():
    attention = make(attention="tril").blocks[0].attention
    x = torch.nn.functional.layer_norm(torch.randn(1, T, 32), (32,))
    query, key, _ = attention.query_key_value(x).view(1, T, 3, 4, 8).permute(2, 0, 3, 1, 4)
    p = (query @ key.transpose(-2, -1) / math.sqrt(8)).softmax(dim=-1)
    entropy = -(p * p.log()).sum(dim=-1)
    assert entropy.min() > 0.9 * math.log(T)


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
    options = {"attention": "tril"} if kind in GPTS else {}
    model = make(kind, vocab_size=64, **options)  # 64: without padding
    with FlopCounterMode(display=False) as counter:
        model(some_ids(1, T))
    parts = model.flops_per_token()
    # The reference computes the whole square of the attention, twice what a causal kernel has to.
    forward = parts["body"] + parts["output"] + parts["attention"] * 2 * T / (T + 1)
    assert counter.get_total_flops() / T == pytest.approx(forward / 3)  # backward is twice forward


@pytest.mark.parametrize("kind", KINDS)
def test_params_are_counted_without_padding(kind):
    def count(vocab_size: int) -> int:
        return sum(p.numel() for p in make(kind, vocab_size).parameters())

    model = make(kind, 128)
    assert model.params_body() + model.params_embedding() == count(128)
    if kind == "bigram":
        assert (model.params_body(), model.params_embedding()) == (0, 128 * 128)
    else:
        assert model.params_embedding() == 2 * (count(128) - count(64))
        assert make(kind, 65).params_embedding() * 128 == model.params_embedding() * 65
        assert make(kind, 65).params_body() == model.params_body()


@pytest.mark.parametrize("kind", GPTS)
@pytest.mark.parametrize("vocab_size", [61, 64, 65])
def test_rows_that_fill_up_the_vocabulary_change_nothing(kind, vocab_size):
    model = make(kind, vocab_size)
    idx, targets = torch.randint(vocab_size, (2, 3, T))
    logits, loss = model(idx), model(idx, targets)
    loss.backward()
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    assert model.token_embedding.weight.shape[0] % 64 == 0
    for name in ("token_embedding", "output"):
        if getattr(model, name) is not None:
            assert not before[f"{name}.weight"][vocab_size:].any()
            with torch.no_grad():
                getattr(model, name).weight[vocab_size:] = 1e3
    assert logits.shape[-1] == vocab_size
    assert torch.equal(model(idx), logits) and torch.equal(model(idx, targets), loss)


def test_a_preset_is_its_fields_and_each_can_be_set_alone():
    modern = make("modern").config
    fields = {name: getattr(modern, name) for name in ("positions", "norm", "qk_norm", "mlp", "bias")}
    assert fields == {
        "positions": "rotary", "norm": "rmsnorm", "qk_norm": True, "mlp": "swiglu", "bias": False
    }  # fmt: skip
    assert make("gpt2", **fields).state_dict().keys() == make("modern").state_dict().keys()
    for name, value in fields.items():
        model = make("gpt2", **{name: value})
        assert getattr(model.config, name) == value
        assert model(some_ids(2, T)).shape == (2, T, V)


def test_without_an_mlp_a_block_is_its_attention_alone():
    model, idx = make("attention alone"), some_ids(2, T)
    assert not [name for name, _ in model.named_parameters() if "mlp" in name]
    block = model.blocks[0]
    x = torch.randn(2, T, 32)
    assert torch.equal(block(x, None), x + block.attention(block.norm_attention(x), None))
    assert model.flops_per_token()["body"] == 6 * 2 * 4 * 32 * 32  # two layers of four (C, C) matrices
    # One residual branch per layer instead of two, so each may be as large as one of two in half as many
    with_mlp = make("gpt2").blocks[0].attention.projection.weight.std()
    assert (block.attention.projection.weight.std() / with_mlp).item() == pytest.approx(2**0.5, rel=0.1)
    assert model(idx).shape == (2, T, V)


def test_rotary_attention_depends_on_the_distance_alone():
    """Shifted by a few places, queries and keys have the same products."""
    turn = make("modern").turn
    x, y = torch.randn(2, 1, 1, 1, 8)
    products = [
        [(rotate(x, turn[:, [i]]) * rotate(y, turn[:, [j]])).sum().item() for j in range(T)] for i in range(T)
    ]
    for i in range(T - 5):
        assert products[i][i + 5] == pytest.approx(products[0][5], abs=1e-5)
    assert products[0][0] == pytest.approx((x * y).sum().item(), abs=1e-6)
    assert products[0][5] != pytest.approx(products[0][0], abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_needs_nothing_but_its_file(kind, tmp_path):
    model, idx = make(kind), some_ids(2, 5)
    save_model(model.weights(), tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert torch.equal(loaded(idx), model(idx))
    assert not loaded.training
    assert (loaded.config, loaded.vocab_size, loaded.block_size) == (model.config, V, T)


@pytest.mark.parametrize("options", [{"n_embd": 30, "n_head": 4}, {"n_layer": 0}, {"n_embd": -1}])
def test_a_shape_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match=r"model\.n_"):
        ModelConfig(**options)


@pytest.mark.parametrize("attention", ["sdpa", "tril"])
@pytest.mark.parametrize("preset", ["gpt2", "modern"])
@pytest.mark.parametrize("kind", ["gpt", "bigram", "bag-of-words"])
def test_with_the_beginnings_of_documents_each_is_predicted_as_if_alone(kind, preset, attention):
    torch.manual_seed(0)
    config = ModelConfig(kind=kind, n_layer=2, n_embd=16, n_head=2, preset=preset, attention=attention)
    model = build_model(config, 20, 12)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    idx = torch.randint(20, (3, 12))
    cuts = [[0, 5, 9], [0], [0, 1, 11]]
    begins = torch.tensor([[max(c for c in row if c <= t) for t in range(12)] for row in cuts])
    together = model(idx, begins=begins)
    for row, parts in enumerate(cuts):
        for begin, end in zip(parts, [*parts[1:], 12], strict=True):
            alone = model(idx[row : row + 1, begin:end])[0]
            torch.testing.assert_close(together[row, begin:end], alone)
    targets = torch.randint(20, (3, 12))
    model(idx, targets, begins=begins).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
