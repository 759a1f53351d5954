"""The loss in chunks is the loss at once, with the same gradients."""

import pytest
import torch
import torch.nn.functional as F

from model import GPT, ModelConfig, compile_model, loss
from model.loss import linear_cross_entropy

B, T, C, V, ROWS = 3, 7, 16, 61, 64


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(loss, "ROWS", 5)
    monkeypatch.setattr(
        loss, "chunk_logits", lambda device: 5 * V
    )  # of 21 tokens 5 at a time, and a last one alone


def parts():
    torch.manual_seed(0)
    x, weight = torch.randn(B, T, C, requires_grad=True), torch.randn(ROWS, C, requires_grad=True)
    return x, weight, torch.randint(V, (B, T))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(None, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)], ids=str
)
def test_loss_and_gradients_are_those_of_the_whole(dtype, tolerance):
    x, weight, targets = parts()
    whole = F.cross_entropy((x @ weight.T)[..., :V].flatten(0, 1), targets.flatten())
    expected = torch.autograd.grad(whole * 3, (x, weight))
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        chunked = linear_cross_entropy(x, weight, targets, V)
    assert chunked.dtype == torch.float32
    torch.testing.assert_close(chunked, whole, atol=tolerance, rtol=tolerance)
    for got, want in zip(torch.autograd.grad(chunked * 3, (x, weight)), expected, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, want, atol=tolerance * want.abs().max().item(), rtol=0)


@pytest.mark.parametrize("vocab_size", [V, ROWS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_what_is_compiled_on_a_gpu_is_what_is_done_on_a_cpu(dtype, vocab_size):
    torch.manual_seed(0)
    logits, targets = (3 * torch.randn(5, ROWS)).to(dtype), torch.randint(vocab_size, (5,))
    here, there = (
        way(logits.clone(), targets, vocab_size) for way in (loss.loss_in_place, loss.loss_to_fuse)
    )
    torch.testing.assert_close(there, here)
    assert here[1].dtype == there[1].dtype == dtype
    assert not here[1][:, vocab_size:].any() and not there[1][:, vocab_size:].any()


@pytest.mark.extended
@pytest.mark.parametrize("graphs", [False, True])
def test_a_compiled_model_has_the_same_loss_and_gradients_in_chunks(monkeypatch, graphs):
    for owner, name in ((loss, "loss_of_chunk"), (loss._Chunked, "forward")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # set back afterwards
    torch.manual_seed(0)
    model = GPT(ModelConfig(n_layer=1, n_embd=C, n_head=2), V, T)
    idx = torch.randint(V, (B, T))
    plain = model(idx, idx)
    plain.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    compiled = compile_model(model, graphs)(idx, idx)
    assert loss.loss_of_chunk is not loss.loss_in_place
    compiled.backward()
    torch.testing.assert_close(compiled, plain)
    torch.testing.assert_close({name: p.grad for name, p in model.named_parameters()}, expected)


def test_never_are_all_logits_in_memory():
    x, weight, targets = parts()
    seen = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(t.numel()) or t, lambda t: t):
        linear_cross_entropy(x, weight, targets, V)
    assert max(seen) < B * T * V


def test_without_gradients_it_is_the_plain_loss():
    x, weight, targets = parts()
    with torch.no_grad():
        value = linear_cross_entropy(x, weight, targets, V)
    assert value.item() == pytest.approx(linear_cross_entropy(x, weight, targets, V).item(), abs=1e-5)
