"""How many sequences are computed at a time: as many as fit, in even parts."""

import pytest

from model import ModelConfig, build_model
from training import micro_batch
from training.micro_batch import SHARE, bytes_per_sequence, fit_micro_batch, saved_bytes
from training.ranks import Ranks

ALONE = Ranks(0, 1, "cpu")


def make(vocab_size=64, **options):
    return build_model(ModelConfig(n_layer=2, n_embd=32, **options), vocab_size, block_size=64)


@pytest.fixture
def free(monkeypatch):
    """Sets the memory that is free."""
    return lambda size: monkeypatch.setattr(micro_batch, "free_memory", lambda device: size)


def test_all_sequences_are_taken_at_once_where_they_fit(free):
    free(1e12)
    assert fit_micro_batch(make(), 33, ALONE, "fp32") == 33


@pytest.mark.parametrize(
    ("fit", "expected"), [(33, 33), (32, 17), (17, 17), (16, 11), (11, 11), (2, 2), (1, 1)]
)
def test_where_they_do_not_they_are_dealt_into_even_parts(free, fit, expected):
    model = make()
    free(fit * bytes_per_sequence(model, "cpu", "fp32") / SHARE)
    assert fit_micro_batch(model, 33, ALONE, "fp32") == expected


def test_one_sequence_is_the_least(free):
    free(0)
    assert fit_micro_batch(make(), 33, ALONE, "fp32") == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("preset", ["gpt2", "modern"])
@pytest.mark.parametrize("vocab_size", [64, 8192, 50_000])
def test_what_many_sequences_keep_is_foretold(vocab_size, preset, precision):
    model = make(vocab_size, preset=preset)
    foretold = 29 * bytes_per_sequence(model, "cpu", precision)
    kept = saved_bytes(model, 32, "cpu", precision) - saved_bytes(model, 3, "cpu", precision)
    assert kept <= foretold
    if vocab_size != 8192:  # there 3 sequences are whole and 32 in chunks, which keep less
        assert kept >= 0.9 * foretold


def test_what_a_batch_keeps_whatever_its_size_does_not_count():
    """The gradient of the output layer is as large for one sequence as for a thousand."""
    small, large = make(1_000), make(50_000)
    assert saved_bytes(large, 1, "cpu", "fp32") > 5 * saved_bytes(small, 1, "cpu", "fp32")
    assert bytes_per_sequence(large, "cpu", "fp32") < 2 * bytes_per_sequence(small, "cpu", "fp32")
