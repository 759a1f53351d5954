"""One training step, as used by the trainer and all benchmarks."""

import math

import pytest
import torch

from model import ModelConfig, build_model
from training.optimizer import OptimizerConfig
from training.ranks import Ranks
from training.step import Batch, Learner, StepResult, make_learner, training_step

ALONE = Ranks(0, 1, "cpu")
V, T = 30, 8


def learner(name: str = "adamw", precision: str = "fp32") -> Learner:
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=1, n_embd=16, n_head=2), V, T)
    return make_learner(model, OptimizerConfig(name=name), ALONE, precision)


def take_step(made: Learner, batches: list[Batch], sequences: int, lr: float) -> StepResult:
    return training_step(made, ALONE, batches, sequences, lr).result()


def batch(sequences: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    idx = torch.randint(V, (sequences, T + 1), generator=torch.Generator().manual_seed(1))
    return idx[:, :-1], idx[:, 1:]


def weights(of: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in of.model.parameters()])


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_micro_batches_of_unequal_size_give_the_step_of_the_whole_batch(name):
    whole, parts = learner(name), learner(name)
    x, y = batch()
    one = take_step(whole, [Batch(x, y)], 6, lr=0.01)
    two = take_step(parts, [Batch(x[:4], y[:4]), Batch(x[4:], y[4:])], 6, lr=0.01)
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert one.loss == one.share and one.finite and not one.stop and one.norm > 0
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-4, rtol=1e-4)


def test_the_loss_falls_on_one_batch():
    made, (x, y) = learner(), batch()
    losses = [take_step(made, [Batch(x, y)], 6, lr=0.01).loss for _ in range(30)]
    assert losses[0] == pytest.approx(math.log(V), rel=0.2)
    assert losses[-1] < 0.5 * losses[0]


def test_the_gradients_are_clipped_before_they_are_applied():
    made, (x, y) = learner(), batch()
    made.grad_clip = 1e-3
    made.optimizers = [torch.optim.SGD(made.model.parameters(), lr=0.0, fused=True)]
    before = weights(made)
    step = take_step(made, [Batch(x, y)], 6, lr=1.0)
    assert step.norm > 1e-2
    assert (weights(made) - before).norm() == pytest.approx(1e-3, rel=1e-2)


def test_a_non_finite_step_changes_no_weight_and_no_moment():
    made, (x, y) = learner(), batch()
    take_step(made, [Batch(x, y)], 6, lr=0.01)
    before, moments = weights(made), str(made.optimizer_state())
    hook = made.model.register_forward_hook(lambda module, inputs, loss: loss * math.nan)
    step = take_step(made, [Batch(x, y)], 6, lr=0.01)
    assert not step.finite and math.isnan(step.loss)
    assert torch.equal(weights(made), before) and str(made.optimizer_state()) == moments
    hook.remove()
    assert take_step(made, [Batch(x, y)], 6, lr=0.01).norm > 0  # the next step is computed
    assert torch.equal(weights(made), before)  # but not applied
    made.resume()
    assert take_step(made, [Batch(x, y)], 6, lr=0.01).finite  # nothing of it is left in the gradients
    assert not torch.equal(weights(made), before)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_an_update_that_is_halted_on_the_device_changes_nothing(name):
    """As on a GPU, where the host does not wait for the decision."""
    made, (x, y) = learner(name), batch()
    take_step(made, [Batch(x, y)], 6, lr=0.01)
    before, moments = weights(made), str(made.optimizer_state())
    for parameter in made.model.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    for halted in (1.0, 0.0):
        for optimizer in made.optimizers:
            optimizer.found_inf = torch.tensor(halted)
            optimizer.step()
        if halted:
            assert torch.equal(weights(made), before) and str(made.optimizer_state()) == moments
    assert weights(made).isnan().any()


def test_gradients_too_large_for_fp16_are_handled_by_the_scaler():
    made, (x, y) = learner(precision="fp16"), batch()
    made.scaler = torch.amp.GradScaler("cpu", init_scale=1e30)
    before = weights(made)
    step = take_step(made, [Batch(x, y)], 6, lr=0.01)
    assert step.finite and not math.isfinite(step.norm)
    assert torch.equal(weights(made), before) and made.scaler.get_scale() < 1e30
