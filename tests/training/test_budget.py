"""Matched budgets: characters, in tokens of each tokenizer."""

import pytest

from data_prep.arrays import TokenArrays
from training.budget import Budget, TextAmount, check_amount, make_plan, plan_block_size

SPECS = ["byte", "char", "bpe-300", "spbpe-420"]


@pytest.fixture(params=SPECS)
def train(request, tiny_arrays):
    return TokenArrays(tiny_arrays(request.param)).split("train")


def test_a_context_in_characters_is_as_many_characters_for_every_tokenizer(train):
    block_size = plan_block_size(TextAmount(chars=100), train)
    assert block_size * train.chars_per_token == pytest.approx(100, abs=train.chars_per_token / 2)


def test_a_context_in_tokens_is_taken_as_it_is(train):
    assert plan_block_size(TextAmount(tokens=40), train) == 40


def test_batch_and_budget_in_characters_are_met_to_a_sequence_and_a_step(train):
    block_size = plan_block_size(TextAmount(chars=100), train)
    plan = make_plan(block_size, TextAmount(chars=2000), Budget(chars=50_000), train, 1.0)
    step = plan.tokens_per_step * plan.chars_per_token
    assert step == pytest.approx(2000, abs=block_size * plan.chars_per_token / 2)
    assert 50_000 <= plan.steps * step < 50_000 + step


def test_a_budget_in_flops_is_met_to_a_step(train):
    plan = make_plan(20, TextAmount(tokens=200), Budget(flops=1e9), train, flops_per_token=1000.0)
    assert 1e9 <= plan.steps * plan.tokens_per_step * 1000 < 1e9 + 200 * 1000


def test_budgets_in_tokens_and_steps(train):
    assert make_plan(20, TextAmount(tokens=200), Budget(tokens=1001), train, 1.0).steps == 6
    assert make_plan(20, TextAmount(tokens=200), Budget(steps=7), train, 1.0).steps == 7


def test_characters_seen_count_the_end_of_text_as_a_token_without_characters(train):
    plan = make_plan(20, TextAmount(tokens=200), Budget(steps=1), train, 1.0)
    assert plan.chars_per_token * train.length == pytest.approx(train.chars)
    assert train.length == train.tokens + train.documents + 1


def test_a_bigram_model_has_no_budget_in_flops(train):
    with pytest.raises(ValueError, match="flops"):
        make_plan(20, TextAmount(tokens=200), Budget(flops=1e9), train, flops_per_token=0.0)


def test_a_context_longer_than_the_training_text_is_refused(train):
    with pytest.raises(ValueError, match="shorter than one context"):
        plan_block_size(TextAmount(chars=10**7), train)


@pytest.mark.parametrize("given", [{}, {"chars": 1, "tokens": 1}, {"chars": 0}, {"tokens": -5}])
def test_exactly_one_positive_amount_is_given(given):
    with pytest.raises(ValueError, match=r"exactly one|above 0"):
        check_amount("context", TextAmount(**given))
