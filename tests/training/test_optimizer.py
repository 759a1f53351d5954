"""The optimizers and the learning-rate schedule."""

import itertools
import os
import subprocess
import sys

import pytest
import torch

from common.revision import ROOT
from model import ModelConfig, build_model
from training.muon import Muon
from training.optimizer import OptimizerConfig, learning_rate, make_optimizers

CONFIG = OptimizerConfig(lr=0.01, warmup=0.1, final_lr=0.2)


def test_the_rate_rises_linearly_to_lr_and_falls_to_final_lr():
    rates = [learning_rate(i / 100, CONFIG) for i in range(101)]
    assert rates[:11] == pytest.approx([0.001 * i for i in range(11)])
    assert max(rates) == rates[10] == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.002)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_the_rate_is_defined_with_no_warm_up_and_with_nothing_else(schedule, warmup):
    config = OptimizerConfig(lr=0.01, schedule=schedule, warmup=warmup, decay=1 - warmup)
    assert all(0 < learning_rate(progress, config) < 0.01001 for progress in (0.01, 0.5, 1.0))


def test_wsd_is_constant_and_falls_linearly_at_the_end():
    config = OptimizerConfig(lr=0.01, schedule="wsd", warmup=0.1, decay=0.4, final_lr=0.2)
    rates = [learning_rate(i / 100, config) for i in range(101)]
    assert rates[10:61] == pytest.approx([0.01] * 51)
    falls = [high - low for high, low in itertools.pairwise(rates[60:])]
    assert falls == pytest.approx([0.008 / 40] * 40)


MATRICES = {
    f"blocks.0.{name}.weight"
    for name in ("attention.query_key_value", "attention.projection", "mlp.up", "mlp.down")
}


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_only_the_matrices_of_the_body_decay(preset):
    model = build_model(ModelConfig(n_layer=1, preset=preset), 50, 8)
    (optimizer,) = make_optimizers(model, CONFIG)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(p)] for p in optimizer.param_groups[0]["params"]} == MATRICES
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_muon_takes_the_hidden_matrices_and_adamw_the_rest(preset):
    model = build_model(ModelConfig(n_layer=1, preset=preset), 50, 8)
    muon, adamw = make_optimizers(model, OptimizerConfig(name="muon"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parts = {names[id(p)]: group["parts"] for group in muon.param_groups for p in group["params"]}
    assert parts == dict.fromkeys(MATRICES, 1) | {
        "blocks.0.attention.query_key_value.weight": 3,
        "blocks.0.mlp.up.weight": 2 if preset == "modern" else 1,
    }
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert rest == set(names.values()) - MATRICES
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.0]


@pytest.mark.parametrize("kind", ["bigram", "bag-of-words"])
def test_a_model_without_hidden_matrices_has_adamw_alone(kind):
    model = build_model(ModelConfig(kind=kind), 50, 8)
    (optimizer,) = make_optimizers(model, OptimizerConfig(name="muon"))
    assert isinstance(optimizer, torch.optim.AdamW)


SHAPES = [(8, 8), (8, 24), (24, 8), (8, 8)]


def test_muon_is_torchs_own_at_all_matrices_at_once():
    torch.manual_seed(0)
    ours = [torch.randn(shape, requires_grad=True) for shape in SHAPES]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    options = {"lr": 0.02, "weight_decay": 0.3}
    optimizers = [
        Muon([{"params": ours}], **options),
        torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options),
    ]
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-2)  # both iterate in bfloat16


def test_matrices_stacked_in_one_parameter_are_updated_separately():
    torch.manual_seed(0)
    whole = torch.randn(24, 8, requires_grad=True)
    alone = [part.detach().clone().requires_grad_() for part in whole.chunk(3)]
    whole.grad = torch.randn(24, 8)
    for part, grad in zip(alone, whole.grad.chunk(3), strict=True):
        part.grad = grad.clone()
    Muon([{"params": [whole], "parts": 3}], 0.02, 0.1).step()
    Muon([{"params": alone}], 0.02, 0.1).step()
    assert torch.equal(whole, torch.cat(alone))


def test_a_step_that_is_halted_on_the_device_changes_nothing():
    torch.manual_seed(0)
    ours = [torch.randn(shape, requires_grad=True) for shape in SHAPES]
    muon = Muon([{"params": ours}], 0.02, 0.1)

    def step(found_inf: float) -> None:
        muon.found_inf = torch.tensor(found_inf)
        muon.step()

    for parameter in ours:
        parameter.grad = torch.randn(parameter.shape)
    step(0.0)
    before, momenta = [p.detach().clone() for p in ours], str(muon.state_dict())
    for parameter in ours:
        parameter.grad.fill_(float("nan"))
    step(1.0)
    assert all(torch.equal(*pair) for pair in zip(ours, before, strict=True))
    assert str(muon.state_dict()) == momenta


SHARED = """
import torch
from training.muon import Muon
from training.ranks import end, join, leave

ranks = join("cpu")
torch.manual_seed(0)
shapes = [(8, 8)] * 5 + [(8, 24), (24, 8), (16, 40)]
alone = [torch.randn(shape, requires_grad=True) for shape in shapes]
shared = [p.detach().clone().requires_grad_() for p in alone]
optimizers = [Muon([{"params": alone}], 0.02, 0.1), Muon([{"params": shared}], 0.02, 0.1, ranks=ranks)]
for _ in range(3):
    for a, b in zip(alone, shared, strict=True):
        a.grad = torch.randn(a.shape)
        b.grad = a.grad.clone()
    for optimizer in optimizers:
        optimizer.step()
assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))
print(f"equal on rank {ranks.rank}")
end(leave(0))
"""


@pytest.mark.parametrize("processes", [2, 3])
def test_ranks_that_share_the_work_get_the_same_weights_as_a_single_one(tmp_path, processes):
    """Bit for bit; with three ranks, some have one matrix of a shape and others none."""
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *launcher, str(script)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(f"equal on rank {rank}" in done.stdout for rank in range(processes))
