"""The metric (docs/metric.md): every token once, documents alone, in bits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model import ModelConfig, build_model, scoring
from model.loss import token_nats
from model.scoring import _tf32, document_bits, score, scored_in, windows

V, T = 37, 16
EOT = 0


def documents(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    """Random documents between two eot each."""
    draw = np.random.default_rng(seed)
    return [np.r_[EOT, draw.integers(1, V, size=n), EOT].astype(np.uint16) for n in lengths]


def gpt(vocab_size: int = V) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=2, n_embd=32), vocab_size, T)
    for parameter in model.parameters():  # far from uniform, so that a mistake shows
        nn.init.normal_(parameter, std=0.3)
    return model


class Fixed(nn.Module):
    """Predicts the same distribution everywhere."""

    def __init__(self, p: np.ndarray) -> None:
        super().__init__()
        self.block_size, self.vocab_size = T, len(p)
        self.logits = torch.from_numpy(np.log(p)).float()

    def forward(self, idx: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
        return token_nats(lambda idx: self.logits.expand(len(idx), -1), idx, targets, self.vocab_size)


def by_document(model: nn.Module, sequences: list[np.ndarray], stride: int) -> tuple[np.ndarray, np.ndarray]:
    return document_bits(score(model, sequences, stride), sequences)


@given(st.integers(1, 200), st.integers(1, 32), st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_windows_score_every_position_once_and_give_each_its_context(length, block_size, data):
    stride = data.draw(st.integers(1, block_size))
    scored = []
    for start, end, first in windows(length, block_size, stride):
        assert 0 <= start <= first < end <= length
        assert end - start <= block_size
        assert all(i - start + 1 > block_size - stride or start == 0 for i in range(first, end))
        scored += range(first, end)
    assert scored == list(range(length))


def test_a_uniform_model_needs_log2_v_bits_a_token():
    bits, eot_bits = by_document(Fixed(np.full(V, 1 / V)), documents(1, 15, 16, 17, 400), stride=5)
    assert bits == pytest.approx(np.array([1, 15, 16, 17, 400]) * math.log2(V), rel=1e-6)
    assert eot_bits == pytest.approx(np.full(5, math.log2(V)), rel=1e-6)


def test_a_unigram_model_matches_its_closed_form():
    draw = np.random.default_rng(3)
    p = draw.dirichlet(np.ones(V))
    sequences = documents(3, 50, 333)
    bits, eot_bits = by_document(Fixed(p), sequences, stride=T // 2)
    expected = [-np.log2(p[sequence[1:-1]]).sum() for sequence in sequences]
    assert bits == pytest.approx(np.array(expected), rel=1e-6)
    assert eot_bits == pytest.approx(np.full(3, -np.log2(p[EOT])), rel=1e-6)


@pytest.mark.parametrize("stride", [1, 5, 8, 16])
def test_one_forward_pass_per_token_gives_the_same(stride):
    model, sequences = gpt(), documents(1, 7, 16, 17, 30, 64)
    bits, eot_bits = by_document(model, sequences, stride)
    for number, sequence in enumerate(sequences):
        found = []
        for target in range(1, len(sequence)):
            # A full window, moved on by whole strides, as the definition says.
            moved = math.ceil(max(0, target - T) / stride) * stride
            end = min(T + moved, len(sequence) - 1)
            context = torch.from_numpy(sequence[max(0, end - T) : target].astype(np.int64))
            with torch.no_grad():
                log_p = model(context[None])[0, -1].double().log_softmax(dim=-1)
            found.append(-log_p[int(sequence[target])].item() / math.log(2))
        assert bits[number] == pytest.approx(sum(found[:-1]), rel=1e-5)
        assert eot_bits[number] == pytest.approx(found[-1], rel=1e-5)


def test_another_numbering_of_the_vocabulary_changes_nothing():
    model, sequences = gpt(), documents(5, 40, 100)
    order = np.random.default_rng(1).permutation(V)  # the old id i is now order[i]
    renamed = gpt()
    renamed.token_embedding.weight.data[order] = model.token_embedding.weight.data[:V]
    bits = score(model, sequences, stride=8)
    assert score(renamed, [order[sequence] for sequence in sequences], stride=8) == pytest.approx(
        bits, rel=1e-4
    )


def test_neither_the_batch_nor_the_order_of_documents_changes_a_score(monkeypatch):
    model, sequences = gpt(), documents(5, 40, 100, 16, 1)
    bits, _ = by_document(model, sequences, stride=8)
    assert by_document(model, sequences[::-1], stride=8)[0][::-1] == pytest.approx(bits, rel=1e-6)
    monkeypatch.setattr(scoring, "TOKENS", 1)  # one window at a time
    assert by_document(model, sequences, stride=8)[0] == pytest.approx(bits, rel=1e-6)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_the_sum_over_any_number_of_parts_is_the_whole_to_the_last_bit(monkeypatch, parts):
    monkeypatch.setattr(scoring, "TOKENS", 5 * T)
    model, sequences = gpt(), documents(5, 40, 100, 16, 1, 333)
    whole = score(model, sequences, stride=8)
    each = [score(model, sequences, stride=8, part=(i, parts)) for i in range(parts)]
    assert all(part.any() for part in each)
    assert np.array_equal(sum(each), whole)


def test_the_number_of_threads_changes_no_bit_and_is_left_as_it_was():
    model, sequences = gpt(), documents(*range(5, 400, 9))
    threads = torch.get_num_threads()
    found = []
    for number in (1, 2, 5):
        torch.set_num_threads(number)
        found.append(score(model, sequences, stride=8))
        assert torch.get_num_threads() == number
    torch.set_num_threads(threads)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_shorter_context_is_that_of_a_model_with_a_shorter_block():
    model, sequences = gpt(), documents(5, 40, 100)
    shorter = gpt()
    shorter.block_size = 10
    assert np.array_equal(score(model, sequences, 5, block_size=10), score(shorter, sequences, 5))
    assert score(model, sequences, 5).sum() != score(model, sequences, 5, block_size=10).sum()


def test_a_document_is_scored_alone():
    model, (one, other) = gpt(), documents(40, 60)
    together, alone = by_document(model, [one, other], 8)[0], by_document(model, [one], 8)[0]
    assert together[0] == pytest.approx(alone[0], rel=1e-6)


def test_sums_are_float64():
    bits, eot_bits = by_document(gpt(), documents(5), stride=8)
    assert bits.dtype == eot_bits.dtype == score(gpt(), documents(5), stride=8).dtype == np.float64


def test_scoring_leaves_the_model_in_the_mode_it_was_in():
    model = gpt().train()
    score(model, documents(5), stride=8)
    assert model.training


@pytest.mark.parametrize("stride", [0, T + 1])
def test_a_stride_beyond_the_block_is_refused(stride):
    with pytest.raises(ValueError, match="stride"):
        score(gpt(), documents(5), stride)


def test_scoring_in_bf16_is_close_and_tf32_is_fp32_on_a_cpu():
    model = build_model(ModelConfig(n_layer=2, n_embd=32, n_head=2), 300, 16).eval()
    generator = np.random.default_rng(0)
    sequences = [generator.integers(0, 300, size=length) for length in (5, 40, 90)]
    found = {name: score(model, sequences, 8, scoring=name) for name in ("fp32", "tf32", "bf16")}
    assert np.array_equal(found["tf32"], found["fp32"]) and scored_in("tf32", "cpu") == "fp32"
    assert not np.array_equal(found["bf16"], found["fp32"]) and scored_in("bf16", "cpu") == "bf16"
    assert found["bf16"].sum() == pytest.approx(found["fp32"].sum(), rel=1e-3)


def test_scoring_in_tf32_is_asked_for_on_a_gpu_and_only_while_it_lasts():
    before = torch.get_float32_matmul_precision()
    with _tf32(scored_in("tf32", "cuda:0") == "tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before == "highest"
