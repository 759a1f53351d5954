"""AdamW and its schedule."""

import pytest

from model import ModelConfig, build_model
from training.config import OptimizerConfig
from training.optimizer import learning_rate, make_optimizer

CONFIG = OptimizerConfig(lr=0.01, warmup=0.1, final_lr=0.2)


def test_the_rate_rises_in_a_line_stays_below_lr_and_ends_at_its_share():
    rates = [learning_rate(step, 100, CONFIG) for step in range(100)]
    assert rates[:10] == pytest.approx([0.001 * i for i in range(1, 11)])
    assert max(rates) == rates[9] == rates[10] == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.002)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_of_very_few_steps_has_rates_too(steps):
    assert all(0 < learning_rate(step, steps, CONFIG) <= 0.01 for step in range(steps))


def test_only_the_matrices_of_the_body_decay():
    model = build_model(ModelConfig(n_layer=1), 50, 8)
    optimizer = make_optimizer(model, CONFIG)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(p)] for p in optimizer.param_groups[0]["params"]}
    assert decayed == {
        "blocks.0.attention.query_key_value.weight",
        "blocks.0.attention.projection.weight",
        "blocks.0.mlp.0.weight",
        "blocks.0.mlp.2.weight",
    }
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
