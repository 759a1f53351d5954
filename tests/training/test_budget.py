"""Matched budgets: characters, converted to tokens of each tokenizer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.arrays import Split, TokenArrays
from model import ModelConfig, build_model
from training.budget import Budget, Plan, TextAmount, check_amount, fit_width, make_plan, plan_block_size
from training.state import TrainState

V = 300
GPT = ModelConfig(n_layer=2, n_embd=32)
SPECS = ["byte", "char", "bpe-300", "spbpe-420"]


CONTEXT = TextAmount(tokens=20)


def made(
    train: Split,
    block_size: int,
    context: TextAmount,
    batch: TextAmount,
    budget: Budget,
    model: ModelConfig = GPT,
) -> Plan:
    return make_plan(model, V, block_size, context, batch, budget, train)


@pytest.fixture(params=SPECS)
def train(request, tiny_arrays):
    return TokenArrays(tiny_arrays(request.param)).split("train")


def test_a_context_in_characters_has_equally_many_for_every_tokenizer(train):
    block_size = plan_block_size(TextAmount(chars=100), train)
    assert block_size * train.chars_per_token == pytest.approx(100, abs=train.chars_per_token / 2)


def test_a_context_in_tokens_is_used_as_given(train):
    assert plan_block_size(TextAmount(tokens=40), train) == 40


@pytest.mark.parametrize("context", [TextAmount(chars=100), TextAmount(tokens=60)])
def test_every_run_sees_the_same_characters_per_step_and_in_total(train, context):
    plan = made(train, plan_block_size(context, train), context, TextAmount(chars=2000), Budget(chars=50_000))
    assert plan.steps == 25
    assert plan.tokens_per_step * plan.chars_per_token == pytest.approx(2000)
    seen = plan.sequences_before(25) * plan.block_size * plan.chars_per_token
    assert seen == pytest.approx(50_000, abs=plan.block_size * plan.chars_per_token)


@pytest.mark.parametrize("context", [TextAmount(chars=100), TextAmount(tokens=60)])
def test_places_depend_on_the_options_alone(tiny_arrays, context):
    splits = [TokenArrays(tiny_arrays(spec)).split("train") for spec in SPECS]
    plans = [
        made(train, plan_block_size(context, train), context, TextAmount(chars=2000), Budget(steps=1))
        for train in splits
    ]
    assert len({plan.places for plan in plans}) == 1
    assert all(plan.place_chars == pytest.approx(plans[0].place_chars) for plan in plans)


def test_a_batch_smaller_than_a_sequence_is_one_sequence(train):
    plan = made(train, 60, TextAmount(tokens=60), TextAmount(chars=10), Budget(steps=1))
    assert (plan.sequences, plan.sequences_in(0), plan.sequences_in(1)) == (1, 1, 1)


def test_a_budget_in_flops_is_met_within_one_step(train):
    plan = made(train, 20, CONTEXT, TextAmount(tokens=200), Budget(flops=1e9))
    step = plan.tokens_per_step * sum(build_model(GPT, V, 20).flops_per_token().values())
    assert 1e9 <= plan.steps * step < 1e9 + step


def test_budgets_in_tokens_and_steps(train):
    assert made(train, 20, CONTEXT, TextAmount(tokens=200), Budget(tokens=1001)).steps == 6
    assert made(train, 20, CONTEXT, TextAmount(tokens=200), Budget(steps=7)).steps == 7


def test_characters_per_token_count_eot_as_a_token_without_characters(train):
    plan = made(train, 20, CONTEXT, TextAmount(tokens=200), Budget(steps=1))
    assert plan.chars_per_token * train.length == pytest.approx(train.chars)
    assert train.length == train.tokens + train.documents


def test_a_bigram_model_cannot_have_a_budget_in_flops(train):
    with pytest.raises(ValueError, match=r"budget\.flops"):
        made(train, 20, CONTEXT, TextAmount(tokens=200), Budget(flops=1e9), ModelConfig(kind="bigram"))


def test_a_budget_in_seconds_leaves_the_number_of_steps_open(train):
    plan = made(train, 20, CONTEXT, TextAmount(tokens=200), Budget(seconds=8))
    assert plan.steps is None
    assert plan.progress(1000, 2.0) == 0.25
    assert plan.progress(1000, 9.0) == 1.0
    after = [TrainState({}, 1000, seconds) for seconds in (0, 1.9, 2, 7.9, 8, 9)]
    assert [plan.parts_done(4, state) for state in after] == [0, 0, 1, 3, 4, 4]
    assert [plan.passes(4, a, b) for a, b in itertools.pairwise(after)] == [False, True, True, True, False]


@given(st.integers(1, 10_000), st.integers(1, 300))
def test_equal_parts_of_the_steps_end_in_order_the_last_one_with_the_last_step(steps, parts):
    plan = Plan(GPT, 8, 1, 1, 8, steps, None, 1.0)
    done = [plan.parts_done(parts, TrainState({}, step)) for step in range(steps + 1)]
    assert done == sorted(done)
    assert done[0] == 0
    assert [done[-2] < parts, done[-1]] == [True, parts]
    assert max(b - a for a, b in itertools.pairwise(done)) <= -(-parts // steps)


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_with_equal_total_parameters_a_larger_vocabulary_has_a_smaller_body(preset):
    model = ModelConfig(n_layer=4, n_embd=128, preset=preset)
    wanted = build_model(model, 257, 64)
    wanted = wanted.params_body() + wanted.params_embedding()
    widths = []
    for vocab_size in (257, 1000, 4000, 16_000):
        fitted = fit_width(model, vocab_size, 64, wanted)
        found = build_model(fitted, vocab_size, 64)
        assert found.params_body() + found.params_embedding() == pytest.approx(wanted, rel=0.1)
        widths.append(fitted.n_embd)
    assert widths[0] == 128
    assert widths == sorted(widths, reverse=True)


def test_a_vocabulary_too_large_for_every_width_is_refused():
    with pytest.raises(ValueError, match=r"a vocabulary of 200,000 needs .* set a larger model"):
        fit_width(ModelConfig(n_head=4, n_embd=32), 200_000, 64, 60_000)


def test_a_context_longer_than_the_training_text_is_refused(train):
    with pytest.raises(ValueError, match="shorter than one context"):
        plan_block_size(TextAmount(chars=10**7), train)


@pytest.mark.parametrize("given", [{}, {"chars": 1, "tokens": 1}, {"chars": 0}, {"tokens": -5}])
def test_anything_but_one_positive_amount_is_refused(given):
    with pytest.raises(ValueError, match=r"exactly one|above 0"):
        check_amount("context", TextAmount(**given))
